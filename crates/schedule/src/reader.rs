//! Where a reader is, made of what it reads.
//!
//! A demuxer doesn't read a file from front to back: it looks at the tail for an index, alternates between
//! two places a second apart (sound and picture), reads a few bytes twice, bisects for a time stamp. A seek
//! is just a read somewhere else. So a reader has a few cursors, each a place it reads on from. A read that
//! continues none of them makes a new one, and the older ones are *parked*: fetching for them is leisure
//! until they are read from again.

use std::{collections::VecDeque, ops::Range, time::Duration};

use nearcast_protocol::Geometry;

/// How many reads back the lower end of a cursor is remembered.
const REMEMBERED_READS: usize = 16;
/// How far below its lowest remembered read a cursor is still continued, in bytes.
const BACKWARDS: u64 = 256 * 1024;
/// How far above, at least and at most; in between it is a second of media.
const FORWARDS: Range<u64> = 128 * 1024..1024 * 1024;
/// A cursor that others were read past for so long is left behind.
const LEFT_BEHIND: Duration = Duration::from_secs(5);
/// A parked cursor is forgotten after this.
const FORGOTTEN: Duration = Duration::from_secs(10);
/// Back at a parked cursor within this time, the others are kept: the reader alternates.
const ALTERNATING: Duration = Duration::from_secs(1);
const MOST_CURSORS: usize = 4;
/// Of one read, however long it says it is, no more than this counts.
const LONGEST_READ: u64 = 1024 * 1024;

/// A place that is read on from.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    ends: VecDeque<u64>,
    /// Where the next read is expected, in bytes.
    pub(crate) next: u64,
    touched: Duration,
    pub(crate) parked: Option<Duration>,
}

impl Cursor {
    fn new(now: Duration) -> Self {
        Self { ends: VecDeque::new(), next: 0, touched: now, parked: None }
    }

    /// The lowest place that the last reads left off at: an alternating reader comes back there.
    pub(crate) fn lowest(&self) -> u64 {
        self.ends.iter().copied().min().unwrap_or(self.next)
    }

    fn continues(&self, at: u64, bytes_per_second: u64) -> bool {
        let forwards = bytes_per_second.clamp(FORWARDS.start, FORWARDS.end);
        (self.lowest().saturating_sub(BACKWARDS)..=self.next.saturating_add(forwards)).contains(&at)
    }

    fn read(&mut self, now: Duration, next: u64) {
        self.touched = now;
        self.next = next;
        self.ends.push_back(next);
        if self.ends.len() > REMEMBERED_READS {
            self.ends.pop_front();
        }
    }
}

/// A read that blocks.
#[derive(Debug, Clone)]
pub(crate) struct Blocked {
    pub(crate) bytes: Range<u64>,
    pub(crate) since: Duration,
}

#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Thousandths of the filmed speed. A paused film may go on at any moment, so it counts as playing.
    pub(crate) speed: u64,
    pub(crate) cursors: Vec<Cursor>,
    pub(crate) blocked: Option<Blocked>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { speed: 1000, cursors: Vec::new(), blocked: None }
    }

    /// Takes a read in. Tells whether anything that matters for fetching has changed.
    pub(crate) fn read(
        &mut self,
        now: Duration,
        film: Geometry,
        bytes_per_second: u64,
        bytes: Range<u64>,
        waiting: bool,
    ) -> bool {
        let start = bytes.start.min(film.size());
        let end = bytes.end.clamp(start, film.size()).min(start.saturating_add(LONGEST_READ));
        // A read that waits hasn't moved on yet.
        let next = if waiting { start } else { end };
        let found = self.cursors.iter().position(|cursor| cursor.continues(start, bytes_per_second));
        let mut changed = waiting;
        let at = match found {
            Some(at) => {
                changed |= film.block_at(self.cursors[at].next) != film.block_at(next);
                at
            }
            None => {
                changed = true;
                if !is_tail(film, start) {
                    self.park_all(now);
                }
                if self.cursors.len() >= MOST_CURSORS {
                    let oldest = (0..self.cursors.len()).min_by_key(|at| self.cursors[*at].touched);
                    oldest.map(|at| self.cursors.remove(at));
                }
                self.cursors.push(Cursor::new(now));
                self.cursors.len() - 1
            }
        };
        if let Some(parked) = self.cursors[at].parked {
            changed = true;
            if now.saturating_sub(parked) > ALTERNATING {
                self.park_all(now);
            }
            self.cursors[at].parked = None;
        }
        self.cursors[at].read(now, next);
        self.forget(now);
        let since = match &self.blocked {
            Some(blocked) if waiting && blocked.bytes == bytes => blocked.since,
            _ => now,
        };
        changed |= self.blocked.is_some() && !waiting;
        self.blocked = waiting.then_some(Blocked { bytes: start..end, since });
        changed
    }

    fn park_all(&mut self, now: Duration) {
        for cursor in &mut self.cursors {
            cursor.parked.get_or_insert(now);
        }
    }

    fn forget(&mut self, now: Duration) {
        for cursor in &mut self.cursors {
            if now.saturating_sub(cursor.touched) > LEFT_BEHIND {
                cursor.parked.get_or_insert(now);
            }
        }
        self.cursors
            .retain(|cursor| cursor.parked.is_none_or(|parked| now.saturating_sub(parked) <= FORGOTTEN));
    }
}

/// Whether a place is where indices are looked for: a look there doesn't mean that the film goes on there.
fn is_tail(film: Geometry, at: u64) -> bool {
    at >= film.size().saturating_sub((film.size() / 64).max(1024 * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEBI: u64 = 1024 * 1024;
    const FILM: Geometry = Geometry::new(500 * MEBI);

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn read(place: &mut Place, now: Duration, at: u64, length: u64) -> bool {
        place.read(now, FILM, 750_000, at..at + length, false)
    }

    fn live(place: &Place) -> Vec<u64> {
        place.cursors.iter().filter(|cursor| cursor.parked.is_none()).map(|cursor| cursor.next).collect()
    }

    #[test]
    fn sound_and_picture_are_one_cursor_that_starts_at_the_lower() {
        let mut place = Place::new();
        for sample in 0..40 {
            read(&mut place, secs(0), sample * 4000, 4000);
            read(&mut place, secs(0), 115_000 + sample * 400, 400);
        }
        assert_eq!(place.cursors.len(), 1);
        assert!(place.cursors[0].lowest() <= 40 * 4000);
    }

    #[test]
    fn a_look_at_the_tail_keeps_the_head() {
        let mut place = Place::new();
        read(&mut place, secs(0), 0, 4096);
        read(&mut place, secs(0), 500 * MEBI - 20_942, 20_942);
        assert_eq!(live(&place), [4096, 500 * MEBI]);
        for second in 0..7 {
            read(&mut place, secs(second), 4096 + second * 65_536, 65_536);
        }
        assert_eq!(live(&place), [4096 + 7 * 65_536], "the tail is left behind in the end");
    }

    #[test]
    fn a_jump_parks_the_old_place_and_a_return_revives_it() {
        let mut place = Place::new();
        read(&mut place, secs(0), 0, 65_536);
        assert!(read(&mut place, secs(3), 200 * MEBI, 65_536));
        assert_eq!(live(&place), [200 * MEBI + 65_536]);
        assert!(read(&mut place, secs(8), 65_536, 65_536));
        assert_eq!(live(&place), [2 * 65_536], "a seek back parks what it leaves");
        read(&mut place, secs(30), 3 * 65_536, 65_536);
        assert_eq!(place.cursors.len(), 1);
    }

    #[test]
    fn two_far_places_read_in_turns_both_live() {
        let mut place = Place::new();
        for turn in 0..20 {
            read(&mut place, Duration::from_millis(turn * 200), turn * 65_536, 65_536);
            read(&mut place, Duration::from_millis(turn * 200 + 100), 9 * MEBI + turn * 65_536, 65_536);
        }
        assert_eq!(live(&place).len(), 2);
    }

    #[test]
    fn a_storm_of_seeks_leaves_few_cursors() {
        let mut place = Place::new();
        for seek in 0..1000u64 {
            read(&mut place, secs(0), (seek * 7919 % 490) * MEBI, 65_536);
            assert!(place.cursors.len() <= MOST_CURSORS);
        }
    }

    #[test]
    fn reads_beyond_the_end_and_backwards_are_harmless() {
        let mut place = Place::new();
        #[expect(clippy::reversed_empty_ranges)]
        place.read(secs(0), FILM, 750_000, 10..5, true);
        place.read(secs(0), FILM, 750_000, u64::MAX - 1..u64::MAX, true);
        place.read(secs(0), Geometry::new(0), 0, 0..10, true);
        assert!(place.cursors.iter().all(|cursor| cursor.next <= FILM.size()));
    }
}
