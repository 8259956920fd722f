//! The swarm against a naive one: a list of nodes, looked through from end to end for every question.

use std::{collections::BTreeMap, net::{IpAddr, Ipv4Addr}, time::Duration};

use nearcast_protocol::{
    Group, PeerId, ResourceId, Role,
    tracker::{Holding, Medium, Reach, Registration, Renewal, Rule},
};
use nearcast_tracker::{GroupTable, Rules, Swarm, TopUp};
use proptest::{collection::vec, prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest}};
use rand::{SeedableRng, rngs::StdRng};

#[derive(Debug, Clone)]
enum Step {
    Register { node: usize, address: u8, publisher: bool, port: bool, held: Vec<(u8, u16)> },
    Renew { node: usize, held: Vec<(u8, u16)>, dropped: Vec<u8> },
    Withdraw { node: usize },
    Wait { seconds: u64 },
    Ask { node: usize, address: u8, resource: u8 },
}

fn held() -> impl Strategy<Value = Vec<(u8, u16)>> {
    vec((0u8..3, prop_oneof![Just(0), Just(500), Just(1000)]), 0..4)
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0usize..12;
    prop_oneof![
        4 => (node.clone(), any::<u8>(), any::<bool>(), any::<bool>(), held()).prop_map(
            |(node, address, publisher, port, held)| Step::Register { node, address, publisher, port, held }
        ),
        2 => (node.clone(), held(), vec(0u8..3, 0..3))
            .prop_map(|(node, held, dropped)| Step::Renew { node, held, dropped }),
        1 => node.clone().prop_map(|node| Step::Withdraw { node }),
        1 => (0u64..80).prop_map(|seconds| Step::Wait { seconds }),
        6 => (node, any::<u8>(), 0u8..3)
            .prop_map(|(node, address, resource)| Step::Ask { node, address, resource }),
    ]
}

struct Naive {
    observed: IpAddr,
    role: Role,
    reachable: bool,
    held: BTreeMap<u8, u16>,
    expires: Duration,
}

fn ip(address: u8) -> IpAddr {
    // Three known networks and an unknown one, four addresses in each.
    Ipv4Addr::new(10, address % 4, 0, address / 4 % 4).into()
}

fn resource(number: u8) -> ResourceId {
    ResourceId::from_bytes([number; 32])
}

fn holdings(held: &[(u8, u16)]) -> Vec<Holding> {
    let holding = |(number, permille): &(u8, u16)| Holding {
        resource: resource(*number),
        permille: *permille,
        protected: false,
    };
    held.iter().map(holding).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn counts_lists_and_leases_are_those_of_a_naive_tracker(
        steps in vec(step(), 1..80),
        low in 1usize..5,
        more in 0usize..4,
        way in 0usize..4,
    ) {
        let high = low + more;
        let top_up = [TopUp::Nearest, TopUp::Best, TopUp::Random, TopUp::Mixed][way];
        let rules = Rules { low, high, top_up, lease: Duration::from_secs(100), nodes: 100 };
        let table = GroupTable::parse("10.1.0.0/16,1\n10.2.0.0/16,2\n10.3.0.0/16,3\n").unwrap();
        let mut swarm = Swarm::new(rules.checked().unwrap());
        let mut dice = StdRng::seed_from_u64(3);
        let peers: Vec<_> = (0..12).map(|_| PeerId::random()).collect();
        let mut naive: BTreeMap<usize, Naive> = BTreeMap::new();
        let mut now = Duration::ZERO;
        let home = |address: IpAddr| match table.group_of(address) {
            Group::UNKNOWN => (Group::UNKNOWN, Some(address)),
            group => (group, None),
        };
        for step in steps {
            naive.retain(|_, node| node.expires > now);
            match step {
                Step::Register { node, address, publisher, port, held } => {
                    let role = if publisher { Role::Publisher } else { Role::Terminal };
                    let registration = Registration {
                        version: String::new(), role, tcp_port: u16::from(port), quic_port: 0,
                        reach: Reach::Unknown, medium: Medium::Unknown, local: Vec::new(),
                        holdings: holdings(&held), spare_upload: 0,
                    };
                    let observed = ip(address);
                    let lease = swarm.register(now, peers[node], observed, table.place_of(observed), &registration, &mut dice);
                    let lease_ms = lease.unwrap().lease_ms;
                    prop_assert!((90_000..=110_000).contains(&lease_ms));
                    let expires = now + Duration::from_millis(lease_ms.into());
                    let mut held: BTreeMap<_, _> = held.into_iter().collect();
                    held.retain(|_, permille| *permille > 0);
                    naive.insert(node, Naive { observed, role, reachable: port, held, expires });
                }
                Step::Renew { node, held, dropped } => {
                    let observed = naive.get(&node).map_or(ip(0), |known| known.observed);
                    let renewal = Renewal { held: holdings(&held), dropped: dropped.iter().map(|n| resource(*n)).collect(), ..Renewal::default() };
                    let lease = swarm.renew(now, peers[node], observed, &renewal, &mut dice);
                    prop_assert_eq!(lease.is_some(), naive.contains_key(&node));
                    if let (Some(known), Some(lease)) = (naive.get_mut(&node), lease) {
                        known.held.retain(|number, _| !dropped.contains(number));
                        for (number, permille) in held {
                            known.held.remove(&number);
                            if permille > 0 { known.held.insert(number, permille); }
                        }
                        known.expires = now + Duration::from_millis(lease.lease_ms.into());
                    }
                }
                Step::Withdraw { node } => {
                    swarm.withdraw(now, &peers[node]);
                    naive.remove(&node);
                }
                Step::Wait { seconds } => now += Duration::from_secs(seconds),
                Step::Ask { node, address, resource: number } => {
                    let observed = ip(address);
                    let list = swarm.find(now, peers[node], observed, table.place_of(observed), &resource(number), &mut dice);
                    let others: Vec<_> = naive.iter().filter(|(other, known)| {
                        **other != node && known.reachable && known.held.contains_key(&number)
                    }).collect();
                    let inside: Vec<_> = others.iter().filter(|(_, known)| home(known.observed) == home(observed)).map(|(other, _)| peers[**other]).collect();
                    let (n, outside) = (inside.len(), others.len() - inside.len());
                    prop_assert_eq!(list.counts.in_group as usize, n);
                    prop_assert_eq!(list.counts.outside as usize, outside);
                    let whole = naive.values().filter(|known| known.reachable && known.role == Role::Terminal && known.held.get(&number) == Some(&1000));
                    prop_assert_eq!(list.counts.complete_terminals as usize, whole.count());
                    let listed: Vec<_> = list.peers.iter().map(|peer| peer.peer()).collect();
                    let mut distinct = listed.clone();
                    distinct.sort();
                    distinct.dedup();
                    prop_assert_eq!(distinct.len(), listed.len());
                    prop_assert!(listed.iter().all(|peer| others.iter().any(|(other, _)| peers[**other] == *peer)));
                    let own = listed.iter().filter(|peer| inside.contains(peer)).count();
                    match list.rule {
                        Rule::InRange => { prop_assert!(low <= n && n <= high); prop_assert_eq!((own, listed.len()), (n, n)); }
                        Rule::AboveRange => { prop_assert!(n > high); prop_assert_eq!((own, listed.len()), (high, high)); }
                        Rule::ToppedUp => { prop_assert!(n < low); prop_assert_eq!(own, n); prop_assert_eq!(listed.len(), (n + outside).min(high)); }
                    }
                }
            }
        }
    }
}
