//! Renewals by datagram.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use nearcast_protocol::{
    PeerId, ResourceId, Role,
    renewal::{ANSWER, Answer, Key, NodeKey, Outcome, Renewal, node_key},
    tracker::{Answer as Answered, Holding, Medium, Reach, Received, Registration, Request},
};
use nearcast_tracker::{GroupTable, Limits, Rules, Server, Swarm};

use super::served::Served;
use crate::TIME;

/// So many that each renews no sooner than after a second, whose mark it bears.
const NODES: usize = 600_000;
const EACH: u32 = 20;
const SECRET: [u8; 32] = [5; 32];
/// Datagrams on their way.
const WINDOW: usize = 128;

struct Node {
    key: Key,
    node: NodeKey,
    mark: u32,
    renewed: Instant,
}

/// Renewals a second of a core.
pub fn renewals() -> f64 {
    let home = IpAddr::V4(Ipv4Addr::new(127, 1, 0, 1));
    let rules = Rules { nodes: usize::MAX, holdings: usize::MAX, per_prefix: usize::MAX, ..Rules::default() };
    let server = Server::new(Swarm::new(rules), GroupTable::parse("127.0.0.0/8,1\n").unwrap());
    server.set_limits(Limits { pace: u32::MAX, burst: u32::MAX, distinct: u32::MAX, memory: 0 });
    let mut nodes: Vec<Node> = Vec::with_capacity(NODES);
    let served = Served::start({
        let server = server.clone();
        move |ready| async move {
            let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            server.give_tickets(SECRET, std::slice::from_ref(&socket));
            ready.send(socket.local_addr().unwrap()).unwrap();
            server.renew_by_datagram(socket, SECRET).await.unwrap();
        }
    });
    for number in 0..NODES {
        let peer = peer(number);
        let held = (0..EACH).map(|n| Holding {
            resource: ResourceId::from_bytes(
                *blake3::hash(&(number as u32 * 7 + n).to_be_bytes()).as_bytes(),
            ),
            permille: 1000,
            guard: None,
        });
        let registration = Registration {
            version: String::new(),
            role: Role::Terminal,
            tcp_port: 4400,
            quic_port: 0,
            reach: Reach::Unknown,
            medium: Medium::Unknown,
            local: Vec::new(),
            holdings: held.collect(),
            spare_upload: 0,
        };
        let Answered::Leased(lease) = server.answer(peer, home, &Request::Register(registration)) else {
            panic!("not registered")
        };
        let ticket = lease.ticket.unwrap();
        let node = node_key(&peer).unwrap();
        nodes.push(Node { key: ticket.key, node, mark: ticket.mark, renewed: Instant::now() });
    }
    let socket = UdpSocket::bind((home, 0)).unwrap();
    socket.connect(served.ready).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    load(&served, &socket, &mut nodes)
}

fn peer(number: usize) -> PeerId {
    let mut bytes = vec![0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
    bytes.extend(blake3::hash(&number.to_be_bytes()).as_bytes());
    PeerId::from_bytes(&bytes).unwrap()
}

fn load(served: &Served<SocketAddr>, socket: &UdpSocket, nodes: &mut [Node]) -> f64 {
    let (mut next, mut renewed) = (0, 0u64);
    let mut sent = Vec::with_capacity(WINDOW);
    let (began, before) = (Instant::now(), served.busy());
    while began.elapsed() < TIME {
        sent.clear();
        for _ in 0..WINDOW {
            let node = &nodes[next];
            if node.renewed.elapsed() < Duration::from_millis(1100) {
                break;
            }
            let received = Received { own_group: 1000, ..Received::default() };
            let renewal = Renewal { node: node.node, mark: node.mark, spare_upload: 1, received };
            let datagram = renewal.seal(&node.key);
            socket.send(&datagram).unwrap();
            sent.push((next, datagram));
            next = (next + 1) % nodes.len();
        }
        // All come from one address and one port, so answers come in the order of the questions.
        let mut waiting = sent.iter();
        while let Some((at, datagram)) = waiting.next() {
            let mut room = [0; ANSWER + 1];
            let Ok(len) = socket.recv(&mut room) else { break };
            let mut candidate = Some((at, datagram));
            while let Some((at, datagram)) = candidate {
                let node = &mut nodes[*at];
                if let Some(answer) = Answer::open(&room[..len], &node.key, datagram) {
                    assert_ne!(answer.outcome, Outcome::Unknown);
                    renewed += u64::from(answer.outcome == Outcome::Renewed);
                    (node.mark, node.renewed) = (answer.mark, Instant::now());
                    break;
                }
                candidate = waiting.next().map(|(at, datagram)| (at, datagram));
            }
        }
    }
    renewed as f64 / (served.busy() - before).as_secs_f64()
}
