//! The place of one resource in the library. Whoever opens, replaces or removes it holds its lock, so that
//! hashing one file again doesn't keep another waiting.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use nearcast_protocol::{Blocks, ResourceId};

use super::{Data, Entry, Meta, Origin};
use crate::{
    disk::{DiskStore, file::sync_folder},
    store::{Store, StoreError},
};

pub(super) struct Slot(Mutex<OpenSlot>);

pub(super) struct OpenSlot {
    id: ResourceId,
    folder: PathBuf,
    /// `None` if nothing is there, or no longer.
    meta: Option<Meta>,
    /// Whoever uses the store keeps it; files of resources that nobody uses stay closed.
    store: Weak<DiskStore>,
    lock: Arc<File>,
}

impl Slot {
    pub(super) fn new(id: ResourceId, folder: PathBuf, meta: Option<Meta>, lock: Arc<File>) -> Self {
        Self(Mutex::new(OpenSlot { id, folder, meta, store: Weak::new(), lock }))
    }

    pub(super) fn open(&self) -> MutexGuard<'_, OpenSlot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenSlot {
    pub(super) fn meta(&self) -> Option<&Meta> {
        self.meta.as_ref()
    }

    pub(super) fn set_meta(&mut self, meta: Meta) -> Result<(), StoreError> {
        meta.write(&self.folder).map_err(|error| self.error(error))?;
        self.meta = Some(meta);
        Ok(())
    }

    /// The store, if someone uses it.
    pub(super) fn live(&self) -> Option<Arc<DiskStore>> {
        self.store.upgrade()
    }

    /// The store, opened if need be.
    pub(super) fn store(&mut self) -> Result<Option<Arc<DiskStore>>, StoreError> {
        let Some(meta) = &self.meta else { return Ok(None) };
        if let Some(store) = self.store.upgrade() {
            return Ok(Some(store));
        }
        let place = meta.place(self.folder.clone(), Arc::clone(&self.lock));
        let store = Arc::new(DiskStore::open(self.id, meta.link.geometry(), place)?);
        self.store = Arc::downgrade(&store);
        Ok(Some(store))
    }

    /// What is in the slot, read from as little as will do.
    pub(super) fn entry(&mut self) -> Option<Entry> {
        let meta = self.meta.clone()?;
        let geometry = meta.link.geometry();
        let place = meta.place(self.folder.clone(), Arc::clone(&self.lock));
        let origin = match meta.data {
            Data::Fetched { .. } => Origin::Fetched,
            Data::Imported { .. } => Origin::Imported,
        };
        let held = match (place.check_unchanged(), self.live()) {
            (Err(_), _) => None,
            (Ok(()), Some(store)) => Some(store.held()),
            (Ok(()), None) => match DiskStore::recorded(geometry, &place) {
                Some(held) => Some(held),
                None => self.open_to_look(),
            },
        };
        let unreadable = held.is_none();
        let held = held.unwrap_or_default();
        let complete = held.contains_run(0..geometry.count());
        Some(Entry {
            held_bytes: geometry.bytes_in(&held),
            complete,
            broken: unreadable || (origin == Origin::Imported && !complete),
            path: place.data,
            origin,
            added: meta.added,
            guard: meta.guard,
            link: meta.link,
        })
    }

    /// Opening hashes what has to be, and dropping records what was found, so that it happens once.
    fn open_to_look(&mut self) -> Option<Blocks> {
        match self.store() {
            Ok(store) => store.map(|store| store.held()),
            Err(error) => {
                tracing::warn!(%error, id = %self.id, "an entry can't be opened");
                None
            }
        }
    }

    /// Ends the store and deletes the folder.
    pub(super) fn clear(&mut self) -> Result<(), StoreError> {
        if let Some(store) = self.store.upgrade() {
            store.retire();
        }
        self.store = Weak::new();
        self.meta = None;
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.error(error)),
            _ => Ok(()),
        }
    }

    /// Puts a new entry into an empty slot.
    pub(super) fn fill(&mut self, meta: Meta) -> Result<(), StoreError> {
        std::fs::create_dir_all(&self.folder).map_err(|error| self.error(error))?;
        self.set_meta(meta)?;
        self.keep_name()
    }

    /// Puts an import into an empty slot: its folder is ready, and becomes that of the slot.
    pub(super) fn adopt(&mut self, folder: &Path, meta: Meta) -> Result<(), StoreError> {
        std::fs::rename(folder, &self.folder).map_err(|error| self.error(error))?;
        self.meta = Some(meta);
        self.keep_name()
    }

    /// The data lies elsewhere now: whoever uses the store has to open it anew.
    pub(super) fn move_to(&mut self, meta: Meta) -> Result<(), StoreError> {
        if let Some(store) = self.store.upgrade() {
            store.retire();
        }
        self.store = Weak::new();
        self.set_meta(meta)
    }

    /// Makes the name of the slot's own folder outlast a power cut.
    fn keep_name(&self) -> Result<(), StoreError> {
        self.folder.parent().map_or(Ok(()), sync_folder).map_err(|error| self.error(error))
    }

    fn error(&self, error: io::Error) -> StoreError {
        StoreError::io(&self.folder, error)
    }
}
