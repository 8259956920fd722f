//! A process that is killed while it fetches loses nothing that it had verified.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, atomic::AtomicBool},
};

use nearcast_content::{Library, Store};
use nearcast_protocol::{BLOCK_BYTES, Blocks, Geometry};
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng, seq::SliceRandom};
use tempfile::TempDir;

const HOME: &str = "NEARCAST_TEST_HOME";
const SEED: &str = "NEARCAST_TEST_SEED";
const BYTES: u64 = 700 * BLOCK_BYTES + 321;

fn source(home: &Path, name: &str) -> (Library, Arc<dyn Store>) {
    let library = Library::open(&home.join(name)).unwrap();
    let store = library.import(&home.join("film.mkv"), &|_| {}, &AtomicBool::new(false)).unwrap();
    (library, store)
}

/// The child: fetches in random order, the last block first, and says after each run that it is held.
fn fetch(home: &Path, seed: u64) {
    let (origin, source) = source(home, "origin");
    let library = Library::open(&home.join("library")).unwrap();
    let task = library.task(&origin.entry(source.id()).unwrap().link).unwrap();
    let count = task.geometry().count();
    let mut starts: Vec<_> = (0..count).step_by(3).collect();
    starts.shuffle(&mut StdRng::seed_from_u64(seed));
    let rest = starts.into_iter().map(|start| start..(start + 3).min(count));
    let mut output = std::io::stdout();
    for run in std::iter::once(count - 1..count).chain(rest) {
        task.accept(run.clone(), &source.encode(run.clone()).unwrap()).unwrap();
        writeln!(output, "held {} {}", run.start, run.end).unwrap();
    }
}

#[test]
fn a_killed_process_loses_nothing() {
    if let (Some(home), Ok(seed)) = (std::env::var_os(HOME), std::env::var(SEED)) {
        return fetch(Path::new(&home), seed.parse().unwrap());
    }
    let home = TempDir::new().unwrap();
    let mut random = StdRng::seed_from_u64(1);
    let mut film = vec![0; BYTES as usize];
    random.fill_bytes(&mut film);
    fs::write(home.path().join("film.mkv"), &film).unwrap();
    let id = source(home.path(), "origin").1.id();

    let mut promised = Blocks::new();
    for round in 0..12u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_killed_process_loses_nothing", "--nocapture"])
            .env(HOME, home.path())
            .env(SEED, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut note = |line: String| {
            // The test harness writes to the same pipe, and may have begun the line.
            let Some((_, run)) = line.split_once("held ") else { return false };
            let (start, end) = run.split_once(' ').unwrap();
            promised.insert(start.parse().unwrap()..end.parse().unwrap());
            true
        };
        let wait_for = random.random_range(0..40);
        let mut seen = 0;
        while seen < wait_for {
            let Some(line) = lines.next() else { break };
            seen += u32::from(note(line));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it died still lies in the pipe; a line that was cut off promises nothing.
        let left: Vec<_> = lines.collect();
        left.into_iter().for_each(|line| {
            if line.split(' ').count() == 3 && line.starts_with("held ") {
                note(line);
            }
        });
        check(home.path(), id, &film, &promised);
    }
    assert!(promised.count() > 100, "the child was killed too early to show anything");
}

fn check(home: &Path, id: nearcast_protocol::ResourceId, film: &[u8], promised: &Blocks) {
    let library = Library::open(&home.join("library")).unwrap();
    let Some(store) = library.store(id).unwrap() else {
        assert!(promised.is_empty());
        return;
    };
    let held = store.held();
    assert!(promised.difference(&held).is_empty(), "{promised:?} was promised, {held:?} is there");
    // One run may have been on its way, or in the pipe's last line.
    let geometry = Geometry::new(BYTES);
    let mut buf = vec![0; BLOCK_BYTES as usize];
    for block in held.runs().flatten() {
        let bytes = geometry.bytes(block..block + 1);
        let length = store.read_at(bytes.start, &mut buf).unwrap();
        assert!(buf[..length] == film[bytes.start as usize..bytes.end as usize], "block {block}");
    }
    for run in held.runs() {
        store.encode(run).unwrap();
    }
}
