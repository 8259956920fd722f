//! How a publisher keeps its load within bounds (上传控制, R7): which streams it takes.
//!
//! Two rules, and neither closes a stream that runs:
//!
//! - (a) At most so many streams for each resource. Whoever comes beyond that, the newest, is told to come back
//!   and whom to ask meanwhile.
//! - (b) Once so many terminals hold all of it, the publisher rests: newcomers are refused, except from a
//!   network in which nobody holds all of it. It serves again when there are clearly fewer.
//!
//! Pure: the clock is passed in, and what the trackers say comes as events.

use std::time::{Duration, Instant};

use nearcast_protocol::pieces::Reason;

/// When somebody is told to come back who found all places taken: a place is free every few seconds, where
/// streams end.
const BACK_IF_BUSY: Duration = Duration::from_secs(5);
/// When somebody is told to come back whom others can serve.
const BACK_IF_ENOUGH: Duration = Duration::from_secs(20);
/// What a tracker says of a network is believed for so long.
const FRESH: Duration = Duration::from_secs(10);

/// What a publisher's load is kept to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoadRules {
    /// How many complete terminals are enough (R7 b); 0 never rests.
    pub low: u32,
    /// Below which part of `low` it serves everyone again.
    pub resume: f64,
    /// How often the trackers are asked how many there are, while somebody is served.
    pub ask_every: Duration,
}

impl Default for LoadRules {
    fn default() -> Self {
        Self { low: 40, resume: 0.7, ask_every: Duration::from_secs(20) }
    }
}

/// What a tracker says of the network somebody comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Terminals there that hold all of it.
    pub complete: u32,
    /// When it was said.
    pub said: Instant,
}

/// What becomes of somebody who wants a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Serve,
    /// A tracker has to say first how many hold it, there and everywhere.
    Ask,
    Refuse {
        reason: Reason,
        retry_after: Duration,
    },
}

/// The load of one resource.
#[derive(Debug)]
pub(crate) struct Load {
    rules: LoadRules,
    complete: Option<u32>,
    resting: bool,
    ask_at: Option<Instant>,
}

impl Load {
    pub fn new(rules: LoadRules) -> Self {
        Self { rules, complete: None, resting: false, ask_at: None }
    }

    /// How many terminals hold all of it, as far as was said.
    pub fn complete(&self) -> Option<u32> {
        self.complete
    }

    /// Whether others are left to serve (R7 b).
    pub fn resting(&self) -> bool {
        self.resting
    }

    fn resume_below(&self) -> u32 {
        // At least one fewer, or it would rest and serve in turns.
        ((f64::from(self.rules.low) * self.rules.resume).ceil() as u32).min(self.rules.low)
    }

    /// A tracker says that so many terminals, publishers excluded, hold all of it and can be reached.
    pub fn counted(&mut self, now: Instant, complete: u32) {
        self.complete = Some(complete);
        self.ask_at = Some(now + self.rules.ask_every);
        self.resting = match self.rules.low {
            0 => false,
            low if complete >= low => true,
            _ => self.resting && complete >= self.resume_below(),
        };
    }

    /// No tracker says anything: asked again later, and what was known still counts.
    pub fn not_counted(&mut self, now: Instant) {
        self.ask_at = Some(now + self.rules.ask_every);
    }

    /// When to ask next how many there are, while `served` streams run.
    pub fn ask_at(&self, now: Instant, served: usize) -> Option<Instant> {
        (served > 0 && self.rules.low > 0).then(|| self.ask_at.unwrap_or(now))
    }

    /// What becomes of a newcomer; `full` says whether as many streams run as may (R7 a). `place` is what was said of its network;
    /// `asked` whether a tracker was asked about it just now, with or without an answer.
    pub fn arrives(&self, now: Instant, full: bool, place: Option<Place>, asked: bool) -> Verdict {
        if full {
            return Verdict::Refuse { reason: Reason::Busy, retry_after: BACK_IF_BUSY };
        }
        // Well below the mark nobody has to wait for a tracker's answer.
        let near = self.complete.is_some_and(|complete| complete >= self.resume_below());
        if self.rules.low == 0 || !(self.resting || near) {
            return Verdict::Serve;
        }
        let fresh = place.filter(|place| now.saturating_duration_since(place.said) < FRESH);
        match fresh {
            // Whom no tracker can say anything about is served: better once too often than nobody.
            None if asked => Verdict::Serve,
            None => Verdict::Ask,
            Some(_) if !self.resting => Verdict::Serve,
            Some(place) if place.complete == 0 => Verdict::Serve,
            Some(_) => Verdict::Refuse { reason: Reason::EnoughHolders, retry_after: BACK_IF_ENOUGH },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    const BUSY: Verdict = Verdict::Refuse { reason: Reason::Busy, retry_after: BACK_IF_BUSY };
    const ENOUGH: Verdict = Verdict::Refuse { reason: Reason::EnoughHolders, retry_after: BACK_IF_ENOUGH };

    fn counted(complete: u32) -> (Load, Instant) {
        let (mut load, now) = (Load::new(LoadRules::default()), Instant::now());
        load.counted(now, complete);
        (load, now)
    }

    fn place(complete: u32, said: Instant) -> Option<Place> {
        Some(Place { complete, said })
    }

    #[test]
    fn whoever_finds_all_places_taken_is_told_to_come_back() {
        let (load, now) = (Load::new(LoadRules::default()), Instant::now());
        assert_eq!(load.arrives(now, false, None, false), Verdict::Serve);
        assert_eq!(load.arrives(now, true, None, false), BUSY);
        // When one has left, the next is taken.
        assert_eq!(load.arrives(now, false, None, false), Verdict::Serve);
        // It holds for a network without any holder as well.
        assert_eq!(load.arrives(now, true, place(0, now), true), BUSY);
    }

    #[test]
    fn rests_at_forty_complete_terminals_except_for_a_network_without_any() {
        let (load, now) = counted(39);
        assert_eq!(load.arrives(now, false, place(9, now), true), Verdict::Serve);
        let (load, now) = counted(40);
        assert_eq!(load.arrives(now, false, place(1, now), true), ENOUGH);
        assert_eq!(load.arrives(now, false, place(0, now), true), Verdict::Serve);
    }

    #[test]
    fn goes_on_below_seven_tenths_and_not_before() {
        let (mut load, now) = counted(40);
        for (complete, verdict) in
            [(39, ENOUGH), (28, ENOUGH), (27, Verdict::Serve), (39, Verdict::Serve), (40, ENOUGH)]
        {
            load.counted(now, complete);
            assert_eq!(load.arrives(now, false, place(1, now), true), verdict, "{complete}");
        }
    }

    #[test]
    fn asks_only_where_the_answer_may_matter_and_serves_without_one() {
        let (load, now) = (Load::new(LoadRules::default()), Instant::now());
        assert_eq!(load.arrives(now, false, None, false), Verdict::Serve);
        let (load, now) = counted(27);
        assert_eq!(load.arrives(now, false, None, false), Verdict::Serve);
        let (load, now) = counted(28);
        assert_eq!(load.arrives(now, false, None, false), Verdict::Ask);
        assert_eq!(load.arrives(now, false, None, true), Verdict::Serve);
        // What was said long ago is asked again.
        let (load, now) = counted(40);
        assert_eq!(load.arrives(now + FRESH, false, place(1, now), false), Verdict::Ask);
    }

    #[test]
    fn counts_while_it_serves_and_not_otherwise() {
        let (mut load, now) = (Load::new(LoadRules::default()), Instant::now());
        assert_eq!((load.ask_at(now, 0), load.ask_at(now, 1)), (None, Some(now)));
        load.counted(now, 3);
        assert_eq!(load.ask_at(now, 1), Some(now + Duration::from_secs(20)));
        let never = Load::new(LoadRules { low: 0, ..LoadRules::default() });
        assert_eq!(never.ask_at(now, 1), None);
    }

    proptest! {
        /// Whatever is counted: nobody is taken beyond the bounds, and it rests exactly between the two marks.
        #[test]
        fn keeps_its_word(low in 0u32..60, counts: Vec<u8>, full: bool, there: u8, asked in any::<bool>()) {
            let rules = LoadRules { low, ..LoadRules::default() };
            let (mut load, now) = (Load::new(rules), Instant::now());
            let mut resting = false;
            for complete in counts {
                let complete = u32::from(complete);
                load.counted(now, complete);
                if low > 0 && complete >= low { resting = true }
                if f64::from(complete) < f64::from(low) * 0.7 { resting = false }
                prop_assert_eq!(load.resting(), resting);
                let verdict = load.arrives(now, full, place(there.into(), now), asked);
                prop_assert_eq!(verdict == BUSY, full);
                prop_assert_eq!(verdict == ENOUGH, !full && resting && there > 0);
                prop_assert!(verdict != Verdict::Ask);
            }
        }
    }
}
