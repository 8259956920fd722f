#![allow(clippy::single_range_in_vec_init, reason = "lists of runs, of which some have one")]

use std::{
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use proptest::{collection::vec, prelude::*};
use tempfile::TempDir;

use super::*;
use crate::{
    conformance,
    testing::{Film, film},
};

fn place(folder: &Path) -> Place {
    Place { folder: folder.to_owned(), data: folder.join("content/film"), imported: None, _lock: None }
}

fn open(film: &Film, folder: &Path) -> DiskStore {
    DiskStore::open(film.id, film.geometry(), place(folder)).unwrap()
}

fn fill(store: &DiskStore, film: &Film, runs: impl IntoIterator<Item = Range<u64>>) {
    for run in runs {
        store.accept(run.clone(), &film.encoding(run)).unwrap();
    }
}

/// What can still be read, block by block; panics if a byte of it is wrong.
fn readable_blocks(store: &DiskStore, film: &Film) -> Blocks {
    let mut good = Blocks::new();
    for block in 0..film.geometry().count() {
        let bytes = film.geometry().bytes(block..block + 1);
        let mut buf = vec![0; (bytes.end - bytes.start) as usize];
        if let Ok(length) = store.read_at(bytes.start, &mut buf) {
            assert_eq!(length, buf.len());
            assert!(buf == film.bytes[bytes.start as usize..bytes.end as usize], "block {block}");
            good.insert(block..block + 1);
        }
    }
    assert_eq!(store.held(), good);
    for run in good.runs() {
        assert!(store.encode(run.clone()).unwrap() == film.encoding(run));
    }
    good
}

#[test]
fn keeps_the_contract() {
    let folder = TempDir::new().unwrap();
    let number = AtomicUsize::new(0);
    conformance::all(|id, size| {
        let folder = folder.path().join(number.fetch_add(1, Ordering::Relaxed).to_string());
        Box::new(DiskStore::open(id, Geometry::new(size), place(&folder)).unwrap())
    });
}

#[test]
fn a_clean_stop_is_remembered_and_a_write_forgets_it() {
    let film = film(20 * BLOCK_BYTES + 5);
    let folder = TempDir::new().unwrap();
    let record = folder.path().join("held.json");
    let held = Blocks::from_iter([3..9, 20..21]);
    let store = open(&film, folder.path());
    fill(&store, &film, held.runs().collect::<Vec<_>>().into_iter().rev());
    assert!(!record.exists());
    drop(store);
    assert!(record.exists());

    assert_eq!(DiskStore::recorded(film.geometry(), &place(folder.path())), Some(held.clone()));
    let store = open(&film, folder.path());
    assert!(store.journal().recorded && store.content().checked.is_empty());
    assert!(store.size_proved());
    assert_eq!(store.held(), held);
    // What is held already is no reason to write.
    fill(&store, &film, [4..6]);
    assert!(record.exists());
    fill(&store, &film, [8..10]);
    assert!(!record.exists());
    store.sync().unwrap();
    assert!(record.exists());
}

#[test]
fn nothing_is_taken_from_the_disk_for_a_claim() {
    let film = film(BLOCK_BYTES);
    let folder = TempDir::new().unwrap();
    let store = DiskStore::open(film.id, Geometry::new(1 << 50), place(folder.path())).unwrap();
    let last = store.geometry().last();
    store.accept(last..last + 1, &film.bytes).unwrap_err();
    assert_eq!(fs::metadata(folder.path().join("content/film")).unwrap().len(), 0);
    assert!(!folder.path().join("outboard").exists());
    drop(store);
    assert!(!folder.path().join("held.json").exists());
}

#[test]
fn a_lost_last_block_costs_that_block() {
    let film = film(9 * BLOCK_BYTES + 5);
    let folder = TempDir::new().unwrap();
    let store = open(&film, folder.path());
    fill(&store, &film, [0..10]);
    drop(store);
    File::options()
        .write(true)
        .open(folder.path().join("content/film"))
        .unwrap()
        .set_len(9 * BLOCK_BYTES + 4)
        .unwrap();
    let store = open(&film, folder.path());
    assert_eq!(store.held(), Blocks::from(0..9));
    assert!(store.size_proved());
    fill(&store, &film, [9..10]);
    assert_eq!(readable_blocks(&store, &film), Blocks::from(0..10));
}

#[test]
fn the_tree_of_a_complete_file_is_computed_anew() {
    let film = film(9 * BLOCK_BYTES + 5);
    let folder = TempDir::new().unwrap();
    let outboard = folder.path().join("outboard");
    for damage in
        [|path: &Path| fs::remove_file(path).unwrap(), |path: &Path| fs::write(path, [7; 99]).unwrap()]
    {
        let store = open(&film, folder.path());
        fill(&store, &film, [9..10, 0..9]);
        drop(store);
        damage(&outboard);
        let store = open(&film, folder.path());
        assert!(store.complete());
        drop(store);
        assert!(fs::read(&outboard).unwrap() == film.pairs);
    }
    // With a byte of the data gone as well, no tree can be made that the id would prove.
    fs::remove_file(&outboard).unwrap();
    write_all_at(&File::options().write(true).open(place(folder.path()).data).unwrap(), 7, &[!film.bytes[7]])
        .unwrap();
    let store = open(&film, folder.path());
    assert!(store.held().is_empty() && !store.size_proved());
    fill(&store, &film, [9..10, 0..9]);
    assert!(store.complete());
}

#[test]
fn damage_while_open_is_noticed_and_mended() {
    let film = film(32 * BLOCK_BYTES);
    let folder = TempDir::new().unwrap();
    let store = open(&film, folder.path());
    fill(&store, &film, [31..32, 0..31]);
    store.sync().unwrap();
    let data = File::options().write(true).open(folder.path().join("content/film")).unwrap();
    write_all_at(&data, 5 * BLOCK_BYTES + 77, &[!film.bytes[5 * BLOCK_BYTES as usize + 77]]).unwrap();
    assert!(store.encode(8..12).is_ok());
    assert!(matches!(store.encode(4..8), Err(StoreError::Damaged { blocks, .. }) if blocks.count() == 1));
    assert_eq!(store.held(), Blocks::from_iter([0..5, 6..32]));
    assert!(!folder.path().join("held.json").exists());
    // A pair high up: all below it is lost, and comes back with the pair.
    let tree = tree(film.geometry());
    let node = film_node(&film, 16..32);
    write_all_at(store.outboard.get().unwrap(), pair_offset(&tree, node).unwrap(), &[1; 64]).unwrap();
    assert!(matches!(store.encode(20..21), Err(StoreError::Damaged { blocks, .. }) if blocks.count() == 16));
    assert_eq!(store.held(), Blocks::from_iter([0..5, 6..16]));
    fill(&store, &film, [20..21, 5..6]);
    assert_eq!(readable_blocks(&store, &film), Blocks::from_iter([0..16, 20..21]));
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_forgotten_gives_its_room_back_and_a_crash_finds_the_rest() {
    use std::os::unix::fs::MetadataExt;
    let film = film(64 * BLOCK_BYTES);
    let folder = TempDir::new().unwrap();
    let store = open(&film, folder.path());
    fill(&store, &film, [63..64, 0..63]);
    store.sync().unwrap();
    let taken = || fs::metadata(folder.path().join("content/film")).unwrap().blocks() * 512;
    let before = taken();
    store.forget(&(8..56).into()).unwrap();
    assert!(taken() + 40 * BLOCK_BYTES <= before, "{} of {before}", taken());
    assert!(!folder.path().join("held.json").exists());
    // Killed: nothing is recorded, and hashing tells what is there.
    store.sync().unwrap();
    fs::remove_file(folder.path().join("held.json")).unwrap();
    std::mem::forget(store);
    let store = open(&film, folder.path());
    assert_eq!(readable_blocks(&store, &film), Blocks::from_iter([0..8, 56..64]));
    fill(&store, &film, [8..56]);
    assert!(store.complete());
}

fn film_node(film: &Film, blocks: Range<u64>) -> bao_tree::TreeNode {
    let decoded = decode(film.id, film.geometry(), blocks.clone(), &film.encoding(blocks.clone()));
    let mut nodes = decoded.pairs.iter().map(|(node, _)| *node);
    nodes.find(|node| blocks_below(film.geometry(), *node) == blocks).unwrap()
}

fn below_pair(film: &Film, offset: u64) -> Range<u64> {
    let tree = tree(film.geometry());
    let mut nodes = tree.post_order_nodes_iter();
    let node = nodes.find(|node| pair_offset(&tree, *node) == Some(offset)).unwrap();
    blocks_below(film.geometry(), node)
}

#[test]
fn a_retired_store_touches_nothing() {
    let film = film(4 * BLOCK_BYTES);
    let folder = TempDir::new().unwrap();
    let store = open(&film, folder.path());
    fill(&store, &film, [3..4]);
    store.retire();
    let error = store.accept(0..1, &film.encoding(0..1)).unwrap_err();
    assert!(matches!(error.fault, Fault::Store(StoreError::Retired)));
    assert!(matches!(store.encode(3..4), Err(StoreError::Retired)));
    assert!(matches!(store.read_at(3 * BLOCK_BYTES, &mut [0; 4]), Err(StoreError::Retired)));
    drop(store);
    assert!(!folder.path().join("held.json").exists());
}

/// What may happen to a file while nobody looks.
#[derive(Debug, Clone)]
enum Harm {
    Flip(usize),
    Truncate(usize),
    Extend(usize),
    Delete,
    Garble(Vec<u8>),
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        4 => any::<usize>().prop_map(Harm::Flip),
        2 => any::<usize>().prop_map(Harm::Truncate),
        1 => (1..100_000usize).prop_map(Harm::Extend),
        1 => Just(Harm::Delete),
        1 => vec(any::<u8>(), 0..2000).prop_map(Harm::Garble),
    ]
}

/// Does the harm, and if wanted hides it: a disk that rots doesn't change the time of a file.
fn do_harm(path: &Path, harm: &Harm, hide: bool) {
    let Ok(before) = fs::metadata(path) else { return };
    let mut bytes = fs::read(path).unwrap();
    match harm {
        Harm::Flip(at) if !bytes.is_empty() => {
            let at = at % bytes.len();
            bytes[at] ^= 1 << (at % 8);
        }
        Harm::Flip(_) => {}
        Harm::Truncate(at) => bytes.truncate(at % (bytes.len() + 1)),
        Harm::Extend(by) => bytes.resize(bytes.len() + by, 9),
        Harm::Delete => return fs::remove_file(path).unwrap(),
        Harm::Garble(garbage) => bytes.clone_from(garbage),
    }
    fs::write(path, bytes).unwrap();
    if hide {
        File::options().write(true).open(path).unwrap().set_modified(before.modified().unwrap()).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn whatever_happens_to_the_files_no_wrong_byte_comes_out(
        runs in vec((0u64..24, 1u64..6), 0..10),
        harms in vec((0usize..3, harm(), any::<bool>()), 0..3),
        clean in any::<bool>(),
        accepts_first in any::<bool>(),
    ) {
        let film = film(23 * BLOCK_BYTES + 400);
        let folder = TempDir::new().unwrap();
        let files = ["content/film", "outboard", "held.json"].map(|name| folder.path().join(name));
        let store = open(&film, folder.path());
        fill(&store, &film, [23..24]);
        fill(&store, &film, runs.into_iter().map(|(start, length)| start..(start + length).min(24)));
        let held = store.held();
        drop(store);
        if !clean {
            fs::remove_file(&files[2]).unwrap();
        }
        for (file, harm, hide) in &harms {
            do_harm(&files[*file], harm, *hide);
        }
        // Opened twice: what the first opening believes or finds is recorded, and must hold as well.
        drop(open(&film, folder.path()));
        let store = open(&film, folder.path());
        if accepts_first {
            // What is believed to be held may come again; that must not whitewash what is on disk.
            fill(&store, &film, [23..24, 0..24]);
            readable_blocks_after_damage(&store, &film);
            fill(&store, &film, [23..24, 0..24]);
            prop_assert_eq!(readable_blocks(&store, &film), Blocks::from(0..24));
            return Ok(());
        }
        let left = readable_blocks_after_damage(&store, &film);
        prop_assert!(left.difference(&held).is_empty());
        match harms.as_slice() {
            [] | [(2, ..)] => prop_assert_eq!(&left, &held),
            [(0, Harm::Flip(at), _)] => {
                let mut expected = held.clone();
                let block = (at % film.bytes.len()) as u64 / BLOCK_BYTES;
                expected.remove(block..block + 1);
                prop_assert_eq!(&left, &expected);
            }
            [(0, Harm::Truncate(at), _)] => {
                let mut expected = held.clone();
                let end = (at % (film.bytes.len() + 1)) as u64;
                if end < film.size() {
                    // What was cut off inside the block that the cut goes through isn't whole either.
                    expected.remove(end / BLOCK_BYTES..24);
                }
                prop_assert_eq!(&left, &expected);
            }
            [(1, Harm::Flip(at), _)] => {
                let mut expected = held.clone();
                let offset = (at % film.pairs.len()) as u64 / PAIR_BYTES * PAIR_BYTES;
                expected.remove(below_pair(&film, offset));
                prop_assert!(expected.difference(&left).is_empty(), "{:?} left of {:?}", left, expected);
            }
            _ => {}
        }
        // And it goes on from there.
        fill(&store, &film, [23..24, 0..24]);
        prop_assert_eq!(readable_blocks(&store, &film), Blocks::from(0..24));
    }
}

/// Reads everything once, in which damage that the record hid comes to light, and then once more.
fn readable_blocks_after_damage(store: &DiskStore, film: &Film) -> Blocks {
    for block in 0..film.geometry().count() {
        let bytes = film.geometry().bytes(block..block + 1);
        let mut buf = vec![0; (bytes.end - bytes.start) as usize];
        if store.read_at(bytes.start, &mut buf).is_ok() {
            assert!(buf == film.bytes[bytes.start as usize..bytes.end as usize], "block {block}");
        }
    }
    readable_blocks(store, film)
}

const FULL_DISK: &str = "NEARCAST_TEST_FULL_DISK";

/// Runs itself once more with a disk of 512 KiB, which takes rights that not everybody has.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_loses_nothing() {
    if let Some(folder) = std::env::var_os(FULL_DISK) {
        return fill_the_disk(Path::new(&folder));
    }
    let folder = TempDir::new().unwrap();
    let script = r#"mount -t tmpfs -o size=512k tmpfs "$1" || exit 77
        exec "$2" --exact disk::tests::a_full_disk_loses_nothing --nocapture"#;
    let own = std::env::current_exe().unwrap();
    let may = Command::new("unshare").args(["-rm", "true"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no right to mount a small disk");
        return;
    }
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", script, "sh"])
        .args([folder.path(), &own])
        .env(FULL_DISK, folder.path())
        .output()
        .unwrap();
    if output.status.code() == Some(77) {
        eprintln!("skipped: no right to mount a small disk");
        return;
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[cfg(target_os = "linux")]
fn fill_the_disk(disk: &Path) {
    let film = film(60 * BLOCK_BYTES + 1);
    let folder = disk.join("films");
    let store = open(&film, &folder);
    fill(&store, &film, [60..61]);
    let mut full = None;
    for block in 0..60 {
        if let Err(error) = store.accept(block..block + 1, &film.encoding(block..block + 1)) {
            assert!(error.verified.is_empty());
            full = Some((block, error.fault));
            break;
        }
    }
    let Some((block, fault)) = full else { panic!("60 blocks fit on a disk of 32") };
    let Fault::Store(StoreError::DiskFull { folder: named }) = &fault else { panic!("{fault}") };
    assert!(named.starts_with(&folder), "{fault}");
    assert!(!fault.blames_sender());
    let held = Blocks::from_iter([0..block, 60..61]);
    assert_eq!(readable_blocks(&store, &film), held);
    // Not even a record fits; then it is found out by hashing.
    drop(store);
    let store = open(&film, &folder);
    assert_eq!(readable_blocks(&store, &film), held);
}
