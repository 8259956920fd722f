//! A crash in the middle loses nothing that was verified.

use std::{ffi::OsStr, fs, path::Path};

use anyhow::{Context, Result};
use nearcast_tests::{Neighbour, Program, Tracker, random_file, run};
use serde_json::Value;

const MIB: usize = 1 << 20;

fn status(folder: &Path) -> Result<Value> {
    let status =
        run("nearcast", &["status".as_ref(), "--json".as_ref(), "--folder".as_ref(), folder.as_os_str()])?;
    serde_json::from_slice(&status.stdout)
        .with_context(|| String::from_utf8_lossy(&status.stderr).into_owned())
}

fn fetch(at: &Path, tracker: &str, link: &str) -> Result<Program> {
    let (kept, output) = (at.join("kept"), at.join("got.mp4"));
    let mut arguments = vec!["get".as_ref(), link.as_ref(), "-o".as_ref(), output.as_os_str()];
    arguments.extend(["--folder".as_ref(), kept.as_os_str()]);
    arguments.extend(
        ["--no-neighbours", "--listen", "/ip4/127.1.3.100/tcp/0", "--tracker", tracker].map(OsStr::new),
    );
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
        let mut viewer = fetch(at, &tracker.address, &source.link)?;
        // Its own words go by the second; the local address says more, and when it does there is more.
        let enough = before + 2 * MIB as u64;
        loop {
            let report = status(&at.join("kept"));
            let reached = report.ok().and_then(|report| report[0]["held_bytes"].as_u64());
            if reached.is_some_and(|reached| reached >= enough) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        viewer.kill()?;
        drop(viewer);
        let after = status(&at.join("kept"))?[0]["held_bytes"].as_u64().context("nothing is held")?;
        assert!(after >= enough, "{after} bytes survived, {enough} were verified");
        held.push(after);
    }
    let mut last = fetch(at, &tracker.address, &source.link)?;
    let ended = last.wait(nearcast_tests::PATIENCE)?;
    assert!(ended.success(), "{}", last.words());
    assert!(fs::read(&film)? == fs::read(at.join("got.mp4"))?);
    let uploaded = status(&source.folder)?[0]["uploaded"].as_u64().context("the source is silent")?;
    // What was on its way at each of three kills is lost, and hashes travel with the bytes: no more.
    let most = size as u64 * 102 / 100 + 3 * 2 * MIB as u64;
    assert!(uploaded <= most, "the source gave {uploaded} bytes for a film of {size}");
    Ok(())
}
