//! What the publisher gave, to which networks, and what its viewers carried in its place.

use std::collections::BTreeMap;

use nearcast_protocol::{Group, ResourceId};

/// What was given since the library was first made; kept across restarts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// By resource: films and subtitle files, those that are gone too.
    pub resources: BTreeMap<ResourceId, GivenOf>,
}

/// What was given of one resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenOf {
    /// Payload bytes uploaded from here, by the network group they went to; [`Group::UNKNOWN`] where no
    /// tracker has said it.
    pub networks: BTreeMap<Group, u64>,
    /// Bytes that complete terminals hold, as the trackers counted them when they were most: terminals times
    /// the size. Partial holders are not counted, so it is never too much.
    pub held: u64,
    /// Streams refused or closed since the start, because enough were served (R7 a).
    pub refused_busy: u64,
    /// Streams refused since the start, because enough others hold it (R7 b).
    pub refused_enough: u64,
    /// Streams that are served now.
    pub streams: usize,
    /// Streams that are served at most.
    pub limit: usize,
    /// Complete, reachable terminals, as last counted by a tracker; `None` before the first count.
    pub complete_terminals: Option<u32>,
    /// Whether only networks without a complete holder are served now (R7 b).
    pub resting: bool,
}

impl GivenOf {
    /// Payload bytes uploaded from here.
    pub fn bytes(&self) -> u64 {
        self.networks.values().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// What the viewers carried in the publisher's place: what they hold beyond what was given. Nothing that a
    /// viewer deleted or holds in part counts, so this is a lower bound.
    pub fn saved(&self) -> u64 {
        self.held.saturating_sub(self.bytes())
    }
}

impl Given {
    /// Payload bytes uploaded, all together.
    pub fn bytes(&self) -> u64 {
        self.resources.values().fold(0, |sum, of| sum.saturating_add(of.bytes()))
    }

    /// What the viewers carried in the publisher's place, all together.
    pub fn saved(&self) -> u64 {
        self.resources.values().fold(0, |sum, of| sum.saturating_add(of.saved()))
    }

    /// Payload bytes uploaded, by network group.
    pub fn networks(&self) -> BTreeMap<Group, u64> {
        let mut all = BTreeMap::<Group, u64>::new();
        for (group, bytes) in self.resources.values().flat_map(|of| &of.networks) {
            let sum = all.entry(*group).or_default();
            *sum = sum.saturating_add(*bytes);
        }
        all
    }
}
