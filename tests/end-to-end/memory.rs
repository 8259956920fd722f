//! What a terminal without a window keeps in memory: 20 MB at rest, 60 MB while a film comes and is read.

use std::{
    fs,
    io::Read,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use nearcast_tests::{Neighbour, Program, Tracker, random_file};

const MB: u64 = 1_000_000;

/// Memory of its own, in bytes: no file's pages, nothing shared.
pub fn anonymous(program: &Program) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", program.pid()))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).context("no such line")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

#[test]
fn memory_stays_small_at_rest_and_while_a_film_is_fetched_served_and_read() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let film = at.join("film.mp4");
    random_file(&film, 96 << 20, 61)?;
    let tracker = Tracker::start(&at.join("tracker"), "/ip4/127.0.0.1/tcp/0")?;
    let one = Neighbour::start(at, "127.1.61.1", &tracker.address, &film, None)?;
    let other = Neighbour::start(at, "127.1.61.2", &tracker.address, &film, None)?;
    let kept = at.join("viewer");
    let mut arguments = vec!["play".as_ref(), one.link.as_ref(), "--folder".as_ref(), kept.as_os_str()];
    arguments.extend(["--no-neighbours", "--listen", "/ip4/127.1.61.100/tcp/0"].map(std::ffi::OsStr::new));
    let idle = anonymous(&one.program)?;
    assert!(idle <= 20 * MB, "{idle} bytes at rest");

    let mut viewer = Program::start("nearcast", &arguments)?;
    let address = viewer
        .wait_for("its address", |line| line.starts_with("http://127.0.0.1:").then(|| line.to_owned()))?;
    let curl = ["-sS", "--max-time", "110", &address];
    let mut player = Command::new("curl").args(curl).stdout(Stdio::piped()).spawn()?;
    let mut bytes = player.stdout.take().context("no output")?;
    let (mut buffer, mut read, mut most) = (vec![0; 1 << 20], 0, [0; 3]);
    loop {
        let got = bytes.read(&mut buffer)?;
        if got == 0 {
            break;
        }
        read += got as u64;
        for (most, program) in most.iter_mut().zip([&viewer, &one.program, &other.program]) {
            *most = anonymous(program)?.max(*most);
        }
    }
    assert!(player.wait()?.success());
    assert_eq!(read, fs::metadata(&film)?.len());
    eprintln!("bytes at rest {idle}, at most in viewer and neighbours {most:?}");
    assert!(most.iter().all(|most| *most <= 60 * MB), "{most:?} bytes in viewer and neighbours");
    Ok(())
}
