//! What is wanted: a fetch begins, and the schedule follows those who read.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use nearcast_schedule::{Event, Fetch, Film, Reader, Schedule};

use super::{Done, Drive, name_of};
use crate::{
    length::{Unknown, length},
    trace::Trace,
    trackers::Trackers,
};

/// So often a film's header is looked at, as more of it comes.
pub(super) const LOOKS: u32 = 32;
/// The longest that a look needs at once, in bytes.
const LOOKED_AT: u64 = 8;

impl Drive {
    pub(super) fn fetch(&mut self, fetch: Fetch, trackers: &Trackers) {
        self.finding.add(&self.parts.shared.link.id, trackers);
        self.wanted = Some(fetch);
        if self.schedule.is_none() && !self.parts.shared.store.complete() {
            self.begin(fetch);
        }
    }

    /// Begins to fetch what is missing.
    pub(super) fn begin(&mut self, fetch: Fetch) {
        let store = &self.parts.shared.store;
        self.began = Instant::now();
        let film = Film {
            geometry: store.geometry(),
            bit_rate: self.bit_rate,
            size_proved: store.size_proved(),
            held: store.held(),
            own_group: self.group,
            own_name: name_of(self.parts.network.peer_id()),
        };
        self.proved = film.size_proved;
        let seed = rand::random();
        self.schedule = Some(Schedule::new(film, fetch, seed));
        if self.room.0.is_some() {
            self.handle(Event::Room(self.room.0));
        }
        if self.paused {
            self.handle(Event::Pause(true));
        }
        // Whoever is connected already may have what is wanted now.
        let joined: Vec<_> =
            self.peers.iter().map(|(peer, c)| (*peer, c.id, c.group, c.role, c.has.clone())).collect();
        for (peer, id, group, role, blocks) in joined {
            self.handle(Event::PeerJoined { peer, group, role, local: false, name: name_of(id) });
            self.handle(Event::PeerHas { peer, blocks });
        }
        self.open_trace();
        self.expect_sources();
        let found = self.parts.network.neighbours().borrow().clone();
        self.contacts.learn_neighbours(&found);
        self.follow_readers();
        self.look_for_length();
    }

    /// Looks at the film's header, if what it waits for is held by now.
    pub(super) fn look_for_length(&mut self) {
        let store = &self.parts.shared.store;
        let Some((at, looks)) = self.length else { return };
        let run = store.geometry().covering(at..at.saturating_add(LOOKED_AT));
        if self.schedule.is_none() || looks == 0 || !store.held().contains_run(run) {
            return;
        }
        self.length = None;
        let store = Arc::clone(store);
        self.jobs.spawn_blocking(move || {
            let read = |at, into: &mut [u8]| store.read_at(at, into).is_ok_and(|length| length == into.len());
            Done::Lasts(length(store.geometry().size(), read), looks - 1)
        });
    }

    pub(super) fn lasts(&mut self, lasts: Result<Duration, Unknown>, looks: u32) {
        match lasts {
            Ok(lasts) => {
                let bits = self.parts.shared.link.size as f64 * 8.0 / lasts.as_secs_f64();
                // A player that says it knows better.
                let news = self.parts.shared.readers.bit_rate.send_if_modified(|known| {
                    let unknown = known.is_none();
                    *known = Some(known.unwrap_or(bits as u64));
                    unknown
                });
                if news {
                    self.follow_readers();
                }
            }
            Err(Unknown::Awaits(at)) => {
                self.length = Some((at, looks));
                self.look_for_length();
            }
            Err(Unknown::Unsaid) => {}
        }
    }

    fn open_trace(&mut self) {
        let Some(path) = &self.parts.trace else { return };
        match Trace::create(path) {
            Ok(trace) => self.trace = Some(trace),
            Err(error) => tracing::warn!(path = %path.display(), %error, "the trace can't be written"),
        }
    }

    pub(super) fn follow_readers(&mut self) {
        let positions = self.parts.shared.readers.take();
        let bit_rate = *self.parts.shared.readers.bit_rate.borrow();
        if bit_rate != self.bit_rate {
            self.bit_rate = bit_rate;
            if let Some(bits) = bit_rate {
                self.handle(Event::BitRate(bits));
            }
        }
        if self.schedule.is_none() {
            return;
        }
        let gone: Vec<_> =
            self.readers.iter().filter(|number| !positions.contains_key(number)).copied().collect();
        for number in gone {
            self.readers.remove(&number);
            self.handle(Event::ReaderClosed { reader: Reader(number) });
        }
        for (number, position) in positions {
            let reader = Reader(number);
            let opened = self.readers.insert(number);
            if opened {
                self.handle(Event::ReaderOpened { reader });
            }
            if opened || position.news {
                self.handle(Event::Playback { reader, rate: position.rate });
                let waiting = position.waiting.is_some();
                if !position.bytes.is_empty() {
                    self.handle(Event::Reading { reader, bytes: position.bytes, waiting });
                }
            }
        }
    }
}
