//! Filling a list up from other groups (R3).

use std::{cmp::Reverse, net::IpAddr};

use clap::ValueEnum;
use nearcast_protocol::{ResourceId, Role, tracker::Reach};
use rand::{
    Rng,
    seq::{IndexedRandom, SliceRandom},
};
use serde::{Deserialize, Serialize};

use crate::{
    node::{Node, Slot},
    swarm::Caller,
};

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

impl TopUp {
    /// Chooses `need` of the candidates, or all if there are fewer. They come in random order.
    pub(crate) fn choose(
        self,
        mut candidates: Vec<(Slot, &Node)>,
        need: usize,
        caller: &Caller,
        resource: &ResourceId,
        rng: &mut impl Rng,
    ) -> Vec<Slot> {
        let (nearest, best) = match self {
            Self::Nearest => (need, 0),
            Self::Best => (0, need),
            Self::Random => (0, 0),
            Self::Mixed => (need.div_ceil(2), need / 4),
        };
        let mut chosen = Vec::with_capacity(need);
        if nearest > 0 {
            // The sort is stable: among equals, chance has decided already.
            candidates.sort_by_cached_key(|(_, node)| Reverse(nearness(node, caller)));
            chosen.extend(candidates.drain(..nearest.min(candidates.len())).map(|(slot, _)| slot));
            candidates.shuffle(rng);
        }
        if best > 0
            && let Ok(drawn) =
                candidates.choose_multiple_weighted(rng, best, |(_, node)| worth(node, resource))
        {
            let drawn: Vec<_> = drawn.map(|(slot, _)| *slot).collect();
            candidates.retain(|(slot, _)| !drawn.contains(slot));
            chosen.extend(drawn);
        }
        let rest = need.saturating_sub(chosen.len());
        chosen.extend(candidates.into_iter().take(rest).map(|(slot, _)| slot));
        chosen
    }
}

/// The same region counts most, then how many leading bits of the addresses agree: what stands in for the
/// length of the route until somebody measures it.
fn nearness(node: &Node, caller: &Caller) -> (bool, u32) {
    let region = caller.place.region != 0 && node.place.region == caller.place.region;
    let common = match (node.observed, caller.observed) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => 0,
    };
    (region, common)
}

/// The weight of a source: what it holds of the resource, times what it could give, in orders of magnitude.
/// It counts half behind address translation and a quarter through a relay, since dialling it may fail or
/// be slow; a publisher counts half, since it is everyone's last resort. Drawn without replacement in
/// proportion (Efraimidis and Spirakis 2006), so that the best source isn't everyone's only one.
fn worth(node: &Node, resource: &ResourceId) -> f64 {
    let held = f64::from(node.permille(resource)) / 1000.0;
    let megabits = node.spare_upload as f64 / 1e6;
    let reach = match node.reach {
        Reach::Public | Reach::Unknown => 1.0,
        Reach::Nat => 0.5,
        Reach::Relayed => 0.25,
    };
    let role = match node.role {
        Role::Terminal => 1.0,
        Role::Publisher => 0.5,
    };
    (0.01 + held) * (1.0 + (1.0 + megabits).log2()) * reach * role
}
