//! A resource on disk: the data, and beside it the tree that proves it.
//!
//! The tree is the journal. A block counts as held once its bytes and every hash above it are written;
//! so whatever a crash leaves behind, hashing it again tells exactly what is there. The record of a clean
//! stop only saves that work, and what it claims is verified before a byte of it is given out.
//!
//! ```text
//! <folder>/content/<name>   the data, with holes; of an import, a file of the user's somewhere else
//! <folder>/outboard         the pairs of hashes, post-order; exists once the size is proved
//! <folder>/held.json        the record of a clean stop; removed before the first write after it
//! ```

pub(crate) mod file;
mod open;
pub(crate) mod record;

use std::{
    fs::File,
    io,
    ops::Range,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use bao_tree::io::sync::{Outboard, ReadAt, encode_ranges_validated};
use nearcast_protocol::{BLOCK_BYTES, Blocks, Geometry, ResourceId};

use self::{
    file::{Stamp, punch, sync_folder, write_all_at},
    record::Record,
};
use crate::{
    decode::{Decoded, decode},
    store::{AcceptError, Fault, Location, Store, StoreError, first_missing, readable},
    tree::{
        PAIR_BYTES, blocks_below, chunks, has_run, known_parents, outboard, pair_offset, provable, tree,
        valid,
    },
};

/// Keeps a resource in a file; a [`crate::Library`] makes them.
///
/// Dropping it syncs it if need be, so drop it where a thread may wait.
pub struct DiskStore {
    id: ResourceId,
    geometry: Geometry,
    place: Place,
    data: File,
    /// Empty until the size is proved.
    outboard: OnceLock<File>,
    /// Taken by whoever writes; before `content`, never after it.
    journal: Mutex<Journal>,
    content: Mutex<Content>,
    retired: AtomicBool,
}

/// Where a store keeps its files.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Where the outboard and the record are.
    pub folder: PathBuf,
    /// Where the data is.
    pub data: PathBuf,
    /// What an imported file looked like when it was hashed; `None` if the data file is the store's own.
    pub imported: Option<Stamp>,
    /// The lock of the library, which has to outlive whoever writes in its folder.
    pub _lock: Option<Arc<File>>,
}

impl Place {
    pub(crate) fn outboard(&self) -> PathBuf {
        self.folder.join("outboard")
    }

    /// Whether an imported file is still what was hashed.
    pub(crate) fn check_unchanged(&self) -> Result<(), StoreError> {
        let Some(stamp) = self.imported else { return Ok(()) };
        let now = std::fs::metadata(&self.data).and_then(|metadata| Stamp::of(&metadata));
        if now.is_ok_and(|now| now == stamp) {
            return Ok(());
        }
        Err(StoreError::Changed { path: self.data.clone() })
    }
}

/// A block and its bytes.
type Leaf<'a> = (u64, &'a [u8]);
/// The offset of a pair in the outboard, and the pair.
type Pair<'a> = (u64, &'a [blake3::Hash; 2]);

struct Journal {
    /// Whether the record on disk says what is held.
    recorded: bool,
}

#[derive(Default)]
struct Content {
    held: Blocks,
    /// What was hashed since the store was opened, rather than believed from the record.
    checked: Blocks,
    /// How often something was forgotten.
    forgets: u64,
}

impl DiskStore {
    fn journal(&self) -> MutexGuard<'_, Journal> {
        // A panic in between leaves blocks on disk that aren't marked as held: nothing to repair.
        self.journal.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Ends the store while others still hold it: after this it touches no file any more.
    pub(crate) fn retire(&self) {
        let _journal = self.journal();
        self.retired.store(true, Ordering::Release);
        *self.content() = Content::default();
    }

    fn check_usable(&self) -> Result<(), StoreError> {
        if self.retired.load(Ordering::Acquire) {
            return Err(StoreError::Retired);
        }
        self.place.check_unchanged().inspect_err(|_| *self.content() = Content::default())
    }

    fn data_error(&self, error: io::Error) -> StoreError {
        StoreError::io(&self.place.data, error)
    }

    fn outboard_error(&self, error: io::Error) -> StoreError {
        StoreError::io(self.place.outboard(), error)
    }

    /// Puts what verified on disk and then marks it as held.
    fn keep(&self, decoded: &Decoded) -> Result<(), StoreError> {
        let mut journal = self.journal();
        self.check_usable()?;
        let (leaves, mut pairs) = self.not_yet_held(decoded);
        if leaves.is_empty() {
            return Ok(());
        }
        if self.place.imported.is_some() {
            return Err(StoreError::Imported { path: self.place.data.clone() });
        }
        self.forget_record(&mut journal)?;
        let outboard = self.outboard_for_writing()?;
        for (block, bytes) in &leaves {
            write_all_at(&self.data, block * BLOCK_BYTES, bytes).map_err(|error| self.data_error(error))?;
        }
        // Neighbours in the tree are mostly neighbours in the file: few writes, not one a pair.
        pairs.sort_unstable_by_key(|(offset, _)| *offset);
        for run in pairs.chunk_by(|(one, _), (next, _)| one + PAIR_BYTES == *next) {
            let bytes: Vec<u8> =
                run.iter().flat_map(|(_, pair)| pair.iter().flat_map(|hash| *hash.as_bytes())).collect();
            write_all_at(outboard, run[0].0, &bytes).map_err(|error| self.outboard_error(error))?;
        }
        // What was held before wasn't written, and may have rotted since: that it verified here says
        // nothing of what is on disk.
        let written: Blocks = leaves.iter().map(|(block, _)| *block..*block + 1).collect();
        let mut content = self.content();
        content.held = content.held.union(&written);
        content.checked = content.checked.union(&written);
        Ok(())
    }

    /// The blocks that have to be written, and the pairs with their offsets: above a block that is held
    /// every pair is on disk already.
    fn not_yet_held<'a>(&self, decoded: &'a Decoded) -> (Vec<Leaf<'a>>, Vec<Pair<'a>>) {
        let content = self.content();
        let leaves = decoded.blocks.clone().zip(&decoded.leaves);
        let leaves = leaves.filter(|(block, _)| !content.held.contains(*block));
        let tree = tree(self.geometry);
        let pairs = decoded.pairs.iter();
        let pairs = pairs.filter(|(node, _)| !content.held.intersects(blocks_below(self.geometry, *node)));
        let pairs = pairs.filter_map(|(node, pair)| Some((pair_offset(&tree, *node)?, pair)));
        (leaves.map(|(block, bytes)| (block, bytes.as_ref())).collect(), pairs.collect())
    }

    /// The outboard, made when the size is proved. Only then is the claimed size taken from the disk.
    fn outboard_for_writing(&self) -> Result<&File, StoreError> {
        if self.outboard.get().is_none() {
            self.data.set_len(self.geometry.size()).map_err(|error| self.data_error(error))?;
            let file = open::create_outboard(&self.place).map_err(|error| self.outboard_error(error))?;
            let _ = self.outboard.set(file);
        }
        self.outboard.get().ok_or_else(|| self.outboard_error(io::ErrorKind::NotFound.into()))
    }

    fn forget_record(&self, journal: &mut Journal) -> Result<(), StoreError> {
        if journal.recorded {
            Record::remove(&self.place.folder).map_err(|error| StoreError::io(&self.place.folder, error))?;
            journal.recorded = false;
        }
        Ok(())
    }

    /// After a block that is held didn't read back as it should: hashes what is in question, gives up
    /// what is lost, and says so. If nothing is, the disk's own `error` stands.
    fn give_up_lost(&self, run: Range<u64>, error: StoreError) -> StoreError {
        let mut journal = self.journal();
        let Some(outboard) = self.outboard.get() else { return error };
        let asked = run.clone();
        // Every block below a lost pair is lost, not only those of this run: while one of them counted
        // as held, nobody would write the pair again.
        let provable = provable(self.id, self.geometry, outboard);
        let there = valid(self.id, self.geometry, outboard, &self.data, run.clone());
        let lost = {
            let mut content = self.content();
            let lost = Blocks::from(run).difference(&there).intersection(&content.held);
            let lost = lost.union(&content.held.difference(&provable));
            content.held = content.held.difference(&lost);
            content.checked = content.checked.difference(&lost);
            lost
        };
        if lost.is_empty() {
            // It may have been forgotten while it was read.
            let missing = first_missing(&self.content().held, &asked);
            return missing.map_or(error, |block| StoreError::NotHeld { block });
        }
        if let Err(error) = self.forget_record(&mut journal) {
            return error;
        }
        tracing::warn!(path = %self.place.data.display(), ?lost, "blocks are damaged");
        StoreError::Damaged { path: self.place.data.clone(), blocks: lost }
    }

    /// Hashes what was believed from the record so far.
    fn check(&self, run: Range<u64>) -> Result<(), StoreError> {
        if self.content().checked.contains_run(run.clone()) {
            return Ok(());
        }
        let Some(outboard) = self.outboard.get() else {
            return Err(StoreError::NotHeld { block: run.start });
        };
        let there = valid(self.id, self.geometry, outboard, &self.data, run.clone());
        if there.contains_run(run.clone()) {
            let mut content = self.content();
            content.checked = content.checked.union(&there.intersection(&content.held));
            return Ok(());
        }
        let error = StoreError::NotHeld { block: first_missing(&there, &run).unwrap_or(run.start) };
        Err(self.give_up_lost(run, error))
    }

    /// Hashes all that isn't yet, for who is going to read the file without asking the store.
    pub(crate) fn check_all(&self) -> Result<(), StoreError> {
        self.check_usable()?;
        self.check(0..self.geometry.count())
    }
}

impl Store for DiskStore {
    fn id(&self) -> ResourceId {
        self.id
    }

    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn held(&self) -> Blocks {
        self.content().held.clone()
    }

    fn complete(&self) -> bool {
        self.content().held.contains_run(0..self.geometry.count())
    }

    fn size_proved(&self) -> bool {
        self.outboard.get().is_some()
    }

    fn accept(&self, blocks: Range<u64>, encoded: &[u8]) -> Result<Blocks, AcceptError> {
        let refuse = |fault| AcceptError { verified: Blocks::new(), fault };
        let count = self.geometry.count();
        if !has_run(self.geometry, &blocks) {
            return Err(refuse(StoreError::NoSuchRun { run: blocks, count }.into()));
        }
        let proved = self.size_proved();
        if !proved && blocks.end != count {
            return Err(refuse(Fault::SizeUnproved));
        }
        let decoded = decode(self.id, self.geometry, blocks, encoded);
        if !proved && decoded.blocks.end != count {
            return Err(refuse(Fault::WrongSize { claimed: self.geometry.size() }));
        }
        self.keep(&decoded).map_err(|error| refuse(error.into()))?;
        let verified = Blocks::from(decoded.blocks);
        match decoded.fault {
            None => Ok(verified),
            Some(fault) => Err(AcceptError { verified, fault }),
        }
    }

    fn encode(&self, blocks: Range<u64>) -> Result<Vec<u8>, StoreError> {
        if !has_run(self.geometry, &blocks) {
            return Err(StoreError::NoSuchRun { run: blocks, count: self.geometry.count() });
        }
        self.check_usable()?;
        let forgets = {
            let content = self.content();
            if let Some(block) = first_missing(&content.held, &blocks) {
                return Err(StoreError::NotHeld { block });
            }
            content.forgets
        };
        let Some(file) = self.outboard.get() else {
            return Err(StoreError::NotHeld { block: blocks.start });
        };
        let pairs = outboard(self.id, self.geometry, file);
        let mut encoded = Vec::new();
        encode_ranges_validated(&self.data, pairs, &chunks(self.geometry, &blocks), &mut encoded).map_err(
            |error| {
                let block = blocks.start;
                match self.give_up_lost(blocks, self.data_error(error.into())) {
                    // Nothing is lost: it was forgotten as it was read, and has come again since.
                    StoreError::Io { .. } if self.content().forgets != forgets => {
                        StoreError::NotHeld { block }
                    }
                    error => error,
                }
            },
        )?;
        Ok(encoded)
    }

    fn known(&self, blocks: &Range<u64>) -> Vec<u8> {
        let Some(file) = self.outboard.get() else { return Vec::new() };
        let held = self.held();
        let pairs = outboard(self.id, self.geometry, file);
        let pair = |node| pairs.load(node).ok().flatten().map(|(left, right)| [left, right]);
        known_parents(self.id, self.geometry, blocks, &held, pair)
    }

    fn forget(&self, blocks: &Blocks) -> Result<Blocks, StoreError> {
        let mut journal = self.journal();
        self.check_usable()?;
        if self.place.imported.is_some() {
            return Err(StoreError::Imported { path: self.place.data.clone() });
        }
        let gone = self.held().intersection(blocks);
        if gone.is_empty() {
            return Ok(gone);
        }
        // What the record claims must be there.
        self.forget_record(&mut journal)?;
        {
            let mut content = self.content();
            content.held = content.held.difference(&gone);
            content.checked = content.checked.difference(&gone);
            content.forgets += 1;
        }
        for run in gone.runs() {
            punch(&self.data, self.geometry.bytes(run)).map_err(|error| self.data_error(error))?;
        }
        Ok(gone)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        self.check_usable()?;
        loop {
            let (bytes, forgets) = {
                let content = self.content();
                (readable(self.geometry, &content.held, offset, buf.len())?, content.forgets)
            };
            if bytes.is_empty() {
                return Ok(0);
            }
            let run = self.geometry.covering(bytes.clone());
            self.check(run.clone())?;
            let length = usize::try_from(bytes.end - bytes.start).unwrap_or(buf.len());
            self.data
                .read_exact_at(offset, &mut buf[..length])
                .map_err(|error| self.give_up_lost(run, self.data_error(error)))?;
            // What was forgotten meanwhile reads as zeros.
            if self.content().forgets == forgets {
                return Ok(length);
            }
        }
    }

    fn location(&self) -> Location {
        Location::File(self.place.data.clone())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut journal = self.journal();
        let Some(outboard) = self.outboard.get() else { return Ok(()) };
        if journal.recorded || self.check_usable().is_err() {
            return Ok(());
        }
        if self.place.imported.is_none() {
            self.data.sync_all().map_err(|error| self.data_error(error))?;
            let folder = self.place.data.parent();
            folder.map_or(Ok(()), sync_folder).map_err(|error| self.data_error(error))?;
        }
        outboard.sync_all().map_err(|error| self.outboard_error(error))?;
        self.write_record(outboard).map_err(|error| StoreError::io(self.place.outboard(), error))?;
        journal.recorded = true;
        Ok(())
    }
}

impl DiskStore {
    fn write_record(&self, outboard: &File) -> io::Result<()> {
        let stamps = (Stamp::of(&self.data.metadata()?)?, Stamp::of(&outboard.metadata()?)?);
        Record::new(self.geometry, &self.held(), stamps.0, stamps.1).write(&self.place.folder)
    }
}

impl Drop for DiskStore {
    fn drop(&mut self) {
        if let Err(error) = self.sync() {
            tracing::warn!(%error, "the next opening will hash this file again");
        }
    }
}

#[cfg(test)]
mod tests;
