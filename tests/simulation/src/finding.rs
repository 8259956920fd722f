//! When a tracker is asked again: `transfer`'s `finding`, for one tracker.

use std::time::Duration;

/// As in `transfer`.
const SOONEST: Duration = Duration::from_secs(2);
const LATEST: Duration = Duration::from_secs(60);
const EAGER: [Duration; 4] = [
    Duration::from_millis(600),
    Duration::from_millis(1500),
    Duration::from_secs(4),
    Duration::from_secs(10),
];

#[derive(Debug, Default)]
pub(crate) struct Finding {
    due: Duration,
    under_way: bool,
    failures: u32,
    alone: bool,
    lonely: u32,
    answers: usize,
}

impl Finding {
    /// To be asked for the first time at this time.
    pub fn new(due: Duration) -> Self {
        Self { due, ..Self::default() }
    }

    /// Whether it is to be asked now; if so, it counts as being asked from here on.
    pub fn begin(&mut self, now: Duration, alone: bool) -> bool {
        let begins = !self.under_way && self.due <= now;
        if begins {
            (self.alone, self.under_way) = (alone, true);
        }
        begins
    }

    /// It has answered: when to ask again.
    pub fn found(&mut self, again: Duration, now: Duration) -> Duration {
        (self.under_way, self.failures) = (false, 0);
        let lonely = match self.alone {
            true => (SOONEST * 2_u32.saturating_pow(self.lonely)).min(LATEST),
            false => Duration::MAX,
        };
        self.lonely = if self.alone { (self.lonely + 1).min(6) } else { 0 };
        let eager = EAGER.get(self.answers).copied().unwrap_or(Duration::MAX);
        self.answers += 1;
        self.due = now + again.max(SOONEST).min(lonely).min(eager);
        self.due
    }

    /// It hasn't: when to ask again.
    pub fn failed(&mut self, now: Duration) -> Duration {
        self.under_way = false;
        self.due = now + (SOONEST / 2 * 2_u32.saturating_pow(self.failures)).min(LATEST);
        self.failures = (self.failures + 1).min(8);
        self.due
    }

    /// A peer came in of whom a list would tell: ask within a moment.
    pub fn ask_soon(&mut self, now: Duration) -> Duration {
        if self.failures == 0 {
            self.due = self.due.min(now + SOONEST);
        }
        self.due
    }
}
