//! The way of a file: hashed, offered, up, looked into, pictured.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nearcast_content::{ImportProgress, link_name};
use nearcast_protocol::{Link, ResourceId, link::MAX_REPEATS};
use tokio::time::Instant;

use super::{
    Done, Keeper, Kind, LARGE, Reading, Record, SMALL, SMALL_AT_ONCE, SOON, Stamp, Up, kind_of, seconds,
};

impl Keeper {
    /// Starts what may be read now, the smallest first.
    pub(super) fn read_next(&mut self) {
        let count = |small: bool| {
            let hashed = self.reading.values().filter(|reading| reading.hashed);
            hashed.filter(|reading| (reading.stamp.size <= SMALL) == small).count()
        };
        let (mut small, mut others) = (count(true), count(false));
        let most = self.library.settings.at_once.max(1);
        let mut next = Vec::new();
        for (size, path) in &self.queue {
            let places = if *size > LARGE && most > 1 { most - 1 } else { most };
            if self.reading.contains_key(path) {
                continue;
            }
            if *size <= SMALL && small < SMALL_AT_ONCE {
                small += 1;
            } else if *size > SMALL && others < places {
                others += 1;
            } else {
                break;
            }
            next.push((*size, path.clone()));
        }
        for (size, path) in next {
            self.queue.remove(&(size, path.clone()));
            if let Some((_, stamp)) = self.found.get(&path) {
                self.offer(path, *stamp, None);
            }
        }
    }

    /// Hashes a file if it isn't known, and offers it.
    pub(super) fn offer(&mut self, path: PathBuf, stamp: Stamp, known: Option<ResourceId>) {
        let (done, cancelled) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let hashed = known.is_none();
        let reading = Reading { stamp, done: Arc::clone(&done), cancelled: Arc::clone(&cancelled), hashed };
        self.reading.insert(path.clone(), reading);
        self.unshown = true;
        let controller = self.controller.clone();
        self.jobs.spawn(async move {
            let progress = move |now: ImportProgress| done.store(now.done, Ordering::Relaxed);
            let offered = controller.offer(&path, known, progress, cancelled).await;
            Done::Offered(path, stamp, offered.map_err(|error| error.to_string()))
        });
    }

    pub(super) async fn offered(&mut self, path: &Path, stamp: Stamp, result: Result<Link, String>) {
        let Some(reading) = self.reading.remove(path) else { return };
        self.changed();
        let metadata = tokio::fs::metadata(path).await;
        let now = metadata.and_then(|metadata| Stamp::of(&metadata)).ok();
        let as_it_was = now == Some(stamp);
        match result {
            Ok(link) if as_it_was && self.found.get(path).is_some_and(|(_, found)| *found == stamp) => {
                self.put_up(path, stamp, link);
            }
            Ok(link) => {
                // It went, or changed, while it was read.
                if !self.up.values().any(|up| up.link.id == link.id) {
                    self.controller.withhold(&link.id);
                }
                self.look_soon(SOON);
            }
            Err(_) if !as_it_was || reading.cancelled.load(Ordering::Relaxed) => self.look_soon(SOON),
            Err(why) => {
                tracing::warn!(file = %path.display(), why, "not put up");
                self.up.remove(path);
                self.refused.insert(path.to_owned(), (stamp, why, Instant::now()));
            }
        }
    }

    pub(super) fn put_up(&mut self, path: &Path, stamp: Stamp, link: Link) {
        self.refused.remove(path);
        let now = seconds(SystemTime::now());
        let before = self.index.files.get(path).cloned();
        let added = before.as_ref().map_or(now, |record| record.added);
        let id = link.id;
        self.index.files.insert(path.to_owned(), Record { stamp, id, added, gone: None });
        if let Some(before) = before.filter(|before| before.id != id) {
            self.forget(before.id);
        }
        if self.index.held.contains(&id) || self.index.removed.contains(&id) {
            // The same as something that isn't to be shared.
            self.controller.withhold(&id);
            if self.index.removed.contains(&id) {
                return;
            }
        }
        let name = Path::new(&link.name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        self.news.push((name, id));
        self.unlooked = true;
        let added = UNIX_EPOCH + Duration::from_secs(added);
        self.up.insert(path.to_owned(), Up { link, modified: stamp.modified(), added });
    }

    /// Offers what was held back. It stays listed meanwhile, so that the next order finds it.
    pub(super) fn offer_again(&mut self, id: ResourceId) {
        let paths: Vec<_> =
            self.up.iter().filter(|(_, up)| up.link.id == id).map(|(path, _)| path.clone()).collect();
        for path in paths {
            match self.found.get(&path).map(|(_, stamp)| *stamp) {
                Some(stamp) => self.offer(path, stamp, Some(id)),
                None => self.look_soon(Duration::ZERO),
            }
        }
    }

    /// Lists a file that is held back, without offering it.
    pub(super) fn list_held(&mut self, path: &Path, stamp: Stamp, id: ResourceId) {
        let mut trackers = self.controller.settings().trackers.clone();
        trackers.truncate(MAX_REPEATS);
        let link =
            Link { id, name: link_name(path), size: stamp.size, trackers, sources: Vec::new(), token: None };
        let added = self.index.files.get(path).map_or(0, |record| record.added);
        let added = UNIX_EPOCH + Duration::from_secs(added);
        self.up.insert(path.to_owned(), Up { link, modified: stamp.modified(), added });
    }

    /// Has the next film looked into, then pictured.
    pub(super) fn look_into_next(&mut self) {
        if !self.unlooked || self.looker.busy() {
            return;
        }
        let films = self
            .up
            .iter()
            .filter(|(path, up)| kind_of(path) == Some(Kind::Film) && !self.index.held.contains(&up.link.id));
        for (path, up) in films {
            let id = up.link.id;
            let known = self.index.known.get(&id);
            if self.looker.wants_facts(&id, known) {
                let facts = self.looker.facts(id, path.clone());
                self.jobs.spawn(async move { Done::Known(id, facts.await) });
                return;
            }
        }
        let films = self.up.iter().filter(|(path, _)| kind_of(path) == Some(Kind::Film));
        for (path, up) in films {
            let id = up.link.id;
            let Some(known) = self.index.known.get(&id) else { continue };
            if self.looker.wants_pictures(&id, known) {
                let pictures = self.looker.pictures(id, path.clone(), &known.facts);
                self.jobs.spawn(async move {
                    pictures.await;
                    Done::Pictured(id)
                });
                return;
            }
        }
        self.unlooked = false;
    }
}
