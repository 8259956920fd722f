use std::net::IpAddr;

use nearcast_protocol::{
    Group, PeerId, ResourceId, Role,
    tracker::{Answer, Claim, Holding, Medium, Reach, Received, Registration, Renewal, Request},
};
use proptest::{
    collection::vec,
    prelude::{ProptestConfig, Strategy, any, prop_assert_eq, proptest},
};

use super::{walk::Seen, *};

/// All that is remembered, in an order of its own.
fn all(server: &Server) -> (Vec<Seen>, Vec<(PeerId, Vec<Claim>)>) {
    let (mut passed, ended) = server.state().swarm.walk_some(&mut Walk::default(), usize::MAX);
    assert!(ended);
    passed.nodes.sort_by_key(|node| node.peer);
    passed.nodes.iter_mut().for_each(|node| node.held.sort());
    passed.claims.sort_by_key(|(peer, _)| *peer);
    (passed.nodes, passed.claims)
}

fn empty(rules: Rules) -> Server {
    let table = GroupTable::parse("10.0.0.0/9,1,North\n2001:db8::/32,2,South\n").unwrap();
    Server::new(Swarm::new(rules), table)
}

fn holdings() -> impl Strategy<Value = Vec<Holding>> {
    let holding = (0u8..20, 1u16..=1000).prop_map(|(film, permille)| Holding {
        resource: ResourceId::from_bytes([film; 32]),
        permille,
        guard: None,
    });
    vec(holding, 0..8)
}

fn node() -> impl Strategy<Value = (IpAddr, Registration, u8)> {
    let reach = (0usize..4).prop_map(|n| [Reach::Unknown, Reach::Public, Reach::Nat, Reach::Relayed][n]);
    let local = vec(0usize..4, 0..4).prop_map(|which| {
        let all = [
            "/ip4/192.168.1.7/tcp/4400",
            "/ip6/fd00::1/udp/9/quic-v1",
            "/ip4/10.1.2.3/tcp/1",
            "/ip4/8.8.8.8/tcp/53",
        ];
        which.into_iter().map(|n| all[n].parse().unwrap()).collect()
    });
    let ip = (any::<bool>(), any::<u16>()).prop_map(|(four, low)| match four {
        true => IpAddr::from([10, (low >> 8) as u8, low as u8, 1]),
        false => IpAddr::from([0x2001, 0xdb8 + (low & 1), low, 0, 0, 0, 0, 1]),
    });
    let ports = (0u16..3, 0u16..3);
    (ip, any::<bool>(), ports, reach, local, holdings(), any::<u32>(), 0u8..30).prop_map(
        |(ip, publisher, (tcp_port, quic_port), reach, local, holdings, spare, claims)| {
            let registration = Registration {
                version: "test/1".into(),
                role: if publisher { Role::Publisher } else { Role::Terminal },
                tcp_port,
                quic_port,
                reach,
                medium: Medium::Unknown,
                local,
                holdings,
                spare_upload: u64::from(spare) * 1000,
            };
            (ip, registration, claims)
        },
    )
}

fn fill(server: &Server, nodes: &[(IpAddr, Registration, u8)], received: u64) {
    for (number, (ip, registration, claims)) in nodes.iter().enumerate() {
        let peer = PeerId::random();
        let answer = server.answer(peer, *ip, &Request::Register(registration.clone()));
        assert!(matches!(answer, Answer::Leased(_)));
        // Some are dialled, of those some are reached, and some are told of it.
        let dial = |ports: [u16; 2]| {
            let mut state = server.state();
            let (now, port) = (server.now(&state), ports.into_iter().find(|port| *port != 0));
            let port = port.filter(|_| number % 2 == 0)?;
            state.swarm.dialling(now, &peer);
            Some(state.swarm.set_reached(now, &peer, *ip, port, number % 8 == 0))
        };
        let ports = [registration.tcp_port, registration.quic_port];
        if number % 3 == 0 {
            dial(ports);
        }
        let received = Received { own_group: received, other_groups: 1, publishers: 2 };
        let renewal = Request::Renew(Renewal {
            spare_upload: registration.spare_upload,
            received,
            ..Renewal::default()
        });
        assert!(matches!(server.answer(peer, *ip, &renewal), Answer::Leased(_)));
        if number % 3 == 1 {
            dial(ports);
        }
        let claim =
            |n: u8| Claim { url: format!("https://films.example/{n}"), link: format!("nearcast://{n}") };
        server.answer(peer, *ip, &Request::Claim((0..*claims).map(claim).collect()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_saved_comes_back(nodes in vec(node(), 0..40), received in 0u64..1_000_000) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshot");
        let server = empty(Rules::default());
        fill(&server, &nodes, received);
        let saved = server.save(&path).unwrap();
        prop_assert_eq!((saved.nodes, saved.holdings), (server.extent().nodes, server.extent().holdings));
        let again = empty(Rules::default());
        let restored = again.restore(&path).unwrap().unwrap();
        prop_assert_eq!((restored.nodes, restored.holdings), (saved.nodes, saved.holdings));
        prop_assert_eq!(all(&again), all(&server));
        prop_assert_eq!(again.received(), server.received());
        let counts = |server: &Server| {
            let mut state = server.state();
            let now = server.now(&state);
            let caller = |ip: &str| {
                let observed: IpAddr = ip.parse().unwrap();
                Caller { peer: PeerId::random(), observed, place: state.table.place_of(observed) }
            };
            let callers = [caller("10.1.1.1"), caller("2001:db8::9"), caller("9.9.9.9")];
            let films = (0..20).map(|film| ResourceId::from_bytes([film; 32]));
            let asked = films.flat_map(|film| callers.iter().map(move |caller| (film, caller)));
            asked.map(|(film, caller)| state.swarm.count(now, caller, &film)).collect::<Vec<_>>()
        };
        prop_assert_eq!(counts(&again), counts(&server));
        prop_assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn any_bytes_are_a_file_or_an_error(bytes in vec(any::<u8>(), 0..300), begin in any::<bool>()) {
        let begin: &[u8] = if begin { b"nearcast-tracker\n\0\x01" } else { b"" };
        let bytes = [begin, &bytes].concat();
        read(&bytes[..], Path::new("snapshot"), drop).unwrap_err();
        file::verify(&bytes[..], Path::new("snapshot")).unwrap_err();
    }

    #[test]
    fn sections_that_lie_are_an_error(at in any::<proptest::sample::Index>(), to in any::<u8>()) {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = some_file(folder.path());
        let at = at.index(bytes.len());
        bytes[at] = to;
        // No panic and no more memory than there are bytes, even where the hash isn't looked at.
        read(&bytes[..], Path::new("snapshot"), drop).ok();
    }
}

fn some_node(films: u8) -> (IpAddr, Registration, u8) {
    let holding = |film| Holding { resource: ResourceId::from_bytes([film; 32]), permille: 700, guard: None };
    let registration = Registration {
        version: String::new(),
        role: Role::Publisher,
        tcp_port: 1,
        quic_port: 0,
        reach: Reach::Public,
        medium: Medium::Unknown,
        local: Vec::new(),
        holdings: (0..films).map(holding).collect(),
        spare_upload: 0,
    };
    (IpAddr::from([10, 0, 0, 1]), registration, 3)
}

fn some_file(folder: &Path) -> Vec<u8> {
    let path = folder.join("snapshot");
    let server = empty(Rules::default());
    fill(&server, &[some_node(3), some_node(5)], 9);
    server.save(&path).unwrap();
    fs::read(path).unwrap()
}

#[test]
fn damage_at_any_byte_and_any_cut_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = some_file(folder.path());
    let path = folder.path().join("bad");
    let server = empty(Rules::default());
    let refused = |bytes: &[u8], what: String| {
        fs::write(&path, bytes).unwrap();
        let error = server.restore(&path).unwrap_err();
        assert!(matches!(error, SnapshotError::Damaged | SnapshotError::Foreign), "{what}: {error}");
        assert_eq!(server.extent().nodes, 0);
    };
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1 << (at % 8);
        refused(&bad, format!("a bit of byte {at}"));
        refused(&bytes[..at], format!("cut at {at}"));
    }
    refused(&[&bytes[..], b"x"].concat(), "a byte more".into());
    fs::write(&path, &bytes).unwrap();
    assert_eq!(server.restore(&path).unwrap().unwrap().nodes, 2);
    let aside = put_aside(&path).unwrap();
    assert!(aside.ends_with("bad.damaged") && server.restore(&path).unwrap().is_none());
}

#[test]
fn a_newer_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = some_file(folder.path());
    bytes.truncate(bytes.len() - 32);
    bytes[18] = 9;
    let hash = blake3::hash(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    let path = folder.path().join("newer");
    fs::write(&path, &bytes).unwrap();
    let error = empty(Rules::default()).restore(&path).unwrap_err();
    assert!(error.to_string().contains("version 9"), "{error}");
}

/// Restores a file at some time after it was saved.
fn later(path: &Path, rules: Rules, time: Duration) -> (Swarm, Duration) {
    let table = GroupTable::default();
    let access = Access::default();
    let mut restoring = Restoring::new(rules, &table, &access, SystemTime::now() + time);
    let file = fs::read(path).unwrap();
    read(&file[..], path, |contents| restoring.take(contents)).unwrap();
    (restoring.swarm, restoring.clock)
}

#[test]
fn leases_go_on_with_some_grace_and_the_long_gone_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    some_file(folder.path());
    let rules = Rules::default();
    let nodes_at = |away: u64, waited: u64| {
        let (mut swarm, clock) = later(&path, rules, Duration::from_secs(away));
        swarm.expire(clock + Duration::from_secs(waited));
        swarm.nodes()
    };
    // A lease is of 540 to 660 s.
    assert_eq!((nodes_at(0, 500), nodes_at(0, 700)), (2, 0));
    assert_eq!((nodes_at(300, 230), nodes_at(300, 370)), (2, 0));
    // They were to renew within five minutes; those who come late are known for a minute.
    assert_eq!((nodes_at(655, 59), nodes_at(655, 61)), (2, 0));
    assert_eq!(nodes_at(700, 0), 0);
    // The sums are the operator's, and stay.
    let (swarm, _) = later(&path, rules, Duration::from_secs(1_000_000));
    assert_eq!(swarm.received()[&Group(1)].own_group, 18);
    // A clock on the wall that was put back changes nothing.
    let table = GroupTable::default();
    let access = Access::default();
    let mut restoring = Restoring::new(rules, &table, &access, UNIX_EPOCH);
    let file = fs::read(&path).unwrap();
    read(&file[..], &path, |contents| restoring.take(contents)).unwrap();
    assert_eq!((restoring.swarm.nodes(), restoring.age), (2, Duration::ZERO));
}

#[test]
fn what_is_denied_meanwhile_doesn_t_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    some_file(folder.path());
    let server = empty(Rules::default());
    let mut access = Access::default();
    access.deny(&ResourceId::from_bytes([0; 32]).to_string()).unwrap();
    server.set_access(access);
    assert_eq!(server.restore(&path).unwrap().unwrap().holdings, 2 + 4);
    let mut access = Access::default();
    access.deny("10.0.0.0/24").unwrap();
    let server = empty(Rules::default());
    server.set_access(access);
    assert_eq!(server.restore(&path).unwrap().unwrap().nodes, 0);
}

#[test]
fn a_walk_in_small_steps_passes_everyone_once() {
    let server = empty(Rules::default());
    let nodes: Vec<_> = (0..20).map(some_node).collect();
    fill(&server, &nodes, 0);
    for budget in [1, 2, 7, 100] {
        let (mut walk, mut seen, mut claims) = (Walk::default(), Vec::new(), 0);
        loop {
            let (passed, ended) = server.state().swarm.walk_some(&mut walk, budget);
            assert!(passed.nodes.len() <= budget);
            seen.extend(passed.nodes);
            claims += passed.claims.iter().map(|(_, claims)| claims.len()).sum::<usize>();
            if ended {
                break;
            }
        }
        seen.sort_by_key(|node| node.peer);
        seen.iter_mut().for_each(|node| node.held.sort());
        assert_eq!((seen, claims), (all(&server).0, 20 * 3));
    }
}
