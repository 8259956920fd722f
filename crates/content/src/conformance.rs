//! What every store must do, run over each of them.

#![allow(clippy::single_range_in_vec_init, reason = "lists of runs, of which some have one")]

use std::{ops::Range, sync::Barrier, thread};

use nearcast_protocol::{BLOCK_BYTES, Blocks, ResourceId};
use proptest::{
    prelude::any,
    test_runner::{Config, TestRunner},
};

use crate::{
    AcceptError, Fault, PAIR_BYTES, Store, StoreError, common_parents, encoded_len,
    testing::{Film, film},
};

/// All of it. `make` gives a new, empty store for a resource and a claimed size.
pub(crate) fn all(make: impl Fn(ResourceId, u64) -> Box<dyn Store> + Sync) {
    every_size_goes_in_and_comes_out(&make);
    the_size_comes_first(&make);
    a_wrong_size_is_the_links_fault(&make);
    a_wrong_size_with_a_proof_to_match(&make);
    a_huge_claim_costs_nothing(&make);
    what_verified_before_the_fault_is_kept(&make);
    runs_that_are_not_there(&make);
    reads_stop_where_holding_stops(&make);
    any_run_travels(&make);
    what_is_known_needs_not_be_sent(&make);
    garbage_is_nothing(&make);
    one_changed_bit_is_noticed(&make);
    many_threads_at_once(&make);
    what_is_forgotten_is_gone_and_may_come_again(&make);
    reads_while_it_forgets_are_right(&make);
}

type Make<'a> = &'a (dyn Fn(ResourceId, u64) -> Box<dyn Store> + Sync);

const SIZES: [u64; 12] = [
    0,
    1,
    1024,
    1025,
    BLOCK_BYTES - 1,
    BLOCK_BYTES,
    BLOCK_BYTES + 1,
    2 * BLOCK_BYTES,
    3 * BLOCK_BYTES - 7,
    8 * BLOCK_BYTES,
    9 * BLOCK_BYTES + 4097,
    70 * BLOCK_BYTES + 1,
];

fn fill(store: &dyn Store, film: &Film, runs: &[Range<u64>]) {
    for run in runs {
        let verified = store.accept(run.clone(), &film.encoding(run.clone())).unwrap();
        assert_eq!(verified, Blocks::from(run.clone()));
    }
}

fn read_all(store: &dyn Store, film: &Film) -> Vec<u8> {
    let mut read = Vec::new();
    // An odd length, so that reads begin and end inside blocks.
    let mut buf = [0; 30_011];
    loop {
        let length = store.read_at(read.len() as u64, &mut buf).unwrap();
        if length == 0 {
            assert_eq!(read.len(), film.bytes.len());
            return read;
        }
        read.extend_from_slice(&buf[..length]);
    }
}

fn every_size_goes_in_and_comes_out(make: Make<'_>) {
    for size in SIZES {
        let film = film(size);
        let store = make(film.id, size);
        let count = film.geometry().count();
        assert!(!store.complete() && !store.size_proved() && store.held().is_empty());
        fill(&*store, &film, &[count - 1..count]);
        assert!(store.size_proved());
        (0..count).for_each(|block| fill(&*store, &film, &[block..block + 1]));
        assert!(store.complete(), "{size} bytes");
        assert!(read_all(&*store, &film) == film.bytes, "{size} bytes");
        assert!(store.encode(0..count).unwrap() == film.encoding(0..count));
        // What is held may come again.
        fill(&*store, &film, &[0..count]);
        store.sync().unwrap();
    }
}

fn the_size_comes_first(make: Make<'_>) {
    let film = film(9 * BLOCK_BYTES + 4097);
    let store = make(film.id, film.size());
    for run in [0..1, 0..9, 8..9] {
        let error = store.accept(run.clone(), &film.encoding(run)).unwrap_err();
        assert!(matches!(error, AcceptError { fault: Fault::SizeUnproved, .. }));
    }
    assert!(store.held().is_empty());
    assert!(matches!(store.read_at(0, &mut [0; 9]), Err(StoreError::NotHeld { .. })));
    assert!(matches!(store.read_at(1 << 40, &mut [0; 9]), Err(StoreError::NotHeld { .. })));
    // A part of the run with the last block isn't kept while the last block isn't there.
    let cut = film.encoding(0..10);
    let error = store.accept(0..10, &cut[..cut.len() - 1]).unwrap_err();
    assert!(error.verified.is_empty() && store.held().is_empty() && !store.size_proved());
    fill(&*store, &film, &[7..10, 0..1]);
    assert_eq!(store.held(), Blocks::from_iter([0..1, 7..10]));
}

fn what_is_known_needs_not_be_sent(make: Make<'_>) {
    for size in SIZES {
        let film = film(size);
        let (store, count) = (make(film.id, size), film.geometry().count());
        assert!(store.known(&(0..count)).is_empty(), "nothing is");
        fill(&*store, &film, &[count - 1..count]);
        for block in 0..count {
            let (run, encoded) = (block..block + 1, film.encoding(block..block + 1));
            let known = store.known(&run);
            let all = common_parents(film.geometry(), &run) * PAIR_BYTES as usize;
            assert!(encoded.starts_with(&known) && known.len() <= all, "{size} bytes, block {block}");
            // Of the second of two the first has proved everything.
            assert!(block % 2 == 0 || known.len() == all, "{size} bytes, block {block}");
            let whole = [&known[..], &encoded[known.len()..]].concat();
            assert_eq!(store.accept(run.clone(), &whole).unwrap(), Blocks::from(run));
        }
        assert!(store.known(&(count..count + 1)).is_empty() && store.known(&(0..0)).is_empty());
        store.forget(&film.geometry().all()).unwrap();
        assert!(film.encoding(0..1).starts_with(&store.known(&(0..1))));
    }
}

/// Sizes that a link may claim for a file of `size` bytes.
fn lies(size: u64) -> Vec<u64> {
    let near = [1, 1023, 1024, 4096, BLOCK_BYTES - 1, BLOCK_BYTES, 1 << 20, 3 << 20];
    let mut lies = vec![0, 1, size * 2, size / 2, 1 << 50];
    lies.extend(near.iter().flat_map(|off| [size + off, size.saturating_sub(*off)]));
    lies.retain(|lie| *lie != size);
    lies
}

fn a_wrong_size_is_the_links_fault(make: Make<'_>) {
    for size in [0, 1, 1025, BLOCK_BYTES, 4 * BLOCK_BYTES, 5 * BLOCK_BYTES + 4096, 130 * BLOCK_BYTES + 77] {
        let film = film(size);
        let true_last = film.geometry().last();
        for lie in lies(size) {
            let store = make(film.id, lie);
            let last = store.geometry().last();
            let error = store.accept(last..last + 1, &film.encoding(true_last..true_last + 1)).unwrap_err();
            assert!(matches!(error.fault, Fault::WrongSize { .. }), "{size} claimed as {lie}: {error}");
            assert!(!error.fault.blames_sender() && error.verified.is_empty());
            // The block of the same number, where the file has it, with its true proof.
            if last <= true_last {
                let error = store.accept(last..last + 1, &film.encoding(last..last + 1)).unwrap_err();
                assert!(matches!(error.fault, Fault::WrongSize { .. }), "{size} claimed as {lie}: {error}");
            }
            assert!(!store.size_proved() && store.held().is_empty(), "{size} claimed as {lie}");
        }
    }
}

/// The liar encodes under the lie: it cuts the file, or goes on with zeros, and sends a proof of the shape
/// that the lie asks for, with the true hashes wherever it knows them.
fn a_wrong_size_with_a_proof_to_match(make: Make<'_>) {
    let film = film(5 * BLOCK_BYTES + 4096);
    let root = blake3::Hash::from_bytes(*film.id.as_bytes());
    for lie in lies(film.size()).into_iter().filter(|lie| *lie < 1 << 30) {
        let store = make(film.id, lie);
        let mut bytes = film.bytes.clone();
        bytes.resize(lie as usize, 0);
        let block_size = bao_tree::BlockSize::from_chunk_log(4);
        let tree = bao_tree::BaoTree::new(lie, block_size);
        let mut pairs = Vec::new();
        bao_tree::io::sync::outboard_post_order(bytes.as_slice(), tree, &mut pairs).unwrap();
        // The root's pair is the last of the post-order, and the only one that a check of the root sees.
        if let (Some(top), Some(true_top)) = (pairs.last_chunk_mut::<64>(), film.pairs.last_chunk::<64>()) {
            *top = *true_top;
        }
        let outboard = bao_tree::io::outboard::PostOrderOutboard { root, tree, data: pairs };
        let last = store.geometry().last();
        for run in [last..last + 1, 0..last + 1] {
            let ranges = crate::tree::chunks(store.geometry(), &run);
            let mut encoded = Vec::new();
            let size_of = bytes.as_slice();
            bao_tree::io::sync::encode_ranges(Sized(size_of), &outboard, &ranges, &mut encoded).unwrap();
            let error = store.accept(run, &encoded).unwrap_err();
            assert!(matches!(error.fault, Fault::WrongSize { .. }), "claimed as {lie}: {error}");
            assert!(store.held().is_empty() && !store.size_proved());
        }
    }
}

/// `encode_ranges` asks for a size as well.
struct Sized<'a>(&'a [u8]);

impl bao_tree::io::sync::ReadAt for Sized<'_> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        self.0.read_at(offset, buf)
    }
}

impl bao_tree::io::sync::Size for Sized<'_> {
    fn size(&self) -> std::io::Result<Option<u64>> {
        Ok(Some(self.0.len() as u64))
    }
}

fn a_huge_claim_costs_nothing(make: Make<'_>) {
    let film = film(BLOCK_BYTES);
    let store = make(film.id, 1 << 50);
    let count = store.geometry().count();
    for run in [count - 1..count, 0..count] {
        let error = store.accept(run, &film.bytes).unwrap_err();
        assert!(matches!(error.fault, Fault::WrongSize { .. }));
    }
    assert!(matches!(store.encode(0..count), Err(StoreError::NotHeld { .. })));
    store.sync().unwrap();
}

fn what_verified_before_the_fault_is_kept(make: Make<'_>) {
    let film = film(20 * BLOCK_BYTES);
    let store = make(film.id, film.size());
    fill(&*store, &film, &[19..20]);
    let encoded = film.encoding(4..12);
    for (length, blocks) in [(0, 0), (63, 0), (encoded.len() - 1, 7), (encoded.len() / 2, 3)] {
        let store = make(film.id, film.size());
        fill(&*store, &film, &[19..20]);
        let error = store.accept(4..12, &encoded[..length]).unwrap_err();
        assert!(matches!(error.fault, Fault::Short), "{error}");
        assert_eq!(error.verified, Blocks::from(4..4 + blocks));
        assert_eq!(store.held(), error.verified.union(&Blocks::from(19..20)));
        (4..4 + blocks).for_each(|block| {
            assert!(store.encode(block..block + 1).unwrap() == film.encoding(block..block + 1));
        });
    }
    let mut long = encoded.clone();
    long.extend([7; 5]);
    let error = store.accept(4..12, &long).unwrap_err();
    assert!(matches!(error.fault, Fault::Long { extra: 5 }));
    assert_eq!(error.verified, Blocks::from(4..12));
    assert_eq!(store.held(), Blocks::from_iter([4..12, 19..20]));
}

fn runs_that_are_not_there(make: Make<'_>) {
    let film = film(5 * BLOCK_BYTES);
    let store = make(film.id, film.size());
    fill(&*store, &film, &[3..5]);
    #[allow(clippy::reversed_empty_ranges)]
    for run in [0..0, 3..3, 4..3, 0..6, 5..6, u64::MAX - 1..u64::MAX, 0..u64::MAX] {
        let error = store.accept(run.clone(), &film.encoding(0..5)).unwrap_err();
        assert!(matches!(error.fault, Fault::Store(StoreError::NoSuchRun { .. })));
        assert!(matches!(store.encode(run), Err(StoreError::NoSuchRun { .. })));
    }
    assert!(matches!(store.encode(2..4), Err(StoreError::NotHeld { block: 2 })));
    fill(&*store, &film, &[0..1]);
    assert!(matches!(store.encode(0..5), Err(StoreError::NotHeld { block: 1 })));
}

fn reads_stop_where_holding_stops(make: Make<'_>) {
    let film = film(6 * BLOCK_BYTES + 100);
    let store = make(film.id, film.size());
    fill(&*store, &film, &[6..7, 1..3]);
    let mut buf = vec![0; film.bytes.len()];
    let start = BLOCK_BYTES + 10;
    let length = store.read_at(start, &mut buf).unwrap();
    assert_eq!(length as u64, 3 * BLOCK_BYTES - start);
    assert!(buf[..length] == film.bytes[start as usize..][..length]);
    assert!(matches!(store.read_at(0, &mut buf), Err(StoreError::NotHeld { block: 0 })));
    assert!(matches!(store.read_at(3 * BLOCK_BYTES, &mut buf), Err(StoreError::NotHeld { block: 3 })));
    assert_eq!(store.read_at(6 * BLOCK_BYTES + 1, &mut buf).unwrap(), 99);
    assert_eq!(store.read_at(film.size(), &mut buf).unwrap(), 0);
    assert_eq!(store.read_at(u64::MAX, &mut buf).unwrap(), 0);
    assert_eq!(store.read_at(BLOCK_BYTES, &mut []).unwrap(), 0);
}

fn any_run_travels(make: Make<'_>) {
    let film = film(33 * BLOCK_BYTES + 5);
    let count = film.geometry().count();
    let whole = make(film.id, film.size());
    fill(&*whole, &film, &[0..count]);
    let mut runner = TestRunner::new(Config::with_cases(40));
    let runs = proptest::collection::vec((0..count, 1..9u64), 1..12);
    let result = runner.run(&runs, |runs| {
        let other = make(film.id, film.size());
        let mut expected = Blocks::new();
        for (start, length) in [(count - 1, 1)].into_iter().chain(runs) {
            let run = start..(start + length).min(count);
            let encoded = whole.encode(run.clone()).unwrap();
            assert_eq!(encoded.len() as u64, encoded_len(film.geometry(), run.clone()));
            other.accept(run.clone(), &encoded).unwrap();
            expected.insert(run.clone());
            // And on from there: what was received can be sent.
            assert!(other.encode(run).unwrap() == encoded);
        }
        assert_eq!(other.held(), expected);
        for run in expected.runs() {
            let bytes = film.geometry().bytes(run.clone());
            let mut buf = vec![0; (bytes.end - bytes.start) as usize];
            assert_eq!(other.read_at(bytes.start, &mut buf).unwrap(), buf.len());
            assert!(buf == film.bytes[bytes.start as usize..bytes.end as usize]);
            assert!(other.encode(run.clone()).unwrap() == film.encoding(run));
        }
        Ok(())
    });
    result.unwrap();
}

fn garbage_is_nothing(make: Make<'_>) {
    let mut runner = TestRunner::new(Config::with_cases(200));
    let garbage = proptest::collection::vec(any::<u8>(), 0..3000);
    let result =
        runner.run(&(any::<[u8; 32]>(), any::<u64>(), any::<u64>(), any::<u64>(), garbage), |case| {
            let (id, size, start, length, garbage) = case;
            let store = make(ResourceId::from_bytes(id), size >> (size % 50 + 14));
            let count = store.geometry().count();
            let start = start % count;
            for run in [start..start.saturating_add(length), start..count, count - 1..count] {
                assert!(store.accept(run, &garbage).unwrap_err().verified.is_empty());
            }
            assert!(store.held().is_empty() && !store.size_proved());
            Ok(())
        });
    result.unwrap();
}

fn one_changed_bit_is_noticed(make: Make<'_>) {
    let film = film(12 * BLOCK_BYTES + 9);
    let store = make(film.id, film.size());
    fill(&*store, &film, &[12..13]);
    let encoded = film.encoding(2..7);
    let mut runner = TestRunner::new(Config::with_cases(60));
    let result = runner.run(&(0..encoded.len() * 8), |bit| {
        let store = make(film.id, film.size());
        fill(&*store, &film, &[12..13]);
        let mut changed = encoded.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let error = store.accept(2..7, &changed).unwrap_err();
        let Fault::Wrong { block } = error.fault else { panic!("{error}") };
        assert!(error.fault.blames_sender());
        assert_eq!(error.verified, Blocks::from(2..block));
        assert_eq!(store.held(), Blocks::from_iter([2..block, 12..13]));
        Ok(())
    });
    result.unwrap();
}

fn many_threads_at_once(make: Make<'_>) {
    let film = film(96 * BLOCK_BYTES + 3);
    let count = film.geometry().count();
    let store = make(film.id, film.size());
    fill(&*store, &film, &[count - 1..count]);
    let start = Barrier::new(6);
    thread::scope(|scope| {
        for writer in 0..3 {
            let (store, film, start) = (&*store, &film, &start);
            scope.spawn(move || {
                start.wait();
                // They overlap on purpose: two peers may bring the same block.
                for first in (0..count).filter(|block| block % 4 == writer || block % 4 == 3) {
                    fill(store, film, &[first..(first + 2).min(count)]);
                }
            });
        }
        for reader in 0..3 {
            let (store, film, start) = (&*store, &film, &start);
            scope.spawn(move || {
                start.wait();
                let mut buf = vec![0; 40_000];
                for _ in 0..40 {
                    for run in store.held().runs() {
                        assert!(store.encode(run.clone()).unwrap() == film.encoding(run.clone()));
                        let offset = film.geometry().bytes(run).start + reader;
                        let length = store.read_at(offset, &mut buf).unwrap();
                        assert!(buf[..length] == film.bytes[offset as usize..][..length]);
                    }
                }
            });
        }
    });
    assert!(read_all(&*store, &film) == film.bytes);
}

fn what_is_forgotten_is_gone_and_may_come_again(make: Make<'_>) {
    let film = film(70 * BLOCK_BYTES + 1);
    let store = make(film.id, film.size());
    fill(&*store, &film, &[70..71, 0..40]);
    let going = Blocks::from_iter([0..3, 10..30, 38..60]);
    assert_eq!(store.forget(&going).unwrap(), Blocks::from_iter([0..3, 10..30, 38..40]));
    assert_eq!(store.held(), Blocks::from_iter([3..10, 30..38, 70..71]));
    assert!(matches!(store.read_at(5, &mut [0; 9]), Err(StoreError::NotHeld { block: 0 })));
    assert!(matches!(store.encode(9..11), Err(StoreError::NotHeld { block: 10 })));
    assert!(store.encode(3..10).unwrap() == film.encoding(3..10));
    assert!(store.forget(&going).unwrap().is_empty());
    // The size stays proved, with nothing held at all.
    store.forget(&film.geometry().all()).unwrap();
    assert!(store.held().is_empty() && store.size_proved());
    fill(&*store, &film, &[20..24, 0..20, 24..71]);
    assert!(read_all(&*store, &film) == film.bytes);
    store.sync().unwrap();
}

fn reads_while_it_forgets_are_right(make: Make<'_>) {
    let film = film(40 * BLOCK_BYTES);
    let store = make(film.id, film.size());
    fill(&*store, &film, &[39..40, 0..39]);
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                let mut buf = vec![0; 3 * BLOCK_BYTES as usize];
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    for block in 0..38 {
                        let at = block * BLOCK_BYTES + 7;
                        match store.read_at(at, &mut buf) {
                            Ok(length) => assert!(buf[..length] == film.bytes[at as usize..][..length]),
                            Err(StoreError::NotHeld { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                        match store.encode(block..block + 1) {
                            Ok(encoded) => assert!(encoded == film.encoding(block..block + 1)),
                            Err(StoreError::NotHeld { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            });
        }
        for round in 0..60 {
            let start = round * 7 % 36;
            store.forget(&(start..start + 4).into()).unwrap();
            fill(&*store, &film, &[start..start + 4]);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(store.complete() && read_all(&*store, &film) == film.bytes);
}
