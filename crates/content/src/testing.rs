//! Films for tests: their bytes, and encodings of them that no store of ours had a hand in.

use std::ops::Range;

use bao_tree::{
    BaoTree, BlockSize, ChunkNum, ChunkRanges,
    io::{
        outboard::PostOrderOutboard,
        sync::{encode_ranges_validated, outboard_post_order},
    },
};
use nearcast_protocol::{Geometry, Link, ResourceId};
use rand::{RngCore, SeedableRng, rngs::StdRng};

/// A film and its tree.
pub(crate) struct Film {
    pub id: ResourceId,
    pub bytes: Vec<u8>,
    pub pairs: Vec<u8>,
}

/// Bytes that don't repeat.
pub(crate) fn bytes(size: u64) -> Vec<u8> {
    let mut bytes = vec![0; size as usize];
    StdRng::seed_from_u64(size).fill_bytes(&mut bytes);
    bytes
}

/// A film of this many bytes, always the same.
pub(crate) fn film(size: u64) -> Film {
    let bytes = bytes(size);
    let mut pairs = Vec::new();
    let root = outboard_post_order(bytes.as_slice(), bao(size), &mut pairs).unwrap();
    Film { id: ResourceId::from_bytes(*root.as_bytes()), bytes, pairs }
}

fn bao(size: u64) -> BaoTree {
    BaoTree::new(size, BlockSize::from_chunk_log(4))
}

impl Film {
    pub(crate) fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(crate) fn geometry(&self) -> Geometry {
        Geometry::new(self.size())
    }

    pub(crate) fn link(&self, name: &str) -> Link {
        self.link_claiming(self.size(), name)
    }

    pub(crate) fn link_claiming(&self, size: u64, name: &str) -> Link {
        Link {
            id: self.id,
            name: name.to_owned(),
            size,
            trackers: Vec::new(),
            sources: Vec::new(),
            token: None,
        }
    }

    /// The encoding of a run, by `bao-tree` alone.
    pub(crate) fn encoding(&self, run: Range<u64>) -> Vec<u8> {
        let root = blake3::Hash::from_bytes(*self.id.as_bytes());
        let pairs = PostOrderOutboard { root, tree: bao(self.size()), data: self.pairs.as_slice() };
        let ranges = ChunkRanges::from(ChunkNum(run.start * 16)..ChunkNum(run.end * 16));
        let mut encoded = Vec::new();
        encode_ranges_validated(self.bytes.as_slice(), pairs, &ranges, &mut encoded).unwrap();
        encoded
    }
}
