//! What came of dialling a node, and what follows from it for those who ask.

use std::{net::IpAddr, time::Duration};

use minicbor::{Decode, Encode};
use nearcast_protocol::{PeerId, tracker::Reach};

use crate::{
    home::Home,
    identity::Identity,
    node::{Node, Slot},
    swarm::Swarm,
};

/// What came of dialling a node, in one byte: the verdict, whether the node has yet to hear it, whether it awaits
/// introductions, and in which half of a lease it was last dialled, counted from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Dialled(u8);

/// What dialling a node has proved, as a snapshot keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Verdict {
    #[n(0)]
    pub reached: bool,
    /// Whether the node was told.
    #[n(1)]
    pub told: bool,
}

const VERDICT: u8 = 0b11;
/// It was dialled, and nothing has come of it yet.
const TRIED: u8 = 1;
const REACHED: u8 = 2;
const IN_VAIN: u8 = 3;
const UNTOLD: u8 = 0b100;
const AWAITS: u8 = 0b1000;
/// From this bit on: which half of a lease, as far as the bits go.
const WHEN: u32 = 4;

impl Dialled {
    /// It was dialled and can't be from outside, and awaits no introductions either. Until that is proved, a node
    /// counts as reachable.
    pub fn hidden(self) -> bool {
        self.0 & VERDICT == IN_VAIN && !self.awaits()
    }

    /// Whether it awaits introductions.
    pub fn awaits(self) -> bool {
        self.0 & AWAITS != 0
    }

    fn awaiting(self, awaits: bool) -> Self {
        Self(self.0 & !AWAITS | if awaits { AWAITS } else { 0 })
    }

    /// What is proved.
    pub fn reach(self) -> Option<Reach> {
        match self.0 & VERDICT {
            REACHED => Some(Reach::Public),
            IN_VAIN => Some(Reach::Nat),
            _ => None,
        }
    }

    pub fn verdict(self) -> Option<Verdict> {
        let reached = self.reach()? == Reach::Public;
        Some(Verdict { reached, told: !self.untold() })
    }

    /// Whether the verdict isn't the one that the node was told.
    pub fn untold(self) -> bool {
        self.0 & UNTOLD != 0
    }

    pub fn tell(&mut self) {
        self.0 &= !UNTOLD;
    }

    /// Whether it is to be dialled in this half of a lease: one that was reached once in a lease; another once
    /// in each half, and whenever it registers, since a firewall may have been opened.
    fn due(self, half: u64, registering: bool) -> bool {
        let since = (half as u8).wrapping_sub(self.0 >> WHEN) & (u8::MAX >> WHEN);
        match self.0 & VERDICT {
            TRIED => since >= 1,
            REACHED => since >= 2,
            IN_VAIN => since >= 1 || registering,
            _ => true,
        }
    }

    fn dialling(&mut self, half: u64) {
        let verdict = (self.0 & VERDICT).max(TRIED);
        self.0 = (half as u8) << WHEN | self.0 & (UNTOLD | AWAITS) | verdict;
    }

    /// A new verdict is one to tell. That it was reached is what a node takes for granted.
    fn judge(&mut self, reached: bool) {
        let (before, verdict) = (self.0 & VERDICT, if reached { REACHED } else { IN_VAIN });
        let news = before != verdict && (before == IN_VAIN || verdict == IN_VAIN);
        self.0 = self.0 & !VERDICT | verdict | if news { UNTOLD } else { 0 };
    }
}

/// A node that is to be dialled: the address that was observed, and a port that it registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    pub peer: PeerId,
    pub observed: IpAddr,
    pub port: u16,
    /// It listens for QUIC alone.
    pub quic: bool,
    /// It was dialled before; somebody says that it can't be any more.
    pub again: bool,
}

impl Target {
    fn of(node: &Node) -> Option<Self> {
        let quic = node.tcp_port == 0;
        let port = if quic { node.quic_port } else { node.tcp_port };
        let peer = node.identity.peer().filter(|_| port != 0)?;
        Some(Self { peer, observed: node.observed, port, quic, again: false })
    }
}

impl Swarm {
    /// A node's address, if it is time to dial it. One that says it sits behind a relay isn't dialled.
    pub(crate) fn due(&self, now: Duration, identity: &Identity, registering: bool) -> Option<Target> {
        let node = self.nodes.get(self.nodes.slot_of_identity(identity)?)?;
        let due = node.reach != Reach::Relayed && node.dialled.due(self.half(now), registering);
        if due { Target::of(node) } else { None }
    }

    /// A node's address, if it isn't known already that nobody can dial it.
    pub(crate) fn doubted(&self, peer: &PeerId) -> Option<Target> {
        let node = self.nodes.get(self.nodes.slot_of(peer)?)?;
        let dialled = node.reach != Reach::Relayed && node.dialled.reach() != Some(Reach::Nat);
        Target::of(node).filter(|_| dialled).map(|target| Target { again: true, ..target })
    }

    /// A node is going to be dialled.
    pub(crate) fn dialling(&mut self, now: Duration, peer: &PeerId) {
        let half = self.half(now);
        if let Some(node) = self.nodes.slot_of(peer).and_then(|slot| self.nodes.get_mut(slot)) {
            node.dialled.dialling(half);
        }
    }

    /// Takes in whether a node could be dialled at the address that was observed and a port that it registered,
    /// with its identity proved. `false` if it has gone, or is registered elsewhere by now.
    ///
    /// One that can't be is no reachable holder in the sense of R3 and R7: it counts and is listed for those
    /// alone who are behind the same address. What it holds stays noted, for when it can be dialled again.
    pub fn set_reached(
        &mut self,
        now: Duration,
        peer: &PeerId,
        observed: IpAddr,
        port: u16,
        reached: bool,
    ) -> bool {
        self.expire(now);
        let Some(slot) = self.nodes.slot_of(peer) else { return false };
        let Some(node) = self.nodes.get_mut(slot) else { return false };
        if Target::of(node).is_none_or(|target| (target.observed, target.port) != (observed, port)) {
            return false;
        }
        let mut dialled = node.dialled;
        dialled.judge(reached);
        self.change(slot, dialled)
    }

    /// Takes in whether a node awaits introductions: one that does counts as reachable, whatever came of dialling it.
    /// `false` if it isn't known.
    pub(crate) fn set_awaits(&mut self, peer: &PeerId, awaits: bool) -> bool {
        let Some(slot) = self.nodes.slot_of(peer) else { return false };
        let Some(node) = self.nodes.get(slot) else { return false };
        let dialled = node.dialled.awaiting(awaits);
        self.change(slot, dialled)
    }

    /// Puts what a node holds where it belongs by what is now known of dialling it.
    fn change(&mut self, slot: Slot, dialled: Dialled) -> bool {
        let Some(node) = self.nodes.get_mut(slot) else { return false };
        let Some(from) = node.stand(slot, &self.homes) else { return false };
        let behind = dialled.hidden();
        if from.behind != behind {
            let home = if behind { self.homes.enter(Home::Address(node.observed)) } else { Some(node.home) };
            let Some(home) = home else { return false };
            for number in self.lists.get(&node.held) {
                self.resources.shift(number.number(), from, home, behind, node.role);
            }
            if from.behind {
                self.homes.leave(from.key.home());
            }
        }
        node.dialled = dialled;
        node.reach = dialled.reach().unwrap_or(node.reach);
        true
    }

    /// Takes in what was proved of a node before a restart.
    pub(crate) fn restore_verdict(&mut self, now: Duration, peer: &PeerId, verdict: Verdict) {
        let node = |swarm: &Self| swarm.nodes.get(swarm.nodes.slot_of(peer)?).and_then(Target::of);
        let Some(target) = node(self) else { return };
        self.dialling(now, peer);
        self.set_reached(now, peer, target.observed, target.port, verdict.reached);
        if let Some(node) = self.nodes.slot_of(peer).and_then(|slot| self.nodes.get_mut(slot))
            && verdict.told
        {
            node.dialled.tell();
        }
    }

    /// Gives a node that is taken in again a home behind its address, if it needs one.
    pub(crate) fn enter_behind(&mut self, slot: Slot) {
        if let Some(node) = self.nodes.get_mut(slot).filter(|node| node.dialled.hidden())
            && self.homes.enter(Home::Address(node.observed)).is_none()
        {
            node.dialled = Dialled::default();
        }
    }

    /// Takes that home from a node that goes.
    pub(crate) fn leave_behind(&mut self, node: &Node) {
        if let Some(home) = self.homes.get(&Home::Address(node.observed)).filter(|_| node.dialled.hidden()) {
            self.homes.leave(home);
        }
    }

    fn half(&self, now: Duration) -> u64 {
        let half = (self.rules.lease / 2).as_millis().max(1);
        u64::try_from(now.as_millis() / half).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use nearcast_protocol::{
        Group, ResourceId, Role,
        tracker::{Holding, Medium, Registration, Renewal},
    };
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::{group_table::Place, rules::Rules, swarm::Caller};

    fn film(byte: u8) -> ResourceId {
        ResourceId::from_bytes([byte; 32])
    }

    fn holding(byte: u8) -> Holding {
        Holding { resource: film(byte), permille: 1000, guard: None }
    }

    fn caller(address: [u8; 4]) -> Caller {
        let place = Place { group: Group(7), ..Place::default() };
        Caller { peer: PeerId::random(), observed: address.into(), place }
    }

    fn registration() -> Registration {
        Registration {
            version: String::new(),
            role: Role::Terminal,
            tcp_port: 4400,
            quic_port: 0,
            reach: Reach::Unknown,
            medium: Medium::Unknown,
            local: vec!["/ip4/192.168.1.5/tcp/4400".parse().unwrap()],
            holdings: vec![holding(1), holding(2)],
            spare_upload: 0,
        }
    }

    #[test]
    fn of_many_behind_one_address_and_many_others_some_of_each_are_listed() {
        let (mut swarm, mut dice) = (Swarm::new(Rules::default()), StdRng::seed_from_u64(7));
        let (now, each) = (Duration::from_secs(1), 700u32);
        let at = |number: u32| [10, 1, (number >> 8) as u8, number as u8];
        for number in 0..each {
            let (behind, open) = (caller([10, 0, 0, 1]), caller(at(number)));
            for node in [&behind, &open] {
                swarm.register(now, node, &registration(), &mut dice).unwrap();
            }
            swarm.set_reached(now, &behind.peer, behind.observed, 4400, false);
        }
        for (address, both) in [([10, 0, 0, 1], true), ([10, 0, 0, 2], false)] {
            let asker = caller(address);
            let list = swarm.find(now, &asker, &film(1), false, &mut dice);
            assert_eq!(list.counts.in_group, if both { 2 * each } else { each });
            let peers: HashSet<_> = list.peers.iter().map(|listed| listed.peer()).collect();
            let behind = list.peers.iter().filter(|listed| listed.address.addresses.len() == 2).count();
            assert_eq!((peers.len(), list.peers.len()), (50, 50));
            assert!(list.peers.iter().all(|listed| listed.group == Group(7)));
            // Of 50, each of which is as likely one as the other, ten are almost surely.
            assert!(if both { (10..=40).contains(&behind) } else { behind == 0 }, "{behind}");
        }
    }

    #[test]
    fn it_comes_back_with_all_it_holds_and_leaves_nothing_behind() {
        let (mut swarm, mut dice) = (Swarm::new(Rules::default()), StdRng::seed_from_u64(5));
        let now = Duration::from_secs(1);
        let (node, beside, far) = (caller([10, 0, 0, 1]), caller([10, 0, 0, 1]), caller([10, 0, 0, 2]));
        let registration = registration();
        swarm.register(now, &node, &registration, &mut dice).unwrap();
        assert!(!swarm.set_reached(now, &node.peer, node.observed, 4401, false), "another port says nothing");
        assert!(swarm.set_reached(now, &node.peer, node.observed, 4400, false));
        assert_eq!(swarm.count(now, &far, &film(1)).in_group, 0);
        assert!(swarm.find(now, &far, &film(1), false, &mut dice).peers.is_empty());
        assert!(swarm.is_held(&film(1)) && swarm.holdings() == 2);
        // From within its own network it may be reached.
        assert_eq!(swarm.count(now, &beside, &film(1)).complete_in_group, 1);
        let list = swarm.find(now, &beside, &film(1), false, &mut dice);
        let first = list.peers.first().unwrap();
        assert_eq!((first.peer(), first.group, first.address.addresses.len()), (node.peer, Group(7), 2));
        // It goes on saying what it holds, and is the same node when it registers again.
        let renewal = Renewal { held: vec![holding(3)], dropped: vec![film(1)], ..Renewal::default() };
        let lease = swarm.renew(now, &node, &renewal, &mut dice).unwrap();
        assert_eq!((lease.reach, swarm.holdings()), (Reach::Nat, 2));
        swarm.register(now, &node, &registration, &mut dice).unwrap();
        swarm.renew(now, &node, &renewal, &mut dice).unwrap();
        assert_eq!(swarm.count(now, &far, &film(3)).in_group, 0);

        assert!(swarm.set_reached(now, &node.peer, node.observed, 4400, true));
        let counted = [1, 2, 3].map(|byte| swarm.count(now, &far, &film(byte)).complete_in_group);
        assert_eq!(counted, [0, 1, 1]);
        assert!(swarm.homes.get(&Home::Address(node.observed)).is_none());
        assert!(swarm.set_reached(now, &node.peer, node.observed, 4400, false));
        swarm.withdraw(now, &node.peer);
        assert_eq!((swarm.nodes(), swarm.resources(), swarm.holdings()), (0, 0, 0));
        assert!(swarm.homes.get(&Home::Address(node.observed)).is_none());
        assert!(swarm.homes.get(&Home::Group(Group(7))).is_none());
    }

    #[test]
    fn who_is_reached_is_dialled_once_a_lease_and_others_more_often() {
        let mut dialled = Dialled::default();
        assert!(dialled.due(7, false) && !dialled.hidden());
        // The half that comes next after the bits have run out is still the next.
        dialled.dialling(31);
        assert!(!dialled.due(31, true) && dialled.due(32, false));
        dialled.judge(true);
        assert_eq!(dialled.reach(), Some(Reach::Public));
        assert!(!dialled.due(32, true) && dialled.due(33, false));
        dialled.dialling(33);
        dialled.judge(false);
        assert!(dialled.hidden() && !dialled.due(33, false) && dialled.due(33, true));
        assert!(dialled.due(34, false));
        // It stays what it was while it is dialled again.
        dialled.dialling(34);
        assert!(dialled.hidden() && !dialled.due(34, false));
    }

    #[test]
    fn a_node_hears_what_it_doesn_t_expect() {
        let mut dialled = Dialled::default();
        dialled.dialling(1);
        dialled.judge(true);
        assert!(!dialled.untold());
        for reached in [false, true] {
            dialled.judge(reached);
            assert!(dialled.untold());
            dialled.tell();
            dialled.judge(reached);
            assert!(!dialled.untold());
        }
    }
}
