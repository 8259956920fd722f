//! Taking a file of the user's into the library, where it lies.

use std::{
    fs::File,
    io::{BufWriter, IntoInnerError},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use nearcast_protocol::{Geometry, Link, ResourceId};

use super::{Data, Library, LibraryError, Meta, link_name, slot::OpenSlot};
use crate::{
    disk::{
        DiskStore, Place,
        file::{Stamp, sync_folder},
        record::Record,
    },
    hash::{Hashed, ImportProgress, hash_to},
    store::{Fault, Store, StoreError},
};

/// How the folders of imports under way are called.
pub(super) const PREFIX: &str = "import-";
/// How many blocks are copied at a time when a file completes what was being fetched: 1 MiB.
const COPIED: u64 = 64;

/// The folder of an import under way; deleted unless it became that of an entry.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Library {
    /// Hashes a file and takes it into the library. It is neither copied nor written to, and from now on
    /// its user had better not write to it either: a changed import is broken. One that was imported
    /// before and is unchanged isn't hashed again.
    ///
    /// If the resource is being fetched just now, the file completes that instead.
    ///
    /// # Errors
    /// See [`crate::HashError`]; and when the disk is full.
    pub fn import(
        &self,
        path: &Path,
        progress: &(dyn Fn(ImportProgress) + Sync),
        cancelled: &AtomicBool,
    ) -> Result<Arc<dyn Store>, LibraryError> {
        let path = std::fs::canonicalize(path).map_err(|error| StoreError::io(path, error))?;
        if let Some(store) = self.imported(&path) {
            return Ok(store);
        }
        let number = self.imports.fetch_add(1, Ordering::Relaxed);
        let folder = Folder(self.folder.join(format!("{PREFIX}{number}")));
        std::fs::create_dir(&folder.0).map_err(|error| StoreError::io(&folder.0, error))?;
        let mut place = Place { folder: folder.0.clone(), data: path.clone(), imported: None, _lock: None };
        let hashed = hash_into(&place, progress, cancelled)?;
        place.imported = Some(hashed.stamp);

        let link = Link {
            id: hashed.id,
            name: link_name(&path),
            size: hashed.stamp.size,
            trackers: Vec::new(),
            sources: Vec::new(),
            token: None,
        };
        let slot = self.slot_or_new(hashed.id);
        let mut slot = slot.open();
        let mut meta = Meta::imported(link, path, hashed.stamp);
        if let Some(there) = slot.meta().cloned() {
            if let Some(store) = complete_with(&mut slot, &there, &place, &hashed)? {
                return Ok(store);
            }
            // What was known of the resource before is worth keeping, except its file.
            meta.link = Link { size: meta.link.size, ..there.link };
            meta.guard = there.guard;
        }
        meta.write(&folder.0).map_err(|error| StoreError::io(&folder.0, error))?;
        sync_folder(&folder.0).map_err(|error| StoreError::io(&folder.0, error))?;
        slot.clear()?;
        slot.adopt(&folder.0, meta)?;
        let store = slot.store()?.ok_or(LibraryError::NotHere(hashed.id))?;
        Ok(store)
    }

    /// The link of a file that the caller knows to have been hashed to `id` and not to have changed since:
    /// without reading it. If the entry's own file is gone or changed, the entry follows to this one, so a file
    /// may be renamed, or have a twin, and needn't be hashed again. Should the caller be wrong, no wrong byte
    /// is given out: every block is verified when it is read. `None` if the file has to be imported.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn vouch(&self, id: ResourceId, path: &Path) -> Result<Option<Link>, LibraryError> {
        let path = std::fs::canonicalize(path).map_err(|error| StoreError::io(path, error))?;
        let stamp = std::fs::metadata(&path).and_then(|metadata| Stamp::of(&metadata));
        let stamp = stamp.map_err(|error| StoreError::io(&path, error))?;
        let Some(slot) = self.slot(id) else { return Ok(None) };
        let mut slot = slot.open();
        let Some(entry) = slot.entry() else { return Ok(None) };
        if entry.complete && !entry.broken {
            return Ok(Some(entry.link));
        }
        let Some(mut meta) = slot.meta().cloned() else { return Ok(None) };
        if !matches!(meta.data, Data::Imported { .. }) || meta.link.size != stamp.size {
            return Ok(None);
        }
        let folder = self.folder.join(id.to_string());
        let outboard = folder.join("outboard");
        let Ok(kept) = std::fs::metadata(&outboard).and_then(|metadata| Stamp::of(&metadata)) else {
            return Ok(None);
        };
        let geometry = meta.link.geometry();
        let record = Record::new(geometry, &geometry.all(), stamp, kept);
        // Before the entry points there: an entry without a record would be hashed whole.
        record.write(&folder).map_err(|error| StoreError::io(&folder, error))?;
        meta.link.name = link_name(&path);
        meta.data = Data::Imported { path, stamp };
        slot.move_to(meta)?;
        Ok(slot.entry().filter(|entry| entry.complete && !entry.broken).map(|entry| entry.link))
    }

    /// The store of a file that was imported before, if it is still what it was.
    fn imported(&self, path: &Path) -> Option<Arc<dyn Store>> {
        let stamp = std::fs::metadata(path).and_then(|metadata| Stamp::of(&metadata)).ok()?;
        let slots: Vec<_> = self.slots().values().cloned().collect();
        slots.iter().find_map(|slot| {
            let mut slot = slot.open();
            let Data::Imported { path: known, stamp: then } = &slot.meta()?.data else { return None };
            // Of ten thousand files, few have the same time, and comparing paths takes longer.
            if *then != stamp || known != path {
                return None;
            }
            let store = slot.store().ok()??;
            store.complete().then_some(store as Arc<dyn Store>)
        })
    }
}

/// Hashes the data of a place, and leaves the outboard and the record of it in its folder.
fn hash_into(
    place: &Place,
    progress: &(dyn Fn(ImportProgress) + Sync),
    cancelled: &AtomicBool,
) -> Result<Hashed, LibraryError> {
    let path = place.outboard();
    let io = |error| StoreError::io(&path, error);
    let mut outboard = BufWriter::new(File::create(&path).map_err(io)?);
    let hashed = hash_to(&place.data, &path, &mut outboard, progress, cancelled)?;
    let outboard = outboard.into_inner().map_err(IntoInnerError::into_error).map_err(io)?;
    outboard.sync_all().map_err(io)?;
    let stamp = outboard.metadata().and_then(|metadata| Stamp::of(&metadata)).map_err(io)?;
    let geometry = Geometry::new(hashed.stamp.size);
    Record::new(geometry, &geometry.all(), hashed.stamp, stamp).write(&place.folder).map_err(io)?;
    Ok(hashed)
}

/// What is in the slot already, if it is complete or the file completes it; `None` if it has to give way.
fn complete_with(
    slot: &mut OpenSlot,
    there: &Meta,
    import: &Place,
    hashed: &Hashed,
) -> Result<Option<Arc<dyn Store>>, LibraryError> {
    let store = match slot.store() {
        Ok(Some(store)) if there.link.size == hashed.stamp.size => store,
        // Another size than that of the bytes that were just hashed was a lie.
        Ok(_) | Err(StoreError::Changed { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if store.complete() {
        return Ok(Some(store));
    }
    if matches!(there.data, Data::Imported { .. }) {
        return Ok(None);
    }
    let source = DiskStore::open(hashed.id, there.link.geometry(), import.clone())?;
    copy(&source, &store)?;
    store.sync()?;
    Ok(Some(store))
}

/// Brings what one store lacks from another, the block that proves the size first.
fn copy(from: &DiskStore, to: &DiskStore) -> Result<(), LibraryError> {
    let count = to.geometry().count();
    let runs = (0..count.div_ceil(COPIED)).rev();
    for run in runs.map(|number| number * COPIED..((number + 1) * COPIED).min(count)) {
        if to.held().contains_run(run.clone()) {
            continue;
        }
        let encoded = from.encode(run.clone())?;
        to.accept(run, &encoded).map_err(|error| match error.fault {
            Fault::Store(error) => error,
            other => StoreError::io(import_path(from), std::io::Error::other(other)),
        })?;
    }
    Ok(())
}

fn import_path(store: &DiskStore) -> PathBuf {
    match store.location() {
        crate::Location::File(path) => path,
        crate::Location::Memory(_) => PathBuf::new(),
    }
}
