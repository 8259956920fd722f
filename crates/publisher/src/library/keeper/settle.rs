//! Taking in what a look has found: what is new, what is gone, what has another name.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::atomic::Ordering,
    time::{Duration, SystemTime},
};

use nearcast_protocol::ResourceId;
use tokio::time::Instant;

use super::{Done, FORGET, Keeper, RETRY, Record, SOON, Scan, seconds};

impl Keeper {
    /// Takes in what a look has found.
    pub(super) fn settle(&mut self, scan: Scan) {
        self.looking = false;
        self.looked = true;
        if scan.unsettled {
            self.look_soon(SOON);
        }
        for (path, why) in &scan.unreadable {
            if self.unreadable.get(path) != Some(why) {
                tracing::warn!(file = %path.display(), why, "not put up");
            }
        }
        self.unreadable = scan.unreadable;
        self.said = scan.titles;
        self.found = scan.files;
        let now = seconds(SystemTime::now());
        let gone: Vec<_> = self.up.keys().filter(|path| !self.found.contains_key(*path)).cloned().collect();
        self.follow_renames();
        for (path, record) in &mut self.index.files {
            let is_there = self.found.contains_key(path);
            if record.gone.is_some() == is_there {
                record.gone = (!is_there).then_some(now);
                self.unsaved = true;
            }
        }
        for path in gone {
            self.take_down(&path);
        }
        self.refused.retain(|path, (stamp, ..)| self.found.get(path).is_some_and(|(_, now)| now == stamp));
        self.queue.clear();
        let now = Instant::now();
        let mut known = Vec::new();
        for (path, (_, stamp)) in &self.found {
            match self.reading.get(path) {
                Some(reading) if reading.stamp == *stamp => continue,
                Some(reading) => {
                    // It has changed meanwhile: what comes of it is thrown away, and then it is read again.
                    reading.cancelled.store(true, Ordering::Relaxed);
                    continue;
                }
                None => {}
            }
            if self.refused.get(path).is_some_and(|(.., when)| now.duration_since(*when) < RETRY) {
                continue;
            }
            match self.index.files.get(path) {
                Some(record) if record.stamp == *stamp => {
                    if self.index.removed.contains(&record.id) || self.up.contains_key(path) {
                        continue;
                    }
                    known.push((path.clone(), *stamp, record.id));
                }
                _ => {
                    self.queue.insert((stamp.size, path.clone()));
                }
            }
        }
        for (path, _) in self.queue.clone().into_iter().map(|(size, path)| (path, size)) {
            if self.up.contains_key(&path) {
                // What was there under this name is there no more.
                self.take_down(&path);
            }
        }
        for (path, stamp, id) in known {
            match self.index.held.contains(&id) {
                true => self.list_held(&path, stamp, id),
                false => self.offer(path, stamp, Some(id)),
            }
        }
        self.forget_the_long_gone();
        self.unshown = true;
    }

    /// A file that has another name now keeps what is known of it.
    pub(super) fn follow_renames(&mut self) {
        let new: Vec<_> = self
            .found
            .iter()
            .filter(|(path, (_, stamp))| self.index.files.get(*path).is_none_or(|r| r.stamp != *stamp))
            .map(|(path, (_, stamp))| (path.clone(), *stamp))
            .collect();
        if new.is_empty() {
            return;
        }
        for (path, stamp) in new {
            let old = self.index.renamed_from(&stamp, |old| self.found.contains_key(old));
            if let Some(record) = old.and_then(|old| self.index.files.remove(&old)) {
                self.index.files.insert(path, record);
                self.unsaved = true;
            }
        }
    }

    /// The file at a path is up no longer; its content is only if another file has it.
    pub(super) fn take_down(&mut self, path: &Path) {
        let Some(gone) = self.up.remove(path) else { return };
        self.unshown = true;
        let id = gone.link.id;
        let still_there = self.index.files.iter().any(|(other, record)| {
            record.id == id && self.found.get(other).is_some_and(|(_, stamp)| *stamp == record.stamp)
        });
        if still_there {
            // Under another name: whoever is up by it is offered anew, since its data lies there now.
            let twins: Vec<_> =
                self.up.iter().filter(|(_, up)| up.link.id == id).map(|(path, _)| path.clone()).collect();
            twins.iter().for_each(|twin| {
                self.up.remove(twin);
                self.look_soon(Duration::ZERO);
            });
            return;
        }
        self.controller.withhold(&id);
        tracing::info!(file = %path.display(), "taken down");
    }

    /// Frees what is kept of files that have been gone for long.
    pub(super) fn forget_the_long_gone(&mut self) {
        let before = seconds(SystemTime::now()).saturating_sub(FORGET);
        let old = |record: &Record| record.gone.is_some_and(|gone| gone < before);
        let ids: BTreeSet<_> =
            self.index.files.values().filter(|record| old(record)).map(|record| record.id).collect();
        self.index.files.retain(|_, record| !old(record));
        ids.into_iter().for_each(|id| self.forget(id));
    }

    /// Forgets content that no file has any more.
    pub(super) fn forget(&mut self, id: ResourceId) {
        if self.index.files.values().any(|record| record.id == id) {
            return;
        }
        self.index.known.remove(&id);
        self.index.held.remove(&id);
        self.looker.forget(&id);
        self.unsaved = true;
        let controller = self.controller.clone();
        self.jobs.spawn(async move {
            // It may never have got as far as the library.
            controller.remove(id, false).await.ok();
            Done::Forgotten
        });
    }
}
