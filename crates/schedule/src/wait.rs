//! Why the picture waits, in one sentence.

use std::{fmt, time::Duration};

use crate::{demand::missing, neighbour::Neighbour, rate::time_for, schedule::Schedule};

/// Why a reader waits. `Display` says it to a viewer, in English; the screen has its own words for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The user paused fetching.
    Paused,
    /// Nobody is connected.
    NoNeighbours,
    /// Nobody connected has the part that is needed now.
    NobodyHasIt {
        /// How many are connected.
        neighbours: usize,
    },
    /// The last block, which proves the link's size, has not come yet.
    SizeUnproved {
        /// How many are connected.
        neighbours: usize,
    },
    /// All who have the part asked to be left alone for a while.
    Refused {
        /// How many have it.
        holders: usize,
        /// How long until the first of them is asked again.
        retry_in: Duration,
    },
    /// All who have the part have stopped answering.
    Silent {
        /// How many have it.
        holders: usize,
        /// For how long none of them has sent anything.
        silence: Duration,
    },
    /// Those who have the part give less than the film needs.
    SlowNeighbours {
        /// How many have it.
        holders: usize,
        /// How many are connected.
        neighbours: usize,
        /// What the fastest of them gives, in bytes/s.
        fastest: u64,
        /// What they give together, in bytes/s.
        have: u64,
        /// What the film needs, in bytes/s.
        need: u64,
    },
    /// It will be here in a moment.
    OnItsWay {
        /// How many have it.
        holders: usize,
        /// How many are connected.
        neighbours: usize,
        /// About how long it takes.
        left: Duration,
    },
}

impl Schedule {
    /// Why the reader that has waited longest waits, or `None` if none does.
    pub fn why_waiting(&self, now: Duration) -> Option<Wait> {
        let (place, run, _) = self
            .readers
            .values()
            .filter_map(|place| self.waits_for(place).map(|(run, since)| (place, run, since)))
            .min_by_key(|(_, _, since)| *since)?;
        let neighbours = self.peers.len();
        if self.paused {
            return Some(Wait::Paused);
        }
        if neighbours == 0 {
            return Some(Wait::NoNeighbours);
        }
        let block = missing(&self.held, run.start);
        let having: Vec<_> =
            self.peers.values().filter(|neighbour| neighbour.blocks.contains(block)).collect();
        let holders = having.len();
        if holders == 0 {
            return Some(Wait::NobodyHasIt { neighbours });
        }
        if let Some(resting) =
            having.iter().map(|holder| holder.benched_for(now)).min().filter(|time| !time.is_zero())
        {
            let at_their_word = |holder: &&Neighbour| holder.bench.is_some_and(|bench| bench.at_its_word);
            if having.iter().all(at_their_word) {
                return Some(Wait::Refused { holders, retry_in: resting });
            }
        }
        if having.iter().all(|holder| holder.falters(now) || !holder.benched_for(now).is_zero()) {
            let silence =
                having.iter().map(|holder| now.saturating_sub(holder.heard)).min().unwrap_or_default();
            return Some(Wait::Silent { holders, silence });
        }
        if !self.proved {
            return Some(Wait::SizeUnproved { neighbours });
        }
        let rates = || having.iter().map(|holder| holder.rate(now));
        let (have, need) = (rates().sum(), self.pace(place));
        let fastest = rates().max().unwrap_or(0);
        if have < need {
            return Some(Wait::SlowNeighbours { holders, neighbours, fastest, have, need });
        }
        let ahead: u64 = having
            .iter()
            .filter(|holder| holder.requests.values().any(|request| request.blocks.contains(&block)))
            .map(|holder| holder.outstanding())
            .min()
            .unwrap_or(nearcast_protocol::BLOCK_BYTES);
        Some(Wait::OnItsWay { holders, neighbours, left: time_for(ahead, fastest) })
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kilo, seconds) = (|rate: u64| rate / 1000, |time: Duration| time.as_secs_f64());
        match *self {
            Self::Paused => f.write_str("fetching is paused"),
            Self::NoNeighbours => f.write_str("nobody who shares this film is connected yet"),
            Self::NobodyHasIt { neighbours: 1 } => {
                f.write_str("the only neighbour doesn't have this part of the film")
            }
            Self::NobodyHasIt { neighbours } => {
                write!(f, "none of the {neighbours} neighbours has this part of the film")
            }
            Self::SizeUnproved { neighbours } => {
                write!(f, "the film's end is checked first; {neighbours} of the neighbours can be asked")
            }
            Self::Refused { holders, retry_in } => {
                let who = Who(holders);
                write!(f, "{who} can't serve it now; trying again in {:.0} s", seconds(retry_in).ceil())
            }
            Self::Silent { holders, silence } => {
                write!(f, "nothing has come for {:.1} s; {} may have gone", seconds(silence), Who(holders))
            }
            Self::SlowNeighbours { holders, neighbours, fastest, need, .. } => {
                let have = if holders == 1 { "has" } else { "have" };
                let (fastest, need) = (kilo(fastest), kilo(need));
                write!(
                    f,
                    "{holders} of {neighbours} neighbours {have} this part; the fastest gives {fastest} kB/s, \
                     the film needs {need}"
                )
            }
            Self::OnItsWay { left, .. } => {
                write!(f, "this part is on its way: about {:.1} s", seconds(left))
            }
        }
    }
}

/// Those who have the part.
struct Who(usize);

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("the only neighbour with this part"),
            many => write!(f, "the {many} neighbours with this part"),
        }
    }
}
