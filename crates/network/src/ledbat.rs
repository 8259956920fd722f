//! How much of the line to use without others on it noticing: plain arithmetic, the clock is passed in.
//!
//! After LEDBAT (RFC 6817) and LEDBAT++ (draft-irtf-iccrg-ledbat-plus-plus): who sends more than a line takes makes a
//! queue in front of it, and a call on the same line waits in that queue. So the queue's delay is measured, the
//! sender's rate is cut as it passes [`TARGET`], and grows again below it. As others come, it is they who get the line.
//!
//! Two things differ. The delay is of the way there and back, since that is what a kernel tells; where the node itself
//! fetches much, its own downloads may be what delays, and the rate isn't cut below half of what the line has carried.
//! And the rate bounds a token bucket in front of all connections, not one connection's window.

use std::time::{Duration, Instant};

/// The most delay that the node adds to the line: what LEDBAT++ takes, and a call bears well.
const TARGET: Duration = Duration::from_millis(60);
/// How often the rate is thought over.
const INTERVAL: Duration = Duration::from_millis(100);
/// After a cut the queue takes two delays to show it, and never less than this.
const SETTLE: Duration = Duration::from_millis(200);
/// Samples that are farther apart belong to different bursts.
const PAUSE: Duration = Duration::from_secs(1);
/// What was found out about a line is forgotten after so long without sending.
const FORGET: Duration = Duration::from_secs(60);
/// The least rate, in bytes/s: who has the line to share goes on sharing a little.
const LEAST: u64 = 32 << 10;
/// Growth in an interval without delay, as a share of the rate; less the nearer the delay is to the target.
const GROWTH: f64 = 0.05;
/// A rate that isn't used to this share proves nothing, and doesn't grow.
const USED: f64 = 0.7;
/// How much an interval counts in what is carried: acknowledgements come in lumps on a slow line.
const SMOOTHING: f64 = 0.25;
/// The queue is let run dry now and then: a connection that began while it stood doesn't know the line without it.
const DRAIN_AFTER: Duration = Duration::from_secs(1);
const DRAIN_EVERY: Duration = Duration::from_secs(20);
const DRAIN: Duration = Duration::from_millis(400);
/// What is sent meanwhile, as a share of the rate.
const DRAINING: f64 = 0.25;

/// What one busy connection tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Bytes acknowledged since its last sample.
    pub(crate) acked: u64,
    /// Its round trip now, beyond the shortest it has seen.
    pub(crate) delay: Duration,
    /// Payload that the whole node has received since it started, in bytes.
    pub(crate) received: u64,
}

/// A node's share of its line.
#[derive(Debug, Default)]
pub(crate) struct Ledbat {
    /// Bytes/s; none until a queue was seen.
    rate: Option<f64>,
    /// What was acknowledged lately, and the most of it since the line is known, in bytes/s.
    carried: Option<f64>,
    peak: f64,
    interval: Option<Interval>,
    sampled: Option<Instant>,
    /// No further cut before this.
    settled: Option<Instant>,
    drain_at: Option<Instant>,
    draining_until: Option<Instant>,
}

#[derive(Debug)]
struct Interval {
    began: Instant,
    acked: u64,
    received: u64,
    /// The smallest of the connections': the line is common to all of them, what delays only one is beyond it.
    delay: Duration,
}

impl Ledbat {
    /// Takes a sample in; the rate from now on in bytes/s if it is thought over at this moment, `None` in it for no
    /// bound.
    pub(crate) fn sample(&mut self, now: Instant, sample: Sample) -> Option<Option<u64>> {
        let pause = self.sampled.map(|before| now.saturating_duration_since(before));
        self.sampled = Some(now);
        if pause.is_none_or(|pause| pause > FORGET) {
            *self = Self { sampled: Some(now), ..Self::default() };
        }
        if pause.is_none_or(|pause| pause > PAUSE) {
            self.interval = None;
        }
        let Some(interval) = &mut self.interval else {
            // What was acknowledged before is of an unknown time.
            let Sample { delay, received, .. } = sample;
            self.interval = Some(Interval { began: now, acked: 0, received, delay });
            return Some(self.bound(now));
        };
        interval.acked += sample.acked;
        interval.delay = interval.delay.min(sample.delay);
        let took = now.saturating_duration_since(interval.began);
        if took < INTERVAL {
            return None;
        }
        let acked = interval.acked as f64 / took.as_secs_f64();
        let received = sample.received.saturating_sub(interval.received) as f64 / took.as_secs_f64();
        let delay = interval.delay;
        self.interval =
            Some(Interval { began: now, acked: 0, received: sample.received, delay: Duration::MAX });
        self.think(now, delay, acked, received);
        Some(self.bound(now))
    }

    fn think(&mut self, now: Instant, delay: Duration, acked: f64, received: f64) {
        let carried = self.carried.map_or(acked, |carried| carried + (acked - carried) * SMOOTHING);
        self.carried = Some(carried);
        self.peak = self.peak.max(carried);
        if self.draining_until.is_some_and(|until| now < until) {
            return;
        }
        let queue = delay.as_secs_f64() / TARGET.as_secs_f64();
        if queue > 1.0 {
            if self.settled.is_some_and(|settled| now < settled) {
                return;
            }
            let least = if received > carried { self.peak / 2.0 } else { 0.0 };
            // What came through is what the line takes, whatever was allowed.
            let through = self.rate.map_or(carried, |rate| rate.min(carried));
            self.rate = Some((through * (2.0 - queue).max(0.5)).max(least).max(LEAST as f64));
            self.settled = Some(now + SETTLE.max(delay * 2));
            self.drain_at.get_or_insert(now + DRAIN_AFTER);
        } else if let Some(rate) = &mut self.rate
            && carried >= *rate * USED
        {
            *rate += *rate * GROWTH * (1.0 - queue);
        }
        if self.drain_at.is_some_and(|at| at <= now) {
            self.drain_at = Some(now + DRAIN_EVERY);
            self.draining_until = Some(now + DRAIN);
        }
    }

    fn bound(&self, now: Instant) -> Option<u64> {
        let draining = self.draining_until.is_some_and(|until| now < until);
        // Never so little that no connection is busy any more: none would be looked at again.
        self.rate.map(|rate| if draining { (rate * DRAINING).max(LEAST as f64) as u64 } else { rate as u64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MBIT: f64 = 125_000.0;
    const STEP: Duration = Duration::from_millis(10);

    /// A line of so many bytes/s with a router that queues up to two seconds of it.
    struct Line {
        capacity: f64,
        queued: f64,
        /// What others send on it, in bytes/s.
        others: f64,
        /// What the node fetches meanwhile, in bytes/s, and a delay that comes from that alone.
        fetching: f64,
        fetching_delay: f64,
        ledbat: Ledbat,
        rate: Option<u64>,
        now: Instant,
        received: f64,
        /// The longest and the sum of the node's own delays, and what it sent.
        worst: f64,
        sent: f64,
    }

    impl Line {
        fn new(capacity: f64) -> Self {
            Self {
                capacity,
                queued: 0.0,
                others: 0.0,
                fetching: 0.0,
                fetching_delay: 0.0,
                ledbat: Ledbat::default(),
                rate: None,
                now: Instant::now(),
                received: 0.0,
                worst: 0.0,
                sent: 0.0,
            }
        }

        /// Sends as much as it may for a while; the rate it came to, in bytes/s, and the longest delay.
        fn run(&mut self, time: Duration) -> (f64, f64) {
            (self.worst, self.sent) = (0.0, 0.0);
            let (step, end) = (STEP.as_secs_f64(), self.now + time);
            // What the sender hears of is as old as a round trip.
            let mut smooth = self.queued / self.capacity;
            while self.now < end {
                self.now += STEP;
                let wants = self.rate.map_or(self.capacity * 4.0, |rate| rate as f64);
                let came = wants + self.others;
                let carried = (self.queued / step + came).min(self.capacity);
                self.queued = (self.queued + (came - carried) * step).clamp(0.0, self.capacity * 2.0);
                let delay = self.queued / self.capacity;
                smooth += (delay - smooth) / 4.0;
                let own = carried * wants / came.max(1.0);
                self.received += self.fetching * step;
                let sample = Sample {
                    acked: (own * step) as u64,
                    delay: Duration::from_secs_f64(smooth + self.fetching_delay),
                    received: self.received as u64,
                };
                if let Some(rate) = self.ledbat.sample(self.now, sample) {
                    self.rate = rate;
                }
                self.worst = self.worst.max(delay);
                self.sent += own * step;
            }
            (self.sent / time.as_secs_f64(), self.worst)
        }
    }

    #[test]
    fn it_fills_a_line_of_its_own_and_keeps_its_queue_short() {
        for capacity in [1.0 * MBIT, 8.0 * MBIT, 100.0 * MBIT] {
            let mut line = Line::new(capacity);
            line.run(Duration::from_secs(4));
            let (rate, worst) = line.run(Duration::from_secs(60));
            assert!(rate >= capacity * 0.8, "{rate} of {capacity}");
            assert!(worst <= TARGET.as_secs_f64() * 2.5, "{worst} s at {capacity}");
        }
    }

    #[test]
    fn it_give_way_to_others_and_comes_back() {
        let mut line = Line::new(8.0 * MBIT);
        line.run(Duration::from_secs(10));
        line.others = 7.0 * MBIT;
        line.run(Duration::from_secs(5));
        let (rate, worst) = line.run(Duration::from_secs(20));
        assert!(rate <= 1.1 * MBIT, "{rate}");
        assert!(worst <= TARGET.as_secs_f64() * 2.0, "{worst}");
        line.others = 0.0;
        line.run(Duration::from_secs(10));
        let (rate, _) = line.run(Duration::from_secs(20));
        assert!(rate >= 6.4 * MBIT, "{rate}");
    }

    #[test]
    fn where_nothing_queues_nothing_is_bounded() {
        let (mut ledbat, start) = (Ledbat::default(), Instant::now());
        for step in 0..1000 {
            let sample = Sample { acked: 1 << 20, delay: TARGET / 2, received: 0 };
            let bound = ledbat.sample(start + STEP * step, sample);
            assert!(bound.is_none_or(|bound| bound.is_none()));
        }
    }

    #[test]
    fn its_own_downloads_take_half_of_it_at_most() {
        let mut line = Line::new(8.0 * MBIT);
        line.run(Duration::from_secs(10));
        (line.fetching, line.fetching_delay) = (50.0 * MBIT, 0.2);
        line.run(Duration::from_secs(5));
        let (rate, _) = line.run(Duration::from_secs(20));
        assert!(rate >= 3.5 * MBIT, "{rate}");
    }

    #[test]
    fn a_line_is_forgotten_after_a_long_pause() {
        let mut line = Line::new(8.0 * MBIT);
        line.run(Duration::from_secs(10));
        assert!(line.rate.is_some());
        let sample = Sample { acked: 0, delay: Duration::ZERO, received: 0 };
        let later = line.now + FORGET + STEP;
        assert_eq!(line.ledbat.sample(later, sample), Some(None));
        assert!(line.ledbat.rate.is_none());
    }
}
