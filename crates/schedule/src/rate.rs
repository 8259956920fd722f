//! How fast a peer delivers.
//!
//! The rate is bytes over *busy* seconds, both fading with a time constant of five seconds, so that a peer
//! that had nothing to do isn't taken for a slow one. Fading is a rational function instead of an
//! exponential: `f64` division gives the same bits everywhere, `exp` doesn't, and a log must replay.

use std::time::Duration;

/// What a peer is believed to give until it has shown what it gives: 2 Mbit/s, in bytes/s.
pub(crate) const GUESS: u64 = 250_000;

const FADING_SECONDS: f64 = 5.0;
/// How many busy seconds the guess weighs: little, since the first pictures hang on the first answers.
const GUESS_SECONDS: f64 = 0.15;
/// After so long without work, what was measured is getting old.
const IDLE_SECONDS: f64 = 30.0;
/// No peer is believed to give less than this (bytes/s): it keeps times finite.
const FLOOR: u64 = 1_000;

/// How long `bytes` take at `rate` bytes/s.
pub(crate) fn time_for(bytes: u64, rate: u64) -> Duration {
    let micros = u128::from(bytes) * 1_000_000 / u128::from(rate.max(1));
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX / 4).min(u64::MAX / 4))
}

/// How many bytes come in `time` at `rate` bytes/s.
pub(crate) fn bytes_in(time: Duration, rate: u64) -> u64 {
    u64::try_from(time.as_micros() * u128::from(rate) / 1_000_000).unwrap_or(u64::MAX)
}

#[derive(Debug, Clone)]
pub(crate) struct Rate {
    bytes: f64,
    seconds: f64,
    guess: f64,
    updated: Duration,
    total: u64,
}

impl Rate {
    pub(crate) fn new(guess: u64, now: Duration) -> Self {
        Self { bytes: 0.0, seconds: 0.0, guess: guess as f64, updated: now, total: 0 }
    }

    /// Lets the time since the last call pass, in which the peer was `busy` or not, and `bytes` came.
    pub(crate) fn pass(&mut self, now: Duration, busy: bool, bytes: u64) {
        let passed = now.saturating_sub(self.updated).as_secs_f64();
        self.updated = self.updated.max(now);
        self.total = self.total.saturating_add(bytes);
        self.bytes += bytes as f64;
        let fade = if busy {
            self.seconds += passed;
            FADING_SECONDS / (FADING_SECONDS + passed)
        } else if passed > IDLE_SECONDS {
            IDLE_SECONDS / passed
        } else {
            1.0
        };
        self.bytes *= fade;
        self.seconds *= fade;
    }

    /// Halves the estimate, for a peer that let us down.
    pub(crate) fn halve(&mut self) {
        self.bytes /= 2.0;
        self.guess = (self.guess / 2.0).max(FLOOR as f64);
    }

    /// In bytes/s, as of now: the silence of a `busy` peer counts.
    pub(crate) fn get(&self, now: Duration, busy: bool) -> u64 {
        let silent = if busy { now.saturating_sub(self.updated).as_secs_f64() } else { 0.0 };
        let seconds = self.seconds + silent + GUESS_SECONDS;
        (((self.bytes + self.guess * GUESS_SECONDS) / seconds) as u64).max(FLOOR)
    }

    /// What it has shown, whatever was guessed before; in bytes/s.
    pub(crate) fn shown(&self) -> u64 {
        (self.bytes / self.seconds.max(GUESS_SECONDS / 2.0)) as u64
    }

    /// Whether the peer has delivered enough (two blocks) to be judged by it.
    pub(crate) fn is_proved(&self) -> bool {
        self.total >= 2 * nearcast_protocol::BLOCK_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// Feeds 16 KiB steps at `actual` bytes/s for `seconds`.
    fn feed(rate: &mut Rate, start: f64, seconds: f64, actual: f64) -> f64 {
        let mut at = start;
        while at < start + seconds {
            at += 16_384.0 / actual;
            rate.pass(secs(at), true, 16_384);
        }
        at
    }

    fn within(found: u64, expected: f64, tolerance: f64) -> bool {
        (found as f64 / expected - 1.0).abs() <= tolerance
    }

    #[test]
    fn finds_the_rate_within_a_second_and_follows_it() {
        let mut rate = Rate::new(GUESS, secs(0.0));
        let at = feed(&mut rate, 0.0, 1.0, 1_000_000.0);
        assert!(within(rate.get(secs(at), true), 1_000_000.0, 0.15));
        let at = feed(&mut rate, at, 15.0, 100_000.0);
        assert!(within(rate.get(secs(at), true), 100_000.0, 0.35), "{}", rate.get(secs(at), true));
    }

    #[test]
    fn idleness_is_not_slowness_but_silence_is() {
        let mut rate = Rate::new(GUESS, secs(0.0));
        let at = feed(&mut rate, 0.0, 5.0, 1_000_000.0);
        let before = rate.get(secs(at), true);
        assert_eq!(rate.get(secs(at + 20.0), false), before);
        assert!(rate.get(secs(at + 10.0), true) < before / 2);
    }

    #[test]
    fn what_was_measured_long_ago_gives_way_to_the_guess() {
        let mut rate = Rate::new(GUESS, secs(0.0));
        let at = feed(&mut rate, 0.0, 5.0, 4_000_000.0);
        rate.pass(secs(at + 3600.0), false, 0);
        assert!(rate.get(secs(at + 3600.0), false) < 1_500_000);
    }

    #[test]
    fn times_stay_finite() {
        assert!(time_for(u64::MAX, 0) + time_for(u64::MAX, 1) > Duration::ZERO);
        assert_eq!(time_for(250_000, 250_000), secs(1.0));
        assert_eq!(bytes_in(secs(2.0), 250_000), 500_000);
    }
}
