//! A file as blocks, and sets of blocks.

use std::{fmt, ops::Range};

use range_collections::{RangeSet2, range_set::RangeSetRange};

/// The smallest range that can be verified on its own: a BLAKE3 chunk group of 16 KiB.
pub const BLOCK_BYTES: u64 = 16 * 1024;

/// How a file of a certain size is cut into blocks of [`BLOCK_BYTES`]; the last may be shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    size: u64,
}

impl Geometry {
    /// The geometry of a file of `size` bytes.
    pub const fn new(size: u64) -> Self {
        Self { size }
    }

    /// The file's size in bytes.
    pub const fn size(self) -> u64 {
        self.size
    }

    /// How many blocks the file has. An empty file has one block of no bytes, as its hash has one chunk.
    pub const fn count(self) -> u64 {
        let count = self.size.div_ceil(BLOCK_BYTES);
        if count == 0 { 1 } else { count }
    }

    /// The last block, whose proof also proves the size.
    pub const fn last(self) -> u64 {
        self.count() - 1
    }

    /// All blocks.
    pub fn all(self) -> Blocks {
        Blocks::from(0..self.count())
    }

    /// The block that holds the byte at `offset`; past the end, the last block.
    pub fn block_at(self, offset: u64) -> u64 {
        (offset / BLOCK_BYTES).min(self.last())
    }

    /// The bytes of a run of blocks, cut at the end of the file.
    pub fn bytes(self, blocks: Range<u64>) -> Range<u64> {
        let start = blocks.start.saturating_mul(BLOCK_BYTES).min(self.size);
        let end = blocks.end.saturating_mul(BLOCK_BYTES).min(self.size);
        start..end
    }

    /// The blocks that a byte range touches; empty if the range is empty or past the end.
    pub fn covering(self, bytes: Range<u64>) -> Range<u64> {
        let end = bytes.end.min(self.size);
        if bytes.start >= end {
            return 0..0;
        }
        bytes.start / BLOCK_BYTES..end.div_ceil(BLOCK_BYTES)
    }

    /// How many bytes a set of blocks holds.
    pub fn bytes_in(self, blocks: &Blocks) -> u64 {
        blocks.runs().map(|run| self.bytes(run)).map(|bytes| bytes.end - bytes.start).sum()
    }
}

/// A set of block numbers, kept as disjoint ascending runs.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Blocks(RangeSet2<u64>);

impl Blocks {
    /// No blocks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many blocks are in the set.
    pub fn count(&self) -> u64 {
        self.runs().map(|run| run.end - run.start).sum()
    }

    /// Whether one block is in the set.
    pub fn contains(&self, block: u64) -> bool {
        self.0.contains(&block)
    }

    /// Whether a whole run is in the set. An empty run always is.
    pub fn contains_run(&self, run: Range<u64>) -> bool {
        run.is_empty() || self.run_at(run.start).is_some_and(|held| held.end >= run.end)
    }

    /// Whether any block of the run is in the set.
    pub fn intersects(&self, run: Range<u64>) -> bool {
        !run.is_empty() && self.0.intersects(&RangeSet2::from(run))
    }

    /// The run of the set that holds `block`, from `block` on.
    pub fn run_at(&self, block: u64) -> Option<Range<u64>> {
        let boundaries = self.0.boundaries();
        let after = boundaries.partition_point(|boundary| *boundary <= block);
        // An odd number of boundaries before `block` means that it lies inside a run.
        (after % 2 == 1).then(|| block..boundaries.get(after).copied().unwrap_or(u64::MAX))
    }

    /// The first run at or after `block`; of a run that holds `block`, the part from `block` on.
    pub fn next_run(&self, block: u64) -> Option<Range<u64>> {
        let boundaries = self.0.boundaries();
        let after = boundaries.partition_point(|boundary| *boundary <= block);
        let end = |at: usize| boundaries.get(at).copied().unwrap_or(u64::MAX);
        if after % 2 == 1 {
            return Some(block..end(after));
        }
        boundaries.get(after).map(|start| *start..end(after + 1))
    }

    /// The disjoint runs, ascending.
    pub fn runs(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.0.iter().map(|run| match run {
            RangeSetRange::Range(run) => *run.start..*run.end,
            RangeSetRange::RangeFrom(run) => *run.start..u64::MAX,
        })
    }

    /// How many disjoint runs there are.
    pub fn run_count(&self) -> usize {
        self.0.boundaries().len().div_ceil(2)
    }

    /// Adds a run.
    pub fn insert(&mut self, run: Range<u64>) {
        if !run.is_empty() {
            self.0 |= RangeSet2::from(run);
        }
    }

    /// Takes a run out.
    pub fn remove(&mut self, run: Range<u64>) {
        if !run.is_empty() {
            self.0 -= RangeSet2::from(run);
        }
    }

    /// What is in either set.
    pub fn union(&self, other: &Self) -> Self {
        Self(&self.0 | &other.0)
    }

    /// What is in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        Self(&self.0 & &other.0)
    }

    /// What is in this set and not in the other.
    pub fn difference(&self, other: &Self) -> Self {
        Self(&self.0 - &other.0)
    }
}

impl From<Range<u64>> for Blocks {
    fn from(run: Range<u64>) -> Self {
        let mut blocks = Self::new();
        blocks.insert(run);
        blocks
    }
}

impl FromIterator<Range<u64>> for Blocks {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(runs: I) -> Self {
        let mut blocks = Self::new();
        runs.into_iter().for_each(|run| blocks.insert(run));
        blocks
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.runs()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{
        collection::vec,
        prelude::{prop_assert_eq, proptest},
    };

    use super::*;

    #[test]
    fn geometry_at_the_edges() {
        let empty = Geometry::new(0);
        assert_eq!((empty.count(), empty.last(), empty.bytes(0..1)), (1, 0, 0..0));
        let exact = Geometry::new(2 * BLOCK_BYTES);
        assert_eq!((exact.count(), exact.bytes(1..2)), (2, BLOCK_BYTES..2 * BLOCK_BYTES));
        let longer = Geometry::new(2 * BLOCK_BYTES + 1);
        assert_eq!((longer.count(), longer.bytes(2..3)), (3, 32768..32769));
        assert_eq!(longer.covering(0..1), 0..1);
        assert_eq!(longer.covering(BLOCK_BYTES - 1..BLOCK_BYTES + 1), 0..2);
        assert_eq!(longer.covering(5..u64::MAX), 0..3);
        assert_eq!(longer.covering(40_000..50_000), 0..0);
        assert_eq!(longer.block_at(u64::MAX), 2);
        assert_eq!(longer.bytes_in(&longer.all()), longer.size());
    }

    proptest! {
        #[test]
        fn a_set_of_blocks_behaves_as_a_set(steps in vec((0u64..60, 0u64..9, 0u8..2), 0..40)) {
            let mut blocks = Blocks::new();
            let mut plain = BTreeSet::new();
            for (start, length, add) in steps {
                let run = start..start + length;
                if add == 1 {
                    blocks.insert(run.clone());
                    plain.extend(run);
                } else {
                    blocks.remove(run.clone());
                    plain.retain(|block| !run.contains(block));
                }
            }
            prop_assert_eq!(blocks.count(), plain.len() as u64);
            prop_assert_eq!(blocks.runs().count(), blocks.run_count());
            for block in 0..70 {
                prop_assert_eq!(blocks.contains(block), plain.contains(&block));
                let run = blocks.run_at(block);
                prop_assert_eq!(run.is_some(), plain.contains(&block));
                let next = blocks.next_run(block).map(|run| run.start);
                prop_assert_eq!(next, plain.range(block..).next().copied());
                if let Some(run) = run {
                    prop_assert_eq!(run.start, block);
                    prop_assert_eq!(plain.contains(&run.end), false);
                    prop_assert_eq!(blocks.contains_run(run), true);
                }
            }
        }
    }
}
