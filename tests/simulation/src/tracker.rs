//! The tracker: the shipped [`Swarm`], asked by nodes that are numbers here.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use nearcast_protocol::{
    Group, PeerId, ResourceId, Role,
    tracker::{Holding, Medium, Reach, Registration, Renewal},
};
use nearcast_tracker::{Caller, Place, Rules, Swarm};
use rand::{SeedableRng, rngs::StdRng};

use crate::contacts::Listed;

const FILM: ResourceId = ResourceId::from_bytes([7; 32]);

pub(crate) struct Tracker {
    swarm: Swarm,
    callers: Vec<Caller>,
    numbers: HashMap<PeerId, u32>,
    dice: StdRng,
}

/// What it answers to who asks for the film.
pub(crate) struct List {
    pub group: Group,
    pub peers: Vec<Listed>,
    pub again: Duration,
}

impl Tracker {
    /// One for nodes in these networks. One that knows no groups holds all of them for one group, and so its
    /// lists are random.
    pub fn new(networks: impl IntoIterator<Item = usize>, knows_groups: bool, seed: u64) -> Self {
        let mut inhabitants: HashMap<usize, u32> = HashMap::new();
        let callers: Vec<_> = (0_u32..)
            .zip(networks)
            .filter_map(|(node, network)| {
                let house = inhabitants.entry(network).or_default();
                *house += 1;
                let group = if knows_groups { Group(network as u32 + 1) } else { Group(1) };
                let observed =
                    IpAddr::from(Ipv4Addr::from_bits((10 << 24) + ((network as u32) << 16) + *house));
                Some(Caller { peer: peer_id(node)?, observed, place: Place { group, region: 0 } })
            })
            .collect();
        let numbers = (0..).zip(&callers).map(|(node, caller)| (caller.peer, node)).collect();
        Self { swarm: Swarm::new(Rules::default()), callers, numbers, dice: StdRng::seed_from_u64(seed) }
    }

    /// It is killed and started anew, and remembers nothing.
    pub fn restart(&mut self) {
        self.swarm = Swarm::new(Rules::default());
    }

    /// Takes a node in: how long its lease is.
    pub fn register(&mut self, now: Duration, node: u32, role: Role, permille: u16) -> Option<Duration> {
        let registration = Registration {
            version: String::new(),
            role,
            tcp_port: 4400,
            quic_port: 4400,
            reach: Reach::Unknown,
            medium: Medium::Unknown,
            local: Vec::new(),
            holdings: vec![holding(permille)],
            spare_upload: 0,
        };
        let caller = self.callers.get(node as usize)?;
        let lease = self.swarm.register(now, caller, &registration, &mut self.dice)?;
        Some(Duration::from_millis(lease.lease_ms.into()))
    }

    /// Notes how much a node holds now, or `None` if it isn't known (any more).
    pub fn renew(&mut self, now: Duration, node: u32, permille: u16) -> Option<Duration> {
        let renewal = Renewal { held: vec![holding(permille)], ..Renewal::default() };
        let caller = self.callers.get(node as usize)?;
        let lease = self.swarm.renew(now, caller, &renewal, &mut self.dice)?;
        Some(Duration::from_millis(lease.lease_ms.into()))
    }

    /// Who holds the film.
    pub fn find(&mut self, now: Duration, node: u32) -> Option<List> {
        let caller = self.callers.get(node as usize)?;
        let list = self.swarm.find(now, caller, &FILM, false, &mut self.dice);
        let listed = list.peers.iter().filter_map(|listed| {
            let node = *self.numbers.get(&listed.peer())?;
            Some(Listed { node, group: listed.group, role: listed.role })
        });
        let again = Duration::from_millis(list.ask_again_ms.into());
        Some(List { group: list.group, peers: listed.collect(), again })
    }
}

fn holding(permille: u16) -> Holding {
    Holding { resource: FILM, permille, guard: None }
}

/// An identity for a number: the multihash of an imagined SHA-256.
fn peer_id(node: u32) -> Option<PeerId> {
    let mut bytes = [0; 34];
    bytes[..2].copy_from_slice(&[0x12, 32]);
    bytes[2..6].copy_from_slice(&node.to_be_bytes());
    PeerId::from_bytes(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_registers_is_found_and_only_one_s_own_network_if_it_is_large_enough() {
        let networks = (0..120).map(|node| node % 2);
        for (knows_groups, strangers) in [(true, false), (false, true)] {
            let mut tracker = Tracker::new(networks.clone(), knows_groups, 1);
            for node in 0..120 {
                assert!(tracker.renew(Duration::ZERO, node, 10).is_none());
                assert!(tracker.register(Duration::ZERO, node, Role::Terminal, 10).is_some());
                assert!(tracker.renew(Duration::ZERO, node, 1000).is_some());
            }
            let list = tracker.find(Duration::ZERO, 3).unwrap();
            assert_eq!(list.peers.len(), 50);
            assert!(list.peers.iter().all(|listed| listed.node != 3));
            assert_eq!(list.peers.iter().any(|listed| listed.node % 2 == 0), strangers);
            tracker.restart();
            assert!(tracker.find(Duration::ZERO, 3).unwrap().peers.is_empty());
        }
    }
}
