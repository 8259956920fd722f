//! A crash in the middle loses nothing that was verified.

use std::{ffi::OsStr, fs, os::unix::fs::FileExt, path::Path, process::Command, time::Instant};

use anyhow::{Context, Result, ensure};
use nearcast_tests::{Neighbour, PATIENCE, Program, Tracker, random_file, run};
use rustix::process::Signal;
use serde_json::Value;

const MIB: usize = 1 << 20;

fn status(folder: &Path) -> Result<Value> {
    let status =
        run("nearcast", &["status".as_ref(), "--json".as_ref(), "--folder".as_ref(), folder.as_os_str()])?;
    serde_json::from_slice(&status.stdout)
        .with_context(|| String::from_utf8_lossy(&status.stderr).into_owned())
}

fn held(folder: &Path) -> Option<u64> {
    status(folder).ok()?[0]["held_bytes"].as_u64()
}

/// Waits until so much is held, by asking.
fn until_held(folder: &Path, what: impl Fn(u64) -> bool) -> Result<()> {
    let began = Instant::now();
    while !held(folder).is_some_and(&what) {
        ensure!(began.elapsed() < PATIENCE, "{:?} bytes are held in {}", held(folder), folder.display());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Ok(())
}

/// Spoils a kept film as a failing disk does: other bytes, and no trace of a write.
fn rot(kept: &Path, offset: u64) -> Result<()> {
    let library = fs::read_dir(kept.join("library"))?;
    let content = library.flatten().map(|entry| entry.path().join("content/film.mp4"));
    let path = content.into_iter().find(|path| path.exists()).context("nothing is kept")?;
    let file = fs::OpenOptions::new().write(true).open(path)?;
    let modified = file.metadata()?.modified()?;
    file.write_all_at(b"rotten", offset)?;
    Ok(file.set_modified(modified)?)
}

#[test]
fn what_rots_on_disk_is_fetched_anew_for_who_reads_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let film = at.join("film.mp4");
    random_file(&film, 3 * MIB + 5, 12)?;
    let tracker = Tracker::start(&at.join("tracker"), "/ip4/127.0.0.1/tcp/0")?;
    let source = Neighbour::start(at, "127.1.3.21", &tracker.address, &film, None)?;
    let mut viewer = fetch(at, &tracker.address, &source.link, "127.1.3.120", &[])?;
    assert!(viewer.wait(PATIENCE)?.success(), "{}", viewer.words());
    rot(&at.join("kept"), MIB as u64)?;

    let kept = at.join("kept");
    let mut player = vec!["play".as_ref(), source.link.as_ref(), "--folder".as_ref(), kept.as_os_str()];
    player.extend(["--no-neighbours", "--listen", "/ip4/127.1.3.120/tcp/0"].map(OsStr::new));
    let mut player = Program::start("nearcast", &player)?;
    let address = player
        .wait_for("its address", |line| line.starts_with("http://127.0.0.1:").then(|| line.to_owned()))?;
    let got = Command::new("curl").args(["-sS", "--max-time", "110", &address]).output()?;
    assert!(got.stdout == fs::read(&film)?, "{}", player.words());
    assert_eq!(held(&kept), Some(fs::metadata(&film)?.len()));
    Ok(())
}

#[test]
fn what_rots_on_disk_is_taken_back_from_the_others_and_fetched_anew() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let film = at.join("film.mp4");
    random_file(&film, 3 * MIB + 5, 13)?;
    let size = fs::metadata(&film)?.len();
    let tracker = Tracker::start(&at.join("tracker"), "/ip4/127.0.0.1/tcp/0")?;
    let source = Neighbour::start(at, "127.1.3.31", &tracker.address, &film, None)?;
    let (one, other) = (at.join("one"), at.join("other"));
    fs::create_dir(&one)?;
    fs::create_dir(&other)?;
    let _one = fetch(&one, &tracker.address, &source.link, "127.1.3.130", &["--seed"])?;
    until_held(&one.join("kept"), |held| held == size)?;
    rot(&one.join("kept"), MIB as u64)?;

    // While the source says nothing, all there is has to come from who has lost a block.
    source.program.signal(Signal::STOP)?;
    let mut viewer = fetch(&other, &tracker.address, &source.link, "127.1.3.131", &[])?;
    until_held(&one.join("kept"), |held| held < size)?;
    source.program.signal(Signal::CONT)?;
    assert!(viewer.wait(PATIENCE)?.success(), "{}", viewer.words());
    assert!(fs::read(&film)? == fs::read(other.join("got.mp4"))?);
    until_held(&one.join("kept"), |held| held == size)?;
    Ok(())
}

fn fetch(at: &Path, tracker: &str, link: &str, ip: &str, more: &[&str]) -> Result<Program> {
    let listen = format!("/ip4/{ip}/tcp/0");
    let (kept, output) = (at.join("kept"), at.join("got.mp4"));
    let mut arguments = vec!["get".as_ref(), link.as_ref(), "-o".as_ref(), output.as_os_str()];
    arguments.extend(["--folder".as_ref(), kept.as_os_str()]);
    arguments.extend(["--no-neighbours", "--listen", &listen, "--tracker", tracker].map(OsStr::new));
    arguments.extend(more.iter().map(OsStr::new));
    Program::start("nearcast", &arguments)
}

#[test]
fn after_kill_9_what_was_verified_is_kept_and_nothing_is_fetched_twice() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let film = at.join("film.mp4");
    let size = 10 * MIB + 77;
    random_file(&film, size, 11)?;
    let tracker = Tracker::start(&at.join("tracker"), "/ip4/127.0.0.1/tcp/0")?;
    let source = Neighbour::start(at, "127.1.3.1", &tracker.address, &film, Some("16Mbit"))?;
    let mut held = Vec::new();
    for _ in 0..3 {
        let before = held.last().copied().unwrap_or_default();
        let mut viewer = fetch(at, &tracker.address, &source.link, "127.1.3.100", &[])?;
        // Its own words go by the second; the local address says more, and when it does there is more.
        let enough = before + 2 * MIB as u64;
        until_held(&at.join("kept"), |held| held >= enough).with_context(|| viewer.words())?;
        viewer.kill()?;
        drop(viewer);
        let after = status(&at.join("kept"))?[0]["held_bytes"].as_u64().context("nothing is held")?;
        assert!(after >= enough, "{after} bytes survived, {enough} were verified");
        held.push(after);
    }
    let mut last = fetch(at, &tracker.address, &source.link, "127.1.3.100", &[])?;
    let ended = last.wait(PATIENCE)?;
    assert!(ended.success(), "{}", last.words());
    assert!(fs::read(&film)? == fs::read(at.join("got.mp4"))?);
    let uploaded = status(&source.folder)?[0]["uploaded"].as_u64().context("the source is silent")?;
    // What was on its way at each of three kills is lost, and hashes travel with the bytes: no more.
    let most = size as u64 * 102 / 100 + 3 * 2 * MIB as u64;
    assert!(uploaded <= most, "the source gave {uploaded} bytes for a film of {size}");
    Ok(())
}
