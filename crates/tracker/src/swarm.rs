//! Who holds what: one lease per node, and all it holds lives and dies with it.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use nearcast_protocol::{
    Group, PeerId, ResourceId, Role, renewal,
    tracker::{Claim, Holding, Lease, Received, Registration, Renewal, Text},
};
use rand::Rng;

use crate::{
    bridges::Bridges,
    claims::Claims,
    distances::Distances,
    group_table::{Place, Said},
    holder::Holder,
    home::{Home, Homes},
    identity::Identity,
    listing::Draw,
    lists::Lists,
    node::{Node, Slot, seconds},
    nodes::Nodes,
    prefix::Prefixes,
    resources::{Resources, Short},
    rules::Rules,
    wheel::{Wheel, milliseconds},
};

/// Bytes/s: a line of 10 Gbit/s is the fastest that a report is believed for.
const FASTEST: u64 = 1_250_000_000;
/// Groups whose sums of reports are remembered.
const NETWORKS: usize = 4096;

/// Who speaks to the tracker, by what it can't lie about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The identity that the connection proves.
    pub peer: PeerId,
    /// The address that the connection comes from (R1), IPv4 even if it arrived mapped into IPv6.
    pub observed: IpAddr,
    /// What the group table says of that address (R2).
    pub place: Place,
}

/// The tracker's memory. Pure: the clock (`now`, since the start) and the dice are passed in.
///
/// Whatever is asked, leases that have run out by then are forgotten first, so nothing dead is ever counted
/// or listed. Times count in whole milliseconds.
pub struct Swarm {
    pub(crate) rules: Rules,
    pub(crate) nodes: Nodes,
    pub(crate) homes: Homes,
    pub(crate) resources: Resources,
    /// What nodes hold.
    pub(crate) lists: Lists<Short>,
    /// Their local addresses.
    pub(crate) locals: Lists<u32>,
    /// What is written to while a list is made.
    pub(crate) draw: Draw,
    pub(crate) bridges: Bridges,
    pub(crate) distances: Distances,
    /// Holdings of all nodes together.
    pub(crate) held: usize,
    pub(crate) leases: Wheel,
    pub(crate) claims: Claims,
    pub(crate) received: BTreeMap<Group, Received>,
    /// The QUIC port at which nodes are introduced, as they are told; 0 if they aren't.
    pub(crate) introduces: u16,
    prefixes: Prefixes,
}

impl Swarm {
    /// An empty memory.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            nodes: Nodes::new(),
            homes: Homes::new(),
            resources: Resources::new(),
            lists: Lists::default(),
            locals: Lists::default(),
            draw: Draw::default(),
            bridges: Bridges::default(),
            distances: Distances::default(),
            held: 0,
            // The longest that chance makes of it.
            leases: Wheel::new(rules.lease.mul_f64(1.1)),
            claims: Claims::default(),
            received: BTreeMap::new(),
            introduces: 0,
            prefixes: Prefixes::default(),
        }
    }

    /// Makes lists by other rules from now on. What is remembered stays, and so do the leases given.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Takes an operator's word for how far networks are from one another, in place of what was said before.
    pub fn set_distances(&mut self, said: Said) {
        self.distances.say(said);
    }

    /// How many nodes have a lease, as of the last question.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// How many resources somebody holds, as of the last question.
    pub fn resources(&self) -> usize {
        self.resources.len()
    }

    /// Whether anybody holds it, as of the last question.
    pub fn is_held(&self, resource: &ResourceId) -> bool {
        self.resources.number_of(resource).is_some()
    }

    /// How many resources are held by how many nodes, all together, as of the last question.
    pub fn holdings(&self) -> usize {
        self.held
    }

    /// How many URLs are claimed, by all publishers together.
    pub fn claims(&self) -> usize {
        self.claims.standing()
    }

    /// Whether a caller isn't known and its prefix has as many nodes as it may.
    pub fn prefix_is_full(&self, caller: &Caller) -> bool {
        let full = self.prefixes.nodes(caller.observed) >= self.rules.per_prefix;
        full && self.nodes.slot_of(&caller.peer).is_none()
    }

    /// Whether a peer holds a resource, as of the last question.
    pub fn holds(&self, peer: &PeerId, resource: &ResourceId) -> bool {
        let (slot, number) = (self.nodes.slot_of(peer), self.resources.number_of(resource));
        let (Some(slot), Some(number)) = (slot, number) else { return false };
        let stand = self.nodes.get(slot).and_then(|node| node.stand(slot, &self.homes));
        stand.is_some_and(|stand| self.resources.holder(number, stand).is_some())
    }

    /// The sum of what the nodes of each group have reported to have received since the start.
    pub fn received(&self) -> &BTreeMap<Group, Received> {
        &self.received
    }

    /// Takes a node in, in place of what was known of it (R1). Its claims stay, as long as it is a
    /// publisher. `None` if the memory is full.
    pub fn register(
        &mut self,
        now: Duration,
        caller: &Caller,
        registration: &Registration,
        rng: &mut impl Rng,
    ) -> Option<Lease> {
        self.expire(now);
        let known = self.nodes.slot_of(&caller.peer);
        if known.is_none() && (self.nodes.len() >= self.rules.nodes || self.prefix_is_full(caller)) {
            return None;
        }
        let home = self.homes.enter(Home::of(caller))?;
        let mut node = Node::new(now, caller, home, registration, &mut self.locals);
        let slot = match known {
            Some(slot) => {
                self.let_go_of_all(slot);
                let known = self.nodes.get_mut(slot)?;
                // What it has reported for stays reported, however often it registers.
                node.reported = known.reported;
                node.dialled_as(known);
                let mut known = std::mem::replace(known, node);
                // In this order, so that a home that stays isn't given up in between.
                self.enter_behind(slot);
                self.leave_behind(&known);
                known.clear(&mut self.lists, &mut self.locals);
                self.homes.leave(known.home);
                self.prefixes.leave(known.observed);
                slot
            }
            None => match self.nodes.insert(node) {
                Ok(slot) => slot,
                Err(mut node) => {
                    node.clear(&mut self.lists, &mut self.locals);
                    self.homes.leave(home);
                    return None;
                }
            },
        };
        self.prefixes.enter(caller.observed);
        if registration.role != Role::Publisher {
            self.claims.forget(slot);
        }
        self.hold(slot, &registration.holdings);
        let lease_ms = self.lease(now, slot, rng);
        self.lease_of(slot, lease_ms)
    }

    /// Prolongs a lease and notes what has changed. `None` if the node isn't known, or now comes from
    /// another address: it has to register anew.
    ///
    /// A report of more than any line carries in the time is not believed, and not counted.
    pub fn renew(
        &mut self,
        now: Duration,
        caller: &Caller,
        renewal: &Renewal,
        rng: &mut impl Rng,
    ) -> Option<Lease> {
        let (slot, lease_ms) = self.prolong(now, caller, renewal, rng)?;
        self.lease_of(slot, lease_ms)
    }

    /// As [`Swarm::renew`], for whoever needs no more than how long the lease holds, in ms.
    pub fn renew_briefly(
        &mut self,
        now: Duration,
        caller: &Caller,
        renewal: &Renewal,
        rng: &mut impl Rng,
    ) -> Option<u32> {
        self.prolong(now, caller, renewal, rng).map(|(_, lease_ms)| lease_ms)
    }

    fn prolong(
        &mut self,
        now: Duration,
        caller: &Caller,
        renewal: &Renewal,
        rng: &mut impl Rng,
    ) -> Option<(Slot, u32)> {
        self.expire(now);
        let slot = self.nodes.slot_of(&caller.peer)?;
        let node = self.nodes.get_mut(slot).filter(|node| node.observed == caller.observed)?;
        node.set_spare_upload(renewal.spare_upload);
        let home = self.homes.group(node.home);
        self.take_report(now, slot, renewal.received);
        for trip in &renewal.round_trips {
            let time = Duration::from_millis(trip.ms.into());
            self.distances.measure(home, trip.group, caller.observed, time);
        }
        self.let_go_of_some(slot, &renewal.dropped);
        self.hold(slot, &renewal.held);
        Some((slot, self.lease(now, slot, rng)))
    }

    /// Whether a report is of more than any line carries in the time since the node's last one.
    pub fn disbelieves(&self, now: Duration, peer: &PeerId, received: Received) -> bool {
        let node = self.nodes.slot_of(peer).and_then(|slot| self.nodes.get(slot));
        let time = |node: &Node| u64::from(seconds(now).saturating_sub(node.reported)) + 1;
        node.is_some_and(|node| received.all() > FASTEST.saturating_mul(time(node)))
    }

    /// Adds what nodes of a group have received to its sum. Of more groups than are remembered, the later ones
    /// count together, as of an unknown one.
    pub(crate) fn credit(&mut self, group: Group, received: Received) {
        let room = self.received.len() < NETWORKS || self.received.contains_key(&group);
        let sum = self.received.entry(if room { group } else { Group::UNKNOWN }).or_default();
        *sum = sum.plus(received);
    }

    /// Renews by datagram: the lease alone, and what was received. Who sends it is proved by its seal; it
    /// counts if it names the mark of the lease that the node has, and changes that mark.
    pub fn renew_marked(
        &mut self,
        now: Duration,
        observed: IpAddr,
        renewal: &renewal::Renewal,
        rng: &mut impl Rng,
    ) -> renewal::Answer {
        self.expire(now);
        let slot = self.nodes.slot_of_identity(&Identity::Ed25519(renewal.node));
        let node = slot.and_then(|slot| Some((slot, self.nodes.get_mut(slot)?)));
        let Some((slot, node)) = node.filter(|(_, node)| node.observed == observed) else {
            return renewal::Answer { outcome: renewal::Outcome::Unknown, mark: 0, lease_ms: 0 };
        };
        // What dialling it has shown doesn't fit a datagram; it renews by a connection then.
        if node.dialled.untold() {
            return renewal::Answer { outcome: renewal::Outcome::Unknown, mark: 0, lease_ms: 0 };
        }
        // A mark is the second of the last renewal, so within one second there is no second one.
        if node.reported != renewal.mark || node.reported == seconds(now) {
            let left = self.leases.left(slot, milliseconds(now));
            let lease_ms = u32::try_from(left).unwrap_or(u32::MAX);
            return renewal::Answer { outcome: renewal::Outcome::OtherMark, mark: node.reported, lease_ms };
        }
        node.set_spare_upload(u64::from(renewal.spare_upload) * 1000);
        self.take_report(now, slot, renewal.received);
        let lease_ms = self.lease(now, slot, rng);
        renewal::Answer { outcome: renewal::Outcome::Renewed, mark: seconds(now), lease_ms }
    }

    /// The mark of a node's lease.
    pub fn mark(&self, peer: &PeerId) -> Option<u32> {
        self.nodes.get(self.nodes.slot_of(peer)?).map(|node| node.reported)
    }

    /// Counts what a node says that it received since its last report, if a line can carry it.
    fn take_report(&mut self, now: Duration, slot: Slot, received: Received) {
        let Some(node) = self.nodes.get_mut(slot) else { return };
        let time = u64::from(seconds(now).saturating_sub(node.reported)) + 1;
        node.reported = seconds(now);
        if received.all() > 0 && received.all() <= FASTEST.saturating_mul(time) {
            let group = self.homes.group(node.home);
            self.credit(group, received);
        }
    }

    /// Forgets a node.
    pub fn withdraw(&mut self, now: Duration, peer: &PeerId) {
        self.expire(now);
        if let Some(slot) = self.nodes.slot_of(peer) {
            self.forget(slot);
        }
    }

    /// Notes which URLs stand for which links. Only a publisher with a lease is believed even this far;
    /// whoever resolves a URL asks its origin as well (R6). `false` if the peer is none.
    pub fn claim(&mut self, now: Duration, peer: &PeerId, claims: &[Claim]) -> bool {
        self.expire(now);
        let Some(slot) = self.nodes.slot_of(peer) else { return false };
        let publisher = self.nodes.get(slot).is_some_and(|node| node.role == Role::Publisher);
        if publisher {
            self.claims.add(slot, claims);
        }
        publisher
    }

    /// The links that are claimed for a URL, compared letter by letter.
    pub fn resolve(&mut self, now: Duration, url: &str) -> Vec<Text> {
        self.expire(now);
        self.claims.links(url)
    }

    /// Forgets every node whose lease has run out. Whatever is asked does this first; it is worth doing
    /// when nobody asks, so that the next one doesn't wait for it.
    pub fn expire(&mut self, now: Duration) {
        while let Some(slot) = self.leases.pop(milliseconds(now)) {
            self.forget(slot);
        }
    }

    /// Gives a lease from now on. Its length is in ms.
    fn lease(&mut self, now: Duration, slot: Slot, rng: &mut impl Rng) -> u32 {
        let lease = self.rules.lease.mul_f64(rng.random_range(0.9..=1.1));
        let lease_ms = u32::try_from(lease.as_millis()).unwrap_or(u32::MAX);
        // Exactly what the node is told.
        self.leases.set(slot, milliseconds(now) + u64::from(lease_ms));
        lease_ms
    }

    fn lease_of(&mut self, slot: Slot, lease_ms: u32) -> Option<Lease> {
        let node = self.nodes.get_mut(slot)?;
        node.dialled.tell();
        let group = self.homes.group(node.home);
        let reach = node.dialled.reach().unwrap_or_default();
        let (observed, ticket) = (node.observed_addresses(), None);
        Some(Lease { lease_ms, group, observed, ticket, reach, introduces: self.introduces })
    }

    pub(crate) fn forget(&mut self, slot: Slot) {
        self.let_go_of_all(slot);
        self.claims.forget(slot);
        self.leases.remove(slot);
        if let Some(mut node) = self.nodes.remove(slot) {
            self.leave_behind(&node);
            node.clear(&mut self.lists, &mut self.locals);
            self.homes.leave(node.home);
            self.prefixes.leave(node.observed);
        }
    }

    /// Notes what a node holds; what it holds nothing of is what it doesn't hold. What is said last counts.
    fn hold(&mut self, slot: Slot, holdings: &[Holding]) {
        let is_gone = |holding: &Holding| holding.permille == 0;
        for run in holdings.chunk_by(|one, next| is_gone(one) == is_gone(next)) {
            if run.iter().any(is_gone) {
                let gone: Vec<_> = run.iter().map(|holding| holding.resource).collect();
                self.let_go_of_some(slot, &gone);
            } else {
                run.iter().for_each(|holding| self.hold_one(slot, holding));
            }
        }
    }

    fn hold_one(&mut self, slot: Slot, holding: &Holding) {
        let Some(node) = self.nodes.get_mut(slot).filter(|node| node.has_port()) else { return };
        let Some(stand) = node.stand(slot, &self.homes) else { return };
        let holder = Holder::new(stand.key.home(), slot, node.role, holding.permille);
        let known = self.resources.number_of(&holding.resource);
        let held = known.is_some_and(|number| self.resources.holder(number, stand).is_some());
        let full =
            self.lists.get(&node.held).len() >= self.rules.per_node || self.held >= self.rules.holdings;
        if full && !held {
            return;
        }
        let Some(number) = known.or_else(|| self.resources.insert(&holding.resource)) else { return };
        if self.resources.set(number, holder, stand.behind) {
            self.held += 1;
            self.lists.push(&mut node.held, Short::of(number));
        }
    }

    pub(crate) fn let_go_of(&mut self, slot: Slot, resource: &ResourceId) {
        let Some(node) = self.nodes.get_mut(slot) else { return };
        let Some(number) = self.resources.number_of(resource) else { return };
        let Some(stand) = node.stand(slot, &self.homes) else { return };
        if self.resources.remove(number, stand) {
            self.held -= 1;
            self.lists.remove(&mut node.held, Short::of(number));
        }
    }

    /// As [`Swarm::let_go_of`] for many: the node's list is gone through once, however many they are.
    fn let_go_of_some(&mut self, slot: Slot, resources: &[ResourceId]) {
        if let [resource] = resources {
            self.let_go_of(slot, resource);
            return;
        }
        let Some(node) = self.nodes.get_mut(slot) else { return };
        let Some(stand) = node.stand(slot, &self.homes) else { return };
        let mut gone = Vec::new();
        for resource in resources {
            if let Some(number) = self.resources.number_of(resource)
                && self.resources.remove(number, stand)
            {
                self.held -= 1;
                gone.push(Short::of(number));
            }
        }
        gone.sort_unstable();
        self.lists.remove_all(&mut node.held, &gone);
    }

    fn let_go_of_all(&mut self, slot: Slot) {
        let Some(node) = self.nodes.get_mut(slot) else { return };
        let Some(stand) = node.stand(slot, &self.homes) else { return };
        for number in self.lists.get(&node.held) {
            let removed = self.resources.remove(number.number(), stand);
            self.held -= usize::from(removed);
        }
        self.lists.clear(&mut node.held);
    }
}
