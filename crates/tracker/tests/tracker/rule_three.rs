//! R3 at its edges, the ways to fill a list up, leases, and what may be told to whom.

use std::{collections::BTreeSet, time::Duration};

use nearcast_protocol::{
    Group, PeerId, ResourceId, Role,
    tracker::{
        Claim, Holding, ListedPeer, MAX_HOLDINGS, Medium, PeerList, Reach, Received, Registration, Renewal,
        Rule,
    },
};
use nearcast_tracker::{Caller, GroupTable, Regrouping, Rules, Swarm, TopUp};
use rand::{SeedableRng, rngs::StdRng};

const FILM: ResourceId = ResourceId::from_bytes([1; 32]);
const NOW: Duration = Duration::from_secs(100);

struct World {
    swarm: Swarm,
    table: GroupTable,
    dice: StdRng,
}

impl World {
    fn new(rules: Rules) -> Self {
        let table = "10.1.0.0/16,1,,north\n10.2.0.0/16,2,,north\n10.3.0.0/16,3,,south\n";
        let table = GroupTable::parse(table).unwrap();
        Self { swarm: Swarm::new(rules), table, dice: StdRng::seed_from_u64(7) }
    }

    fn caller(&self, peer: PeerId, address: &str) -> Caller {
        let observed = address.parse().unwrap();
        Caller { peer, observed, place: self.table.place_of(observed) }
    }

    fn join(&mut self, address: &str, role: Role, permille: u16) -> PeerId {
        let peer = PeerId::random();
        self.join_as(peer, address, registration(role, permille));
        peer
    }

    fn join_as(&mut self, peer: PeerId, address: &str, registration: Registration) {
        let caller = self.caller(peer, address);
        let lease = self.swarm.register(NOW, &caller, &registration, &mut self.dice);
        assert!(lease.is_some_and(|lease| lease.group == caller.place.group));
    }

    fn find(&mut self, now: Duration, asker: PeerId, address: &str) -> PeerList {
        let caller = self.caller(asker, address);
        self.swarm.find(now, &caller, &FILM, false, &mut self.dice)
    }
}

fn registration(role: Role, permille: u16) -> Registration {
    Registration {
        version: "test/1".into(),
        role,
        tcp_port: 4400,
        quic_port: 4400,
        reach: Reach::Unknown,
        medium: Medium::Unknown,
        local: vec!["/ip4/192.168.0.7/tcp/4400".parse().unwrap()],
        holdings: vec![Holding { resource: FILM, permille, guard: None }],
        spare_upload: 0,
    }
}

fn own(list: &PeerList, group: u32) -> usize {
    list.peers.iter().filter(|peer| peer.group == Group(group)).count()
}

#[test]
fn the_rule_at_its_edges_in_every_way_of_filling_up() {
    for top_up in [TopUp::Nearest, TopUp::Best, TopUp::Random, TopUp::Mixed] {
        let mut world = World::new(Rules { top_up, ..Rules::default() });
        for n in 0..200 {
            world.join(&format!("10.2.{n}.1"), Role::Terminal, 1000);
        }
        let asker = PeerId::random();
        let mut joined = 0;
        for (n, rule, inside, outside) in [
            (0, Rule::ToppedUp, 0, 50),
            (1, Rule::ToppedUp, 1, 49),
            (39, Rule::ToppedUp, 39, 11),
            (40, Rule::InRange, 40, 0),
            (50, Rule::InRange, 50, 0),
            (51, Rule::AboveRange, 50, 0),
            (120, Rule::AboveRange, 50, 0),
        ] {
            for host in joined..n {
                world.join(&format!("10.1.0.{host}"), Role::Terminal, 500);
            }
            joined = n;
            let list = world.find(NOW, asker, "10.1.9.9");
            let found = (list.rule, own(&list, 1), list.peers.len() - own(&list, 1));
            assert_eq!(found, (rule, inside, outside), "{top_up:?}, n = {n}");
            assert_eq!((list.counts.in_group, list.counts.outside), (n, 200));
            let distinct: BTreeSet<_> = list.peers.iter().map(|peer| peer.peer()).collect();
            assert_eq!(distinct.len(), list.peers.len());
            assert!(list.peers.iter().take(inside).all(|peer| peer.group == Group(1)), "own first");
        }
    }
}

#[test]
fn above_the_range_every_holder_has_its_turn() {
    let mut world = World::new(Rules { low: 2, high: 4, ..Rules::default() });
    let all: BTreeSet<_> =
        (0..12).map(|n| world.join(&format!("10.1.0.{n}"), Role::Terminal, 1000)).collect();
    let asker = PeerId::random();
    let mut seen = BTreeSet::new();
    for _ in 0..100 {
        seen.extend(world.find(NOW, asker, "10.1.9.9").peers.iter().map(|peer| peer.peer()));
    }
    assert_eq!(seen, all);
}

#[test]
fn the_nearest_fill_up_first() {
    let mut world = World::new(Rules { low: 3, high: 5, top_up: TopUp::Nearest, ..Rules::default() });
    for n in 0..20 {
        world.join(&format!("10.3.0.{n}"), Role::Terminal, 1000);
    }
    let near: BTreeSet<_> =
        (0..5).map(|n| world.join(&format!("10.2.{n}.1"), Role::Terminal, 1000)).collect();
    let list = world.find(NOW, PeerId::random(), "10.1.0.1");
    let listed: BTreeSet<_> = list.peers.iter().map(|peer| peer.peer()).collect();
    assert_eq!(listed, near, "the same region comes first");
}

#[test]
fn at_most_four_of_one_prefix_fill_up_and_neighbours_are_not_counted() {
    for top_up in [TopUp::Nearest, TopUp::Best, TopUp::Random, TopUp::Mixed] {
        let mut world = World::new(Rules { top_up, ..Rules::default() });
        for n in 0..30 {
            world.join(&format!("10.1.0.{n}"), Role::Terminal, 1000);
        }
        for n in 0..1_000 {
            world.join(&format!("10.2.0.{}", n % 250), Role::Terminal, 1000);
            world.join(&format!("2001:db8:7:{n:x}::1"), Role::Terminal, 1000);
        }
        for n in 0..3 {
            world.join(&format!("10.3.{n}.1"), Role::Terminal, 1000);
        }
        let list = world.find(NOW, PeerId::random(), "10.1.0.99");
        let begins = |with: &str| {
            let address = |peer: &&ListedPeer| peer.address.addresses[0].to_string();
            list.peers.iter().filter(|peer| address(peer).starts_with(with)).count()
        };
        assert_eq!(begins("/ip4/10.1.0."), 30, "{top_up:?}");
        assert_eq!((begins("/ip4/10.2.0."), begins("/ip6/2001:db8:7:")), (4, 4), "{top_up:?}");
        // Who is lost in such a crowd may not be found, but nobody is listed in his place.
        assert!((38..=41).contains(&list.peers.len()), "{top_up:?}: {}", list.peers.len());
    }
}

#[test]
fn the_only_complete_source_is_listed_though_its_prefix_is_full() {
    let mut world = World::new(Rules { low: 3, high: 50, ..Rules::default() });
    for n in 0..200 {
        world.join(&format!("10.2.0.{n}"), Role::Terminal, 10);
    }
    let source = world.join("10.2.0.250", Role::Terminal, 1000);
    let list = world.find(NOW, PeerId::random(), "10.1.0.1");
    assert_eq!(list.peers.len(), 4);
    assert!(list.peers.iter().any(|peer| peer.peer() == source));
}

#[test]
fn a_new_table_is_taken_in_a_few_at_a_time() {
    let mut world = World::new(Rules::default());
    for n in 0..100 {
        world.join(&format!("10.1.0.{n}"), Role::Terminal, 1000);
    }
    let table = GroupTable::parse("10.1.0.0/16,9").unwrap();
    let mut regrouping = Regrouping::default();
    let mut steps = 1;
    while !world.swarm.regroup_some(&table, &mut regrouping, 10) {
        steps += 1;
        let counts = world.swarm.count(NOW, &world.caller(PeerId::random(), "10.1.0.200"), &FILM);
        assert_eq!(counts.in_group + counts.outside, 100);
    }
    assert!(steps >= 20, "each of 100 nodes costs two, one for it and one for what it holds: {steps} steps");
    world.table = table;
    let list = world.find(NOW, PeerId::random(), "10.1.0.200");
    assert_eq!((list.group, list.counts.in_group, list.counts.outside), (Group(9), 100, 0));
}

#[test]
fn within_a_region_the_nearest_is_the_longest_common_prefix() {
    let mut world = World::new(Rules { low: 1, high: 2, top_up: TopUp::Nearest, ..Rules::default() });
    for n in 0..20 {
        world.join(&format!("10.2.128.{n}"), Role::Terminal, 1000);
    }
    let near = [world.join("10.2.3.1", Role::Terminal, 1000), world.join("10.2.6.255", Role::Terminal, 1000)];
    world.table = GroupTable::parse("10.2.0.0/16,2\n10.2.0.0/23,4\n").unwrap();
    world.swarm.regroup(&world.table);
    let list = world.find(NOW, PeerId::random(), "10.2.1.129");
    let listed: Vec<_> = list.peers.iter().map(|peer| peer.peer()).collect();
    assert_eq!(listed, near, "nearest first");
}

#[test]
fn a_lease_holds_exactly_as_long_as_was_told() {
    let mut world = World::new(Rules::default());
    let caller = world.caller(PeerId::random(), "10.1.0.1");
    let new = registration(Role::Terminal, 1000);
    let lease = world.swarm.register(NOW, &caller, &new, &mut world.dice).unwrap();
    let ends = NOW + Duration::from_millis(lease.lease_ms.into());
    let before = ends - Duration::from_millis(1);
    assert_eq!(world.find(before, PeerId::random(), "10.1.0.9").peers.len(), 1);
    assert_eq!(world.find(ends, PeerId::random(), "10.1.0.9").peers.len(), 0);
}

#[test]
fn the_best_source_is_the_likeliest() {
    let mut world = World::new(Rules { low: 1, high: 1, top_up: TopUp::Best, ..Rules::default() });
    let mut strong = registration(Role::Terminal, 1000);
    strong.spare_upload = 100_000_000;
    let best = PeerId::random();
    world.join_as(best, "10.2.0.1", strong);
    for n in 2..6 {
        world.join(&format!("10.2.0.{n}"), Role::Terminal, 1000);
    }
    let asker = PeerId::random();
    let chosen = (0..500).filter(|_| world.find(NOW, asker, "10.1.0.1").peers[0].peer() == best).count();
    assert!(chosen > 200, "the best of five was chosen {chosen} times in 500");
    assert!(chosen < 450, "the others were hardly ever chosen");
}

#[test]
fn a_filled_up_list_has_a_complete_source_if_there_is_one() {
    for top_up in [TopUp::Nearest, TopUp::Best, TopUp::Random, TopUp::Mixed] {
        let mut world = World::new(Rules { low: 3, high: 4, top_up, ..Rules::default() });
        for n in 0..100 {
            world.join(&format!("10.2.0.{n}"), Role::Terminal, 10);
        }
        let publisher = world.join("10.3.0.1", Role::Publisher, 1000);
        let list = world.find(NOW, PeerId::random(), "10.1.0.1");
        assert!(list.peers.iter().any(|peer| peer.peer() == publisher), "{top_up:?}");
        assert_eq!(list.peers.len(), 4);
    }
}

#[test]
fn nobody_is_told_of_himself_nor_counted() {
    let mut world = World::new(Rules { low: 2, high: 3, ..Rules::default() });
    let me = world.join("10.1.0.1", Role::Terminal, 1000);
    world.join("10.1.0.2", Role::Terminal, 1000);
    world.join("10.1.0.3", Role::Terminal, 1000);
    let list = world.find(NOW, me, "10.1.0.1");
    assert_eq!((list.rule, list.counts.in_group, list.peers.len()), (Rule::InRange, 2, 2));
    assert!(list.peers.iter().all(|peer| peer.peer() != me));
}

#[test]
fn unknown_networks_are_strangers_but_not_behind_one_address() {
    let mut world = World::new(Rules { low: 1, high: 3, ..Rules::default() });
    world.join("192.0.2.1", Role::Terminal, 1000);
    let office = world.join("192.0.2.9", Role::Terminal, 1000);
    let list = world.find(NOW, PeerId::random(), "192.0.2.9");
    assert_eq!((list.rule, list.counts.in_group, list.counts.outside), (Rule::InRange, 1, 1));
    assert_eq!((list.peers[0].peer(), list.peers[0].group), (office, Group::UNKNOWN));
    let list = world.find(NOW, PeerId::random(), "192.0.2.8");
    assert_eq!((list.rule, list.counts.in_group, list.peers.len()), (Rule::ToppedUp, 0, 2));
}

#[test]
fn local_addresses_are_told_only_behind_the_same_address_and_first() {
    let mut world = World::new(Rules::default());
    world.join("10.1.0.1", Role::Terminal, 1000);
    let addresses = |list: PeerList| -> Vec<String> {
        list.peers[0].address.addresses.iter().map(ToString::to_string).collect()
    };
    let observed = ["/ip4/10.1.0.1/tcp/4400", "/ip4/10.1.0.1/udp/4400/quic-v1"];
    assert_eq!(addresses(world.find(NOW, PeerId::random(), "10.1.0.2")), observed);
    let behind = addresses(world.find(NOW, PeerId::random(), "10.1.0.1"));
    assert_eq!(behind, [&["/ip4/192.168.0.7/tcp/4400"], &observed[..]].concat());
}

#[test]
fn a_silent_node_is_forgotten_and_a_speaking_one_is_not() {
    let rules = Rules { lease: Duration::from_secs(100), ..Rules::default() };
    let mut world = World::new(rules);
    let silent = world.join("10.1.0.1", Role::Terminal, 1000);
    let speaking = world.join("10.1.0.2", Role::Terminal, 1000);
    let renewal = Renewal::default();
    let renewed = NOW + Duration::from_secs(80);
    let caller = world.caller(speaking, "10.1.0.2");
    assert!(world.swarm.renew(renewed, &caller, &renewal, &mut world.dice).is_some());
    let later = NOW + Duration::from_secs(111);
    let list = world.find(later, PeerId::random(), "10.1.0.9");
    assert_eq!(list.peers.iter().map(|peer| peer.peer()).collect::<Vec<_>>(), [speaking]);
    let caller = world.caller(silent, "10.1.0.1");
    assert_eq!(world.swarm.renew(later, &caller, &renewal, &mut world.dice), None);
    // From another address it is another place: it must register anew.
    let caller = world.caller(speaking, "10.2.0.2");
    assert_eq!(world.swarm.renew(later, &caller, &renewal, &mut world.dice), None);
    assert_eq!(world.find(later * 10, PeerId::random(), "10.1.0.9").peers.len(), 0);
    assert_eq!((world.swarm.nodes(), world.swarm.resources()), (0, 0));
}

#[test]
fn renewals_change_what_is_held_and_report_what_was_received() {
    let mut world = World::new(Rules::default());
    let peer = world.join("10.1.0.1", Role::Terminal, 300);
    let caller = world.caller(peer, "10.1.0.1");
    let asker = world.caller(PeerId::random(), "10.1.0.1");
    let received = Received { own_group: 1_000, other_groups: 200, publishers: 30 };
    let more = Renewal {
        held: vec![Holding { resource: FILM, permille: 1000, guard: None }],
        received,
        ..Renewal::default()
    };
    assert!(world.swarm.renew(NOW, &caller, &more, &mut world.dice).is_some());
    let counts = world.swarm.count(NOW, &asker, &FILM);
    assert_eq!((counts.in_group, counts.complete_terminals, counts.complete_in_group), (1, 1, 1));
    let less = Renewal { dropped: vec![FILM], ..Renewal::default() };
    assert!(world.swarm.renew(NOW, &caller, &less, &mut world.dice).is_some());
    assert_eq!(world.swarm.count(NOW, &asker, &FILM).in_group, 0);
    assert_eq!(world.swarm.received().get(&Group(1)), Some(&received));
    // More than any line carries in the time is not believed.
    let boast = Renewal { received: Received { own_group: u64::MAX, ..received }, ..Renewal::default() };
    assert!(world.swarm.renew(NOW, &caller, &boast, &mut world.dice).is_some());
    assert_eq!(world.swarm.received().get(&Group(1)), Some(&received));
}

#[test]
fn the_asker_is_in_no_count_wherever_it_asks_from() {
    let mut world = World::new(Rules::default());
    let asker = world.join("10.1.0.1", Role::Terminal, 1000);
    world.join("10.1.0.2", Role::Terminal, 1000);
    world.join("10.2.0.1", Role::Terminal, 500);
    for (address, expected) in
        [("10.1.0.1", (1, 1, 1, 1)), ("10.2.0.9", (1, 1, 1, 0)), ("192.0.2.1", (0, 2, 1, 0))]
    {
        let caller = world.caller(asker, address);
        let counts = world.swarm.count(NOW, &caller, &FILM);
        let counted = (counts.in_group, counts.outside, counts.complete_terminals, counts.complete_in_group);
        assert_eq!(counted, expected, "from {address}");
    }
}

#[test]
fn only_publishers_claim_addresses_and_only_while_they_are_here() {
    let mut world = World::new(Rules::default());
    let publisher = world.join("10.3.0.1", Role::Publisher, 1000);
    let viewer = world.join("10.1.0.1", Role::Terminal, 1000);
    let claim = |url: &str, link: &str| vec![Claim { url: url.into(), link: link.into() }];
    assert!(world.swarm.claim(NOW, &publisher, &claim("https://a.example/v/1", "nearcast://x")));
    assert!(world.swarm.claim(NOW, &publisher, &claim("ftp://a.example/v/1", "nearcast://x")));
    assert!(!world.swarm.claim(NOW, &viewer, &claim("https://a.example/v/1", "nearcast://evil")));
    let links = world.swarm.resolve(NOW, "https://a.example/v/1");
    assert_eq!(links.iter().map(|link| link.0.as_str()).collect::<Vec<_>>(), ["nearcast://x"]);
    assert!(world.swarm.resolve(NOW, "ftp://a.example/v/1").is_empty());
    // Registering anew is no reason to claim anew, unless it is no publisher any more.
    world.join_as(publisher, "10.3.0.1", registration(Role::Publisher, 1000));
    assert_eq!(world.swarm.resolve(NOW, "https://a.example/v/1").len(), 1);
    world.join_as(publisher, "10.3.0.1", registration(Role::Terminal, 1000));
    assert!(world.swarm.resolve(NOW, "https://a.example/v/1").is_empty());
    world.join_as(publisher, "10.3.0.1", registration(Role::Publisher, 1000));
    assert!(world.swarm.claim(NOW, &publisher, &claim("https://a.example/v/1", "nearcast://x")));
    world.swarm.withdraw(NOW, &publisher);
    assert!(world.swarm.resolve(NOW, "https://a.example/v/1").is_empty());
}

#[test]
fn a_new_table_regroups_everyone() {
    let mut world = World::new(Rules { low: 1, high: 2, ..Rules::default() });
    let peer = world.join("10.2.0.1", Role::Terminal, 1000);
    assert_eq!(world.find(NOW, PeerId::random(), "10.1.0.1").rule, Rule::ToppedUp);
    world.table = GroupTable::parse("10.0.0.0/8,9").unwrap();
    world.swarm.regroup(&world.table);
    let list = world.find(NOW, PeerId::random(), "10.1.0.1");
    assert_eq!((list.rule, list.group, list.peers[0].peer()), (Rule::InRange, Group(9), peer));
    world.swarm.withdraw(NOW, &peer);
    assert_eq!(world.swarm.resources(), 0);
}

#[test]
fn a_full_tracker_answers_and_does_not_store() {
    let mut world = World::new(Rules { nodes: 2, ..Rules::default() });
    let first = world.join("10.1.0.1", Role::Terminal, 1000);
    world.join("10.1.0.2", Role::Terminal, 1000);
    let new = registration(Role::Terminal, 1000);
    let caller = world.caller(PeerId::random(), "10.1.0.3");
    assert_eq!(world.swarm.register(NOW, &caller, &new, &mut world.dice), None);
    assert_eq!(world.find(NOW, PeerId::random(), "10.1.0.3").peers.len(), 2);
    // Who is in may register again.
    world.join_as(first, "10.1.0.1", new.clone());
    // And who has left, or has fallen silent, makes room.
    world.swarm.withdraw(NOW, &first);
    assert!(world.swarm.register(NOW, &caller, &new, &mut world.dice).is_some());
    let later = NOW + Duration::from_secs(3600);
    assert!(world.swarm.register(later, &caller, &new, &mut world.dice).is_some());
    assert_eq!(world.swarm.nodes(), 1);
}

#[test]
fn holdings_are_bounded_for_each_node_and_in_all() {
    let mut world =
        World::new(Rules { holdings: MAX_HOLDINGS + 10, per_node: MAX_HOLDINGS, ..Rules::default() });
    let (glutton, other) = (PeerId::random(), PeerId::random());
    let resource = |n: usize| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        ResourceId::from_bytes(bytes)
    };
    let holding = |n| Holding { resource: resource(n), permille: 1000, guard: None };
    let mut much = registration(Role::Terminal, 1000);
    much.holdings = (0..MAX_HOLDINGS).map(holding).collect();
    world.join_as(glutton, "10.1.0.1", much.clone());
    let caller = world.caller(glutton, "10.1.0.1");
    let more = Renewal { held: (0..2 * MAX_HOLDINGS).map(holding).collect(), ..Renewal::default() };
    assert!(world.swarm.renew(NOW, &caller, &more, &mut world.dice).is_some());
    assert_eq!(world.swarm.resources(), MAX_HOLDINGS);
    much.holdings = (MAX_HOLDINGS..MAX_HOLDINGS + 20).map(holding).collect();
    world.join_as(other, "10.1.0.2", much.clone());
    assert_eq!(world.swarm.resources(), MAX_HOLDINGS + 10);
    world.swarm.withdraw(NOW, &glutton);
    world.join_as(other, "10.1.0.2", much);
    assert_eq!(world.swarm.resources(), 20);
}

#[test]
fn a_node_says_what_it_holds_in_parts_and_takes_it_back_in_parts() {
    let mut world = World::new(Rules { per_node: 10_000, ..Rules::default() });
    let resource = |n: usize| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        ResourceId::from_bytes(bytes)
    };
    let holding = |n| Holding { resource: resource(n), permille: 1000, guard: None };
    let publisher = PeerId::random();
    let mut first = registration(Role::Publisher, 0);
    first.holdings = (0..MAX_HOLDINGS).map(holding).collect();
    world.join_as(publisher, "10.1.0.1", first);
    let caller = world.caller(publisher, "10.1.0.1");
    let parts = (MAX_HOLDINGS..10_500).collect::<Vec<_>>();
    for part in parts.chunks(MAX_HOLDINGS) {
        let more = Renewal { held: part.iter().map(|n| holding(*n)).collect(), ..Renewal::default() };
        assert!(world.swarm.renew(NOW, &caller, &more, &mut world.dice).is_some());
    }
    assert_eq!(world.swarm.resources(), 10_000, "so many and no more");
    assert!((0..10_000).all(|n| world.swarm.holds(&publisher, &resource(n))));
    let fewer = Renewal { dropped: (0..10_000).step_by(2).map(resource).collect(), ..Renewal::default() };
    assert!(world.swarm.renew(NOW, &caller, &fewer, &mut world.dice).is_some());
    assert!((0..10_000).all(|n| world.swarm.holds(&publisher, &resource(n)) == (n % 2 == 1)));
    assert_eq!(world.swarm.holdings(), 5000);
    world.swarm.withdraw(NOW, &publisher);
    assert_eq!((world.swarm.resources(), world.swarm.holdings()), (0, 0));
}

#[test]
fn a_large_swarm_is_sampled_evenly_and_a_list_is_always_full() {
    let mut world = World::new(Rules { low: 3, high: 5, top_up: TopUp::Random, ..Rules::default() });
    world.join("10.1.0.1", Role::Terminal, 1000);
    let networks = ["10.2", "10.3", "198.51"];
    for n in 0..1_800 {
        let host = n / 3;
        world.join(&format!("{}.{}.{}", networks[n % 3], host / 250, host % 250), Role::Terminal, 1000);
    }
    let mut from = [0; 3];
    for _ in 0..300 {
        let list = world.find(NOW, PeerId::random(), "10.1.0.9");
        assert_eq!((list.peers.len(), own(&list, 1)), (5, 1));
        for peer in &list.peers[1..] {
            let network = match peer.group {
                Group(2) => 0,
                Group(3) => 1,
                _ => 2,
            };
            from[network] += 1;
        }
    }
    assert!(from.iter().all(|drawn| (300..500).contains(drawn)), "of 1200 drawn: {from:?}");
}

#[test]
fn who_stands_still_is_told_of_a_few_outside_beside_the_list() {
    let mut world = World::new(Rules::default());
    let inside: Vec<_> = (0..45).map(|n| world.join(&format!("10.1.0.{n}"), Role::Terminal, 500)).collect();
    let outside: Vec<_> = (0..9).map(|n| world.join(&format!("10.3.{n}.1"), Role::Terminal, 500)).collect();
    let source = world.join("10.2.0.1", Role::Publisher, 1000);
    let mut ask = |peer: PeerId, stalled: bool| {
        let caller = world.caller(peer, "10.1.9.9");
        world.swarm.find(NOW, &caller, &FILM, stalled, &mut world.dice)
    };
    let list = ask(inside[0], true);
    assert_eq!((list.rule, list.peers.len()), (Rule::InRange, 44), "the list is what R3 says, exactly");
    let bridges: Vec<_> = list.bridges.iter().map(|bridge| bridge.peer()).collect();
    assert!(bridges.len() == 2 && bridges.contains(&source), "nobody inside has all of it: {bridges:?}");
    assert!(bridges.iter().all(|peer| outside.contains(peer) || *peer == source));
    assert!(ask(inside[1], false).bridges.is_empty());
    let told = inside.iter().filter(|peer| !ask(**peer, true).bridges.is_empty()).count();
    assert_eq!(told, 4, "no more than a few of a group at a time");
}

#[test]
fn of_a_large_swarm_the_networks_that_are_said_to_be_near_come_first() {
    let mut world = World::new(Rules { top_up: TopUp::Nearest, ..Rules::default() });
    let lines = (0..100).map(|n| format!("10.{}.0.0/16,{}\n", 50 + n, 50 + n));
    world.table = GroupTable::parse(&lines.collect::<String>()).unwrap();
    world.table.add("group,group,distance\n50,149,3\n120,50,4\n").unwrap();
    world.swarm.set_distances(world.table.said().clone());
    for network in 51..150 {
        for n in 0..60 {
            world.join(&format!("10.{network}.{n}.1"), Role::Terminal, 1000);
        }
    }
    let list = world.find(NOW, PeerId::random(), "10.50.0.1");
    assert_eq!((list.peers.len(), own(&list, 149)), (50, 50), "the nearest network has enough");
    let farther = world.find(NOW, PeerId::random(), "10.51.0.1");
    assert!(own(&farther, 149) < 10, "nothing is known of others");
}

#[test]
fn a_publisher_of_the_film_asks_as_from_another_place_and_nobody_else_does() {
    let mut world = World::new(Rules::default());
    for n in 0..5 {
        world.join(&format!("10.1.0.{n}"), Role::Terminal, 1000);
        world.join(&format!("10.2.0.{n}"), Role::Terminal, 500);
    }
    let publisher = world.join("10.3.0.1", Role::Publisher, 1000);
    let mut ask = |peer, from: &str, there: &str| {
        let (caller, there) = (world.caller(peer, from), world.caller(peer, there));
        world.swarm.find_for(NOW, &caller, &there, &FILM, &mut world.dice)
    };
    let list = ask(publisher, "10.3.0.1", "10.1.0.77").unwrap();
    assert_eq!((list.group, list.counts.complete_in_group, list.counts.complete_terminals), (Group(1), 5, 5));
    assert!(list.peers[..5].iter().all(|peer| peer.group == Group(1)), "its own network comes first");
    assert!(list.peers.iter().all(|peer| peer.peer() != publisher));
    let there = ask(publisher, "10.3.0.1", "10.2.0.77").unwrap();
    assert_eq!((there.group, there.counts.complete_in_group), (Group(2), 0));
    // From behind the very address of a holder: what is local there is not the publisher's to know.
    let behind = ask(publisher, "10.3.0.1", "10.1.0.2").unwrap();
    let local = |list: &PeerList| {
        let addresses = list.peers.iter().flat_map(|peer| &peer.address.addresses);
        addresses.filter(|address| address.to_string().contains("192.168.")).count()
    };
    assert_eq!(local(&behind), 0);

    let partly = world.join("10.3.0.2", Role::Publisher, 999);
    let terminal = world.join("10.3.0.3", Role::Terminal, 1000);
    for (peer, from) in [(partly, "10.3.0.2"), (terminal, "10.3.0.3"), (PeerId::random(), "10.3.0.4")] {
        let (caller, there) = (world.caller(peer, from), world.caller(peer, "10.1.0.77"));
        assert!(world.swarm.find_for(NOW, &caller, &there, &FILM, &mut world.dice).is_none());
    }
}
