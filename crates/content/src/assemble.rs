//! Plain bytes and the tree's pairs put together to an encoding, for sources that know nothing of Bao.
//!
//! A web server gives ranges of a file, and ranges of the file of its pairs: the tree's, in post-order, 64 bytes
//! each, as a store keeps them and as `.obao4` files have them. Nothing is believed here:
//! [`crate::Store::accept`] verifies the outcome as it does a peer's.

use std::ops::Range;

use nearcast_protocol::Geometry;

use crate::tree::{PAIR_BYTES, encoded_len, has_run};

/// The bytes of all pairs of a file.
pub fn pairs_len(geometry: Geometry) -> u64 {
    (geometry.count() - 1).saturating_mul(PAIR_BYTES)
}

/// Where the pairs that a run of blocks needs lie among all pairs, in bytes, in the order of the encoding.
/// Nothing for a run that the file hasn't.
pub fn pairs_for(geometry: Geometry, run: &Range<u64>) -> Vec<Range<u64>> {
    let mut pairs = Vec::new();
    walk(geometry, run, &mut |part| {
        if let Part::Pair(number) = part {
            pairs.push(number * PAIR_BYTES..(number + 1) * PAIR_BYTES);
        }
    });
    pairs
}

/// The Bao encoding of a run from its plain `bytes`; `pair` gives the 64 bytes that begin at an offset among
/// the pairs. `None` if a pair or bytes are missing.
pub fn assemble(
    geometry: Geometry,
    run: &Range<u64>,
    bytes: &[u8],
    pair: impl Fn(u64) -> Option<[u8; PAIR_BYTES as usize]>,
) -> Option<Vec<u8>> {
    let first = geometry.bytes(run.clone()).start;
    // What is there bounds what is allocated: the pairs are fewer bytes than the blocks.
    let most = usize::try_from(encoded_len(geometry, run.clone())).ok()?;
    let mut encoded = Vec::with_capacity(most.min(bytes.len().saturating_mul(2).saturating_add(4096)));
    let mut whole = true;
    walk(geometry, run, &mut |part| {
        let added = match part {
            _ if !whole => None,
            Part::Pair(number) => pair(number * PAIR_BYTES).map(|pair| encoded.extend_from_slice(&pair)),
            Part::Block(block) => {
                let of = geometry.bytes(block..block + 1);
                let at = |byte: u64| usize::try_from(byte - first).ok();
                let range = at(of.start).zip(at(of.end));
                let block = range.and_then(|(start, end)| bytes.get(start..end));
                block.map(|block| encoded.extend_from_slice(block))
            }
        };
        whole &= added.is_some();
    });
    whole.then_some(encoded)
}

enum Part {
    /// By its place in post-order.
    Pair(u64),
    Block(u64),
}

/// A subtree: its first block, how many it has, and the place of its first pair.
struct Subtree {
    start: u64,
    count: u64,
    pairs: u64,
}

/// Visits what an encoding of the run consists of, in its order: parents before their children.
fn walk(geometry: Geometry, run: &Range<u64>, visit: &mut impl FnMut(Part)) {
    if !has_run(geometry, run) {
        return;
    }
    let mut open = vec![Subtree { start: 0, count: geometry.count(), pairs: 0 }];
    while let Some(Subtree { start, count, pairs }) = open.pop() {
        if start >= run.end || start + count <= run.start {
            continue;
        }
        if count == 1 {
            visit(Part::Block(start));
            continue;
        }
        // Post-order: the left child's pairs, the right child's, then this one.
        visit(Part::Pair(pairs + count - 2));
        // The left subtree of a BLAKE3 node is full: the largest power of two below the whole.
        let left = count.div_ceil(2).next_power_of_two();
        open.push(Subtree { start: start + left, count: count - left, pairs: pairs + left - 1 });
        open.push(Subtree { start, count: left, pairs });
    }
}

#[cfg(test)]
mod tests {
    use nearcast_protocol::BLOCK_BYTES;
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;
    use crate::{MemoryStore, Store, testing::film};

    proptest! {
        #[test]
        fn what_is_put_together_is_the_encoding(size in 0u64..40 * BLOCK_BYTES, start in 0u64..40, length in 1u64..40) {
            let geometry = Geometry::new(size);
            let film = film(size);
            let run = start.min(geometry.last())..(start + length).min(geometry.count());
            let run = run.start..run.end.max(run.start + 1);
            let bytes = geometry.bytes(run.clone());
            let pair = |at: u64| film.pairs.get(at as usize..at as usize + 64)?.try_into().ok();
            let plain = &film.bytes[bytes.start as usize..bytes.end as usize];
            let encoded = assemble(geometry, &run, plain, pair);
            let expected = film.encoding(run.clone());
            prop_assert_eq!(encoded.as_deref(), Some(expected.as_slice()));
            prop_assert_eq!(pairs_len(geometry), film.pairs.len() as u64);
            let all = pairs_for(geometry, &run).len() as u64 * 64 + bytes.end - bytes.start;
            prop_assert_eq!(all, encoded_len(geometry, run));
        }
    }

    #[test]
    fn what_is_missing_or_wrong_passes_nowhere() {
        let film = film(5 * BLOCK_BYTES + 7);
        let geometry = Geometry::new(film.size());
        let pair = |at: u64| film.pairs.get(at as usize..at as usize + 64)?.try_into().ok();
        let last = &film.bytes[5 * BLOCK_BYTES as usize..];
        assert_eq!(assemble(geometry, &(5..6), &last[1..], pair), None);
        assert_eq!(assemble(geometry, &(5..6), last, |_| None), None);
        assert!(pairs_for(geometry, &(6..9)).is_empty());
        let store = MemoryStore::new(film.id, film.size()).unwrap();
        let wrong = assemble(geometry, &(5..6), b"another", pair).unwrap();
        assert!(store.accept(5..6, &wrong).is_err());
        let right = assemble(geometry, &(5..6), last, pair).unwrap();
        assert!(store.accept(5..6, &right).is_ok());
    }
}
