//! Who decides what is fetched from whom.

use std::{fmt, str::FromStr, time::Duration};

use nearcast_protocol::Blocks;
use nearcast_schedule::{Action, Event, Fetch, Film, Schedule};
use serde::{Deserialize, Serialize};

use crate::baseline::{RarestFirst, Sequential};

/// Which scheduler every node of a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Brain {
    /// The one that is shipped, and lists by group.
    #[default]
    Shipped,
    /// In order from random peers of a random list.
    Sequential,
    /// In order within a window of bytes, the rarest first beyond it, from peers of a random list.
    Rarest,
}

impl Brain {
    /// All of them; the shipped one first.
    pub const ALL: [Self; 3] = [Self::Shipped, Self::Sequential, Self::Rarest];

    /// Whether its tracker knows of groups.
    pub fn knows_groups(self) -> bool {
        self == Self::Shipped
    }

    /// A scheduler for one film, beginning now.
    pub(crate) fn scheduler(self, film: Film, seed: u64) -> Box<dyn Scheduler> {
        match self {
            Self::Shipped => {
                Box::new(Shipped { schedule: Schedule::new(film, Fetch::WholeInBackground, seed), polls: 0 })
            }
            Self::Sequential => Box::new(Sequential::new(film, seed)),
            Self::Rarest => Box::new(RarestFirst::new(film, seed)),
        }
    }
}

impl fmt::Display for Brain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Shipped => "shipped",
            Self::Sequential => "sequential",
            Self::Rarest => "rarest",
        })
    }
}

impl FromStr for Brain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|brain| brain.to_string() == text);
        found.ok_or_else(|| format!("{text:?} is none of shipped, sequential, rarest"))
    }
}

/// What a node asks for decisions: the shipped schedule's own words.
pub(crate) trait Scheduler {
    /// Takes in what happened, at a time since it began.
    fn handle(&mut self, now: Duration, event: Event);

    /// What to do next.
    fn poll(&mut self, now: Duration) -> Option<Action>;

    /// What is held.
    fn held(&self) -> &Blocks;
}

/// The schedule as it is shipped; its log is thrown away.
struct Shipped {
    schedule: Schedule,
    polls: u32,
}

/// A log is drained each so many polls: it is a ring of megabytes, and there are thousands of them.
const DRAIN: u32 = 512;

impl Scheduler for Shipped {
    fn handle(&mut self, now: Duration, event: Event) {
        self.schedule.handle(now, event);
    }

    fn poll(&mut self, now: Duration) -> Option<Action> {
        self.polls += 1;
        if self.polls.is_multiple_of(DRAIN) {
            drop(self.schedule.log());
        }
        self.schedule.poll(now)
    }

    fn held(&self) -> &Blocks {
        self.schedule.held()
    }
}
