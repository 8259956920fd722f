//! Reading the Bao encoding of a run: what verifies, and where it stops verifying.

use std::ops::Range;

use bao_tree::{
    TreeNode,
    io::{BaoContentItem, DecodeError, sync::DecodeResponseIter},
};
use bytes::Bytes;
use nearcast_protocol::{BLOCK_BYTES, Geometry, ResourceId};

use crate::{
    store::Fault,
    tree::{chunks, encoded_len, root, tree},
};

/// What of an encoding verified. Nothing in here is a stranger's word any more.
pub(crate) struct Decoded {
    /// The blocks that verified: a prefix of the run.
    pub blocks: Range<u64>,
    /// Their bytes, one entry a block, ascending.
    pub leaves: Vec<Bytes>,
    /// The parents on the way, with the hashes of their children.
    pub pairs: Vec<(TreeNode, [blake3::Hash; 2])>,
    /// Why it stopped before the end of the run.
    pub fault: Option<Fault>,
}

/// Verifies `encoded` against the id, as the encoding of `run` in a file of this geometry. Allocates no
/// more than the encoding has, and a block.
pub(crate) fn decode(id: ResourceId, geometry: Geometry, run: Range<u64>, encoded: &[u8]) -> Decoded {
    let ranges = chunks(geometry, &run);
    let mut decoded =
        Decoded { blocks: run.start..run.start, leaves: Vec::new(), pairs: Vec::new(), fault: None };
    for item in DecodeResponseIter::new(root(id), tree(geometry), encoded, &ranges) {
        match item {
            Ok(BaoContentItem::Parent(parent)) => {
                decoded.pairs.push((parent.node, [parent.pair.0, parent.pair.1]));
            }
            Ok(BaoContentItem::Leaf(leaf)) => {
                debug_assert_eq!(leaf.offset, decoded.blocks.end * BLOCK_BYTES);
                decoded.leaves.push(leaf.data);
                decoded.blocks.end += 1;
            }
            Err(error) => {
                decoded.fault = Some(match error {
                    DecodeError::ParentNotFound(_) | DecodeError::LeafNotFound(_) | DecodeError::Io(_) => {
                        Fault::Short
                    }
                    DecodeError::ParentHashMismatch(_) | DecodeError::LeafHashMismatch(_) => {
                        Fault::Wrong { block: decoded.blocks.end }
                    }
                });
                return decoded;
            }
        }
    }
    let expected = encoded_len(geometry, run);
    if encoded.len() as u64 > expected {
        decoded.fault = Some(Fault::Long { extra: encoded.len() as u64 - expected });
    }
    decoded
}
