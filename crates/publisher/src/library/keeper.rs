//! Keeps the library true to its folders: looks, hashes, offers, takes down, remembers.
//!
//! One task owns all that is known and takes one thing at a time; whatever takes long is a job of its.

mod account;
mod reading;
mod settle;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nearcast_protocol::{Link, ResourceId};
use nearcast_transfer::Controller;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Inner, Order,
    grouping::{Shelf, Up},
    index::{Counters, Index, Record},
    looking::{self, Looker},
    scan::{self, Kind, Said, Scan, Stamp, kind_of},
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
/// How often the log is told how far a long hashing is.
const TELL: Duration = Duration::from_secs(30);
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
    /// What was kept of content that no file has any more is thrown away.
    Forgotten,
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
    /// Who waits until what was ordered is on disk.
    ordered: Vec<oneshot::Sender<()>>,
    unshown: bool,
    /// Whether a film may be there that wasn't looked into.
    unlooked: bool,
    /// What was put up and isn't shown yet.
    news: Vec<(String, ResourceId)>,
    show_at: Instant,
    counted_at: Instant,
    /// What was given before this start.
    given_before: BTreeMap<ResourceId, Counters>,
    tidied_at: Instant,
    /// When the log was last told how far the hashing is.
    told_at: Instant,
}

impl Keeper {
    pub fn new(library: Arc<Inner>, controller: Controller, index: Index) -> Self {
        let now = Instant::now();
        let looker = Looker::new(&library.settings);
        looker.tidy(|id| index.known.contains_key(id));
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
            ordered: Vec::new(),
            unshown: true,
            unlooked: true,
            news: Vec::new(),
            show_at: now,
            counted_at: now,
            given_before,
            tidied_at: now,
            told_at: now,
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
            self.tell_progress();
        }
        if self.counted_at + COUNT <= Instant::now() {
            self.count_given();
        }
    }

    /// Says now and then how far the hashing is, for whoever reads the log of a long one.
    fn tell_progress(&mut self) {
        if self.told_at + TELL > Instant::now() {
            return;
        }
        self.told_at = Instant::now();
        for (path, reading) in self.reading.iter().filter(|(_, reading)| reading.hashed) {
            let (done, of) = (reading.done.load(Ordering::Relaxed), reading.stamp.size.max(1));
            let percent = done.saturating_mul(100) / of;
            tracing::info!(file = %path.display(), percent, waiting = self.queue.len(), "hashing");
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
                self.unlooked = true;
                if let Some(trouble) = &known.trouble {
                    tracing::info!(%id, trouble, "can't be looked into");
                }
                self.index.known.insert(id, known);
                self.changed();
            }
            Done::Pictured(id) => {
                self.looker.finished(&id);
                self.unlooked = true;
                if let Some(known) = self.index.known.get_mut(&id) {
                    known.pictures = true;
                }
                self.changed();
            }
            Done::Forgotten => {}
            Done::Saved(result) => {
                self.saving = false;
                self.save_at = Instant::now() + if self.ordered.is_empty() { SAVE } else { Duration::ZERO };
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

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Settle(settled) => {
                self.ordered.push(settled);
                (self.unsaved, self.save_at) = (true, Instant::now());
            }
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
                    self.looker.forget(&id);
                }
                self.changed();
            }
            Order::Hold(key, held) => {
                for id in self.ids_of(&key) {
                    if held {
                        self.index.held.insert(id);
                        self.controller.withhold(&id);
                    } else if self.index.held.remove(&id) {
                        self.offer_again(id);
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

    fn save(&mut self) {
        (self.unsaved, self.saving) = (false, true);
        let (index, folder) = (self.index.clone(), self.library.settings.state.clone());
        let ordered = std::mem::take(&mut self.ordered);
        self.jobs.spawn_blocking(move || {
            let written = index.write(&folder);
            if written.is_ok() {
                // Whoever has stopped waiting needs no answer.
                for waiting in ordered {
                    waiting.send(()).ok();
                }
            }
            Done::Saved(written.map_err(|error| format!("can't be written: {error}")))
        });
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
