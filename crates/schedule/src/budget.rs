//! What may be thrown away so that something is in time.
//!
//! Taking a request from one peer and giving it to a faster one costs what has come of it. That is worth it for a
//! picture that would stand still; where all are too slow for the film everything is late, and going to and fro would
//! cost what little there is.

use std::{collections::VecDeque, time::Duration};

/// The time that counts.
const MINUTE: u64 = 60;
/// Of a thousand bytes that have come in it so many may be thrown away: the budget is 30, and what comes late of what
/// was taken back can only be guessed.
const SHARE: u64 = 25;
/// So much in any case: at a start little has come, and it matters most.
const FEW: u64 = 128 * 1024;

/// What has come and what was thrown away in the last minute.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    /// Each second, what came and what was thrown away in it.
    seconds: VecDeque<(u64, u64, u64)>,
}

impl Budget {
    /// Bytes have come.
    pub(crate) fn came(&mut self, now: Duration, bytes: u64) {
        self.add(now, bytes, 0);
    }

    /// So many bytes are going to be thrown away.
    pub(crate) fn spend(&mut self, now: Duration, bytes: u64) {
        self.add(now, 0, bytes);
    }

    /// Whether so many bytes may be thrown away as well.
    pub(crate) fn affords(&mut self, now: Duration, bytes: u64) -> bool {
        self.forget(now);
        let sum = |of: fn(&(u64, u64, u64)) -> u64| self.seconds.iter().map(of).sum::<u64>();
        let (came, thrown) = (sum(|second| second.1), sum(|second| second.2));
        thrown.saturating_add(bytes) <= FEW.max(came.saturating_mul(SHARE) / 1000)
    }

    fn add(&mut self, now: Duration, came: u64, thrown: u64) {
        let this = now.as_secs();
        match self.seconds.back_mut() {
            Some((second, all, gone)) if *second >= this => {
                *all = all.saturating_add(came);
                *gone = gone.saturating_add(thrown);
            }
            _ => {
                self.forget(now);
                self.seconds.push_back((this, came, thrown));
            }
        }
    }

    fn forget(&mut self, now: Duration) {
        let since = now.as_secs().saturating_sub(MINUTE - 1);
        while self.seconds.front().is_some_and(|(second, ..)| *second < since) {
            self.seconds.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_a_minute_is_all_there_is() {
        let (mut budget, at) = (Budget::default(), Duration::from_secs);
        assert!(budget.affords(at(0), FEW));
        budget.spend(at(0), FEW);
        assert!(!budget.affords(at(59), 1));
        assert!(budget.affords(at(60), 1), "what was thrown away a minute ago is forgotten");
        for second in 60..120 {
            budget.came(at(second), 1_000_000);
        }
        assert!(budget.affords(at(119), 1_500_000) && !budget.affords(at(119), 1_500_001));
        assert!(budget.seconds.len() <= 60);
        assert!(!budget.affords(at(1000), FEW + 1) && budget.seconds.is_empty());
    }
}
