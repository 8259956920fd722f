//! A viewer: reads two seconds ahead of its clock, goes where it is told, and holds a stopwatch.

use std::{collections::VecDeque, ops::Range, time::Duration};

use nearcast_protocol::{Blocks, Geometry};
use nearcast_schedule::{Event, Reader};

const READ: u64 = 64 * 1024;
/// The first picture needs about so much.
const PICTURE: u64 = 160 * 1024;
/// A clock that stood runs again with this much media.
const ENOUGH: Duration = Duration::from_millis(500);
const QUEUE: Duration = Duration::from_secs(2);
/// The size of the index, where it lies at the end.
const INDEX: u64 = 20_942;
const READER: Reader = Reader(1);
/// A clock isn't looked at more often than this.
const GLANCE: Duration = Duration::from_millis(1);

#[derive(Debug, Clone, Copy)]
enum Clock {
    /// Waits for the first picture and then for enough to run, since then.
    Filling(Duration),
    /// The media byte that was shown at that time.
    Running(u64, Duration),
}

/// Where a viewer goes, and how much of the film it watches there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leg {
    pub from: u64,
    pub watch: Option<Duration>,
}

/// What a viewer saw of a leg.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct View {
    /// From the click or the seek to the first picture.
    pub picture: Option<Duration>,
    /// And until the clock ran.
    pub runs: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct Player {
    film: Geometry,
    rate: u64,
    legs: VecDeque<Leg>,
    leg: Leg,
    began: Duration,
    /// How long the clock has run on this leg, before it last began to.
    ran: Duration,
    opened: bool,
    tail: Option<u64>,
    from: u64,
    at: u64,
    told_waiting: Option<u64>,
    ended: bool,
    clock: Clock,
    /// One for each leg so far.
    pub views: Vec<View>,
    pub stalls: u32,
    pub stalled: Duration,
    pub played: Duration,
    /// Bytes that were read.
    pub read: u64,
    pub through: bool,
    /// When it is going to be looked at, as far as anybody knows.
    pub look_at: Option<Duration>,
}

impl Player {
    /// Somebody who clicks now and goes through these legs.
    pub fn new(film: Geometry, rate: u64, index_last: bool, legs: impl IntoIterator<Item = Leg>) -> Self {
        let mut legs: VecDeque<_> = legs.into_iter().collect();
        let leg = legs.pop_front().unwrap_or(Leg { from: 0, watch: None });
        Self {
            film,
            rate: rate.max(1),
            legs,
            leg,
            began: Duration::ZERO,
            ran: Duration::ZERO,
            opened: false,
            tail: index_last.then(|| film.size().saturating_sub(INDEX)),
            from: leg.from,
            at: leg.from,
            told_waiting: None,
            ended: false,
            clock: Clock::Filling(Duration::ZERO),
            views: Vec::new(),
            stalls: 0,
            stalled: Duration::ZERO,
            played: Duration::ZERO,
            read: 0,
            through: false,
            look_at: None,
        }
    }

    /// Whether more bytes are of use to it at once.
    pub fn waits(&self) -> bool {
        self.told_waiting.is_some() && !self.through
    }

    /// Goes on as far as it can with what is held; notes what it does in `events`, and returns when it is to
    /// be looked at again even if nothing arrives.
    pub fn step(&mut self, now: Duration, held: &Blocks, events: &mut Vec<Event>) -> Option<Duration> {
        if self.through {
            return None;
        }
        if !self.opened {
            self.opened = true;
            events.push(Event::ReaderOpened { reader: READER });
            self.begin(now);
        }
        loop {
            self.show(now);
            self.fill(now, held, events);
            self.start(now, events);
            let again = self.next_look(now);
            if again.is_none_or(|at| at > now) {
                return again;
            }
            if !self.leave(now) {
                return Some(now + GLANCE);
            }
            if self.through {
                events.push(Event::ReaderClosed { reader: READER });
                return None;
            }
        }
    }

    /// Counts a stall that lasts until the end of the run.
    pub fn stop(&mut self, now: Duration) {
        match self.clock {
            _ if self.through => {}
            Clock::Filling(since) if self.has_run() => self.stalled += now.saturating_sub(since),
            Clock::Filling(_) => {}
            Clock::Running(_, since) => self.played += now.saturating_sub(since),
        }
    }

    fn begin(&mut self, now: Duration) {
        (self.began, self.ran, self.clock) = (now, Duration::ZERO, Clock::Filling(now));
        self.views.push(View::default());
    }

    fn run_for(&mut self, time: Duration) {
        self.ran += time;
        self.played += time;
    }

    fn has_run(&self) -> bool {
        self.views.last().is_some_and(|view| view.runs.is_some())
    }

    fn media(&self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn shown(&self, now: Duration) -> u64 {
        match self.clock {
            Clock::Filling(_) => self.from,
            Clock::Running(byte, since) => {
                let bytes = now.saturating_sub(since).as_nanos() * u128::from(self.rate) / 1_000_000_000;
                byte + u64::try_from(bytes).unwrap_or(u64::MAX / 2)
            }
        }
    }

    /// Moves the clock; where it has run dry it stands.
    fn show(&mut self, now: Duration) {
        let shown = self.shown(now);
        if let Clock::Running(byte, since) = self.clock
            && shown > self.at
            && !self.ended
        {
            let dry = since + self.media(self.at.saturating_sub(byte));
            self.run_for(dry.saturating_sub(since));
            self.stalls += 1;
            (self.clock, self.from) = (Clock::Filling(dry.min(now)), self.at);
        }
    }

    fn next_read(&self) -> Range<u64> {
        match self.tail {
            Some(tail) if self.at > 0 => tail..self.film.size(),
            _ => self.at..(self.at + READ).min(self.film.size()),
        }
    }

    fn fill(&mut self, now: Duration, held: &Blocks, events: &mut Vec<Event>) {
        while !self.ended && self.media(self.at.saturating_sub(self.shown(now))) < QUEUE {
            let bytes = self.next_read();
            let waiting = !held.contains_run(self.film.covering(bytes.clone()));
            if waiting {
                if self.told_waiting != Some(bytes.start) {
                    self.told_waiting = Some(bytes.start);
                    events.push(Event::Reading { reader: READER, bytes, waiting });
                }
                return;
            }
            events.push(Event::Reading { reader: READER, bytes: bytes.clone(), waiting });
            self.told_waiting = None;
            self.read += bytes.end - bytes.start;
            if self.tail.is_some() && bytes.end == self.film.size() {
                (self.tail, self.at) = (None, self.leg.from);
            } else {
                self.at = bytes.end;
            }
            self.ended = self.at >= self.film.size();
        }
    }

    /// Shows the first picture, and lets the clock run, once there is enough for it.
    fn start(&mut self, now: Duration, events: &mut Vec<Event>) {
        let Clock::Filling(since) = self.clock else { return };
        let (began, ahead) = (self.began, self.at.saturating_sub(self.from));
        let enough = self.media(ahead) >= ENOUGH || self.ended;
        let has_run = self.has_run();
        let Some(view) = self.views.last_mut() else { return };
        if view.picture.is_none() && self.tail.is_none() && (ahead >= PICTURE || self.ended) {
            view.picture = Some(now - began);
            // Now the player knows the film's length, and says so.
            events.push(Event::BitRate(self.rate * 8));
        }
        if view.picture.is_some() && enough {
            view.runs.get_or_insert(now - began);
            if has_run {
                self.stalled += now - since;
            }
            self.clock = Clock::Running(self.from, now);
        }
    }

    fn leg_ends(&self) -> Option<Duration> {
        match self.clock {
            Clock::Running(_, since) => self.leg.watch.map(|watch| since + watch.saturating_sub(self.ran)),
            Clock::Filling(_) => None,
        }
    }

    fn next_look(&self, now: Duration) -> Option<Duration> {
        let clock = match self.clock {
            Clock::Filling(_) => None,
            Clock::Running(byte, since) => {
                let to = if self.ended {
                    self.film.size()
                } else if self.told_waiting.is_some() {
                    self.at + 1
                } else {
                    let queue = self.rate * QUEUE.as_secs();
                    (self.at + 1).saturating_sub(queue)
                };
                let at = since + self.media(to.saturating_sub(byte)) + Duration::from_nanos(1);
                // The end of the film is looked for exactly, all else at leisure.
                Some(if self.ended { at } else { at.max(now + GLANCE) })
            }
        };
        clock.into_iter().chain(self.leg_ends()).min()
    }

    /// Ends the leg if it is time; the next one begins, or all have been.
    fn leave(&mut self, now: Duration) -> bool {
        let over = self.leg_ends().is_some_and(|at| at <= now);
        let shown_all = self.ended && self.shown(now) >= self.film.size();
        if !over && !shown_all {
            return false;
        }
        if let Clock::Running(_, since) = self.clock {
            self.run_for(now - since);
        }
        let Some(leg) = self.legs.pop_front() else {
            self.through = true;
            return true;
        };
        (self.leg, self.from, self.at) = (leg, leg.from, leg.from);
        (self.told_waiting, self.ended) = (None, false);
        self.begin(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u64 = 1_000_000;

    fn run(player: &mut Player, mut now: Duration, until: Duration, held: &Blocks) -> Vec<Event> {
        let mut events = Vec::new();
        while now <= until
            && let Some(at) = player.step(now, held, &mut events)
        {
            assert!(at > now, "a look in the past would spin");
            now = at;
        }
        events
    }

    #[test]
    fn who_has_it_all_sees_it_all() {
        let film = Geometry::new(10 * RATE);
        let mut player = Player::new(film, RATE, false, [Leg { from: 0, watch: None }]);
        run(&mut player, Duration::ZERO, Duration::from_secs(60), &film.all());
        assert!(player.through);
        assert_eq!((player.stalls, player.stalled, player.read), (0, Duration::ZERO, film.size()));
        assert_eq!(player.views[0].runs, Some(Duration::ZERO));
        assert!(player.played.abs_diff(Duration::from_secs(10)) < Duration::from_millis(1));
    }

    #[test]
    fn a_clock_that_runs_dry_stands_until_half_a_second_is_there() {
        let film = Geometry::new(10 * RATE);
        let mut player = Player::new(film, RATE, false, [Leg { from: 0, watch: None }]);
        let events = run(
            &mut player,
            Duration::ZERO,
            Duration::from_secs(5),
            &film.all().intersection(&(0..61).into()),
        );
        assert!(player.waits());
        assert!(events.iter().any(|event| matches!(event, Event::Reading { waiting: true, .. })));
        let mut events = Vec::new();
        player.step(Duration::from_secs(6), &film.all(), &mut events);
        assert!(!player.waits());
        assert_eq!(player.stalls, 1);
        assert!(player.stalled > Duration::from_secs(5) && player.stalled < Duration::from_secs(6));
    }

    #[test]
    fn it_goes_where_it_is_told_and_reads_the_index_first() {
        let film = Geometry::new(10 * RATE);
        let legs = [
            Leg { from: 0, watch: Some(Duration::from_secs(2)) },
            Leg { from: 5 * RATE, watch: Some(Duration::from_secs(1)) },
        ];
        let mut player = Player::new(film, RATE, true, legs);
        let events = run(&mut player, Duration::ZERO, Duration::from_secs(60), &film.all());
        assert!(player.through && player.views.len() == 2);
        assert!(
            player.played.abs_diff(Duration::from_secs(3)) < Duration::from_millis(5),
            "{:?}",
            player.played
        );
        let reads = |from: u64| {
            events
                .iter()
                .position(|event| matches!(event, Event::Reading { bytes, .. } if bytes.start == from))
        };
        assert!(reads(film.size() - INDEX) == Some(2), "after the head");
        assert!(reads(5 * RATE).is_some());
        assert_eq!(events.last(), Some(&Event::ReaderClosed { reader: READER }));
    }
}
