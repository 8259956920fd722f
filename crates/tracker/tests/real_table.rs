//! A table of the whole Internet: the folder of `npm pack @ip-location-db/asn`, unpacked, in
//! `NEARCAST_ASN_TABLE`. Without one there is nothing to test, and it says so.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{path::Path, time::Instant};

use nearcast_protocol::{
    PeerId, ResourceId, Role,
    tracker::{Holding, Medium, Reach, Registration, Rule},
};
use nearcast_tracker::{Caller, GroupTable, Rules, Swarm};
use rand::{SeedableRng, rngs::StdRng};

#[test]
fn an_address_of_as4134_gets_holders_of_as4134_first() {
    let Ok(folder) = std::env::var("NEARCAST_ASN_TABLE") else {
        println!("skipped: NEARCAST_ASN_TABLE names no folder with asn-ipv4.csv and asn-ipv6.csv");
        return;
    };
    let files = ["asn-ipv4.csv", "asn-ipv6.csv"].map(|name| Path::new(&folder).join(name));
    let began = Instant::now();
    let table = GroupTable::read_all(files.iter().map(|file| file.as_path())).unwrap();
    println!("{} prefixes read in {:.1?}", table.len(), began.elapsed());
    let place = |address: &str| table.place_of(address.parse().unwrap());
    for (address, system) in
        [("202.96.128.86", 4134), ("1.0.0.1", 13335), ("2001:200::1", 2500), ("10.0.0.1", 0)]
    {
        assert_eq!(place(address).group.0, system, "{address}: {:?}", table.name_of(place(address).group));
    }

    let (mut swarm, mut dice) = (Swarm::new(Rules::default()), StdRng::seed_from_u64(1));
    let film = ResourceId::from_bytes([1; 32]);
    let caller = |address: &str| {
        let observed = address.parse().unwrap();
        Caller { peer: PeerId::random(), observed, place: table.place_of(observed) }
    };
    let registration = Registration {
        version: String::new(),
        role: Role::Terminal,
        tcp_port: 4400,
        quic_port: 0,
        reach: Reach::Public,
        medium: Medium::Unknown,
        local: Vec::new(),
        holdings: vec![Holding { resource: film, permille: 1000, guard: None }],
        spare_upload: 0,
    };
    for n in 1..=10 {
        for address in [format!("202.96.128.{n}"), format!("1.0.0.{n}"), format!("8.8.8.{n}")] {
            swarm.register(Default::default(), &caller(&address), &registration, &mut dice).unwrap();
        }
    }
    let list = swarm.find(Default::default(), &caller("202.96.128.86"), &film, false, &mut dice);
    assert_eq!((list.rule, list.group.0, list.counts.in_group), (Rule::ToppedUp, 4134, 10));
    assert!(list.peers.iter().take(10).all(|peer| peer.group.0 == 4134), "its own first");
    assert_eq!(list.peers.len(), 18, "and four of each other prefix");
}
