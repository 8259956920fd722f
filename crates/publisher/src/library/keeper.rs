//! Keeps the library true to its folders: looks, hashes, offers, takes down, remembers.
//!
//! One task owns all that is known and takes one thing at a time; whatever takes long is a job of its.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nearcast_content::{ImportProgress, link_name};
use nearcast_protocol::{Group, Link, ResourceId, link::MAX_REPEATS};
use nearcast_transfer::Controller;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Inner, Order,
    given::{Given, GivenOf},
    grouping::{Shelf, Up},
    index::{Counters, Index, Record},
    looking::{self, Looker},
    scan::{self, Kind, Said, Scan, Stamp, kind_of},
    title::{Hashing, Problem, Snapshot, Waiting},
};

/// What happens within this time of a change in a folder is one look.
const GATHER: Duration = Duration::from_millis(300);
/// A file that is still being written is looked at again this soon.
const SOON: Duration = Duration::from_secs(1);
/// The least time between two looks, and between two snapshots.
const PACE: Duration = Duration::from_millis(200);
/// How often the index is written, if it has changed.
const SAVE: Duration = Duration::from_secs(2);
/// How often it is written for the counters alone: so much of them a crash may cost.
const SAVE_COUNTERS: Duration = Duration::from_secs(10);
/// When what failed is tried again without having changed: somebody may have given rights.
const RETRY: Duration = Duration::from_secs(60);
/// How often what was given is looked at.
const COUNT: Duration = Duration::from_secs(1);
/// How often files are closed that nobody asks for.
const TIDY: Duration = Duration::from_secs(60);
/// How long the tree of a file that is gone is kept: a disk that is away for a while costs no hashing.
const FORGET: u64 = 7 * 24 * 3600;
/// Smaller files are hashed beside others, since opening and syncing takes longer than reading.
const SMALL: u64 = 16 << 20;
const SMALL_AT_ONCE: usize = 8;
/// Larger ones never take the last place, so that what is added meanwhile doesn't wait for hours.
const LARGE: u64 = 8 << 30;

/// What a job has brought.
enum Done {
    Looked(Box<Scan>),
    Offered(PathBuf, Stamp, Result<Link, String>),
    Known(ResourceId, looking::Known),
    Pictured(ResourceId),
    Saved(Result<(), String>),
}

/// A file on its way up.
struct Reading {
    stamp: Stamp,
    done: Arc<AtomicU64>,
    cancelled: Arc<AtomicBool>,
    /// Whether it is hashed, or only offered again.
    hashed: bool,
}

pub(super) struct Keeper {
    library: Arc<Inner>,
    controller: Controller,
    looker: Looker,
    index: Index,
    said: BTreeMap<PathBuf, Said>,
    up: BTreeMap<PathBuf, Up>,
    queue: BTreeSet<(u64, PathBuf)>,
    reading: HashMap<PathBuf, Reading>,
    refused: BTreeMap<PathBuf, (Stamp, String, Instant)>,
    unreadable: BTreeMap<PathBuf, String>,
    /// What the last look found.
    found: BTreeMap<PathBuf, (Kind, Stamp)>,
    jobs: JoinSet<Done>,
    looking: bool,
    looked: bool,
    look_at: Instant,
    last_look: Instant,
    unsaved: bool,
    saving: bool,
    save_at: Instant,
    save_trouble: Option<String>,
    unshown: bool,
    show_at: Instant,
    counted_at: Instant,
    /// What was given before this start.
    given_before: BTreeMap<ResourceId, Counters>,
    tidied_at: Instant,
}

impl Keeper {
    pub fn new(library: Arc<Inner>, controller: Controller, index: Index) -> Self {
        let now = Instant::now();
        let looker = Looker::new(&library.settings);
        let given_before = index.given.clone();
        Self {
            library,
            controller,
            looker,
            index,
            said: BTreeMap::new(),
            up: BTreeMap::new(),
            queue: BTreeSet::new(),
            reading: HashMap::new(),
            refused: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            found: BTreeMap::new(),
            jobs: JoinSet::new(),
            looking: false,
            looked: false,
            look_at: now,
            last_look: now,
            unsaved: false,
            saving: false,
            save_at: now,
            save_trouble: None,
            unshown: true,
            show_at: now,
            counted_at: now,
            given_before,
            tidied_at: now,
        }
    }

    /// Works until it is stopped; then what is known is written, and no job is left.
    pub async fn run(mut self, mut orders: mpsc::Receiver<Order>, stop: CancellationToken) {
        let (told, mut changes) = mpsc::channel(1);
        let mut watcher = super::watching::Watcher::new(told);
        loop {
            watcher.follow(&self.roots());
            if !self.looking && self.look_at <= Instant::now() {
                self.look();
            }
            self.read_next();
            self.look_into_next();
            if self.unsaved && !self.saving && self.save_at <= Instant::now() {
                self.save();
            }
            if self.unshown && self.show_at <= Instant::now() {
                self.show();
            }
            let wake = self.next_wake();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(order) = orders.recv() => self.obey(order).await,
                Some(()) = changes.recv() => self.look_soon(GATHER),
                Some(done) = self.jobs.join_next() => if let Ok(done) = done { self.take(done).await },
                () = sleep_until(wake) => self.tick(),
            }
        }
        for reading in self.reading.values() {
            reading.cancelled.store(true, Ordering::Relaxed);
        }
        self.jobs.shutdown().await;
        self.count_given();
        let (index, folder) = (self.index, self.library.settings.state.clone());
        let written = tokio::task::spawn_blocking(move || index.write(&folder)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "what is known of the films can't be written");
        }
    }

    fn roots(&self) -> Vec<PathBuf> {
        self.library.settings.roots.iter().chain(&self.index.added).cloned().collect()
    }

    fn next_wake(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(3600);
        let look = if self.looking { far } else { self.look_at };
        let show = if self.unshown { self.show_at } else { far };
        let save = if self.unsaved && !self.saving { self.save_at } else { far };
        // Progress is shown while something is read.
        let progress = if self.reading.is_empty() { far } else { Instant::now() + PACE };
        look.min(show).min(save).min(progress).min(self.counted_at + COUNT)
    }

    fn tick(&mut self) {
        if !self.reading.is_empty() {
            self.unshown = true;
        }
        if self.counted_at + COUNT <= Instant::now() {
            self.count_given();
        }
    }

    fn changed(&mut self) {
        (self.unsaved, self.unshown) = (true, true);
        self.save_at = self.save_at.min(Instant::now() + SAVE);
    }

    fn look_soon(&mut self, within: Duration) {
        // A folder that never rests is looked at all the same, though not without a break.
        let soonest = self.last_look + PACE.max(within);
        self.look_at = self.look_at.min(soonest.max(Instant::now() + within.min(GATHER)));
    }

    fn look(&mut self) {
        self.looking = true;
        self.last_look = Instant::now();
        let (roots, own) = (self.roots(), self.library.settings.state.clone());
        self.look_at = self.last_look + self.library.settings.rescan;
        self.jobs.spawn_blocking(move || Done::Looked(Box::new(scan::scan(&roots, &own, SystemTime::now()))));
    }

    async fn take(&mut self, done: Done) {
        match done {
            Done::Looked(scan) => self.settle(*scan),
            Done::Offered(path, stamp, result) => self.offered(&path, stamp, result).await,
            Done::Known(id, known) => {
                self.looker.finished(&id);
                if let Some(trouble) = &known.trouble {
                    tracing::info!(%id, trouble, "can't be looked into");
                }
                self.index.known.insert(id, known);
                self.changed();
            }
            Done::Pictured(id) => {
                self.looker.finished(&id);
                if let Some(known) = self.index.known.get_mut(&id) {
                    known.pictures = true;
                }
                self.changed();
            }
            Done::Saved(result) => {
                self.saving = false;
                self.save_at = Instant::now() + SAVE;
                if let Err(why) = &result {
                    // Tried again until it works: nothing is lost as long as this program runs.
                    self.unsaved = true;
                    if self.save_trouble.as_ref() != Some(why) {
                        tracing::warn!(why, "the index can't be written");
                    }
                }
                let trouble = result.err();
                self.unshown |= trouble != self.save_trouble;
                self.save_trouble = trouble;
            }
        }
    }

    /// Takes in what a look has found.
    fn settle(&mut self, scan: Scan) {
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
    fn follow_renames(&mut self) {
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
    fn take_down(&mut self, path: &Path) {
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
    fn forget_the_long_gone(&mut self) {
        let before = seconds(SystemTime::now()).saturating_sub(FORGET);
        let old = |record: &Record| record.gone.is_some_and(|gone| gone < before);
        let ids: BTreeSet<_> =
            self.index.files.values().filter(|record| old(record)).map(|record| record.id).collect();
        self.index.files.retain(|_, record| !old(record));
        ids.into_iter().for_each(|id| self.forget(id));
    }

    /// Forgets content that no file has any more.
    fn forget(&mut self, id: ResourceId) {
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
            Done::Saved(Ok(()))
        });
    }

    /// Starts what may be read now, the smallest first.
    fn read_next(&mut self) {
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
    fn offer(&mut self, path: PathBuf, stamp: Stamp, known: Option<ResourceId>) {
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

    async fn offered(&mut self, path: &Path, stamp: Stamp, result: Result<Link, String>) {
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
                self.refused.insert(path.to_owned(), (stamp, why, Instant::now()));
            }
        }
    }

    fn put_up(&mut self, path: &Path, stamp: Stamp, link: Link) {
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
        tracing::info!(title = name, %id, "put up");
        let added = UNIX_EPOCH + Duration::from_secs(added);
        self.up.insert(path.to_owned(), Up { link, modified: stamp.modified(), added });
    }

    /// Lists a file that is held back, without offering it.
    fn list_held(&mut self, path: &Path, stamp: Stamp, id: ResourceId) {
        let mut trackers = self.controller.settings().trackers.clone();
        trackers.truncate(MAX_REPEATS);
        let link =
            Link { id, name: link_name(path), size: stamp.size, trackers, sources: Vec::new(), token: None };
        let added = self.index.files.get(path).map_or(0, |record| record.added);
        let added = UNIX_EPOCH + Duration::from_secs(added);
        self.up.insert(path.to_owned(), Up { link, modified: stamp.modified(), added });
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Rescan => {
                self.refused.clear();
                self.look_at = Instant::now();
            }
            Order::Add(path) => {
                let below = self.index.files.iter().filter(|(file, _)| file.starts_with(&path));
                let ids: Vec<_> = below.map(|(_, record)| record.id).collect();
                ids.iter().for_each(|id| {
                    self.index.removed.remove(id);
                });
                if !self.roots().iter().any(|root| path.starts_with(root)) {
                    self.index.added.insert(path);
                }
                self.look_at = Instant::now();
                self.changed();
            }
            Order::Remove(key) => {
                for id in self.ids_of(&key) {
                    self.index.removed.insert(id);
                    self.index.held.remove(&id);
                    self.up.retain(|_, up| up.link.id != id);
                    self.controller.withhold(&id);
                }
                self.changed();
            }
            Order::Hold(key, held) => {
                for id in self.ids_of(&key) {
                    if held {
                        self.index.held.insert(id);
                        self.controller.withhold(&id);
                    } else if self.index.held.remove(&id) {
                        // Offered again by the next look.
                        self.up.retain(|_, up| up.link.id != id);
                        self.look_at = Instant::now();
                    }
                }
                self.changed();
            }
            Order::Rename(key, name) => {
                let ids = self.ids_of(&key);
                ids.iter().for_each(|id| {
                    self.index.names.remove(id);
                });
                if let Some(name) = name {
                    self.index.names.insert(key, name);
                }
                self.changed();
            }
        }
        // Whoever gave the order sees what came of it.
        self.show();
    }

    /// All that a title consists of.
    fn ids_of(&self, key: &ResourceId) -> Vec<ResourceId> {
        let snapshot = self.library.shown.borrow().clone();
        snapshot.title(key).map(|title| title.links().map(|link| link.id).collect()).unwrap_or_default()
    }

    /// Has the next film looked into, then pictured.
    fn look_into_next(&mut self) {
        let films = self
            .up
            .iter()
            .filter(|(path, up)| kind_of(path) == Some(Kind::Film) && !self.index.held.contains(&up.link.id));
        for (path, up) in films {
            if self.looker.busy() {
                return;
            }
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
    }

    /// Takes in what the controller has given so far.
    fn count_given(&mut self) {
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
                limit: self.controller.settings().streams,
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

    fn save(&mut self) {
        (self.unsaved, self.saving) = (false, true);
        let (index, folder) = (self.index.clone(), self.library.settings.state.clone());
        self.jobs.spawn_blocking(move || {
            Done::Saved(index.write(&folder).map_err(|error| format!("can't be written: {error}")))
        });
    }

    fn show(&mut self) {
        self.unshown = false;
        self.show_at = Instant::now() + PACE;
        let mut problems: Vec<_> = self
            .unreadable
            .iter()
            .map(|(path, why)| (path, why))
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
        let pictures = |id: &ResourceId| self.looker.pictures_of(id);
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
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
