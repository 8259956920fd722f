use std::net::IpAddr;

use nearcast_protocol::{
    PeerId, ResourceId, Role,
    tracker::{Answer, Claim, Find, Holding, Medium, Reach, Received, Registration, Renewal, Request},
};

use super::*;

fn register(films: &[ResourceId]) -> Request {
    let holding = |film: &ResourceId| Holding { resource: *film, permille: 1000, guard: None };
    Request::Register(Registration {
        version: String::new(),
        role: Role::Terminal,
        tcp_port: 1,
        quic_port: 0,
        reach: Reach::Unknown,
        medium: Medium::Unknown,
        local: Vec::new(),
        holdings: films.iter().map(holding).collect(),
        spare_upload: 0,
    })
}

fn film(byte: u8) -> ResourceId {
    ResourceId::from_bytes([byte; 32])
}

fn find(film: ResourceId) -> Request {
    Request::Find(Find { resource: film, token: None, stalled: false })
}

fn counted(server: &Server, line: &str) {
    let text = server.prometheus();
    assert!(text.lines().any(|there| there == format!("nearcast_tracker_{line}")), "{line}:\n{text}");
}

#[track_caller]
fn refused(answer: Answer, told: &str) {
    match answer {
        Answer::Refused { reason, .. } => assert!(reason.contains(told), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_isn_t_tracked_is_refused_and_not_remembered() {
    let server = Server::new(Swarm::new(Rules::default()), GroupTable::default());
    let mut access = Access::default();
    access.list(&format!("{}\n{}\n", film(1), film(2))).unwrap();
    access.deny(&film(2).to_string()).unwrap();
    server.set_access(access);
    let (peer, address) = (PeerId::random(), "203.0.113.1".parse().unwrap());
    refused(server.answer(peer, address, &register(&[film(3)])), "isn't on its list");
    refused(server.answer(peer, address, &find(film(3))), "isn't on its list");
    refused(server.answer(peer, address, &Request::Count(film(2))), "doesn't track that film");
    let answer = server.answer(peer, address, &register(&[film(1), film(2), film(3)]));
    assert!(matches!(answer, Answer::Leased(_)));
    assert_eq!(server.extent().holdings, 1);
    let more = Holding { resource: film(3), permille: 5, guard: None };
    let renewal = Request::Renew(Renewal { held: vec![more], ..Renewal::default() });
    assert!(matches!(server.answer(peer, address, &renewal), Answer::Leased(_)));
    assert_eq!(server.extent().holdings, 1);
    counted(&server, "refusals_total{reason=\"not_listed\"} 5");
    counted(&server, "refusals_total{reason=\"denied_film\"} 2");
}

#[test]
fn whoever_is_denied_while_registered_is_forgotten() {
    let server = Server::new(Swarm::new(Rules::default()), GroupTable::default());
    let (by_peer, by_address, stays) = (PeerId::random(), PeerId::random(), PeerId::random());
    let (one, other): (IpAddr, IpAddr) = ("203.0.113.1".parse().unwrap(), "198.51.100.1".parse().unwrap());
    for (peer, address) in [(by_peer, other), (by_address, one), (stays, other)] {
        let answer = server.answer(peer, address, &register(&[film(1), film(2)]));
        assert!(matches!(answer, Answer::Leased(_)));
    }
    let mut access = Access::default();
    access.deny(&format!("{by_peer}\n203.0.113.0/24\n{}\n", film(2))).unwrap();
    server.set_access(access);
    let extent = server.extent();
    assert_eq!((extent.nodes, extent.holdings, extent.resources), (1, 1, 1));
    refused(server.answer(by_peer, other, &Request::Withdraw), "doesn't serve you");
    refused(server.answer(stays, one, &Request::Withdraw), "doesn't serve you");
    counted(&server, "refusals_total{reason=\"denied\"} 2");
    let renewal = Request::Renew(Renewal::default());
    assert!(matches!(server.answer(stays, other, &renewal), Answer::Leased(_)));
}

#[test]
fn above_the_memory_bound_questions_are_answered_and_nothing_is_added() {
    let server = Server::new(Swarm::new(Rules::default()), GroupTable::default());
    server.set_limits(Limits { memory: 1_000, ..Limits::default() });
    let (peer, address) = (PeerId::random(), "203.0.113.1".parse().unwrap());
    assert!(matches!(server.answer(peer, address, &register(&[film(1)])), Answer::Leased(_)));
    server.weigh(1_001);
    let other = PeerId::random();
    refused(server.answer(other, address, &register(&[film(1)])), "no memory left for more nodes");
    let Answer::Found(list) = server.answer(other, address, &find(film(1))) else { panic!() };
    assert_eq!(list.peers.len(), 1);
    // Who is known may stay, but holds no more than it did.
    assert!(matches!(server.answer(peer, address, &register(&[film(1), film(2)])), Answer::Leased(_)));
    assert_eq!(server.extent().holdings, 1);
    refused(server.answer(peer, address, &Request::Claim(Vec::<Claim>::new())), "no memory left");
    assert!(server.extent().crowded);
    // Its place is another's when it goes, whatever the process gives back to the system.
    server.answer(peer, address, &Request::Withdraw);
    assert!(matches!(server.answer(other, address, &register(&[film(1)])), Answer::Leased(_)));
    // Other rules don't lift it; less memory does.
    server.set_rules(Rules::default());
    refused(server.answer(peer, address, &register(&[film(1)])), "no memory left for more nodes");
    server.weigh(940);
    assert!(matches!(server.answer(peer, address, &register(&[film(1)])), Answer::Leased(_)));
    counted(&server, "refusals_total{reason=\"memory\"} 3");
}

#[test]
fn a_network_has_so_many_nodes_and_no_more() {
    let rules = Rules { per_prefix: 3, ..Rules::default() };
    let server = Server::new(Swarm::new(rules), GroupTable::default());
    let address = |last: u8| IpAddr::from([203, 0, 113, last]);
    let peers: Vec<_> = (0..4).map(|_| PeerId::random()).collect();
    for (last, peer) in peers.iter().take(3).enumerate() {
        let answer = server.answer(*peer, address(last as u8), &register(&[film(1)]));
        assert!(matches!(answer, Answer::Leased(_)));
    }
    refused(server.answer(peers[3], address(9), &register(&[film(1)])), "nodes of your network");
    // One that is known may come again, from another address of the network too.
    assert!(matches!(server.answer(peers[0], address(7), &register(&[film(1)])), Answer::Leased(_)));
    let elsewhere = IpAddr::from([203, 0, 114, 1]);
    assert!(matches!(server.answer(peers[3], elsewhere, &register(&[film(1)])), Answer::Leased(_)));
    server.answer(peers[1], address(1), &Request::Withdraw);
    assert!(matches!(server.answer(peers[3], address(9), &register(&[film(1)])), Answer::Leased(_)));
    counted(&server, "refusals_total{reason=\"prefix\"} 1");
}

#[test]
fn absurd_reports_count_as_such_alone() {
    let table = GroupTable::parse("203.0.113.0/24,7\n").unwrap();
    let server = Server::new(Swarm::new(Rules::default()), table);
    let (peer, address) = (PeerId::random(), "203.0.113.1".parse().unwrap());
    server.answer(peer, address, &register(&[film(1)]));
    for own_group in [u64::MAX, 2_000_000_000, 5] {
        let received = Received { own_group, other_groups: u64::MAX * (own_group / u64::MAX), publishers: 0 };
        let renewal = Request::Renew(Renewal { received, ..Renewal::default() });
        assert!(matches!(server.answer(peer, address, &renewal), Answer::Leased(_)));
    }
    counted(&server, "refusals_total{reason=\"report\"} 2");
    counted(&server, "received_bytes_total{from=\"own_group\"} 5");
    counted(&server, "network_received_bytes_total{group=\"7\",name=\"\",from=\"own_group\"} 5");
}

#[tokio::test]
async fn it_says_whether_it_still_answers() {
    let server = Server::new(Swarm::new(Rules::default()), GroupTable::default());
    let (calls, taken) = mpsc::channel(1);
    assert!(!server.responds(Duration::from_millis(1)).await);
    let running = tokio::spawn(server.clone().run(taken));
    assert!(server.responds(Duration::from_secs(60)).await);
    drop(calls);
    running.await.unwrap();
    assert!(!server.responds(Duration::from_secs(60)).await);
}

#[test]
fn a_flood_is_refused_and_told_how_long_to_wait() {
    let server = Server::new(Swarm::new(Rules::default()), GroupTable::default());
    let (peer, address) = (PeerId::random(), "203.0.113.1".parse().unwrap());
    let count = Request::Count(ResourceId::from_bytes([1; 32]));
    let refused = (0..100_000).find_map(|_| match server.answer(peer, address, &count) {
        Answer::Refused { retry_after_ms, .. } => Some(retry_after_ms),
        _ => None,
    });
    assert!(refused.is_some_and(|wait| (1..1_000).contains(&wait)), "{refused:?}");
    let other = "203.0.113.2".parse().unwrap();
    assert!(matches!(server.answer(PeerId::random(), other, &count), Answer::Counted(_)));
}

#[test]
fn calls_are_answered_while_a_new_table_is_taken_in() {
    let server = Server::new(Swarm::new(Rules::default()), GroupTable::default());
    let film = ResourceId::from_bytes([1; 32]);
    let register = register(&[film]);
    const NODES: u32 = 20_000;
    for node in 0..NODES {
        let address = IpAddr::V4((0x0a00_0000 + node).into());
        assert!(matches!(server.answer(PeerId::random(), address, &register), Answer::Leased(_)));
    }
    let table = GroupTable::parse("10.0.0.0/8,7\n").unwrap();
    let taking_in = std::thread::spawn({
        let server = server.clone();
        move || server.set_table(table)
    });
    // Addresses vary, so that the pace allows it.
    let counts = |call: u32| {
        let address = IpAddr::V4((0x0a80_0000 + call).into());
        match server.answer(PeerId::random(), address, &Request::Count(film)) {
            Answer::Counted(counts) => (counts.in_group, counts.outside),
            other => panic!("{other:?}"),
        }
    };
    let (mut answered, mut before) = (0, 0);
    while !taking_in.is_finished() {
        let (inside, outside) = counts(answered);
        assert!(inside + outside == NODES && inside >= before, "nobody is lost: {inside} and {outside}");
        (answered, before) = (answered + 1, inside);
    }
    taking_in.join().unwrap();
    assert_eq!(counts(answered), (NODES, 0));
    assert!(answered > 5, "only {answered} calls were answered meanwhile");
}

#[test]
fn strangers_are_told_so() {
    let server = Server::new(Swarm::new(Rules::default()), GroupTable::default());
    let (peer, address) = (PeerId::random(), "203.0.113.1".parse().unwrap());
    assert_eq!(server.answer(peer, address, &Request::Renew(Renewal::default())), Answer::Unknown);
    assert_eq!(server.answer(peer, address, &Request::Withdraw), Answer::Withdrawn);
    let claim = server.answer(peer, address, &Request::Claim(Vec::new()));
    assert!(matches!(claim, Answer::Refused { retry_after_ms: 0, .. }));
    let resolve = Request::Resolve { url: "https://films.example/".into() };
    assert_eq!(server.answer(peer, address, &resolve), Answer::Resolved(Vec::new()));
    assert!(server.received().is_empty());
}
