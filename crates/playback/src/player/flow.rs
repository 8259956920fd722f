//! Whether the clock may run: what the viewer wants, against what the buffer holds.
//!
//! A state machine without a clock or a pipeline: the time is passed in.
//!
//! The rule is that a film starts as soon as it can and never waits for a *share* of itself. After an open
//! or a seek it runs once the first picture is there and the queue holds [`Flow::cushion`]; the queue telling
//! that it runs low is only a warning, as decoders and sinks still hold half a second; the film is held
//! when a sink has nothing to show *and* data are short.
//!
//! Each stall doubles the cushion: a line that is slower than the film makes few long waits, not a
//! hundred short ones, and a line that is fast enough never pays for it.

use std::time::{Duration, Instant};

/// What is put by before the first run, time of film. Measured with a 6 Mbit/s film on a 10 Mbit/s line: the
/// decoders' own queues hold another 0.3 s, together enough for uneven arrival; it costs 0.1 s of waiting
/// there, nothing on a faster line, and keeps the first second whole where clusters arrive unevenly (WebM).
pub(super) const FIRST_CUSHION: Duration = Duration::from_millis(600);

/// How much the queue behind the demuxer may hold, and so the largest cushion, time of film. GStreamer's own
/// 5 s (of which it waits for 3) would move the demuxer's reads that far ahead of the picture, and the
/// controller already reads ahead by minutes.
pub(super) const QUEUE: Duration = Duration::from_secs(2);

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Let the clock run, or stop it.
    Run(bool),
    /// The film stands still for want of data.
    Stalled,
    /// It runs again after this long.
    Resumed(Duration),
}

/// See the module's page.
#[derive(Debug)]
pub(super) struct Flow {
    wanted: bool,
    /// A first picture waits at the sinks, since the last open or seek.
    ready: bool,
    ended: bool,
    /// What the queue said last.
    low: bool,
    /// Stopped by us for want of data.
    held: bool,
    running: bool,
    /// Since when a stall lasts, and how much of it before a pause by the viewer.
    stalled: Option<Instant>,
    cushion: Duration,
}

impl Flow {
    pub(super) fn new() -> Self {
        Self {
            wanted: false,
            ready: false,
            ended: false,
            low: false,
            held: false,
            running: false,
            stalled: None,
            cushion: FIRST_CUSHION,
        }
    }

    /// How much film the queue must hold before a start.
    pub(super) fn cushion(&self) -> Duration {
        self.cushion
    }

    /// Whether the clock runs, as far as this knows.
    pub(super) fn is_running(&self) -> bool {
        self.running
    }

    /// The viewer wants to play, or to pause.
    pub(super) fn want(&mut self, now: Instant, play: bool) -> Vec<Step> {
        self.wanted = play;
        self.settle(now)
    }

    /// A seek went into the pipeline: what follows is a wait for its picture, no stall.
    pub(super) fn seeking(&mut self, now: Instant) -> Vec<Step> {
        self.ready = false;
        self.ended = false;
        self.held = false;
        self.settle(now)
    }

    /// The sinks have their first picture and sound.
    pub(super) fn prerolled(&mut self, now: Instant) -> Vec<Step> {
        if !self.ready {
            self.ready = true;
            self.held = self.low;
        }
        self.settle(now)
    }

    /// The queue holds `percent` of the cushion.
    pub(super) fn buffering(&mut self, now: Instant, percent: u8) -> Vec<Step> {
        self.low = percent < 100;
        if !self.low {
            self.held = false;
        }
        self.settle(now)
    }

    /// A sink has run out of what it should show now; `short` says whether that is for want of data.
    pub(super) fn dry(&mut self, now: Instant, short: bool) -> Vec<Step> {
        if !self.running || self.ended || !(self.low || short) {
            return Vec::new();
        }
        self.held = true;
        self.cushion = (self.cushion * 2).min(QUEUE * 9 / 10);
        self.stalled = Some(now);
        let mut steps = vec![Step::Stalled];
        steps.extend(self.settle(now));
        steps
    }

    /// There is enough again although the queue never said that it was low.
    pub(super) fn flowing(&mut self, now: Instant) -> Vec<Step> {
        if !self.low {
            self.held = false;
        }
        self.settle(now)
    }

    /// The film is over.
    pub(super) fn ended(&mut self, now: Instant) -> Vec<Step> {
        self.ended = true;
        self.held = false;
        self.settle(now)
    }

    /// Whether it is held for want of data without the queue having said so.
    pub(super) fn is_held_unasked(&self) -> bool {
        self.held && !self.low
    }

    fn settle(&mut self, now: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        let run = self.wanted && self.ready && !self.held;
        // A stall ends with what makes the viewer wait for something else: the run, a pause, a seek.
        let over = run || !self.wanted || !self.ready;
        if run != self.running {
            self.running = run;
            steps.push(Step::Run(run));
        }
        if over && let Some(since) = self.stalled.take() {
            steps.push(Step::Resumed(now.saturating_duration_since(since)));
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn running() -> (Flow, Instant) {
        let (mut flow, now) = (Flow::new(), Instant::now());
        flow.want(now, true);
        assert_eq!(flow.prerolled(now), [Step::Run(true)]);
        (flow, now)
    }

    #[test]
    fn runs_at_the_first_picture_when_the_queue_is_not_short() {
        let (mut flow, now) = (Flow::new(), Instant::now());
        assert_eq!(flow.buffering(now, 40), []);
        assert_eq!(flow.want(now, true), []);
        assert_eq!(flow.buffering(now, 100), []);
        assert_eq!(flow.prerolled(now), [Step::Run(true)]);
    }

    #[test]
    fn the_wait_for_a_start_is_no_stall() {
        let (mut flow, now) = (Flow::new(), Instant::now());
        flow.want(now, true);
        flow.buffering(now, 10);
        assert_eq!(flow.prerolled(now), []);
        assert_eq!(flow.dry(now, true), []);
        assert_eq!(flow.buffering(now + 50 * MS, 100), [Step::Run(true)]);
    }

    #[test]
    fn a_low_queue_is_a_warning_and_a_dry_sink_a_stall() {
        let (mut flow, now) = running();
        assert_eq!(flow.buffering(now, 0), []);
        assert_eq!(flow.dry(now, true), [Step::Stalled, Step::Run(false)]);
        assert_eq!(flow.dry(now, true), []);
        assert_eq!(flow.prerolled(now), []);
        assert_eq!(flow.buffering(now, 60), []);
        assert_eq!(flow.buffering(now + 700 * MS, 100), [Step::Run(true), Step::Resumed(700 * MS)]);
    }

    #[test]
    fn a_slow_decoder_is_no_stall() {
        let (mut flow, now) = running();
        assert_eq!(flow.dry(now, false), []);
    }

    #[test]
    fn a_stall_ends_with_a_pause_or_a_seek() {
        let (mut flow, now) = running();
        flow.dry(now, true);
        assert_eq!(flow.want(now + 5 * MS, false), [Step::Resumed(5 * MS)]);
        assert_eq!(flow.want(now, true), []);
        let (mut flow, now) = running();
        flow.dry(now, true);
        assert_eq!(flow.seeking(now + 9 * MS), [Step::Resumed(9 * MS)]);
        assert_eq!(flow.prerolled(now + 20 * MS), [Step::Run(true)]);
    }

    #[test]
    fn a_held_film_goes_on_when_reads_do_although_the_queue_said_nothing() {
        let (mut flow, now) = running();
        flow.dry(now, true);
        assert!(flow.is_held_unasked());
        assert_eq!(flow.flowing(now + 3 * MS), [Step::Run(true), Step::Resumed(3 * MS)]);
    }

    #[test]
    fn each_stall_asks_for_a_larger_cushion_up_to_the_queue() {
        let (mut flow, now) = running();
        for _ in 0..9 {
            flow.buffering(now, 0);
            flow.dry(now, true);
            flow.buffering(now, 100);
        }
        assert!(flow.cushion() < QUEUE && flow.cushion() > QUEUE / 2);
    }

    #[test]
    fn the_end_is_no_stall() {
        let (mut flow, now) = running();
        flow.ended(now);
        flow.buffering(now, 0);
        assert_eq!(flow.dry(now, true), []);
    }
}
