//! The BLAKE3 tree over blocks: sizes, node numbers, and which blocks a disk really holds.
//!
//! The shape is that of the BLAKE3 paper (section 2.1), cut off at chunk groups of 16 chunks, which are
//! the blocks of `nearcast-protocol`. The pairs of hashes above the blocks are kept apart from the data,
//! in post-order: a tree that is computed from its leaves is then written from front to back.

use std::{io, ops::Range};

use bao_tree::{
    BaoTree, BlockSize, ChunkNum, ChunkRanges, TreeNode,
    io::{
        outboard::PostOrderOutboard,
        sync::{ReadAt, valid_outboard_ranges, valid_ranges},
    },
};
use blake3::hazmat::{Mode, merge_subtrees_non_root, merge_subtrees_root};
use nearcast_protocol::{Blocks, Geometry, ResourceId};

/// The chunks of a block, as a power of two: 16 KiB are 2⁴ chunks of 1 KiB.
const BLOCK_SIZE: BlockSize = BlockSize::from_chunk_log(4);
const CHUNKS: u64 = 1 << 4;
/// The bytes of a parent: the hashes of its two children.
pub const PAIR_BYTES: u64 = 64;

/// How many bytes the Bao encoding of a run of blocks has: the data and the parents that verify it. For
/// bounding a buffer before a stranger fills it; takes time logarithmic in the file's size.
///
/// Blocks past the end count as nothing.
pub fn encoded_len(geometry: Geometry, blocks: Range<u64>) -> u64 {
    let bytes = geometry.bytes(blocks.clone());
    let parents = parents(geometry.count(), &blocks);
    (bytes.end - bytes.start).saturating_add(parents.saturating_mul(PAIR_BYTES))
}

/// The parents on the way from the root of a tree of `count` blocks to any block of the run.
fn parents(count: u64, run: &Range<u64>) -> u64 {
    let end = run.end.min(count);
    if count <= 1 || run.start >= end {
        return 0;
    }
    if run.start == 0 && end == count {
        return count - 1;
    }
    // The left subtree of a BLAKE3 node is full: the largest power of two below the whole.
    let left = count.div_ceil(2).next_power_of_two();
    let right_run = run.start.saturating_sub(left)..end.saturating_sub(left);
    1 + parents(left, &(run.start..end.min(left))) + parents(count - left, &right_run)
}

/// How many parents all blocks of the run lie below: so many are at the beginning of its encoding.
pub fn common_parents(geometry: Geometry, blocks: &Range<u64>) -> usize {
    way_down(geometry, blocks).count()
}

/// From the root down, the nodes that all of the run lies below: the first of its encoding's parents, in its order.
pub(crate) fn way_down(geometry: Geometry, run: &Range<u64>) -> impl Iterator<Item = TreeNode> {
    let (tree, run) = (tree(geometry), run.clone());
    let mut next = tree.pre_order_nodes_iter().next().filter(|_| has_run(geometry, &run));
    std::iter::from_fn(move || {
        let node = next.filter(|node| pair_offset(&tree, *node).is_some())?;
        let split = node.mid().0 / CHUNKS;
        next = if run.end <= split {
            node.left_child()
        } else if run.start >= split {
            // On the right edge of the tree a node without a right half isn't there; its left half stands for it.
            std::iter::successors(node.right_child(), TreeNode::left_child)
                .find(|child| child.mid() < tree.chunks())
        } else {
            None
        };
        Some(node)
    })
}

/// Of the parents at the beginning of a run's encoding those that are there and right, as bytes; `held` tells above
/// what pairs are there.
pub(crate) fn known_parents(
    id: ResourceId,
    geometry: Geometry,
    run: &Range<u64>,
    held: &Blocks,
    pair: impl Fn(TreeNode) -> Option<[blake3::Hash; 2]>,
) -> Vec<u8> {
    let mut known = Vec::new();
    let mut expected = root(id);
    for (depth, node) in way_down(geometry, run).enumerate() {
        if !held.intersects(blocks_below(geometry, node)) {
            break;
        }
        let Some([left, right]) = pair(node) else { break };
        // A disk that rots must not get a peer banned whose answer is then put behind this.
        let (one, other) = (left.as_bytes(), right.as_bytes());
        let right_one = if depth == 0 {
            merge_subtrees_root(one, other, Mode::Hash) == expected
        } else {
            merge_subtrees_non_root(one, other, Mode::Hash) == *expected.as_bytes()
        };
        if !right_one {
            break;
        }
        known.extend_from_slice(one);
        known.extend_from_slice(other);
        expected = if run.start < node.mid().0 / CHUNKS { left } else { right };
    }
    known
}

/// The tree of a file, as `bao-tree` wants it.
pub(crate) fn tree(geometry: Geometry) -> BaoTree {
    BaoTree::new(geometry.size(), BLOCK_SIZE)
}

/// The root's hash.
pub(crate) fn root(id: ResourceId) -> blake3::Hash {
    blake3::Hash::from_bytes(*id.as_bytes())
}

/// A run of blocks as chunks. A run that reaches the last block is open-ended, since `bao-tree` takes a
/// bound past the end for a wish for the last chunk.
pub(crate) fn chunks(geometry: Geometry, run: &Range<u64>) -> ChunkRanges {
    if run.is_empty() {
        return ChunkRanges::empty();
    }
    let start = ChunkNum(run.start.saturating_mul(CHUNKS));
    if run.end >= geometry.count() {
        ChunkRanges::from(start..)
    } else {
        ChunkRanges::from(start..ChunkNum(run.end.saturating_mul(CHUNKS)))
    }
}

/// Whether a run names blocks that the file has.
pub(crate) fn has_run(geometry: Geometry, run: &Range<u64>) -> bool {
    run.start < run.end && run.end <= geometry.count()
}

/// The blocks below a node.
pub(crate) fn blocks_below(geometry: Geometry, node: TreeNode) -> Range<u64> {
    let chunks = node.chunk_range();
    chunks.start.0 / CHUNKS..chunks.end.0.div_ceil(CHUNKS).min(geometry.count())
}

/// Where the pair of a node lies among the stored pairs, in bytes; `None` inside a block.
pub(crate) fn pair_offset(tree: &BaoTree, node: TreeNode) -> Option<u64> {
    tree.post_order_offset(node).map(|offset| offset.value() * PAIR_BYTES)
}

/// The pairs stored in `data`.
pub(crate) fn outboard<D>(id: ResourceId, geometry: Geometry, data: D) -> PostOrderOutboard<D> {
    PostOrderOutboard { root: root(id), tree: tree(geometry), data }
}

/// Which blocks of `run` are there and right, by hashing them and every pair above them.
pub(crate) fn valid(
    id: ResourceId,
    geometry: Geometry,
    pairs: impl ReadAt,
    data: impl ReadAt,
    run: Range<u64>,
) -> Blocks {
    if geometry.size() == 0 {
        // `bao-tree` names chunks, of which an empty file has none to name.
        let empty = blake3::hash(&[]) == root(id);
        return if empty { Blocks::from(run) } else { Blocks::new() };
    }
    let ranges = chunks(geometry, &run);
    let found = valid_ranges(outboard(id, geometry, Lenient(pairs)), Lenient(data), &ranges);
    // `Lenient` never fails, so that what isn't listed is simply not there.
    let runs = found.into_iter().flatten().map(|chunks| block_run(&chunks));
    runs.collect::<Blocks>().intersection(&Blocks::from(run))
}

/// Which blocks have every pair above them there and right; says nothing about the data.
pub(crate) fn provable(id: ResourceId, geometry: Geometry, pairs: impl ReadAt) -> Blocks {
    let ranges = ChunkRanges::all();
    let found = valid_outboard_ranges(outboard(id, geometry, Lenient(pairs)), &ranges);
    let runs = found.into_iter().flatten().map(|chunks| block_run(&chunks));
    if tree(geometry).blocks() == 1 { geometry.all() } else { runs.collect() }
}

fn block_run(chunks: &Range<ChunkNum>) -> Range<u64> {
    chunks.start.0 / CHUNKS..chunks.end.0.div_ceil(CHUNKS)
}

/// Reads what can be read: a bad sector ends the read as the end of the file would. It costs its block
/// and not the whole scan.
struct Lenient<R>(R);

impl<R: ReadAt> ReadAt for Lenient<R> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read_at(offset, buf) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                tracing::warn!(%error, offset, "a part of a file can't be read; taking it for lost");
                Ok(0)
            }
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use bao_tree::io::sync::{Outboard, encode_ranges_validated};
    use nearcast_protocol::BLOCK_BYTES;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::testing::film;

    proptest! {
        #[test]
        fn the_length_is_that_of_the_encoding(size in 0u64..40 * BLOCK_BYTES, start in 0u64..40, length in 0u64..40) {
            let geometry = Geometry::new(size);
            let film = film(size);
            let run = start.min(geometry.last())..(start + length).min(geometry.count());
            let run = run.start..run.end.max(run.start + 1);
            let mut encoded = Vec::new();
            let pairs = outboard(film.id, geometry, film.pairs.as_slice());
            encode_ranges_validated(film.bytes.as_slice(), pairs, &chunks(geometry, &run), &mut encoded)
                .unwrap();
            prop_assert_eq!(encoded_len(geometry, run), encoded.len() as u64);
        }

        #[test]
        fn what_is_known_is_the_beginning_of_the_encoding(
            size in 1u64..70 * BLOCK_BYTES, start in 0u64..70, length in 1u64..20, held in 0u64..70
        ) {
            let geometry = Geometry::new(size);
            let film = film(size);
            let run = start.min(geometry.last())..(start + length).min(geometry.count());
            let run = run.start..run.end.max(run.start + 1);
            let encoded = film.encoding(run.clone());
            let pairs = outboard(film.id, geometry, film.pairs.as_slice());
            let pair = |node| pairs.load(node).unwrap().map(|(left, right)| [left, right]);
            let all = known_parents(film.id, geometry, &run, &geometry.all(), pair);
            prop_assert_eq!(&all[..], &encoded[..all.len()]);
            prop_assert_eq!(all.len(), common_parents(geometry, &run) * PAIR_BYTES as usize);
            let held = held.min(geometry.last());
            let some = known_parents(film.id, geometry, &run, &Blocks::from(held..held + 1), pair);
            prop_assert_eq!(&some[..], &all[..some.len()]);
            // The root's pair at least, if there is one; and all if it is one of the blocks.
            prop_assert!(!some.is_empty() || geometry.count() == 1);
            prop_assert!(!run.contains(&held) || some.len() == all.len());
            let rotten = |node| pair(node).map(|[left, _]| [left, blake3::hash(b"rotten")]);
            prop_assert!(known_parents(film.id, geometry, &run, &geometry.all(), rotten).is_empty());
        }
    }

    #[test]
    fn the_length_of_anything_is_found_at_once() {
        let huge = Geometry::new(1 << 50);
        assert_eq!(encoded_len(huge, 0..1), BLOCK_BYTES + 36 * PAIR_BYTES);
        assert_eq!(encoded_len(huge, 0..u64::MAX), (1 << 50) + (huge.count() - 1) * PAIR_BYTES);
        assert_eq!(encoded_len(huge, u64::MAX - 1..u64::MAX), 0);
        assert_eq!(encoded_len(Geometry::new(0), 0..1), 0);
        assert_eq!(encoded_len(Geometry::new(u64::MAX), 0..u64::MAX), u64::MAX);
    }
}
