//! Filling a list up from other groups (R3).

use std::net::IpAddr;

use clap::ValueEnum;
use nearcast_protocol::{Role, tracker::Reach};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::{holder::Holder, node::Node, prefix::Prefix, swarm::Caller};

/// Outsiders of one prefix that a list is filled up with: one machine may pretend to be many nodes, but
/// it seldom has many prefixes. Those of the asker's own group are never capped.
pub const PER_PREFIX: usize = 4;

/// Which outsiders fill a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TopUp {
    /// By nearest route: the shortest distance between the networks, if any is known, the same region, then
    /// the longest common address prefix.
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
    /// The lower, the nearer.
    route: u32,
    /// Its weight as a source.
    worth: f32,
    taken: bool,
}

/// What is read of a node to judge it. Reading comes first and judging later: so the memory of many nodes
/// comes in at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Glimpse {
    pub holder: Holder,
    observed: IpAddr,
    region: u32,
    spare_upload: u64,
    reach: Reach,
    role: Role,
    /// What is known of how far its network is.
    pub distance: Option<u16>,
}

impl Glimpse {
    pub fn of(holder: Holder, node: &Node) -> Self {
        let (observed, region, reach, role) = (node.observed, node.region, node.reach, node.role);
        Self { holder, observed, region, spare_upload: node.spare_upload(), reach, role, distance: None }
    }

    pub fn judge(&self, caller: &Caller) -> Candidate {
        Candidate {
            holder: self.holder,
            prefix: Prefix::of(self.observed),
            route: route(self, caller),
            worth: worth(self),
            taken: false,
        }
    }
}

impl TopUp {
    /// How many candidates are worth looking at to choose `need` of them.
    pub(crate) fn pool(self, need: usize) -> usize {
        match self {
            Self::Random => need + need / 4,
            // Of a large swarm a random part is ranked, so that no request costs more than this.
            _ => (2 * need).max(96),
        }
    }

    /// Fills `added` up to `need` from the candidates, as far as their prefixes allow.
    pub(crate) fn choose(
        self,
        candidates: &mut [Candidate],
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
        added.take(candidates, nearest, |candidate| {
            candidate.route | Rng::random::<u32>(rng) >> (32 - CHANCE)
        });
        // In proportion, without replacement (Efraimidis and Spirakis 2006), so that the best source isn't
        // everyone's only one: the least of exponential variates, whose order is that of their bits.
        added.take(candidates, best, |candidate| {
            (about_minus_log(1.0 - Rng::random::<f32>(rng)) / candidate.worth).to_bits()
        });
        added.take_any(candidates, need, rng);
    }
}

/// The negative binary logarithm of a number above 0 and up to 1, to a hundredth: its exponent, and a parabola
/// through its fraction. What is drawn by it goes by its order alone.
fn about_minus_log(number: f32) -> f32 {
    const FRACTION: u32 = (1 << 23) - 1;
    let exponent = 127 - (number.to_bits() >> 23) as i32;
    let fraction = f32::from_bits(number.to_bits() & FRACTION | 1f32.to_bits());
    (exponent as f32 - (2.0 - fraction / 3.0) * fraction + 5.0 / 3.0).max(0.0)
}

/// Outsiders that fill a list up.
#[derive(Debug, Default)]
pub(crate) struct Added {
    pub holders: Vec<Holder>,
    prefixes: Vec<Prefix>,
    /// How many of them fall to each place of a small table: no more can be of one prefix.
    crowds: Crowds,
    /// Candidates' ranks, and in the lowest bits which candidates they are.
    ranks: Vec<u64>,
}

#[derive(Debug)]
struct Crowds([u8; 256]);

impl Default for Crowds {
    fn default() -> Self {
        Self([0; 256])
    }
}

/// Bits for which candidate a rank is of.
const WHICH: u32 = 16;

impl Added {
    pub fn clear(&mut self) {
        self.holders.clear();
        self.prefixes.clear();
        self.crowds = Crowds::default();
    }

    /// Takes the `many` first by rank, the lowest first.
    fn take(&mut self, candidates: &mut [Candidate], many: usize, mut rank: impl FnMut(&Candidate) -> u32) {
        if many == 0 {
            return;
        }
        let mut ranks = self.left(candidates, |candidate| rank(candidate).into());
        // Of many, only those who are likely to be needed are put in order.
        let likely = many + many / 4;
        if likely < ranks.len() {
            ranks.select_nth_unstable(likely);
        }
        let middle = likely.min(ranks.len());
        let (first, rest) = ranks.split_at_mut(middle);
        let enough = self.holders.len() + many;
        for part in [first, rest] {
            if self.holders.len() < enough {
                part.sort_unstable();
            }
            for rank in part {
                if self.holders.len() < enough {
                    self.admit(candidates, *rank);
                }
            }
        }
        self.ranks = ranks;
    }

    /// Takes any until there are `need`.
    fn take_any(&mut self, candidates: &mut [Candidate], need: usize, rng: &mut impl Rng) {
        let mut ranks = self.left(candidates, |_| 0);
        while self.holders.len() < need && !ranks.is_empty() {
            let drawn = ranks.swap_remove(rng.random_range(0..ranks.len()));
            self.admit(candidates, drawn);
        }
        self.ranks = ranks;
    }

    /// The ranks of those who aren't taken yet.
    fn left(&mut self, candidates: &[Candidate], mut rank: impl FnMut(&Candidate) -> u64) -> Vec<u64> {
        let mut ranks = std::mem::take(&mut self.ranks);
        ranks.clear();
        let left = candidates.iter().enumerate().filter(|(_, candidate)| !candidate.taken);
        ranks.extend(left.map(|(which, candidate)| rank(candidate) << WHICH | which as u64));
        ranks
    }

    /// Adds a candidate, unless there are enough of its prefix.
    fn admit(&mut self, candidates: &mut [Candidate], rank: u64) {
        let which = rank as usize & ((1 << WHICH) - 1);
        if let Some(candidate) = candidates.get_mut(which) {
            let crowd = self.crowds.0[candidate.prefix.crowd()];
            if usize::from(crowd) < PER_PREFIX || self.of_prefix(candidate.prefix).count() < PER_PREFIX {
                candidate.taken = true;
                self.add(candidate.holder, candidate.prefix);
            }
        }
    }

    fn add(&mut self, holder: Holder, prefix: Prefix) {
        self.holders.push(holder);
        self.prefixes.push(prefix);
        let crowd = &mut self.crowds.0[prefix.crowd()];
        *crowd = crowd.saturating_add(1);
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
            // It is the last to come: what the crowds say of whom it replaces matters no more.
            Some((holder, prefix)) => (*holder, *prefix) = (candidate.holder, candidate.prefix),
            None => self.add(candidate.holder, candidate.prefix),
        }
    }

    fn of_prefix(&self, prefix: Prefix) -> impl Iterator<Item = usize> {
        self.prefixes.iter().enumerate().filter(move |(_, other)| **other == prefix).map(|(index, _)| index)
    }
}

/// What is taken for a distance where none is known, in ms: within a region, and beyond it.
const SAME_REGION: u16 = 20;
const ELSEWHERE: u16 = 100;
/// Bits of a rank that are left to chance.
const CHANCE: u32 = 9;

/// A rank by the length of the route: the distance of the networks, or what their regions let guess; then how
/// many leading bits the addresses have in common. The lowest bits are free.
fn route(node: &Glimpse, caller: &Caller) -> u32 {
    let region = caller.place.region != 0 && node.region == caller.place.region;
    let distance = node.distance.unwrap_or(if region { SAME_REGION } else { ELSEWHERE });
    let common = match (node.observed, caller.observed) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => 0,
    };
    // 128 bits agree only of one's own address, which is of one's own group.
    u32::from(distance) << 16 | (127 - common.min(127)) << CHANCE
}

/// The weight of a source: what it holds of the resource, times what it could give, in orders of magnitude.
/// It counts half behind address translation and a quarter through a relay, since dialling it may fail or
/// be slow; a publisher counts half, since it is everyone's last resort.
fn worth(node: &Glimpse) -> f32 {
    let held = f32::from(node.holder.permille()) / 1000.0;
    let megabits = node.spare_upload / 1_000_000;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    proptest! {
        #[test]
        fn the_logarithm_is_about_right(bits in 0u32..1 << 24) {
            let number = 1.0 - bits as f32 / (1 << 24) as f32;
            let error = about_minus_log(number) + number.log2();
            prop_assert!(error.abs() < 0.011, "{number}: {error}");
        }
    }
}
