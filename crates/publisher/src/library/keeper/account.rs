//! What is shown: the titles, and what was given of them.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use nearcast_protocol::{Group, ResourceId};
use tokio::time::Instant;

use super::{Counters, Keeper, PACE, SAVE_COUNTERS, Shelf, TIDY};
use crate::library::{
    given::{Given, GivenOf},
    title::{Hashing, Problem, Snapshot, Waiting},
};

impl Keeper {
    /// Takes in what the controller has given so far.
    pub(super) fn count_given(&mut self) {
        self.counted_at = Instant::now();
        let served = self.controller.served();
        let sizes: HashMap<_, _> =
            self.index.files.values().map(|record| (record.id, record.stamp.size)).collect();
        let mut given = Given::default();
        for id in self.given_before.keys().chain(served.keys()) {
            let mut counters = self.given_before.get(id).cloned().unwrap_or_default();
            let now = served.get(id).cloned().unwrap_or_default();
            for (group, bytes) in &now.networks {
                let sum = counters.networks.entry(group.0).or_default();
                *sum = sum.saturating_add(*bytes);
            }
            let size = sizes.get(id).copied().unwrap_or(0);
            counters.held = counters.held.max(size.saturating_mul(now.most_complete.into()));
            if counters != Counters::default() && self.index.given.get(id) != Some(&counters) {
                self.index.given.insert(*id, counters.clone());
                if !self.unsaved {
                    self.unsaved = true;
                    self.save_at = self.save_at.max(self.counted_at + SAVE_COUNTERS);
                }
            }
            let networks = counters.networks.iter().map(|(group, bytes)| (Group(*group), *bytes)).collect();
            let of = GivenOf {
                networks,
                held: counters.held,
                refused_busy: now.refused_busy,
                refused_enough: now.refused_enough,
                streams: now.streams,
                limit: self.controller.streams_each(),
                complete_terminals: now.complete_terminals,
                resting: now.resting,
            };
            given.resources.insert(*id, of);
        }
        self.library.given.send_if_modified(|shown| {
            let news = **shown != given;
            if news {
                *shown = Arc::new(given);
            }
            news
        });
        if self.tidied_at + TIDY <= self.counted_at {
            self.tidied_at = self.counted_at;
            self.controller.close_idle();
        }
    }

    pub(super) fn show(&mut self) {
        self.unshown = false;
        let began = Instant::now();
        let mut problems: Vec<_> = self
            .unreadable
            .iter()
            .chain(self.refused.iter().map(|(path, (_, why, _))| (path, why)))
            .map(|(path, reason)| Problem { path: path.clone(), reason: reason.clone() })
            .collect();
        for (path, up) in &self.up {
            let trouble = self.index.known.get(&up.link.id).and_then(|known| known.trouble.clone());
            problems.extend(trouble.map(|reason| Problem { path: path.clone(), reason }));
        }
        let state = || self.library.settings.state.clone();
        problems.extend(self.save_trouble.clone().map(|reason| Problem { path: state(), reason }));
        let reading = self.reading.iter().filter(|(_, reading)| reading.hashed);
        let mut hashing: Vec<_> = reading
            .map(|(path, reading)| Hashing {
                path: path.clone(),
                done: reading.done.load(Ordering::Relaxed),
                of: reading.stamp.size,
            })
            .collect();
        hashing.sort_by(|a, b| a.path.cmp(&b.path));
        let bytes = self.queue.iter().fold(0, |sum: u64, (size, _)| sum.saturating_add(*size));
        let roots = self.roots();
        let pictures = |id: &ResourceId| {
            let made = self.index.known.get(id).is_some_and(|known| known.pictures);
            if made { self.looker.pictures_of(id) } else { (None, None) }
        };
        let shelf =
            Shelf { up: &self.up, said: &self.said, roots: &roots, index: &self.index, pictures: &pictures };
        let snapshot = Snapshot {
            titles: shelf.titles(),
            hashing,
            waiting: Waiting { files: self.queue.len(), bytes },
            problems,
            looked: self.looked,
        };
        self.library.shown.send_replace(Arc::new(snapshot));
        // With very many titles, most of the time goes into other things than showing them.
        self.show_at = Instant::now() + PACE.max(began.elapsed() * 10);
        // Said once it can be seen.
        for (title, id) in self.news.drain(..) {
            tracing::info!(title, %id, "put up");
        }
    }
}
