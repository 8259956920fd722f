#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::{
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use nearcast_scenario::Nat;

use super::*;

const NETWORKS: &str = "
    about = 'Two networks.'
    film = 'short'
    [networks.east]
    border = '50Mbit'
    delay = '1ms'
    jitter = '1ms'
    [networks.west]
    [[nodes]]
    name = 'far'
    kind = 'holder'
    network = 'east'
    [[nodes]]
    name = 'third'
    kind = 'holder'
    network = 'east'
    [[nodes]]
    name = 'near'
    kind = 'viewer'
    network = 'west'
    NAT
";

/// The topology, or nothing where the kernel doesn't allow it.
fn lay(nat: Option<Nat>) -> Option<Topology> {
    if let Some(why) = Topology::impossible() {
        eprintln!("skipped: {why}");
        return None;
    }
    let mut scenario = Scenario::read("test", &NETWORKS.replace("NAT", "")).unwrap();
    scenario.nodes[2].nat = nat;
    Some(Topology::lay(&scenario, None).unwrap())
}

/// A socket that lives in a host's space, wherever it is used.
fn socket(host: &Host, port: u16) -> UdpSocket {
    let address = SocketAddr::from((host.address, port));
    let socket = host.space.within(|| Ok(UdpSocket::bind(address)?)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

fn heard(socket: &UdpSocket) -> (u8, SocketAddr) {
    let mut word = [0];
    let (_, from) = socket.recv_from(&mut word).unwrap();
    (word[0], from)
}

/// Two things that must hold together, so one test: bytes cross the border and are counted, and a cable that
/// is pulled carries nothing until it is put back.
#[test]
fn what_crosses_the_border_is_counted_and_a_pulled_cable_is_silent() {
    let Some(town) = lay(None) else { return };
    let [far, _, near] = town.hosts.as_slice() else { unreachable!() };
    let before = town.traffic().unwrap();
    let (ours, theirs) = (socket(near, 4000), socket(far, 4000));
    for word in 0..100 {
        ours.send_to(&[word; 1000], (far.address, 4000)).unwrap();
        assert_eq!(heard(&theirs).0, word);
    }
    let after = town.traffic().unwrap();
    // 28 bytes of headers on each; the frame's own 14 are counted on a cable and not on a TUN device.
    let [east, west] = [after[0].since(before[0]), after[1].since(before[1])];
    assert!((102_800..106_000).contains(&east.into), "{east:?}");
    assert!((102_800..106_000).contains(&west.out), "{west:?}");
    assert!(town.lines().unwrap()[2].out >= 102_800);

    town.plug(2, false).unwrap();
    ours.send_to(&[200], (far.address, 4000)).unwrap();
    town.plug(2, true).unwrap();
    ours.send_to(&[201], (far.address, 4000)).unwrap();
    assert_eq!(heard(&theirs).0, 201);
    town.cut(0, false).unwrap();
    ours.send_to(&[202], (far.address, 4000)).unwrap();
    town.cut(0, true).unwrap();
    ours.send_to(&[203], (far.address, 4000)).unwrap();
    assert_eq!(heard(&theirs).0, 203);
}

/// RFC 4787's words for each kind: who is let in, and whether two destinations see the same port.
#[test]
fn translators_let_in_whom_their_kind_lets_in() {
    for (nat, from_third, from_other_port, same_port) in [
        (Nat::FullCone, true, true, true),
        (Nat::AddressRestricted, false, true, true),
        (Nat::PortRestricted, false, false, true),
        (Nat::Symmetric, false, false, false),
    ] {
        let Some(town) = lay(Some(nat)) else { return };
        let [far, third, near] = town.hosts.as_slice() else { unreachable!() };
        assert!(near.address.is_private() && near.address.octets()[0] == 192);
        let (inside, asked) = (socket(near, 5000), socket(far, 5000));
        let (other_port, stranger) = (socket(far, 5001), socket(third, 5000));
        inside.send_to(&[1], (far.address, 5000)).unwrap();
        let (_, outer) = heard(&asked);
        assert_eq!(outer.ip(), address::line(1, 0), "{nat:?}");
        for (word, socket) in [(2, &stranger), (3, &other_port), (4, &asked)] {
            socket.send_to(&[word], outer).unwrap();
        }
        let mut words = Vec::new();
        while words.last() != Some(&4) {
            words.push(heard(&inside).0);
        }
        assert_eq!(
            (words.contains(&2), words.contains(&3)),
            (from_third, from_other_port),
            "{nat:?}: {words:?}"
        );
        inside.send_to(&[5], (third.address, 5000)).unwrap();
        assert_eq!(heard(&stranger).1 == outer, same_port, "{nat:?}");
        // A connection from inside works behind each of them.
        let listener = far.space.within(|| Ok(TcpListener::bind((far.address, 6000))?)).unwrap();
        near.space.within(|| Ok(TcpStream::connect((far.address, 6000))?)).unwrap();
        listener.accept().unwrap();
    }
}
