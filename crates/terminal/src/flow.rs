//! A rate from a count that grows.

use std::time::{Duration, Instant};

/// Over how long a rate is smoothed.
const OVER: Duration = Duration::from_secs(2);

/// How fast a count of bytes grows, smoothed over two seconds.
#[derive(Debug, Default)]
pub struct Flow {
    last: Option<(u64, Instant)>,
    rate: f64,
}

impl Flow {
    /// Notes the count at a moment. A count that shrinks starts anew.
    pub fn note(&mut self, bytes: u64, now: Instant) {
        let Some((before, then)) = self.last else {
            self.last = Some((bytes, now));
            return;
        };
        let passed = now.saturating_duration_since(then).as_secs_f64();
        if passed < 0.05 {
            return;
        }
        let grown = bytes.saturating_sub(before) as f64 / passed;
        let weight = 1.0 - (-passed / OVER.as_secs_f64()).exp();
        self.rate += (grown - self.rate) * weight;
        self.last = Some((bytes, now));
    }

    /// bytes/s.
    pub fn rate(&self) -> u64 {
        // A tail that would never reach zero.
        if self.rate < 50.0 { 0 } else { self.rate as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_flow_is_found_and_a_dead_one_ends_at_zero() {
        let start = Instant::now();
        let at = |n: u32| start + Duration::from_millis(250) * n;
        let mut flow = Flow::default();
        for n in 0..40 {
            flow.note(u64::from(n) * 250_000, at(n));
        }
        assert!((990_000..=1_000_000).contains(&flow.rate()), "{}", flow.rate());
        for n in 40..200 {
            flow.note(39 * 250_000, at(n));
        }
        assert_eq!(flow.rate(), 0);
    }
}
