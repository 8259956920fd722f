//! Who holds what: one lease per node, and all it holds lives and dies with it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    time::Duration,
};

use nearcast_protocol::{
    Group, PeerId, ResourceId, Role,
    tracker::{
        Claim, Counts, Holding, Lease, MAX_CLAIMS, MAX_HOLDINGS, MAX_PEERS, Received, Registration, Renewal,
        Text,
    },
};
use rand::Rng;

use crate::{
    group_table::{GroupTable, Place},
    holders::Holders,
    node::{Home, Node},
    top_up::TopUp,
};

/// A line of 10 Gbit/s is the fastest that a report is believed for.
const FASTEST: u64 = 1_250_000_000;
/// Claims one publisher may hold: a catalogue of films.
const CLAIMS_PER_NODE: usize = 10_000;

/// How lists are made and leases given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Fewer holders than this in the asker's group: the list is filled up from outside.
    pub low: usize,
    /// More than this: a random choice of as many.
    pub high: usize,
    /// Which outsiders fill a list up.
    pub top_up: TopUp,
    /// How long a node is remembered after its last word; spread by ±10 %, so that nodes that came
    /// together don't renew together.
    pub lease: Duration,
    /// How many nodes are remembered. Beyond it, new ones are answered and not remembered.
    pub nodes: usize,
}

/// Why rules make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// The range is upside down or longer than a message.
    #[error("the range {low}–{high} makes no sense: low must be at least 1, high at least low and at most {MAX_PEERS}")]
    Range {
        /// The lower end.
        low: usize,
        /// The upper end.
        high: usize,
    },
    /// The lease is too short to be renewed, or longer than a message can say.
    #[error("a lease of {0} s makes no sense: choose 10 to 86400")]
    Lease(u64),
}

impl Default for Rules {
    fn default() -> Self {
        Self { low: 40, high: 50, top_up: TopUp::Mixed, lease: Duration::from_secs(600), nodes: 1_000_000 }
    }
}

impl Rules {
    /// Checks that the rules make sense.
    ///
    /// # Errors
    /// With what is wrong.
    pub fn checked(self) -> Result<Self, RulesError> {
        let (low, high) = (self.low, self.high);
        if low == 0 || low > high || high > MAX_PEERS {
            return Err(RulesError::Range { low, high });
        }
        let seconds = self.lease.as_secs();
        if !(10..=86_400).contains(&seconds) {
            return Err(RulesError::Lease(seconds));
        }
        Ok(self)
    }
}

/// The tracker's memory. Pure: the clock (`now`, since the start) and the dice are passed in.
pub struct Swarm {
    pub(crate) rules: Rules,
    pub(crate) nodes: HashMap<PeerId, Node>,
    pub(crate) holders: HashMap<ResourceId, Holders>,
    expiry: BTreeSet<(Duration, PeerId)>,
    claims: HashMap<String, BTreeMap<PeerId, String>>,
    received: BTreeMap<Group, Received>,
}

impl Swarm {
    /// An empty memory.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            nodes: HashMap::new(),
            holders: HashMap::new(),
            expiry: BTreeSet::new(),
            claims: HashMap::new(),
            received: BTreeMap::new(),
        }
    }

    /// How many nodes have a lease.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// How many resources somebody holds.
    pub fn resources(&self) -> usize {
        self.holders.len()
    }

    /// What the nodes of each group have reported to have received.
    pub fn received(&self) -> &BTreeMap<Group, Received> {
        &self.received
    }

    /// Takes a node in, in place of what was known of it (R1). `None` if the memory is full.
    pub fn register(
        &mut self,
        now: Duration,
        peer: PeerId,
        observed: IpAddr,
        place: Place,
        registration: &Registration,
        rng: &mut impl Rng,
    ) -> Option<Lease> {
        self.expire(now);
        let before = self.forget(&peer);
        if self.nodes.len() >= self.rules.nodes {
            return None;
        }
        let mut node = Node::new(registration, observed, place, now);
        if let Some(before) = before {
            node.reported = before.reported;
        }
        self.nodes.insert(peer, node);
        self.hold(&peer, &registration.holdings);
        self.lease(now, peer, rng)
    }

    /// Prolongs a lease and notes what has changed. `None` if the node isn't known, or now comes from
    /// another address: it has to register anew.
    pub fn renew(
        &mut self,
        now: Duration,
        peer: PeerId,
        observed: IpAddr,
        renewal: &Renewal,
        rng: &mut impl Rng,
    ) -> Option<Lease> {
        self.expire(now);
        let node = self.nodes.get_mut(&peer).filter(|node| node.observed == observed)?;
        node.spare_upload = renewal.spare_upload;
        let elapsed = now.saturating_sub(node.reported).as_secs() + 1;
        node.reported = now;
        let group = node.place.group;
        let believed = FASTEST.saturating_mul(elapsed);
        if renewal.received.all() <= believed {
            let total = self.received.entry(group).or_default();
            *total = total.plus(renewal.received);
        }
        for resource in &renewal.dropped {
            self.drop_holding(&peer, resource);
        }
        self.hold(&peer, &renewal.held);
        self.lease(now, peer, rng)
    }

    /// Forgets a node.
    pub fn withdraw(&mut self, now: Duration, peer: &PeerId) {
        self.expire(now);
        self.forget(peer);
    }

    /// How many hold a resource (R7 b).
    pub fn count(
        &mut self,
        now: Duration,
        asker: &PeerId,
        observed: IpAddr,
        place: Place,
        resource: &ResourceId,
    ) -> Counts {
        self.expire(now);
        self.counts(asker, Home::of(observed, place), resource)
    }

    /// Notes which URLs stand for which links. Only a publisher with a lease is believed even this far;
    /// whoever resolves a URL asks its origin as well (R6).
    pub fn claim(&mut self, now: Duration, peer: &PeerId, claims: &[Claim]) -> bool {
        self.expire(now);
        let Some(node) = self.nodes.get_mut(peer).filter(|node| node.role == Role::Publisher) else {
            return false;
        };
        for claim in claims {
            let web = claim.url.starts_with("http://") || claim.url.starts_with("https://");
            if !web || node.claims.len() >= CLAIMS_PER_NODE {
                continue;
            }
            node.claims.retain(|known| known.url != claim.url);
            node.claims.push(claim.clone());
            self.claims.entry(claim.url.clone()).or_default().insert(*peer, claim.link.clone());
        }
        true
    }

    /// The links that are claimed for a URL.
    pub fn resolve(&mut self, now: Duration, url: &str) -> Vec<Text> {
        self.expire(now);
        let mut links: Vec<_> = self.claims.get(url).into_iter().flat_map(BTreeMap::values).cloned().collect();
        links.sort();
        links.dedup();
        links.truncate(MAX_CLAIMS);
        links.into_iter().map(Text).collect()
    }

    /// Gives every node the place that a new group table says.
    pub fn regroup(&mut self, table: &GroupTable) {
        let moved: Vec<_> = self
            .nodes
            .iter()
            .map(|(peer, node)| (*peer, node.place, table.place_of(node.observed)))
            .filter(|(_, before, after)| before != after)
            .collect();
        for (peer, _, place) in moved {
            let Some(node) = self.nodes.get(&peer) else { continue };
            let held: Vec<_> = node.holdings.iter().map(|(resource, permille)| (*resource, *permille)).collect();
            for (resource, _) in &held {
                self.unlist(&peer, resource);
            }
            if let Some(node) = self.nodes.get_mut(&peer) {
                node.place = place;
            }
            for (resource, permille) in held {
                self.list(&peer, resource, permille);
            }
        }
    }

    /// Forgets every node whose lease has run out.
    pub(crate) fn expire(&mut self, now: Duration) {
        while let Some((expires, peer)) = self.expiry.first().copied() {
            if expires > now {
                break;
            }
            self.expiry.pop_first();
            self.forget(&peer);
        }
    }

    fn lease(&mut self, now: Duration, peer: PeerId, rng: &mut impl Rng) -> Option<Lease> {
        let spread = rng.random_range(0.9..=1.1);
        let lease = self.rules.lease.mul_f64(spread);
        let node = self.nodes.get_mut(&peer)?;
        self.expiry.remove(&(node.expires, peer));
        node.expires = now + lease;
        self.expiry.insert((node.expires, peer));
        let lease_ms = u32::try_from(lease.as_millis()).unwrap_or(u32::MAX);
        Some(Lease { lease_ms, group: node.place.group, observed: node.observed_addresses() })
    }

    fn forget(&mut self, peer: &PeerId) -> Option<Node> {
        let held: Vec<_> = self.nodes.get(peer)?.holdings.keys().copied().collect();
        held.iter().for_each(|resource| self.unlist(peer, resource));
        let node = self.nodes.remove(peer)?;
        self.expiry.remove(&(node.expires, *peer));
        for claim in &node.claims {
            if let Some(claimed) = self.claims.get_mut(&claim.url) {
                claimed.remove(peer);
                if claimed.is_empty() {
                    self.claims.remove(&claim.url);
                }
            }
        }
        Some(node)
    }

    fn hold(&mut self, peer: &PeerId, holdings: &[Holding]) {
        for holding in holdings {
            let Some(node) = self.nodes.get(peer) else { return };
            let known = node.holdings.contains_key(&holding.resource);
            if !known && node.holdings.len() >= MAX_HOLDINGS {
                continue;
            }
            self.drop_holding(peer, &holding.resource);
            // Nothing held is nothing to be had.
            if holding.permille > 0 {
                self.list(peer, holding.resource, holding.permille.min(1000));
            }
        }
    }

    fn drop_holding(&mut self, peer: &PeerId, resource: &ResourceId) {
        self.unlist(peer, resource);
        if let Some(node) = self.nodes.get_mut(peer) {
            node.holdings.remove(resource);
        }
    }

    fn list(&mut self, peer: &PeerId, resource: ResourceId, permille: u16) {
        let Some(node) = self.nodes.get_mut(peer) else { return };
        node.holdings.insert(resource, permille);
        if node.reachable() {
            let (home, terminal) = (node.home(), node.role == Role::Terminal);
            self.holders.entry(resource).or_default().add(*peer, home, permille >= 1000, terminal);
        }
    }

    fn unlist(&mut self, peer: &PeerId, resource: &ResourceId) {
        let Some(node) = self.nodes.get(peer) else { return };
        let Some(holders) = self.holders.get_mut(resource) else { return };
        holders.remove(peer, node.home(), node.role == Role::Terminal);
        if holders.is_empty() {
            self.holders.remove(resource);
        }
    }
}
