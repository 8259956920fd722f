//! A resource in memory only.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    ops::Range,
    path::PathBuf,
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bao_tree::{
    BaoTree, TreeNode,
    io::sync::{Outboard, ReadAt, encode_ranges_validated},
};
use bytes::Bytes;
use nearcast_protocol::{BLOCK_BYTES, Blocks, Geometry, ResourceId};

use crate::{
    decode::decode,
    store::{AcceptError, Fault, Location, Store, StoreError, first_missing, readable},
    tree::{chunks, has_run, root, tree},
};

/// Keeps a resource in memory. It grows with what is accepted, whatever size a link claims.
pub struct MemoryStore {
    id: ResourceId,
    geometry: Geometry,
    content: RwLock<Content>,
}

#[derive(Default)]
struct Content {
    held: Blocks,
    blocks: BTreeMap<u64, Bytes>,
    pairs: HashMap<TreeNode, [blake3::Hash; 2]>,
}

impl MemoryStore {
    /// An empty store for a resource of `size` bytes, as a link claims.
    pub fn new(id: ResourceId, size: u64) -> Self {
        Self { id, geometry: Geometry::new(size), content: RwLock::default() }
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
        // Memory forgets nothing, and the last block is the first to come.
        !self.read().held.is_empty()
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
        content.pairs.extend(decoded.pairs);
        content.blocks.extend(decoded.blocks.clone().zip(decoded.leaves));
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
        encode_ranges_validated(&*content, outboard, &chunks(self.geometry, &blocks), &mut encoded)
            .map_err(|error| StoreError::io(PathBuf::from("memory"), error.into()))?;
        Ok(encoded)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        let content = self.read();
        let bytes = readable(self.geometry, &content.held, offset, buf.len())?;
        let buf = &mut buf[..(bytes.end - bytes.start) as usize];
        content.read_exact_at(offset, buf).map_err(|error| StoreError::io(PathBuf::from("memory"), error))?;
        Ok(buf.len())
    }

    fn location(&self) -> Location {
        Location::Memory
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Reads up to the end of one block.
impl ReadAt for Content {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let Some(block) = self.blocks.get(&(offset / BLOCK_BYTES)) else { return Ok(0) };
        let from = block.get((offset % BLOCK_BYTES) as usize..).unwrap_or_default();
        let length = from.len().min(buf.len());
        buf[..length].copy_from_slice(&from[..length]);
        Ok(length)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{conformance, testing::film};

    #[test]
    fn keeps_the_contract() {
        conformance::all(|id, size| Box::new(MemoryStore::new(id, size)));
    }

    #[test]
    fn holds_only_what_it_was_given() {
        let film = film(10 * BLOCK_BYTES + 5);
        let store = MemoryStore::new(film.id, film.size());
        store.accept(10..11, &film.encoding(10..11)).unwrap();
        store.accept(3..5, &film.encoding(3..5)).unwrap();
        let content = store.read();
        assert_eq!(content.blocks.keys().copied().collect::<Vec<_>>(), [3, 4, 10]);
        assert_eq!(content.blocks.values().map(Bytes::len).sum::<usize>(), 2 * BLOCK_BYTES as usize + 5);
    }
}
