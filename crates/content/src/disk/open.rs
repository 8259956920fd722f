//! Opening a store: what of the files that are there can be believed.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
    sync::{Mutex, OnceLock, atomic::AtomicBool},
};

use nearcast_protocol::{Blocks, Geometry, ResourceId};

use super::{
    Content, DiskStore, Journal, Place,
    file::{Stamp, remove, sync_folder},
    record::Record,
};
use crate::{
    hash::write_outboard,
    store::StoreError,
    tree::{provable, root, valid},
};

impl DiskStore {
    /// Opens what is in `place`, or makes an empty store there.
    ///
    /// # Errors
    /// When the disk fails; [`StoreError::Changed`] for an imported file that isn't what it was. Damaged
    /// content is no error, only less.
    pub(crate) fn open(id: ResourceId, geometry: Geometry, place: Place) -> Result<Self, StoreError> {
        place.check_unchanged()?;
        let data = open_data(&place).map_err(|error| StoreError::io(&place.data, error))?;
        let mut found =
            Found::read(geometry, &place, &data).map_err(|error| StoreError::io(place.outboard(), error))?;
        if found.content.held.is_empty() {
            found.rescan(id, geometry, &place, &data)?;
        }
        if place.imported.is_none() {
            // Without the outboard no byte of the data can be proved: start from nothing.
            let length = found.outboard.as_ref().map_or(0, |_| geometry.size());
            fit(&data, length).map_err(|error| StoreError::io(&place.data, error))?;
        }
        Ok(Self {
            id,
            geometry,
            place,
            data,
            outboard: found.outboard.map(OnceLock::from).unwrap_or_default(),
            journal: Mutex::new(Journal { recorded: found.recorded }),
            content: Mutex::new(found.content),
            retired: AtomicBool::new(false),
        })
    }

    /// How much a store holds by its record, without opening it; `None` if only hashing can tell.
    pub(crate) fn recorded(geometry: Geometry, place: &Place) -> Option<Blocks> {
        let stamp = |path: &Path| Stamp::of(&std::fs::metadata(path).ok()?).ok();
        match stamp(&place.outboard()) {
            None if place.imported.is_none() && Record::read(&place.folder, geometry).is_none() => {
                Some(Blocks::new())
            }
            None => None,
            Some(outboard) => {
                let record = Record::read(&place.folder, geometry)?;
                record.is_of(stamp(&place.data)?, outboard).then(|| record.held())
            }
        }
    }
}

struct Found {
    outboard: Option<File>,
    content: Content,
    recorded: bool,
    /// Whether all of it is said to have been there once, so that a lost tree can be computed anew.
    was_complete: bool,
}

impl Found {
    fn read(geometry: Geometry, place: &Place, data: &File) -> io::Result<Self> {
        let outboard = match OpenOptions::new().read(true).write(true).open(place.outboard()) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let record = Record::read(&place.folder, geometry);
        let was_complete =
            place.imported.is_some() || record.as_ref().is_some_and(|record| record.held() == geometry.all());
        let mut found = Self { outboard, content: Content::default(), recorded: false, was_complete };
        if let (Some(record), Some(outboard)) = (record, &found.outboard)
            && record.is_of(Stamp::of(&data.metadata()?)?, Stamp::of(&outboard.metadata()?)?)
        {
            found.content.held = record.held();
            found.recorded = true;
        }
        Ok(found)
    }

    /// Finds out by hashing.
    fn rescan(
        &mut self,
        id: ResourceId,
        geometry: Geometry,
        place: &Place,
        data: &File,
    ) -> Result<(), StoreError> {
        self.recorded = false;
        let provable = self.outboard.as_ref().map(|outboard| provable(id, geometry, outboard));
        if self.was_complete && provable != Some(geometry.all()) {
            let io = |error| StoreError::io(place.outboard(), error);
            if let Some(outboard) = rebuild(id, geometry, place, data).map_err(io)? {
                self.outboard = Some(outboard);
                let all = geometry.all();
                self.content = Content { held: all.clone(), checked: all, forgets: 0 };
                return Ok(());
            }
        }
        if let Some(outboard) = &self.outboard {
            let held = valid(id, geometry, outboard, data, 0..geometry.count());
            self.content = Content { checked: held.clone(), held, forgets: 0 };
        }
        Ok(())
    }
}

fn open_data(place: &Place) -> io::Result<File> {
    if place.imported.is_some() {
        return File::open(&place.data);
    }
    if let Some(folder) = place.data.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&place.data)
}

pub(super) fn create_outboard(place: &Place) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).open(place.outboard())
}

/// Gives the file this length, and leaves its time alone if it has it.
fn fit(file: &File, length: u64) -> io::Result<()> {
    if file.metadata()?.len() == length { Ok(()) } else { file.set_len(length) }
}

/// Computes a lost or damaged tree from data that was complete; `None` if the data isn't what it was.
fn rebuild(id: ResourceId, geometry: Geometry, place: &Place, data: &File) -> io::Result<Option<File>> {
    if data.metadata()?.len() != geometry.size() {
        return Ok(None);
    }
    let beside = place.folder.join("outboard.new");
    let mut file = io::BufWriter::new(File::create(&beside)?);
    let hash = write_outboard(data, geometry.size(), &mut file, &|_| {}, &AtomicBool::new(false));
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    if !hash.is_ok_and(|hash| hash == root(id)) {
        remove(&beside)?;
        return Ok(None);
    }
    file.sync_all()?;
    std::fs::rename(&beside, place.outboard())?;
    sync_folder(&place.folder)?;
    tracing::info!(path = %place.data.display(), "the tree was lost and was computed anew");
    OpenOptions::new().read(true).write(true).open(place.outboard()).map(Some)
}
