//! Filling a list up from other groups (R3).

use std::{net::IpAddr, str::FromStr};

use nearcast_protocol::{PeerId, ResourceId, Role};
use rand::{Rng, seq::IndexedRandom};
use serde::{Deserialize, Serialize};

use crate::{group_table::Place, node::Node};

/// Which outsiders fill a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TopUp {
    /// By nearest route: the same region first, then the longest common address prefix.
    Nearest,
    /// By best source: the fuller, the freer and the less burdened, the likelier.
    Best,
    /// By chance.
    Random,
    /// Half by nearest route, a quarter by best source, the rest by chance, so that no two networks are
    /// ever cut off from one another.
    #[default]
    Mixed,
}

/// A text that is none of the ways.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no way to fill a list up: choose nearest, best, random or mixed")]
pub struct TopUpError(String);

impl FromStr for TopUp {
    type Err = TopUpError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "nearest" => Ok(Self::Nearest),
            "best" => Ok(Self::Best),
            "random" => Ok(Self::Random),
            "mixed" => Ok(Self::Mixed),
            _ => Err(TopUpError(text.chars().take(20).collect())),
        }
    }
}

/// One outsider who may be listed.
pub(crate) type Candidate<'a> = (PeerId, &'a Node);

impl TopUp {
    /// Chooses `need` of the candidates, which are in random order already.
    pub(crate) fn choose<'a>(
        self,
        mut candidates: Vec<Candidate<'a>>,
        need: usize,
        resource: &ResourceId,
        asker: (IpAddr, Place),
        rng: &mut impl Rng,
    ) -> Vec<Candidate<'a>> {
        let nearest = match self {
            Self::Nearest => need,
            Self::Best | Self::Random => 0,
            Self::Mixed => need.div_ceil(2),
        };
        let best = match self {
            Self::Best => need,
            Self::Nearest | Self::Random => 0,
            Self::Mixed => need / 4,
        };
        let mut chosen = Vec::with_capacity(need);
        if nearest > 0 {
            // The sort is stable: among equals, chance decides.
            candidates.sort_by_key(|(_, node)| std::cmp::Reverse(nearness(node, asker)));
            chosen.extend(candidates.drain(..nearest.min(candidates.len())));
        }
        if best > 0 {
            let weighted = candidates.choose_multiple_weighted(rng, best, |(_, node)| worth(node, resource));
            let picked: Vec<_> = weighted.map(|picked| picked.copied().collect()).unwrap_or_default();
            candidates.retain(|candidate| !picked.iter().any(|(peer, _)| *peer == candidate.0));
            chosen.extend(picked);
        }
        let rest = need.saturating_sub(chosen.len()).min(candidates.len());
        let places = rand::seq::index::sample(rng, candidates.len(), rest);
        chosen.extend(places.into_iter().filter_map(|place| candidates.get(place).copied()));
        chosen
    }
}

/// The same region counts most, then how many leading bits of the addresses agree.
fn nearness(node: &Node, (address, place): (IpAddr, Place)) -> (bool, u32) {
    let region = place.region != 0 && node.place.region == place.region;
    let common = match (node.observed, address) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => 0,
    };
    (region, common)
}

/// What it holds of the resource, times what it could give; a publisher counts half, since it is everyone's
/// last resort. Drawn without replacement in proportion (Efraimidis and Spirakis 2006).
fn worth(node: &Node, resource: &ResourceId) -> f64 {
    let held = f64::from(node.holdings.get(resource).copied().unwrap_or_default()) / 1000.0;
    let megabits = node.spare_upload as f64 / 1e6;
    let role = if node.role == Role::Publisher { 0.5 } else { 1.0 };
    (0.01 + held) * (1.0 + (1.0 + megabits).log2()) * role
}
