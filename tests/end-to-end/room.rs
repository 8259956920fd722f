//! A film in less room than it takes: on disk, in memory, and on a disk that is full.

use std::{
    fs,
    io::Read,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use nearcast_tests::{Neighbour, Program, Tracker, random_file};

use crate::{bad::SmallDisk, memory::anonymous};

const MB: u64 = 1_000_000;
const FILM: usize = 120 << 20;

/// Bytes that a folder takes of the disk.
fn taken(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => taken(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}

/// Bytes of files that no disk has.
fn in_memory_files(program: &Program) -> Result<u64> {
    let mut bytes = 0;
    for open in fs::read_dir(format!("/proc/{}/fd", program.pid()))? {
        let open = open?.path();
        if fs::read_link(&open).is_ok_and(|to| to.to_string_lossy().contains("memfd:nearcast")) {
            bytes += fs::metadata(open)?.blocks() * 512;
        }
    }
    Ok(bytes)
}

/// Plays a film from its start to its end in a viewer with these arguments, looking at it after each MiB.
fn played(ip: &str, more: &[&str], kept: &Path, mut look: impl FnMut(&Program) -> Result<()>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (at, film) = (folder.path(), folder.path().join("film.mp4"));
    random_file(&film, FILM, 71)?;
    let tracker = Tracker::start(&at.join("tracker"), "/ip4/127.0.0.1/tcp/0")?;
    let neighbours =
        [1, 2].map(|n| Neighbour::start(at, &format!("127.1.{ip}.{n}"), &tracker.address, &film, None));
    let [one, _other] = neighbours;
    let one = one?;
    let listen = format!("/ip4/127.1.{ip}.100/tcp/0");
    let kept = kept.to_str().context("an odd path")?;
    let mut arguments =
        vec!["play", one.link.as_str(), "--folder", kept, "--no-neighbours", "--listen", &listen];
    arguments.extend(more);
    let mut viewer = Program::start("nearcast", &arguments)?;
    let address = viewer
        .wait_for("its address", |line| line.starts_with("http://127.0.0.1:").then(|| line.to_owned()))?;
    let bytes = fs::read(&film)?;
    for range in ["0-", "70000000-90000000", "0-9999999"] {
        let curl = ["-sS", "--max-time", "110", "--range", range, &address];
        let mut player = Command::new("curl").args(curl).stdout(Stdio::piped()).spawn()?;
        let mut output = player.stdout.take().context("no output")?;
        let (first, last) = range.split_once('-').context("no range")?;
        let mut read: usize = first.parse()?;
        let end = last.parse().map_or(bytes.len(), |last: usize| last + 1);
        let mut buffer = vec![0; 1 << 20];
        loop {
            let got = output.read(&mut buffer)?;
            if got == 0 {
                break;
            }
            assert!(buffer[..got] == bytes[read..read + got], "wrong bytes at {read}");
            read += got;
            look(&viewer)?;
        }
        assert!(player.wait()?.success());
        assert_eq!(read, end);
    }
    let status = viewer.stop()?;
    assert!(status.success(), "{status}: {}", viewer.words());
    Ok(())
}

#[test]
fn on_disk_it_keeps_to_its_room_and_gives_every_byte() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut most, mut memory) = (0, 0);
    played("71", &["--room", "24"], folder.path(), |viewer| {
        most = taken(folder.path()).max(most);
        memory = anonymous(viewer)?.max(memory);
        Ok(())
    })?;
    eprintln!("at most {most} bytes on disk, {memory} in memory");
    // Besides the film there is the tree, half a percent of it, and what names it.
    assert!(most <= 26 * MB, "{most} bytes on the disk");
    Ok(())
}

#[test]
fn in_memory_it_keeps_to_its_room_and_leaves_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut most = [0; 2];
    played("72", &["--memory"], folder.path(), |viewer| {
        let memory = anonymous(viewer)? + in_memory_files(viewer)?;
        most = [taken(folder.path()).max(most[0]), memory.max(most[1])];
        Ok(())
    })?;
    eprintln!("at most {most:?} bytes on disk and in memory");
    assert!(most[0] <= MB / 10, "{most:?} bytes on disk and in memory");
    assert!(most[1] <= 60 * MB, "{most:?} bytes on disk and in memory");
    Ok(())
}

#[test]
fn on_a_full_disk_it_plays_on_in_the_room_there_is() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(disk) = SmallDisk::mount(folder.path().join("viewer"), "size=90m")? else { return Ok(()) };
    played("73", &[], &disk.0, |_| Ok(()))
}
