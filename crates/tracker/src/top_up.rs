//! Filling a list up from other groups (R3).

use std::net::IpAddr;

use clap::ValueEnum;
use nearcast_protocol::{Role, tracker::Reach};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::{holder::Holder, node::Node, swarm::Caller};

/// Outsiders of one prefix that a list is filled up with: one machine may pretend to be many nodes, but
/// it seldom has many prefixes. Those of the asker's own group are never capped.
pub const PER_PREFIX: usize = 4;
/// The prefixes that count as one neighbourhood: what one customer may easily have.
const PREFIX: (u8, u8) = (24, 48);

/// Which outsiders fill a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TopUp {
    /// By nearest route: the same region first, then the longest common address prefix.
    Nearest,
    /// By best source: the more it holds and could give, the likelier.
    Best,
    /// By chance.
    Random,
    /// Half by nearest route, a quarter by best source, and the rest by chance, so that no two networks
    /// stay strangers for good.
    #[default]
    Mixed,
}

/// An outsider who may be chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub holder: Holder,
    prefix: Prefix,
    /// The lowest comes first.
    rank: u64,
    nearness: u8,
    /// Its weight as a source.
    worth: f32,
    taken: bool,
}

impl Candidate {
    pub fn new(holder: Holder, node: &Node, caller: &Caller) -> Self {
        let prefix = Prefix::of(node.observed);
        let (nearness, worth) = (nearness(node, caller), worth(node, holder));
        Self { holder, prefix, rank: 0, nearness, worth, taken: false }
    }
}

impl TopUp {
    /// How many candidates are worth looking at to choose `need` of them.
    pub(crate) fn pool(self, need: usize) -> usize {
        match self {
            Self::Random => need + need / 4,
            // Of a large swarm a random part is ranked, so that no request costs more than this.
            _ => (2 * need).max(256),
        }
    }

    /// Fills `added` up to `need` from the candidates, as far as their prefixes allow.
    pub(crate) fn choose(
        self,
        candidates: &mut Vec<Candidate>,
        need: usize,
        added: &mut Added,
        rng: &mut impl Rng,
    ) {
        let (nearest, best) = match self {
            Self::Nearest => (need, 0),
            Self::Best => (0, need),
            Self::Random => (0, 0),
            Self::Mixed => (need.div_ceil(2), need / 4),
        };
        // Among equally near ones, chance decides.
        let by_nearness = |candidate: &Candidate, rng: &mut _| {
            u64::from(u8::MAX - candidate.nearness) << 32 | u64::from(Rng::random::<u32>(rng))
        };
        take(candidates, nearest, added, |candidate| by_nearness(candidate, rng));
        // In proportion, without replacement (Efraimidis and Spirakis 2006), so that the best source isn't
        // everyone's only one: the least of exponential variates, whose order is that of their bits.
        let by_worth = |candidate: &Candidate, rng: &mut _| {
            let chance = 1.0 - Rng::random::<f32>(rng);
            u64::from((-chance.ln() / candidate.worth).abs().to_bits())
        };
        take(candidates, best, added, |candidate| by_worth(candidate, rng));
        while added.holders.len() < need && !candidates.is_empty() {
            let drawn = candidates.swap_remove(rng.random_range(0..candidates.len()));
            added.admit(&drawn);
        }
    }
}

/// Takes the first few by rank out of the candidates.
fn take(
    candidates: &mut Vec<Candidate>,
    many: usize,
    added: &mut Added,
    mut rank: impl FnMut(&Candidate) -> u64,
) {
    if many == 0 {
        return;
    }
    for candidate in &mut *candidates {
        candidate.rank = rank(candidate);
    }
    // Of many, only those who are likely to be needed are put in order.
    let likely = 2 * many;
    if likely < candidates.len() {
        candidates.select_nth_unstable_by_key(likely, |candidate| candidate.rank);
    }
    let enough = added.holders.len() + many;
    let middle = likely.min(candidates.len());
    let (first, rest) = candidates.split_at_mut(middle);
    for part in [first, rest] {
        if added.holders.len() < enough {
            part.sort_unstable_by_key(|candidate| candidate.rank);
        }
        for candidate in part {
            if added.holders.len() < enough {
                candidate.taken = added.admit(candidate);
            }
        }
    }
    candidates.retain(|candidate| !candidate.taken);
}

/// Outsiders that fill a list up.
#[derive(Debug, Default)]
pub(crate) struct Added {
    pub holders: Vec<Holder>,
    prefixes: Vec<Prefix>,
}

impl Added {
    pub fn clear(&mut self) {
        self.holders.clear();
        self.prefixes.clear();
    }

    /// Adds a candidate, unless there are enough of its prefix.
    fn admit(&mut self, candidate: &Candidate) -> bool {
        let room = self.of_prefix(candidate.prefix).count() < PER_PREFIX;
        if room {
            self.holders.push(candidate.holder);
            self.prefixes.push(candidate.prefix);
        }
        room
    }

    /// Adds a candidate in any case: in place of one of its prefix if there are enough of those, and in
    /// place of the last if there are `need` already.
    pub fn insist(&mut self, candidate: &Candidate, need: usize) {
        let index = match self.of_prefix(candidate.prefix).nth(PER_PREFIX - 1) {
            Some(index) => Some(index),
            None if self.holders.len() >= need => self.holders.len().checked_sub(1),
            None => None,
        };
        match index.and_then(|index| Some((self.holders.get_mut(index)?, self.prefixes.get_mut(index)?))) {
            Some((holder, prefix)) => (*holder, *prefix) = (candidate.holder, candidate.prefix),
            None => {
                self.holders.push(candidate.holder);
                self.prefixes.push(candidate.prefix);
            }
        }
    }

    fn of_prefix(&self, prefix: Prefix) -> impl Iterator<Item = usize> {
        self.prefixes.iter().enumerate().filter(move |(_, other)| **other == prefix).map(|(index, _)| index)
    }
}

/// The first bits of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Prefix(u64);

impl Prefix {
    fn of(address: IpAddr) -> Self {
        let (four, six) = PREFIX;
        Self(match address {
            // The highest bit tells the families apart.
            IpAddr::V4(address) => u64::from(address.to_bits() >> (32 - four)) | 1 << 63,
            IpAddr::V6(address) => (address.to_bits() >> (128 - six)) as u64,
        })
    }
}

/// The same region counts most, then how many leading bits of the addresses agree: what stands in for the
/// length of the route until somebody measures it.
fn nearness(node: &Node, caller: &Caller) -> u8 {
    let region = caller.place.region != 0 && node.region == caller.place.region;
    let common = match (node.observed, caller.observed) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => 0,
    };
    // 128 bits agree only of one's own address, which is of one's own group.
    u8::from(region) << 7 | common.min(127) as u8
}

/// The weight of a source: what it holds of the resource, times what it could give, in orders of magnitude.
/// It counts half behind address translation and a quarter through a relay, since dialling it may fail or
/// be slow; a publisher counts half, since it is everyone's last resort.
fn worth(node: &Node, holder: Holder) -> f32 {
    let held = f32::from(holder.permille()) / 1000.0;
    let megabits = node.spare_upload() / 1_000_000;
    let magnitude = 1 + (1 + megabits).ilog2();
    let reach = match node.reach {
        Reach::Public | Reach::Unknown => 1.0,
        Reach::Nat => 0.5,
        Reach::Relayed => 0.25,
    };
    let role = match node.role {
        Role::Terminal => 1.0,
        Role::Publisher => 0.5,
    };
    (0.01 + held) * magnitude as f32 * reach * role
}
