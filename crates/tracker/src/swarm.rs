//! Who holds what: one lease per node, and all it holds lives and dies with it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    time::Duration,
};

use nearcast_protocol::{
    Group, PeerId, ResourceId, Role,
    tracker::{Claim, Holding, Lease, MAX_HOLDINGS, Received, Registration, Renewal, Text},
};
use rand::Rng;
use slab::Slab;

use crate::{
    claims::Claims,
    group_table::{GroupTable, Place},
    holders::Holders,
    node::{Node, Slot},
    rules::Rules,
};

/// Bytes/s: a line of 10 Gbit/s is the fastest that a report is believed for.
const FASTEST: u64 = 1_250_000_000;

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
/// or listed.
pub struct Swarm {
    pub(crate) rules: Rules,
    pub(crate) nodes: Slab<Node>,
    pub(crate) slots: HashMap<PeerId, Slot>,
    pub(crate) holders: HashMap<ResourceId, Holders>,
    /// Holdings of all nodes together.
    held: usize,
    /// Every node under the time its lease runs out.
    expiry: BTreeSet<(Duration, Slot)>,
    claims: Claims,
    received: BTreeMap<Group, Received>,
}

impl Swarm {
    /// An empty memory.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            nodes: Slab::new(),
            slots: HashMap::new(),
            holders: HashMap::new(),
            held: 0,
            expiry: BTreeSet::new(),
            claims: Claims::default(),
            received: BTreeMap::new(),
        }
    }

    /// How many nodes have a lease, as of the last question.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// How many resources somebody reachable holds, as of the last question.
    pub fn resources(&self) -> usize {
        self.holders.len()
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
        let mut node = Node::new(now, caller, registration);
        let slot = match self.slots.get(&caller.peer).copied() {
            Some(slot) => {
                self.let_go(slot);
                let known = self.nodes.get_mut(slot)?;
                (node.expires, node.reported) = (known.expires, known.reported);
                *known = node;
                slot
            }
            None if self.nodes.len() >= self.rules.nodes => return None,
            None => {
                let slot = self.nodes.insert(node);
                self.slots.insert(caller.peer, slot);
                slot
            }
        };
        if registration.role != Role::Publisher {
            self.claims.forget(slot);
        }
        self.hold(slot, &registration.holdings);
        self.lease(now, slot, rng)
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
        self.expire(now);
        let slot = *self.slots.get(&caller.peer)?;
        let node = self.nodes.get_mut(slot).filter(|node| node.observed == caller.observed)?;
        node.spare_upload = renewal.spare_upload;
        let seconds = now.saturating_sub(node.reported).as_secs() + 1;
        node.reported = now;
        if renewal.received.all() <= FASTEST.saturating_mul(seconds) {
            let sum = self.received.entry(node.place.group).or_default();
            *sum = sum.plus(renewal.received);
        }
        for resource in &renewal.dropped {
            self.let_go_of(slot, resource);
        }
        self.hold(slot, &renewal.held);
        self.lease(now, slot, rng)
    }

    /// Forgets a node.
    pub fn withdraw(&mut self, now: Duration, peer: &PeerId) {
        self.expire(now);
        if let Some(slot) = self.slots.get(peer).copied() {
            self.forget(slot);
        }
    }

    /// Notes which URLs stand for which links. Only a publisher with a lease is believed even this far;
    /// whoever resolves a URL asks its origin as well (R6). `false` if the peer is none.
    pub fn claim(&mut self, now: Duration, peer: &PeerId, claims: &[Claim]) -> bool {
        self.expire(now);
        let Some(slot) = self.slots.get(peer).copied() else { return false };
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

    /// Gives every node the place that a new group table says.
    pub fn regroup(&mut self, table: &GroupTable) {
        let moves = |(slot, node): (Slot, &Node)| {
            let place = table.place_of(node.observed);
            (place != node.place).then_some((slot, place))
        };
        let moved: Vec<_> = self.nodes.iter().filter_map(moves).collect();
        for (slot, place) in moved {
            let held = self.let_go(slot);
            if let Some(node) = self.nodes.get_mut(slot) {
                node.place = place;
            }
            for (resource, permille) in held {
                self.list(slot, resource, permille);
            }
        }
    }

    /// Forgets every node whose lease has run out.
    pub(crate) fn expire(&mut self, now: Duration) {
        while let Some((_, slot)) = self.expiry.first().copied().filter(|(expires, _)| *expires <= now) {
            self.forget(slot);
        }
    }

    fn lease(&mut self, now: Duration, slot: Slot, rng: &mut impl Rng) -> Option<Lease> {
        let lease = self.rules.lease.mul_f64(rng.random_range(0.9..=1.1));
        let lease_ms = u32::try_from(lease.as_millis()).unwrap_or(u32::MAX);
        let node = self.nodes.get_mut(slot)?;
        self.expiry.remove(&(node.expires, slot));
        // Exactly what the node is told.
        node.expires = now + Duration::from_millis(lease_ms.into());
        self.expiry.insert((node.expires, slot));
        Some(Lease { lease_ms, group: node.place.group, observed: node.observed_addresses() })
    }

    fn forget(&mut self, slot: Slot) {
        self.let_go(slot);
        self.claims.forget(slot);
        if let Some(node) = self.nodes.try_remove(slot) {
            self.expiry.remove(&(node.expires, slot));
            self.slots.remove(&node.peer);
        }
    }

    /// Notes what a node holds; what it holds nothing of is what it doesn't hold.
    fn hold(&mut self, slot: Slot, holdings: &[Holding]) {
        for holding in holdings {
            self.let_go_of(slot, &holding.resource);
            if holding.permille > 0 {
                self.list(slot, holding.resource, holding.permille.min(1000));
            }
        }
    }

    fn list(&mut self, slot: Slot, resource: ResourceId, permille: u16) {
        let Some(node) = self.nodes.get_mut(slot) else { return };
        if node.holdings.len() >= MAX_HOLDINGS || self.held >= self.rules.holdings {
            return;
        }
        self.held += 1;
        node.holdings.insert(resource, permille);
        if node.reachable() {
            let holders = self.holders.entry(resource).or_default();
            holders.add(slot, node.home(), node.role, permille == 1000);
        }
    }

    fn let_go_of(&mut self, slot: Slot, resource: &ResourceId) -> Option<u16> {
        let node = self.nodes.get_mut(slot)?;
        let permille = node.holdings.remove(resource)?;
        self.held -= 1;
        if let Some(holders) = self.holders.get_mut(resource) {
            holders.remove(slot, node.home(), node.role);
            if holders.is_empty() {
                self.holders.remove(resource);
            }
        }
        Some(permille)
    }

    /// Lets go of everything, and says what it was.
    fn let_go(&mut self, slot: Slot) -> BTreeMap<ResourceId, u16> {
        let held = self.nodes.get(slot).map(|node| node.holdings.clone()).unwrap_or_default();
        for resource in held.keys() {
            self.let_go_of(slot, resource);
        }
        held
    }
}
