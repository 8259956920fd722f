//! A token bucket as plain arithmetic: the clock is passed in.

use std::time::{Duration, Instant};

/// The bucket counts in billionths of a byte, so that a rate times nanoseconds is exact.
const UNIT: i128 = 1_000_000_000;
/// What may pass at once after a pause, as a share of a second: 25 ms keeps a queue in the router short.
const BURST_SHARE: u64 = 40;
/// And never less, in bytes.
const LEAST_BURST: u64 = 4 << 10;

/// Lets `rate` bytes a second pass: over any stretch of `t` seconds at most `rate × t + burst`, and what was too large
/// for a burst once.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: Option<u64>,
    /// May be negative after something larger than the burst.
    level: i128,
    filled: Instant,
}

/// What became of an attempt to pass.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    Passed,
    /// Not before this instant.
    Later(Instant),
    /// Not until the rate changes: it is zero.
    Never,
}

impl Bucket {
    /// A full bucket; `None` lets everything pass.
    pub(crate) fn new(rate: Option<u64>, now: Instant) -> Self {
        Self { rate, level: burst(rate.unwrap_or(0)), filled: now }
    }

    /// Takes `bytes` out if there is enough.
    pub(crate) fn take(&mut self, bytes: usize, now: Instant) -> Attempt {
        let Some(rate) = self.rate else { return Attempt::Passed };
        self.fill(now);
        let price = bytes as i128 * UNIT;
        // Whatever is larger than the bucket can hold passes when it is full, and the next ones wait longer.
        let needed = price.min(burst(rate));
        if self.level >= needed {
            self.level -= price;
            return Attempt::Passed;
        }
        if rate == 0 {
            return Attempt::Never;
        }
        let missing = (needed - self.level).unsigned_abs();
        let nanos = missing.div_ceil(u128::from(rate));
        // A day is a bound on the arithmetic only: whoever waits looks again then.
        let wait = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        Attempt::Later(now + wait.min(Duration::from_secs(86_400)))
    }

    /// Changes the rate from now on; what has been saved up beyond the new burst is lost.
    pub(crate) fn set_rate(&mut self, rate: Option<u64>, now: Instant) {
        match self.rate {
            Some(_) => self.fill(now),
            // Nothing was counted without a limit, so nothing has been saved.
            None => self.level = 0,
        }
        self.filled = self.filled.max(now);
        self.rate = rate;
        self.level = self.level.min(burst(rate.unwrap_or(0)));
    }

    pub(crate) fn rate(&self) -> Option<u64> {
        self.rate
    }

    fn fill(&mut self, now: Instant) {
        let rate = self.rate.unwrap_or(0);
        let nanos = now.saturating_duration_since(self.filled).as_nanos();
        let gained = i128::try_from(nanos).unwrap_or(i128::MAX).saturating_mul(i128::from(rate));
        self.level = self.level.saturating_add(gained).min(burst(rate));
        self.filled = self.filled.max(now);
    }
}

/// What a full bucket holds.
fn burst(rate: u64) -> i128 {
    i128::from((rate / BURST_SHARE).max(LEAST_BURST)) * UNIT
}

#[cfg(test)]
mod tests {
    use nearcast_protocol::pieces::MAX_FRAGMENT;
    use proptest::{
        collection::vec,
        prelude::{any, prop_assert, proptest},
    };

    use super::*;

    #[test]
    fn a_steady_sender_gets_the_whole_rate() {
        let start = Instant::now();
        let (mut now, mut passed) = (start, 0u64);
        let mut bucket = Bucket::new(Some(1_000_000), now);
        while now < start + Duration::from_secs(10) {
            match bucket.take(MAX_FRAGMENT, now) {
                Attempt::Passed => passed += MAX_FRAGMENT as u64,
                Attempt::Later(then) => now = then,
                Attempt::Never => unreachable!("the rate is not zero"),
            }
        }
        assert!((9_900_000..=10_100_000).contains(&passed), "{passed}");
    }

    #[test]
    fn zero_stops_everything_and_none_nothing() {
        let now = Instant::now();
        let mut bucket = Bucket::new(Some(0), now);
        while bucket.take(1000, now) == Attempt::Passed {}
        assert_eq!(bucket.take(1000, now + Duration::from_secs(1 << 30)), Attempt::Never);
        bucket.set_rate(None, now);
        assert_eq!(bucket.take(usize::MAX, now), Attempt::Passed);
        // A limit that comes back starts with an empty bucket.
        bucket.set_rate(Some(1000), now);
        assert_eq!(bucket.take(1000, now), Attempt::Later(now + Duration::from_secs(1)));
    }

    proptest! {
        #[test]
        fn no_window_lets_more_than_rate_and_burst_pass(
            rate in 1u64..2_000_000_000,
            steps in vec((0u64..200_000_000, 0usize..=MAX_FRAGMENT), 1..80),
        ) {
            let start = Instant::now();
            let mut now = start;
            let mut bucket = Bucket::new(Some(rate), now);
            let mut passes: Vec<(Duration, u128)> = Vec::new();
            for (pause, bytes) in steps {
                now += Duration::from_nanos(pause);
                if bucket.take(bytes, now) == Attempt::Passed {
                    passes.push((now - start, bytes as u128));
                }
            }
            let allowed = burst(rate).unsigned_abs() + MAX_FRAGMENT as u128 * UNIT.unsigned_abs();
            for from in 0..passes.len() {
                let mut total = 0;
                for (at, bytes) in &passes[from..] {
                    total += bytes * UNIT.unsigned_abs();
                    let window = (*at - passes[from].0).as_nanos();
                    prop_assert!(total <= u128::from(rate) * window + allowed);
                }
            }
        }

        #[test]
        fn whoever_waits_as_told_passes(rate in 1u64..1_000_000_000, bytes in 1usize..=MAX_FRAGMENT) {
            let now = Instant::now();
            let mut bucket = Bucket::new(Some(rate), now);
            while bucket.take(MAX_FRAGMENT, now) == Attempt::Passed {}
            match bucket.take(bytes, now) {
                Attempt::Later(then) => prop_assert!(bucket.take(bytes, then) == Attempt::Passed),
                other => prop_assert!(other == Attempt::Passed),
            }
        }

        #[test]
        fn no_clock_and_no_rate_breaks_it(
            rates in vec(any::<Option<u64>>(), 1..9), nanos in any::<u64>(), bytes in any::<usize>(),
        ) {
            let now = Instant::now();
            let mut bucket = Bucket::new(None, now);
            for rate in rates {
                bucket.set_rate(rate, now + Duration::from_nanos(nanos / 4));
                bucket.take(bytes, now + Duration::from_nanos(nanos / 2));
                bucket.take(bytes, now);
            }
        }
    }
}
