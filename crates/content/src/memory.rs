//! A resource in memory only.

use std::{
    collections::HashMap,
    fs::File,
    io,
    ops::Range,
    path::PathBuf,
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bao_tree::{
    BaoTree, TreeNode,
    io::sync::{Outboard, ReadAt, encode_ranges_validated},
};
use nearcast_protocol::{BLOCK_BYTES, Blocks, Geometry, ResourceId};

use crate::{
    decode::decode,
    disk::file::{punch, write_all_at},
    store::{AcceptError, Fault, Location, Store, StoreError, first_missing, readable},
    tree::{blocks_below, chunks, has_run, known_parents, root, tree},
};

/// Keeps a resource in memory, in a file that no disk has, so that a player can read it where it lies (R4). It grows
/// with what is accepted, whatever size a link claims, and shrinks by what is forgotten, to the block.
pub struct MemoryStore {
    id: ResourceId,
    geometry: Geometry,
    data: File,
    content: RwLock<Content>,
}

#[derive(Default)]
struct Content {
    /// Whether the last block was held at any time.
    proved: bool,
    held: Blocks,
    pairs: HashMap<TreeNode, [blake3::Hash; 2]>,
}

impl MemoryStore {
    /// An empty store for a resource of `size` bytes, as a link claims.
    ///
    /// # Errors
    /// When the system has no more files or memory to give.
    pub fn new(id: ResourceId, size: u64) -> Result<Self, StoreError> {
        let data = memory_file().map_err(error)?;
        Ok(Self { id, geometry: Geometry::new(size), data, content: RwLock::default() })
    }

    fn read(&self) -> RwLockReadGuard<'_, Content> {
        // A panic under this lock is a bug elsewhere; each single insertion leaves the content usable.
        self.content.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write(&self) -> RwLockWriteGuard<'_, Content> {
        self.content.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Store for MemoryStore {
    fn id(&self) -> ResourceId {
        self.id
    }

    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn held(&self) -> Blocks {
        self.read().held.clone()
    }

    fn size_proved(&self) -> bool {
        self.read().proved
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
        let verified = Blocks::from(decoded.blocks.clone());
        let mut content = self.write();
        content.proved = true;
        content.pairs.extend(decoded.pairs);
        for (block, bytes) in decoded.blocks.clone().zip(&decoded.leaves) {
            if !content.held.contains(block) {
                let written = write_all_at(&self.data, block * BLOCK_BYTES, bytes);
                written.map_err(|full| refuse(error(full).into()))?;
            }
        }
        content.held.insert(decoded.blocks);
        match decoded.fault {
            None => Ok(verified),
            Some(fault) => Err(AcceptError { verified, fault }),
        }
    }

    fn encode(&self, blocks: Range<u64>) -> Result<Vec<u8>, StoreError> {
        if !has_run(self.geometry, &blocks) {
            return Err(StoreError::NoSuchRun { run: blocks, count: self.geometry.count() });
        }
        let content = self.read();
        if let Some(block) = first_missing(&content.held, &blocks) {
            return Err(StoreError::NotHeld { block });
        }
        let outboard = Pairs { id: self.id, tree: tree(self.geometry), pairs: &content.pairs };
        let mut encoded = Vec::new();
        encode_ranges_validated(&self.data, outboard, &chunks(self.geometry, &blocks), &mut encoded)
            .map_err(|why| error(why.into()))?;
        Ok(encoded)
    }

    fn known(&self, blocks: &Range<u64>) -> Vec<u8> {
        let content = self.read();
        let pair = |node| content.pairs.get(&node).copied();
        known_parents(self.id, self.geometry, blocks, &content.held, pair)
    }

    fn forget(&self, blocks: &Blocks) -> Result<Blocks, StoreError> {
        let mut content = self.write();
        let gone = content.held.intersection(blocks);
        for run in gone.runs() {
            punch(&self.data, self.geometry.bytes(run)).map_err(error)?;
        }
        let held = content.held.difference(&gone);
        let geometry = self.geometry;
        content.pairs.retain(|node, _| held.intersects(blocks_below(geometry, *node)));
        content.held = held;
        Ok(gone)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let content = self.read();
        let bytes = readable(self.geometry, &content.held, offset, buf.len())?;
        let buf = &mut buf[..(bytes.end - bytes.start) as usize];
        self.data.read_exact_at(offset, buf).map_err(error)?;
        Ok(buf.len())
    }

    fn location(&self) -> Location {
        Location::Memory(memory_path(&self.data))
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

struct Pairs<'a> {
    id: ResourceId,
    tree: BaoTree,
    pairs: &'a HashMap<TreeNode, [blake3::Hash; 2]>,
}

impl Outboard for Pairs<'_> {
    fn root(&self) -> blake3::Hash {
        root(self.id)
    }

    fn tree(&self) -> BaoTree {
        self.tree
    }

    fn load(&self, node: TreeNode) -> io::Result<Option<(blake3::Hash, blake3::Hash)>> {
        Ok(self.pairs.get(&node).map(|[left, right]| (*left, *right)))
    }
}

fn error(source: io::Error) -> StoreError {
    StoreError::io(PathBuf::from("memory"), source)
}

#[cfg(target_os = "linux")]
fn memory_file() -> io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    Ok(File::from(memfd_create("nearcast", MemfdFlags::CLOEXEC)?))
}

/// Where other programs of the same user find the file.
#[cfg(target_os = "linux")]
fn memory_path(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd;
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into()
}

#[cfg(not(target_os = "linux"))]
fn memory_file() -> io::Result<File> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no files in memory"))
}

#[cfg(not(target_os = "linux"))]
fn memory_path(_: &File) -> PathBuf {
    PathBuf::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{conformance, testing::film};

    #[test]
    fn keeps_the_contract() {
        conformance::all(|id, size| Box::new(MemoryStore::new(id, size).unwrap()));
    }

    #[test]
    fn holds_only_what_it_was_given() {
        let film = film(10 * BLOCK_BYTES + 5);
        let store = MemoryStore::new(film.id, film.size()).unwrap();
        store.accept(10..11, &film.encoding(10..11)).unwrap();
        store.accept(3..5, &film.encoding(3..5)).unwrap();
        assert_eq!(taken(&store), 2 * BLOCK_BYTES + 4096);
    }

    fn taken(store: &MemoryStore) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let Location::Memory(path) = store.location() else { panic!("it lies elsewhere") };
        std::fs::metadata(path).unwrap().blocks() * 512
    }

    #[test]
    fn what_is_forgotten_takes_no_memory() {
        let film = film(500 * BLOCK_BYTES);
        let store = MemoryStore::new(film.id, film.size()).unwrap();
        store.accept(499..500, &film.encoding(499..500)).unwrap();
        for start in (0..480).step_by(20) {
            store.accept(start..start + 20, &film.encoding(start..start + 20)).unwrap();
            store.forget(&(start.saturating_sub(40)..start).into()).unwrap();
        }
        assert_eq!(store.held(), Blocks::from_iter([460..480, 499..500]));
        assert_eq!(taken(&store), 21 * BLOCK_BYTES);
        let pairs = store.read().pairs.len();
        assert!(pairs < 60, "{pairs} pairs");
    }
}
