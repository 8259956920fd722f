//! What arrives now, from a counter that only grows.

use std::{collections::VecDeque, time::Duration};

/// Over how long a rate is taken: long enough to be calm, short enough to be now.
const WINDOW: Duration = Duration::from_secs(2);

/// The rate of a counter over the last two seconds.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    samples: VecDeque<(Duration, u64)>,
}

impl Meter {
    /// Notes the counter and returns its growth in units/s.
    pub fn rate(&mut self, now: Duration, counter: u64) -> u64 {
        self.samples.push_back((now, counter));
        while self.samples.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= WINDOW) {
            self.samples.pop_front();
        }
        let Some((from, before)) = self.samples.front() else { return 0 };
        let elapsed = u64::try_from(now.saturating_sub(*from).as_millis()).unwrap_or(u64::MAX);
        counter.saturating_sub(*before).saturating_mul(1000).checked_div(elapsed).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_a_counter() {
        let mut meter = Meter::default();
        let mut rates = (0..100).map(|tick| meter.rate(Duration::from_millis(tick * 100), tick * 50_000));
        assert_eq!(rates.next(), Some(0));
        assert!(rates.all(|rate| rate == 500_000));
        let calm: Vec<_> =
            (100..130).map(|tick| meter.rate(Duration::from_millis(tick * 100), 4_950_000)).collect();
        assert_eq!(calm.last(), Some(&0));
    }
}
