//! Links out of a group that stands still (partition merging: Le Blond, Legout and Dabbous, Computer Networks
//! 55, 2011).
//!
//! R3 lists nobody from outside a group with enough holders. Should such a group miss a part of a film among
//! itself, it would miss it for good. So who stands still is told of a few holders outside, beside the list,
//! and what they fetch the group shares. How many of a group are told at a time is bounded, or a film that
//! nobody has whole would send everyone over the border.

use std::{collections::HashMap, time::Duration};

use clap::ValueEnum;
use nearcast_protocol::PeerId;
use serde::{Deserialize, Serialize};

use crate::{home::HomeId, identity::Identity, resources::Number, wheel::milliseconds};

/// Holders outside that one asker is told of.
pub(crate) const EACH: usize = 2;
/// Members of one group that are told for one resource at a time: about four links out of a network were
/// enough in the study above.
const AT_ONCE: usize = 4;
/// How long a member keeps its turn, in ms: time to dial, and to fetch what was missing.
const TURN: u64 = 60_000;
/// Who had a turn lets others come first for so long, in ms: who stands still asks every few seconds.
const REST: u64 = 15_000;
/// Groups and resources that are kept account of. Beyond them nobody is told until turns end.
const REMEMBERED: usize = 50_000;

/// Who is told of holders outside its group though that has enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum BridgePolicy {
    /// Nobody.
    Never,
    /// Whoever says that it stands still.
    #[default]
    Stalled,
    /// Whoever asks.
    Always,
}

/// Who has a turn, by resource and home.
#[derive(Debug, Default)]
pub(crate) struct Bridges {
    turns: HashMap<(Number, HomeId), [Turn; AT_ONCE]>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Turn {
    /// Eight bytes of its identity.
    who: u64,
    /// In ms.
    ends: u64,
}

impl Bridges {
    /// Whether this member may be told now. Who has a turn keeps it to its end; then others come first.
    pub fn admit(&mut self, now: Duration, resource: Number, home: HomeId, peer: &PeerId) -> bool {
        let now = milliseconds(now);
        if self.turns.len() >= REMEMBERED && !self.turns.contains_key(&(resource, home)) {
            self.turns.retain(|_, turns| turns.iter().any(|turn| turn.ends > now));
            if self.turns.len() >= REMEMBERED {
                return false;
            }
        }
        let turns = self.turns.entry((resource, home)).or_default();
        let who = fingerprint(peer);
        if let Some(own) = turns.iter().find(|turn| turn.who == who && now < turn.ends + REST) {
            return now < own.ends;
        }
        let free = turns.iter_mut().filter(|turn| turn.ends <= now);
        let Some(free) = free.min_by_key(|turn| turn.ends) else { return false };
        *free = Turn { who, ends: now + TURN };
        true
    }
}

fn fingerprint(peer: &PeerId) -> u64 {
    let identity = Identity::of(peer);
    let last = identity.bytes().last_chunk::<8>().copied().unwrap_or_default();
    // 0 is nobody.
    u64::from_le_bytes(last).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_at_a_time_and_everyone_in_turn() {
        let mut bridges = Bridges::default();
        let peers: Vec<_> = (0..10).map(|_| PeerId::random()).collect();
        let mut admitted = |seconds: u64| -> Vec<usize> {
            let now = Duration::from_secs(seconds);
            (0..peers.len()).filter(|peer| bridges.admit(now, 1, 1, &peers[*peer])).collect()
        };
        assert_eq!(admitted(1), [0, 1, 2, 3]);
        assert_eq!(admitted(30), [0, 1, 2, 3], "a turn is kept");
        assert_eq!(admitted(65), [4, 5, 6, 7], "then others have theirs");
        assert_eq!(admitted(130), [0, 1, 2, 3], "and at last the first again");
        assert!(bridges.admit(Duration::from_secs(130), 2, 1, &peers[9]), "another film has its own");
        assert!(bridges.admit(Duration::from_secs(130), 1, 2, &peers[9]), "another group has its own");
    }

    #[test]
    fn the_memory_is_bounded_and_given_back() {
        let (mut bridges, peer) = (Bridges::default(), PeerId::random());
        let now = Duration::from_secs(1);
        let admitted = (0..2 * REMEMBERED as u32).filter(|home| bridges.admit(now, 1, *home, &peer)).count();
        assert_eq!((admitted, bridges.turns.len()), (REMEMBERED, REMEMBERED));
        assert!(bridges.admit(now + Duration::from_millis(TURN), 1, u32::MAX, &peer));
        assert_eq!(bridges.turns.len(), 1);
    }
}
