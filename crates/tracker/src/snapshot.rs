//! What is remembered, saved to a file and read from it again, so that a tracker that restarts has lost nobody.
//!
//! The file is a name, a version, sections of CBOR after their lengths, and the BLAKE3 hash of all that. Nothing
//! of it is used before the hash is right. It is written beside the old one and takes its place when the disk has
//! it, so there is always a whole one, however the process ends.
//!
//! Saving walks through the nodes a few at a time while calls are answered: each node is saved as it is at one
//! moment, all of them as they are over some seconds. The tracker's clock goes on through a restart by the time
//! that has passed on the wall, and so do leases and the bounds on reports.

mod file;
mod walk;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{PoisonError, atomic::Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rand::{SeedableRng, rngs::StdRng};

use crate::{
    access::Access,
    group_table::GroupTable,
    rules::Rules,
    server::{Server, portions::Portions},
    swarm::{Caller, Swarm},
};

pub use file::{Contents, read};
use file::{Head, Writer};
use walk::Walk;

/// The least that is left of a lease after a restart, unless leases are shorter: a node may have tried to renew
/// while there was nobody to hear it.
const GRACE: Duration = Duration::from_secs(60);

/// Why a snapshot can't be saved or used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The system fails.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It isn't one of ours.
    #[error("it is no snapshot of a tracker")]
    Foreign,
    /// It was written by a newer program.
    #[error("it has version {0}; this program reads version {version}", version = file::VERSION)]
    Version(u16),
    /// Its bytes aren't those that were written.
    #[error("it is damaged or cut short")]
    Damaged,
    /// Its bytes are those that were written, and make no sense.
    #[error("it makes no sense: {0}")]
    Senseless(&'static str),
}

/// What was saved, or what came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restored {
    /// Nodes.
    pub nodes: usize,
    /// What they hold, all together.
    pub holdings: usize,
    /// How long ago it was saved.
    pub age: Duration,
}

/// How often what a snapshot holds has changed since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// Who is known, what they hold and which URLs they claim: until it is saved, a crash loses it.
    pub known: u64,
    /// Leases and anything else: of these a crash costs no more than their last renewal.
    pub leases: u64,
}

impl Server {
    /// How often anything that a snapshot holds has changed.
    pub fn changes(&self) -> Changes {
        self.state().changes
    }

    /// Calls are over: whatever saves, now or later, waits for nobody any more.
    pub fn hurry(&self) {
        self.hurried.store(true, Ordering::Relaxed);
    }

    /// Saves what is remembered to a file. Calls are answered in between. It blocks the thread; of two at once
    /// the second waits for the first.
    ///
    /// # Errors
    /// When the file can't be written; the old one stays.
    pub fn save(&self, path: &Path) -> Result<Restored, SnapshotError> {
        let failed = |source| SnapshotError::Io { path: path.to_owned(), source };
        let saved = self.save_to(path).map_err(failed);
        self.metrics().snapshot(saved.is_ok());
        saved
    }

    fn save_to(&self, path: &Path) -> io::Result<Restored> {
        let _one_at_a_time = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let beside = path.with_extension("new");
        let file = fs::File::create(&beside)?;
        let (head, received) = {
            let state = self.state();
            let received = state.swarm.received().iter().map(|(group, sum)| (*group, *sum)).collect();
            (Head::now(self.now(&state)), received)
        };
        let mut writer = Writer::begin(io::BufWriter::with_capacity(1 << 20, file), &head)?;
        writer.received(received)?;
        let (mut walk, mut portions) = (Walk::default(), Portions::default());
        let mut saved = Restored::default();
        loop {
            let (some, ended) = portions.next(self, |state, size| state.swarm.walk_some(&mut walk, size));
            saved.nodes += some.nodes.len();
            saved.holdings += some.nodes.iter().map(|node| node.held.len()).sum::<usize>();
            writer.some(some)?;
            if ended {
                break;
            }
            if !self.hurried.load(Ordering::Relaxed) {
                portions.rest();
            }
        }
        let file = writer.end()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        // The new name is on the disk once the folder is. Not every system can say so of a folder.
        fs::File::open(folder).and_then(|folder| folder.sync_all()).ok();
        Ok(saved)
    }

    /// Takes in what was saved, in place of what is remembered; to be done before any call is answered. `None` if
    /// there is no such file.
    ///
    /// # Errors
    /// When the file can't be read or isn't a sound snapshot: nothing is taken in.
    pub fn restore(&self, path: &Path) -> Result<Option<Restored>, SnapshotError> {
        let failed = |source| SnapshotError::Io { path: path.to_owned(), source };
        let file = match fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        file::verify(&file, path)?;
        io::Seek::rewind(&mut &file).map_err(failed)?;
        let (rules, table, access) = {
            let state = self.state();
            (state.rules, state.table.clone(), state.access.clone())
        };
        let mut restoring = Restoring::new(rules, &table, &access, SystemTime::now());
        let from = io::BufReader::with_capacity(1 << 20, &file);
        read(from, path, |contents| restoring.take(contents))?;
        let restored = Restored {
            nodes: restoring.swarm.nodes(),
            holdings: restoring.swarm.holdings(),
            age: restoring.age,
        };
        let mut state = self.state();
        state.swarm = restoring.swarm;
        state.clock = restoring.clock;
        Ok(Some(restored))
    }
}

/// A memory that is being filled from a file.
struct Restoring<'a> {
    swarm: Swarm,
    table: &'a GroupTable,
    access: &'a Access,
    wall: SystemTime,
    age: Duration,
    clock: Duration,
    dice: StdRng,
}

impl<'a> Restoring<'a> {
    fn new(rules: Rules, table: &'a GroupTable, access: &'a Access, wall: SystemTime) -> Self {
        let mut swarm = Swarm::new(rules);
        swarm.set_distances(table.said().clone());
        let (age, clock) = (Duration::ZERO, Duration::ZERO);
        Self { swarm, table, access, wall, age, clock, dice: StdRng::from_os_rng() }
    }

    fn take(&mut self, contents: Contents) {
        match contents {
            Contents::Head(head) => {
                // A clock on the wall that has been put back says that no time has passed.
                let now = self.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
                self.age = now.saturating_sub(Duration::from_millis(head.written));
                self.clock = Duration::from_millis(head.clock).saturating_add(self.age).min(file::LATEST);
            }
            Contents::Received(group, received) => self.swarm.credit(group, received),
            Contents::Node(mut node) => {
                let rules = self.swarm.rules;
                // Nobody who has a lease can have been silent for so long.
                let long_gone = self.age > rules.lease.mul_f64(1.1);
                let observed = node.observed.to_canonical();
                if long_gone || self.access.denies_node(&node.peer, observed) {
                    return;
                }
                let caller = Caller { peer: node.peer, observed, place: self.table.place_of(observed) };
                let held = &mut node.registration.holdings;
                held.retain(|holding| self.access.denies_film(&holding.resource).is_none());
                let ends = Duration::from_millis(node.ends).max(self.clock + GRACE.min(rules.lease));
                // A lease that other rules gave may be longer than any is now.
                let ends = ends.min(self.clock + rules.lease.mul_f64(1.1));
                let reported = u32::try_from(self.clock.as_secs()).unwrap_or(u32::MAX).min(node.reported);
                let Self { swarm, clock, dice, .. } = self;
                swarm.restore(*clock, &caller, &node, ends, reported, dice);
            }
            Contents::Claims(peer, claims) => {
                self.swarm.claim(self.clock, &peer, &claims);
            }
        }
    }
}

/// Puts a file that can't be used out of the way, so that it can be looked at and isn't written over.
///
/// # Errors
/// When it can't be renamed.
pub fn put_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = path.with_extension("damaged");
    fs::rename(path, &aside)?;
    Ok(aside)
}

#[cfg(test)]
mod tests;
