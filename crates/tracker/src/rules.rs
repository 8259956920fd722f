//! How lists are made and leases given, and how much is remembered.

use std::time::Duration;

use nearcast_protocol::tracker::MAX_PEERS;

use crate::{bridges::BridgePolicy, top_up::TopUp};

/// The shortest and the longest lease: long enough to be renewed, short enough that the dead are forgotten.
const LEASES: std::ops::RangeInclusive<u64> = 10..=86_400;

/// The most holdings of one node that can be remembered: numbers of 16 bits count them.
pub const MAX_PER_NODE: usize = u16::MAX as usize;

/// How lists are made and leases given, and how much is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Fewer holders than this in the asker's group: the list is filled up from outside (R3).
    pub low: usize,
    /// More than this: a random choice of as many (R3).
    pub high: usize,
    /// Which outsiders fill a list up.
    pub top_up: TopUp,
    /// Who is told of holders outside its group though that has enough.
    pub bridges: BridgePolicy,
    /// How long a node is remembered after its last word. Each lease differs from it by up to a tenth, so
    /// that nodes that came together don't renew together.
    pub lease: Duration,
    /// How many nodes are remembered. Beyond it, new ones are answered and not remembered.
    pub nodes: usize,
    /// How many holdings of all nodes together are remembered. Beyond it, a node may still find others.
    pub holdings: usize,
    /// How many holdings of one node are remembered; the first that it says. Lists end at [`MAX_PER_NODE`].
    pub per_node: usize,
    /// How many nodes are remembered of one /24 (IPv4) or /48 (IPv6): identities cost nothing, addresses do.
    pub per_prefix: usize,
}

/// Why rules make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// The range is upside down or longer than a message.
    #[error(
        "a list of {low} to {high} peers makes no sense: low must be at least 1, high at least low and at \
         most {MAX_PEERS}"
    )]
    Range {
        /// The lower end.
        low: usize,
        /// The upper end.
        high: usize,
    },
    /// The lease is too short to be renewed, or too long to forget the dead.
    #[error("a lease of {0} s makes no sense: choose {first} to {last}", first = LEASES.start(), last = LEASES.end())]
    Lease(u64),
    /// More holdings of one node than can be counted, or none.
    #[error("{0} holdings of one node make no sense: choose 1 to {MAX_PER_NODE}")]
    PerNode(usize),
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            low: 40,
            high: 50,
            top_up: TopUp::Mixed,
            bridges: BridgePolicy::Stalled,
            lease: Duration::from_secs(600),
            nodes: 1_000_000,
            holdings: 10_000_000,
            per_node: 20_000,
            per_prefix: 10_000,
        }
    }
}

impl Rules {
    /// The same rules, if they make sense.
    ///
    /// # Errors
    /// With what is wrong.
    pub fn checked(self) -> Result<Self, RulesError> {
        let (low, high) = (self.low, self.high);
        if low == 0 || low > high || high > MAX_PEERS {
            return Err(RulesError::Range { low, high });
        }
        let seconds = self.lease.as_secs();
        if !LEASES.contains(&seconds) {
            return Err(RulesError::Lease(seconds));
        }
        if !(1..=MAX_PER_NODE).contains(&self.per_node) {
            return Err(RulesError::PerNode(self.per_node));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_make_no_sense_are_refused() {
        for (low, high) in [(0, 50), (51, 50), (40, MAX_PEERS + 1)] {
            let error = Rules { low, high, ..Rules::default() }.checked().unwrap_err();
            assert_eq!(error, RulesError::Range { low, high });
            assert!(error.to_string().contains(&format!("{low} to {high}")), "{error}");
        }
        for seconds in [1, 100_000] {
            let lease = Duration::from_secs(seconds);
            assert_eq!(Rules { lease, ..Rules::default() }.checked(), Err(RulesError::Lease(seconds)));
        }
        for per_node in [0, MAX_PER_NODE + 1] {
            let rules = Rules { per_node, ..Rules::default() };
            assert_eq!(rules.checked(), Err(RulesError::PerNode(per_node)));
        }
        for (low, high) in [(1, 1), (40, 50), (MAX_PEERS, MAX_PEERS)] {
            assert!(Rules { low, high, ..Rules::default() }.checked().is_ok());
        }
    }
}
