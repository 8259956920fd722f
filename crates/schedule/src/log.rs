//! Every event handled and every action decided, and their replay.
//!
//! An [`Entry`] is one line of JSON. A log that starts with [`Entry::Began`] and has no gap is a proof: fed
//! to a fresh schedule, its events must give its actions again.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, Because},
    event::Event,
    film::{Fetch, Film},
    recorded,
    schedule::Schedule,
};

/// What an undrained log holds at most, in entries (a set of blocks weighs one more for each of its runs):
/// about 2 MB, and more than a minute of a film at 6 Mbit/s.
const HEAVIEST: usize = 16 * 1024;

/// One line of the log. Times are µs since the schedule began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    /// The schedule began like this.
    Began {
        /// With this film.
        film: Film,
        /// To fetch so much.
        fetch: Fetch,
        /// With this seed.
        seed: u64,
    },
    /// This happened.
    Event {
        /// When.
        #[serde(with = "recorded::micros")]
        at: Duration,
        /// What.
        event: Event,
    },
    /// What to do was thought over; the actions that follow are what came of it.
    Planned {
        /// When.
        #[serde(with = "recorded::micros")]
        at: Duration,
    },
    /// This was decided.
    Action {
        /// When.
        #[serde(with = "recorded::micros")]
        at: Duration,
        /// What.
        action: Action,
        /// Why.
        because: Because,
    },
    /// The log was full, and this many entries that were here are lost.
    Forgotten(u64),
}

impl Entry {
    fn weight(&self) -> usize {
        let runs = match self {
            Self::Event {
                event:
                    Event::PeerHas { blocks, .. }
                    | Event::PeerLost { blocks, .. }
                    | Event::Verified { blocks, .. }
                    | Event::Failed { verified: blocks, .. }
                    | Event::Held(blocks)
                    | Event::Lost(blocks),
                ..
            } => blocks.run_count(),
            _ => 0,
        };
        1 + runs
    }
}

#[derive(Debug)]
pub(crate) struct Log {
    entries: VecDeque<Entry>,
    weight: usize,
    forgotten: u64,
}

impl Log {
    pub(crate) fn new(first: Entry) -> Self {
        Self { weight: first.weight(), entries: VecDeque::from([first]), forgotten: 0 }
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.weight += entry.weight();
        self.entries.push_back(entry);
        while self.weight > HEAVIEST
            && let Some(oldest) = self.entries.pop_front()
        {
            self.weight -= oldest.weight();
            self.forgotten += 1;
        }
    }

    pub(crate) fn drain(&mut self) -> Vec<Entry> {
        self.weight = 0;
        let forgotten = std::mem::take(&mut self.forgotten);
        let gap = (forgotten > 0).then_some(Entry::Forgotten(forgotten));
        gap.into_iter().chain(self.entries.drain(..)).collect()
    }
}

/// Why a log can't be replayed, or where it goes another way.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Divergence {
    /// It starts in the middle.
    #[error("the log doesn't start with how the schedule began, so its start was drained before or lost")]
    NoBeginning,
    /// A part is lost.
    #[error("{forgotten} entries before entry {entry} are lost: drain the log more often")]
    Gap {
        /// Where, counted from 0.
        entry: usize,
        /// How many.
        forgotten: u64,
    },
    /// The replay decides otherwise.
    #[error("entry {entry}, at {at:?}: the log says {recorded:?}, the replay {replayed:?}")]
    Differs {
        /// Where, counted from 0.
        entry: usize,
        /// When.
        at: Duration,
        /// What the log says; nothing if it says that all was decided.
        recorded: Option<Action>,
        /// What the replay decides; nothing if it decides nothing more.
        replayed: Option<Action>,
    },
}

/// Feeds a log's events to a fresh schedule and checks that it takes the log's decisions.
///
/// # Errors
/// When the log isn't whole, or at the first decision that differs.
pub fn replay(entries: impl IntoIterator<Item = Entry>) -> Result<(), Divergence> {
    let mut entries = entries.into_iter().enumerate().peekable();
    let Some((_, Entry::Began { film, fetch, seed })) = entries.next() else {
        return Err(Divergence::NoBeginning);
    };
    let mut schedule = Schedule::new(film, fetch, seed);
    let mut decided: VecDeque<(Duration, Action)> = VecDeque::new();
    while let Some((index, entry)) = entries.next() {
        match entry {
            Entry::Began { .. } => return Err(Divergence::NoBeginning),
            Entry::Forgotten(forgotten) => return Err(Divergence::Gap { entry: index, forgotten }),
            Entry::Action { at, action, .. } => {
                let replayed = decided.pop_front().map(|(_, action)| action);
                if replayed.as_ref() != Some(&action) {
                    return Err(Divergence::Differs { entry: index, at, recorded: Some(action), replayed });
                }
            }
            Entry::Event { at, event } => schedule.handle(at, event),
            Entry::Planned { at } => {
                decided.extend(std::iter::from_fn(|| schedule.poll(at)).map(|a| (at, a)))
            }
        }
        if matches!(entries.peek(), None | Some((_, Entry::Event { .. } | Entry::Planned { .. })))
            && let Some((at, action)) = decided.pop_front()
        {
            return Err(Divergence::Differs { entry: index, at, recorded: None, replayed: Some(action) });
        }
    }
    Ok(())
}
