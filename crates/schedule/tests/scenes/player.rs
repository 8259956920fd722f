//! A player as the schedule sees it: reads of 64 KiB, two seconds ahead of its clock, and a stopwatch.

use std::time::Duration;

use nearcast_protocol::{Blocks, Geometry};
use nearcast_schedule::{Event, Reader};

const READ: u64 = 64 * 1024;
/// The first picture needs about so much.
const PICTURE: u64 = 160 * 1024;
/// A clock that stood runs again with this much media.
const ENOUGH: Duration = Duration::from_millis(500);
const QUEUE: Duration = Duration::from_secs(2);

#[derive(Debug, PartialEq)]
enum Clock {
    /// Waits for the first picture and then for enough to run, since then.
    Filling(Duration),
    /// The media byte that was shown at that time.
    Running(u64, Duration),
}

#[derive(Debug)]
pub struct Player {
    film: Geometry,
    rate: u64,
    opened: bool,
    tail: Option<u64>,
    from: u64,
    at: u64,
    told_waiting: Option<u64>,
    picture: bool,
    clock: Clock,
    started: bool,
    /// From each start or seek to its first picture.
    pub pictures: Vec<Duration>,
    /// And until the clock ran.
    pub runs: Vec<Duration>,
    /// How long the clock stood in each stall.
    pub stalls: Vec<Duration>,
    pub ended: bool,
}

impl Player {
    pub fn new(film: Geometry, rate: u64, index_at_the_end: bool) -> Self {
        Self {
            film,
            rate,
            opened: false,
            tail: index_at_the_end.then(|| film.size() - 20_942),
            from: 0,
            at: 0,
            told_waiting: None,
            picture: false,
            clock: Clock::Filling(Duration::ZERO),
            started: false,
            pictures: Vec::new(),
            runs: Vec::new(),
            stalls: Vec::new(),
            ended: false,
        }
    }

    /// The byte whose read waits, if one does.
    pub fn waits_for(&self) -> Option<u64> {
        self.told_waiting
    }

    pub fn seek(&mut self, now: Duration, to: u64) {
        (self.from, self.at, self.picture, self.started) = (to, to, false, false);
        (self.clock, self.told_waiting, self.ended) = (Clock::Filling(now), None, false);
    }

    fn media(&self, bytes: u64) -> Duration {
        Duration::from_micros(bytes * 1_000_000 / self.rate)
    }

    fn shown(&self, now: Duration) -> u64 {
        match self.clock {
            Clock::Filling(_) => self.from,
            Clock::Running(byte, since) => byte + (now - since).as_micros() as u64 * self.rate / 1_000_000,
        }
    }

    pub fn step(&mut self, now: Duration, held: &Blocks) -> Vec<Event> {
        let reader = Reader(1);
        let mut events = Vec::new();
        if !self.opened {
            self.opened = true;
            self.clock = Clock::Filling(now);
            events.push(Event::ReaderOpened { reader });
        }
        let mut shown = self.shown(now);
        if shown > self.at && self.at < self.film.size() {
            self.clock = Clock::Filling(now);
            (self.from, shown) = (self.at, self.at);
        }
        while !self.ended && self.media(self.at - shown) < QUEUE {
            let bytes = match self.tail {
                Some(tail) if self.at > 0 => tail..self.film.size(),
                _ => self.at..(self.at + READ).min(self.film.size()),
            };
            let waiting = !held.contains_run(self.film.covering(bytes.clone()));
            if waiting {
                if self.told_waiting != Some(bytes.start) {
                    self.told_waiting = Some(bytes.start);
                    events.push(Event::Reading { reader, bytes, waiting });
                }
                break;
            }
            events.push(Event::Reading { reader, bytes: bytes.clone(), waiting });
            self.told_waiting = None;
            if self.tail.is_some() && bytes.end == self.film.size() {
                (self.tail, self.at) = (None, 0);
            } else {
                self.at = bytes.end;
            }
            self.ended = self.at >= self.film.size();
        }
        if let Clock::Filling(since) = self.clock {
            let ahead = self.at - self.from;
            if !self.picture && self.tail.is_none() && (ahead >= PICTURE || self.ended) {
                self.picture = true;
                self.pictures.push(now - since);
            }
            if self.picture && (self.media(ahead) >= ENOUGH || self.ended) {
                if self.started { &mut self.stalls } else { &mut self.runs }.push(now - since);
                self.started = true;
                self.clock = Clock::Running(self.from, now);
            }
        }
        events
    }
}
