//! What is wanted by when.
//!
//! A [`Lane`] is a run of blocks whose deadlines rise with their place: the road ahead of a cursor, the
//! bytes a reader waits for, the tail, the rest of the film. All that is wanted at a moment is a handful of
//! lanes, made anew for every plan from what the readers did; nothing is kept that could be forgotten.

use std::{ops::Range, time::Duration};

use nearcast_protocol::{BLOCK_BYTES, pieces::Class};

use crate::{
    action::Because,
    film::Fetch,
    rate::{bytes_in, time_for},
    reader::{Cursor, Place},
    schedule::Schedule,
};

/// Assumed while nobody has said (bit/s).
const BIT_RATE: u64 = 8_000_000;
/// What a bit rate or a playback speed can make of it (bytes/s).
const PACE: Range<u64> = 8_000..125_000_000;
/// The windows of DESIGN §5.5: how far ahead of the cursor each ends, in time of media.
const URGENT: Duration = Duration::from_secs(8);
const READY: Duration = Duration::from_secs(30);
pub(crate) const PREFETCH: Duration = Duration::from_secs(120);
/// What waits is due at once; this is how soon that can be.
pub(crate) const GRACE: Duration = Duration::from_millis(300);
/// How much of the head is fetched before a reader says what it wants.
const HEAD: Duration = Duration::from_secs(1);
const HEAD_BYTES: Range<u64> = 128 * 1024..2 * 1024 * 1024;
/// Where containers keep their index: fetched between the head's first half second and the rest. A reader
/// that wants it sooner will say so.
const TAIL_BYTES: u64 = 64 * 1024;
const TAIL_DUE: Duration = Duration::from_millis(500);
/// Of what a reader waits for, so much comes before everything else.
const WAITING_BYTES: u64 = 256 * 1024;

/// Which lanes go first, whatever the deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// The picture stands still for it.
    Waiting,
    /// By deadline.
    Window,
    /// When nothing else is wanted.
    Rest,
}

/// A run of blocks and their deadlines.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    pub(crate) blocks: Range<u64>,
    pub(crate) rank: Rank,
    pub(crate) because: Because,
    /// The deadline of the byte at `base` and of what lies before it.
    due: Duration,
    base: u64,
    /// Bytes/s with which the deadlines rise; none if all is due at once.
    pace: Option<u64>,
    /// No better class than this.
    class: Class,
}

impl Lane {
    fn at_once(blocks: Range<u64>, rank: Rank, because: Because, due: Duration, class: Class) -> Self {
        Self { blocks, rank, because, due, base: 0, pace: None, class }
    }

    /// How much media lies between the cursor and the block, in bytes; none if all is due at once.
    pub(crate) fn ahead(&self, block: u64) -> u64 {
        self.pace.map_or(0, |_| block.saturating_mul(BLOCK_BYTES).saturating_sub(self.base))
    }

    fn lead(&self, block: u64) -> Duration {
        self.pace.map_or(Duration::ZERO, |pace| time_for(self.ahead(block), pace))
    }

    pub(crate) fn deadline(&self, block: u64) -> Duration {
        self.due + self.lead(block)
    }

    pub(crate) fn class(&self, block: u64) -> Class {
        let lead = self.lead(block);
        let class = if lead < URGENT {
            Class::Urgent
        } else if lead < READY {
            Class::Ready
        } else {
            Class::Prefetch
        };
        class.max(self.class)
    }
}

impl Schedule {
    /// The media's bytes/s at 1.0.
    pub(crate) fn bytes_per_second(&self) -> u64 {
        (self.bit_rate.unwrap_or(BIT_RATE) / 8).clamp(PACE.start, PACE.end)
    }

    pub(crate) fn pace(&self, place: &Place) -> u64 {
        (self.bytes_per_second().saturating_mul(place.speed) / 1000).clamp(PACE.start, PACE.end)
    }

    /// All that is wanted now.
    pub(crate) fn demand(&self, now: Duration) -> Vec<Lane> {
        let mut lanes = Vec::new();
        let last = self.geometry.last();
        if !self.proved {
            // Nothing else can be judged before, so that it is due before whatever a reader waits for.
            let run = last..last + 1;
            lanes.push(Lane::at_once(run, Rank::Waiting, Because::SizeUnproved, now, Class::Urgent));
        }
        if self.fetch != Fetch::Whole {
            self.opening(now, &mut lanes);
        }
        for place in self.readers.values() {
            let waits = self.waits_for(place).inspect(|(run, since)| {
                let due = *since + GRACE;
                let run = run.clone();
                lanes.push(Lane::at_once(run, Rank::Waiting, Because::ReaderWaits, due, Class::Urgent));
            });
            // The clock stands while the reader waits.
            let due = if waits.is_some() { now + GRACE } else { now };
            // What a parked cursor may come back to has no place in a tight room.
            let tight = self.tight_room().is_some();
            let cursors = place.cursors.iter().filter(|cursor| !tight || cursor.parked.is_none());
            lanes.extend(cursors.map(|cursor| self.ahead_of(cursor, place, due)));
        }
        if self.proved && self.fetch != Fetch::AroundPlayhead && self.tight_room().is_none() {
            self.rest(now, &mut lanes);
        }
        lanes
    }

    /// What a reader waits for, and since when, unless it has come.
    pub(crate) fn waits_for(&self, place: &Place) -> Option<(Range<u64>, Duration)> {
        let blocked = place.blocked.as_ref()?;
        let run = self.geometry.covering(blocked.bytes.clone());
        let first = missing(&self.held, run.start).max(run.start);
        let end = run.end.min(first.saturating_add(WAITING_BYTES / BLOCK_BYTES));
        (first < end).then_some((first..end, blocked.since))
    }

    /// Head and tail, so that the film opens in one round trip wherever its index is.
    fn opening(&self, now: Duration, lanes: &mut Vec<Lane>) {
        if self.readers.values().all(|place| place.cursors.is_empty()) {
            let pace = self.bytes_per_second();
            let head = bytes_in(HEAD, pace).clamp(HEAD_BYTES.start, HEAD_BYTES.end);
            lanes.push(Lane {
                blocks: self.geometry.covering(0..head),
                rank: Rank::Window,
                because: Because::Ahead,
                due: now,
                base: 0,
                pace: Some(pace),
                class: Class::Urgent,
            });
        }
        if self.tail_wanted {
            lanes.push(Lane::at_once(
                self.tail(),
                Rank::Window,
                Because::Tail,
                now + TAIL_DUE,
                Class::Urgent,
            ));
        }
    }

    pub(crate) fn tail(&self) -> Range<u64> {
        let count = self.geometry.count();
        count.saturating_sub(TAIL_BYTES / BLOCK_BYTES)..count
    }

    fn ahead_of(&self, cursor: &Cursor, place: &Place, due: Duration) -> Lane {
        let pace = self.pace(place);
        let lowest = self.lowest(cursor);
        let (due, class) = match cursor.parked {
            Some(_) => (due + READY, Class::Prefetch),
            None => (due, Class::Urgent),
        };
        let window = self.window(pace);
        Lane {
            blocks: self.geometry.covering(lowest..cursor.next.saturating_add(window)),
            rank: Rank::Window,
            because: Because::Ahead,
            due,
            base: cursor.next,
            pace: Some(pace),
            class,
        }
    }

    /// The rest: what will be played first comes first. While nobody watches, each schedule begins at a place
    /// of its own, so that neighbours who fetch at the same time have something to give one another instead
    /// of asking the source for the same blocks.
    fn rest(&self, now: Duration, lanes: &mut Vec<Lane>) {
        let live = |place: &&Place| place.cursors.iter().any(|cursor| cursor.parked.is_none());
        let cursor = self.readers.values().find(live).and_then(|place| {
            place.cursors.iter().filter(|cursor| cursor.parked.is_none()).map(Cursor::lowest).min()
        });
        let from = match cursor {
            Some(at) => self.geometry.block_at(at),
            None if self.fetch == Fetch::Whole => self.own_start(),
            None => 0,
        };
        for (run, due) in [(from..self.geometry.count(), PREFETCH), (0..from, 2 * PREFETCH)] {
            lanes.push(Lane::at_once(run, Rank::Rest, Because::Rest, now + due, Class::Background));
        }
    }
}

/// The first block at or after `from` that isn't in the set.
pub(crate) fn missing(set: &nearcast_protocol::Blocks, from: u64) -> u64 {
    set.run_at(from).map_or(from, |run| run.end)
}

#[cfg(test)]
mod tests {
    use nearcast_protocol::{Blocks, Geometry, Group};

    use super::*;
    use crate::{Event, Film, Reader};

    /// A film of 1 MB/s, a thousand seconds long.
    fn schedule(fetch: Fetch, size_proved: bool) -> Schedule {
        let film = Film {
            geometry: Geometry::new(1_000_000_000),
            bit_rate: Some(8_000_000),
            size_proved,
            held: Blocks::new(),
            own_group: Group(1),
            own_name: 0,
        };
        Schedule::new(film, fetch, 0)
    }

    fn read(schedule: &mut Schedule, now: Duration, bytes: Range<u64>, waiting: bool) {
        schedule.handle(now, Event::Reading { reader: Reader(1), bytes, waiting });
    }

    /// The best class and the earliest deadline that any lane gives the block.
    fn wanted(schedule: &Schedule, now: Duration, byte: u64) -> Option<(Class, Duration)> {
        let block = byte / BLOCK_BYTES;
        let lanes = schedule.demand(now);
        let lanes = || lanes.iter().filter(|lane| lane.blocks.contains(&block));
        let class = lanes().map(|lane| lane.class(block)).min()?;
        Some((class, lanes().map(|lane| lane.deadline(block)).min()?))
    }

    #[test]
    fn windows_are_seconds_of_media() {
        let now = Duration::from_secs(100);
        let mut schedule = schedule(Fetch::AroundPlayhead, true);
        read(&mut schedule, now, 0..65_536, false);
        let class = |schedule: &Schedule, second: u64| {
            wanted(schedule, now, 65_536 + second * 1_000_000).map(|(class, _)| class)
        };
        let classes = [7, 9, 29, 31, 119, 121].map(|second| class(&schedule, second));
        let (urgent, ready, prefetch) = (Class::Urgent, Class::Ready, Class::Prefetch);
        let expected = [Some(urgent), Some(ready), Some(ready), Some(prefetch), Some(prefetch), None];
        assert_eq!(classes, expected);
        let (_, deadline) = wanted(&schedule, now, 65_536 + 10_000_000).unwrap();
        assert!(deadline.abs_diff(now + Duration::from_secs(10)) < Duration::from_millis(50));
        schedule.handle(now, Event::Playback { reader: Reader(1), rate: 2.0 });
        assert_eq!(class(&schedule, 14), Some(urgent));
        assert_eq!(class(&schedule, 239), Some(prefetch));
        schedule.handle(now, Event::Playback { reader: Reader(1), rate: 0.0 });
        assert_eq!(class(&schedule, 9), Some(ready), "paused, it may go on at any moment");
    }

    #[test]
    fn what_a_reader_waits_for_is_due_at_once_until_it_has_come() {
        let mut schedule = schedule(Fetch::AroundPlayhead, true);
        let now = Duration::from_secs(5);
        read(&mut schedule, now, 500_000_000..500_065_536, true);
        let later = Duration::from_secs(9);
        let waiting =
            |schedule: &Schedule| schedule.demand(later).into_iter().find(|lane| lane.rank == Rank::Waiting);
        let lane = waiting(&schedule);
        assert_eq!(lane.map(|lane| lane.deadline(30_518)), Some(now + GRACE));
        schedule.handle(later, Event::Held((30_517..30_522).into()));
        assert!(waiting(&schedule).is_none());
    }

    #[test]
    fn a_film_opens_at_both_ends_and_its_size_comes_first() {
        let now = Duration::ZERO;
        let schedule_of = |fetch| schedule(fetch, false);
        let first = |schedule: &Schedule| schedule.demand(now).into_iter().min_by_key(|lane| lane.rank);
        let playing = schedule_of(Fetch::WholeInBackground);
        let last = playing.geometry.last();
        assert_eq!(first(&playing).map(|lane| lane.blocks), Some(last..last + 1));
        assert!(wanted(&playing, now, 900_000).is_some());
        assert!(wanted(&playing, now, 999_950_000).is_some());
        assert_eq!(wanted(&playing, now, 500_000_000), None, "nothing else before the size is proved");
        let getting = schedule_of(Fetch::Whole);
        assert_eq!(getting.demand(now).len(), 1);
    }

    #[test]
    fn the_rest_begins_where_the_film_will_be_played_first() {
        let mut schedule = schedule(Fetch::WholeInBackground, true);
        read(&mut schedule, Duration::ZERO, 600_000_000..600_065_536, false);
        let rest: Vec<_> =
            schedule.demand(Duration::ZERO).into_iter().filter(|lane| lane.rank == Rank::Rest).collect();
        assert!(rest[0].blocks.start.abs_diff(600_000_000 / BLOCK_BYTES) <= 4);
        assert_eq!(rest[1].blocks, 0..rest[0].blocks.start);
        assert!(rest[0].deadline(0) < rest[1].deadline(0));
    }
}
