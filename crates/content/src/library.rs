//! A folder full of resources: what was fetched, and what was imported.
//!
//! ```text
//! <folder>/lock             held while a library is open
//! <folder>/<id>/meta.json   the link, where the data is, when it was added
//! <folder>/<id>/…           see `disk`
//! <folder>/import-<n>/      an import under way; becomes <id>/ when it is done
//! ```

mod import;
mod meta;
mod names;
mod slot;

use std::{
    collections::BTreeMap,
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::SystemTime,
};

use nearcast_protocol::{
    Guard, Link, Multiaddr, ResourceId,
    link::{MAX_REPEATS, is_file_name},
};

use self::{
    meta::{Data, Meta, guard_of, is_sound},
    slot::{OpenSlot, Slot},
};
use crate::{
    hash::HashError,
    store::{Store, StoreError},
};

/// The resources in a folder. One library at a time opens a folder; it is used from several threads.
pub struct Library {
    folder: PathBuf,
    slots: Mutex<BTreeMap<ResourceId, Arc<Slot>>>,
    imports: AtomicU64,
    /// Locked while the library or one of its stores lives.
    lock: Arc<File>,
}

/// What the library has of one resource.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The link to it, with the trackers that know it.
    pub link: Link,
    /// Verified bytes that are held.
    pub held_bytes: u64,
    /// Whether all of it is held.
    pub complete: bool,
    /// Whether it can't be used: an imported file that was changed, moved or damaged. Import it again,
    /// or fetch it with [`Library::task`].
    pub broken: bool,
    /// The file with the data.
    pub path: PathBuf,
    /// How it came into the library.
    pub origin: Origin,
    /// When it was added, to the second.
    pub added: SystemTime,
    /// Whose token others must show for it, if it is protected.
    pub guard: Option<Guard>,
}

/// How a resource came into the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From other nodes; its file is the library's.
    Fetched,
    /// From a file of the user's, which stays where it is.
    Imported,
}

/// Why the library didn't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// The folder can't be written to.
    #[error("{folder} can't be written to: choose another folder or give yourself rights to it", folder = .0.display())]
    NoRights(PathBuf),
    /// Another process has it open.
    #[error("{folder} is in use by another nearcast: close that one or choose another folder", folder = .0.display())]
    InUse(PathBuf),
    /// The link claims another size than was proved.
    #[error("the link says {claimed} bytes, but the file has {proved}: ask for a corrected link")]
    WrongSize {
        /// The link's size in bytes.
        claimed: u64,
        /// The true size in bytes.
        proved: u64,
    },
    /// What is held was given by another publisher, and only by that one's leave.
    #[error(
        "a part of this film is here under the protection of another publisher: finish that one, or remove it \
         first"
    )]
    OtherGuard,
    /// There is no such resource in the library.
    #[error("{0} is not in the library")]
    NotHere(ResourceId),
    /// Not all of it is held.
    #[error("{name:?} is not complete yet: {held} of {size} bytes are here")]
    Incomplete {
        /// The name in the link.
        name: String,
        /// Verified bytes held.
        held: u64,
        /// Bytes in all.
        size: u64,
    },
    /// Something is where a file should go.
    #[error("{path} exists already: choose another name", path = .0.display())]
    Exists(PathBuf),
    /// The link can't be kept: a field is too long, there are too many, or the name is no file name.
    #[error("the link can't be kept, it wouldn't be read back: {0}")]
    Link(String),
    /// A file couldn't be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The disk failed or is full.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Library {
    /// Opens the library in `folder`, which is made if need be. An entry that can't be read is left out,
    /// with a warning in the log. The folder is free for another process once the library and all of its
    /// stores are dropped.
    ///
    /// # Errors
    /// [`LibraryError::InUse`] if another process has it open, [`LibraryError::NoRights`] if it can't be
    /// written to.
    pub fn open(folder: &Path) -> Result<Self, LibraryError> {
        let no_folder = |error: io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                LibraryError::NoRights(folder.to_owned())
            }
            _ => StoreError::io(folder, error).into(),
        };
        std::fs::create_dir_all(folder).map_err(no_folder)?;
        let folder = std::path::absolute(folder).map_err(no_folder)?;
        let lock = File::options().write(true).create(true).truncate(false).open(folder.join("lock"));
        let lock = lock.map_err(no_folder)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => LibraryError::InUse(folder.clone()),
            TryLockError::Error(error) => no_folder(error),
        })?;
        let lock = Arc::new(lock);
        let slots = Mutex::new(read_slots(&folder, &lock).map_err(no_folder)?);
        Ok(Self { folder, slots, imports: AtomicU64::new(0), lock })
    }

    /// Every resource, ordered by id. May have to hash what a crash left unfinished.
    pub fn entries(&self) -> Vec<Entry> {
        let slots: Vec<_> = self.slots().values().cloned().collect();
        slots.iter().filter_map(|slot| slot.open().entry()).collect()
    }

    /// One resource.
    pub fn entry(&self, id: ResourceId) -> Option<Entry> {
        self.slot(id)?.open().entry()
    }

    /// The store to fetch a link into: what is there already, or a new one. The same while it lives.
    ///
    /// An entry whose size isn't proved gives way to a link with another size, and a broken import to one
    /// that will be fetched.
    ///
    /// # Errors
    /// [`LibraryError::WrongSize`] if the true size is known and isn't the link's.
    pub fn task(&self, link: &Link) -> Result<Arc<dyn Store>, LibraryError> {
        if !is_sound(link) {
            return Err(LibraryError::Link(shown(link)));
        }
        let slot = self.slot_or_new(link.id);
        let mut slot = slot.open();
        if let Some(there) = slot.meta() {
            let (size, imported) = (there.link.size, matches!(there.data, Data::Imported { .. }));
            match slot.store() {
                Ok(Some(store)) if imported && !store.complete() => {
                    tracing::info!(id = %link.id, "the imported file is damaged; fetching it");
                }
                Err(StoreError::Changed { .. }) => {
                    tracing::info!(id = %link.id, "the imported file is gone; fetching it");
                }
                Err(error) => return Err(error.into()),
                Ok(Some(store)) if size == link.size => {
                    let complete = store.complete();
                    admit(&mut slot, link, complete)?;
                    return Ok(store);
                }
                Ok(Some(store)) if store.size_proved() => {
                    return Err(LibraryError::WrongSize { claimed: link.size, proved: size });
                }
                Ok(_) => {}
            }
        }
        slot.clear()?;
        slot.fill(Meta::fetched(link.clone()))?;
        let store = slot.store()?.ok_or(LibraryError::NotHere(link.id))?;
        Ok(store)
    }

    /// Makes a resource protected by this guard, or by none. What came under a guard by a link isn't to be changed
    /// so: this is for whoever puts a file up.
    ///
    /// # Errors
    /// [`LibraryError::NotHere`], or when the disk fails.
    pub fn set_guard(&self, id: ResourceId, guard: Option<Guard>) -> Result<(), LibraryError> {
        let slot = self.slot(id).ok_or(LibraryError::NotHere(id))?;
        let mut slot = slot.open();
        let meta = slot.meta().ok_or(LibraryError::NotHere(id))?.clone();
        if meta.guard != guard {
            slot.set_meta(Meta { guard, ..meta })?;
        }
        Ok(())
    }

    /// What lies in a folder of a library: the links, where the data is and who guards it; for looking on while
    /// another process has the library open.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn look(folder: &Path) -> io::Result<Vec<(Link, PathBuf, Option<Guard>)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let id = path.file_name().and_then(|name| name.to_str()?.parse::<ResourceId>().ok());
            let Some(meta) = id.and_then(|id| Meta::read(&path, id).ok()) else { continue };
            let data = match &meta.data {
                Data::Fetched { file } => path.join("content").join(names::safe(file)),
                Data::Imported { path, .. } => path.clone(),
            };
            found.push((meta.link, data, meta.guard));
        }
        Ok(found)
    }

    /// The store of a resource that is in the library. The same while it lives.
    ///
    /// # Errors
    /// [`StoreError::Changed`] for an import that isn't what it was.
    pub fn store(&self, id: ResourceId) -> Result<Option<Arc<dyn Store>>, LibraryError> {
        let Some(slot) = self.slot(id) else { return Ok(None) };
        let store = slot.open().store()?;
        Ok(store.map(|store| store as Arc<dyn Store>))
    }

    /// Keeps other trackers in the link of a resource, the first [`MAX_REPEATS`] of them.
    ///
    /// # Errors
    /// [`LibraryError::NotHere`], or when the disk fails.
    pub fn set_trackers(&self, id: ResourceId, mut trackers: Vec<Multiaddr>) -> Result<(), LibraryError> {
        trackers.truncate(MAX_REPEATS);
        self.change_link(id, |link| link.trackers = trackers)
    }

    /// Keeps another link to the same resource: its name, trackers, sources and token. The name of the
    /// file on disk stays as it is.
    ///
    /// # Errors
    /// [`LibraryError::WrongSize`] if the size is another than that of the entry.
    pub fn set_link(&self, link: Link) -> Result<(), LibraryError> {
        let there = self.entry(link.id).ok_or(LibraryError::NotHere(link.id))?;
        if there.link.size != link.size {
            return Err(LibraryError::WrongSize { claimed: link.size, proved: there.link.size });
        }
        self.change_link(link.id, |kept| *kept = link)
    }

    fn change_link(&self, id: ResourceId, change: impl FnOnce(&mut Link)) -> Result<(), LibraryError> {
        let slot = self.slot(id).ok_or(LibraryError::NotHere(id))?;
        let mut slot = slot.open();
        let mut meta = slot.meta().ok_or(LibraryError::NotHere(id))?.clone();
        change(&mut meta.link);
        if !is_sound(&meta.link) {
            return Err(LibraryError::Link(shown(&meta.link)));
        }
        slot.set_meta(meta)?;
        Ok(())
    }

    /// Takes a resource out of the library; stores of it that are still in use end with
    /// [`StoreError::Retired`]. Gives the path of the data if that is still there: an imported file is
    /// never deleted, and a complete fetched one is moved up into the library's folder unless
    /// `delete_data`. A part of a film is deleted in any case, since nothing could prove it any more.
    ///
    /// # Errors
    /// [`LibraryError::NotHere`], or when the disk fails.
    pub fn remove(&self, id: ResourceId, delete_data: bool) -> Result<Option<PathBuf>, LibraryError> {
        let slot = self.slot(id).ok_or(LibraryError::NotHere(id))?;
        let mut slot = slot.open();
        let entry = slot.entry().ok_or(LibraryError::NotHere(id))?;
        let kept = match entry.origin {
            Origin::Imported => Some(entry.path),
            Origin::Fetched if entry.complete && !delete_data => {
                let kept = free_name(&self.folder, &entry.path);
                std::fs::rename(&entry.path, &kept).map_err(|error| StoreError::io(&kept, error))?;
                Some(kept)
            }
            Origin::Fetched => None,
        };
        slot.clear()?;
        Ok(kept)
    }

    /// Puts a complete resource at `target` as well: a hard link where the file system can, else a copy.
    /// All of it is verified first.
    ///
    /// # Errors
    /// [`LibraryError::Incomplete`], or [`LibraryError::Exists`]: nothing is overwritten.
    pub fn export(&self, id: ResourceId, target: &Path) -> Result<(), LibraryError> {
        let slot = self.slot(id).ok_or(LibraryError::NotHere(id))?;
        let (entry, store) = {
            let mut slot = slot.open();
            (slot.entry().ok_or(LibraryError::NotHere(id))?, slot.store()?)
        };
        let store = store.filter(|_| entry.complete).ok_or_else(|| LibraryError::Incomplete {
            name: entry.link.name.clone(),
            held: entry.held_bytes,
            size: entry.link.size,
        })?;
        store.check_all()?;
        store.sync()?;
        if target.symlink_metadata().is_ok() {
            return Err(LibraryError::Exists(target.to_owned()));
        }
        if std::fs::hard_link(&entry.path, target).is_ok() {
            return Ok(());
        }
        copy(&entry.path, target).map_err(|error| StoreError::io(target, error).into())
    }

    /// Makes all that is held outlast a power cut, and the next start quick: what a clean stop calls.
    ///
    /// # Errors
    /// The first one; the other resources are synced all the same.
    pub fn sync(&self) -> Result<(), LibraryError> {
        let slots: Vec<_> = self.slots().values().cloned().collect();
        let stores = slots.iter().filter_map(|slot| slot.open().live());
        let results: Vec<_> = stores.map(|store| store.sync()).collect();
        results.into_iter().collect::<Result<(), _>>().map_err(LibraryError::from)
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<ResourceId, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, id: ResourceId) -> Option<Arc<Slot>> {
        self.slots().get(&id).cloned()
    }

    fn slot_or_new(&self, id: ResourceId) -> Arc<Slot> {
        let folder = || self.folder.join(id.to_string());
        let new = || Arc::new(Slot::new(id, folder(), None, Arc::clone(&self.lock)));
        Arc::clone(self.slots().entry(id).or_insert_with(new))
    }
}

/// A link for an error's sentence: its token is a secret.
fn shown(link: &Link) -> String {
    Link { token: None, ..link.clone() }.to_string()
}

/// Takes in what another link to a resource says of its protection.
///
/// What is held under a guard stays under it, whatever a link says: else a stranger's link could have it given to
/// strangers. A link of the guard's brings a fresh token. What is incomplete and public becomes protected with the
/// first protected link, since the rest will come under its guard. What is complete needs nobody's leave.
fn admit(slot: &mut OpenSlot, link: &Link, complete: bool) -> Result<(), LibraryError> {
    let (Some(guard), Some(meta)) = (guard_of(link), slot.meta()) else { return Ok(()) };
    match meta.guard {
        _ if complete => return Ok(()),
        Some(known) if known != guard => return Err(LibraryError::OtherGuard),
        _ if meta.link.token == link.token && meta.guard == Some(guard) => return Ok(()),
        _ => {}
    }
    let mut meta = meta.clone();
    meta.guard = Some(guard);
    meta.link.token.clone_from(&link.token);
    Ok(slot.set_meta(meta)?)
}

fn read_slots(folder: &Path, lock: &Arc<File>) -> io::Result<BTreeMap<ResourceId, Arc<Slot>>> {
    let mut slots = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.starts_with(import::PREFIX) && path.is_dir() {
            // Left by an import that never came to its end.
            if let Err(error) = std::fs::remove_dir_all(&path) {
                tracing::warn!(%error, path = %path.display(), "can't tidy up");
            }
            continue;
        }
        let Some(id) = name.parse::<ResourceId>().ok().filter(|id| id.to_string() == name) else { continue };
        match Meta::read(&path, id) {
            Ok(meta) => {
                slots.insert(id, Arc::new(Slot::new(id, path, Some(meta), Arc::clone(lock))));
            }
            Err(error) => tracing::warn!(%error, path = %path.display(), "leaving out an unreadable entry"),
        }
    }
    Ok(slots)
}

/// A name for the file in the folder that nothing has yet.
fn free_name(folder: &Path, file: &Path) -> PathBuf {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let extension = file.extension().map(|extension| format!(".{}", extension.to_string_lossy()));
    let extension = extension.unwrap_or_default();
    let numbered = (2u32..).map(|number| folder.join(format!("{stem} ({number}){extension}")));
    let plain = folder.join(format!("{stem}{extension}"));
    let mut names = std::iter::once(plain.clone()).chain(numbered);
    names.find(|name| name.symlink_metadata().is_err()).unwrap_or(plain)
}

fn copy(from: &Path, target: &Path) -> io::Result<()> {
    let mut beside = target.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    let copied = std::fs::copy(from, &beside)
        .and_then(|_| File::options().write(true).open(&beside)?.sync_all())
        .and_then(|()| std::fs::rename(&beside, target));
    copied.inspect_err(|_| {
        let _ = std::fs::remove_file(&beside);
    })
}

/// The name of a file as a link can carry it: whatever bytes it has, something readable that leads nowhere.
pub fn link_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if is_file_name(&name) { name.into_owned() } else { names::safe(&name) }
}

#[cfg(test)]
mod tests;
