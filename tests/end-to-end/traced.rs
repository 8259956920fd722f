//! A log of every decision, read by a person and made again.

use std::fs;

use anyhow::Result;
use nearcast_tests::{Neighbour, Tracker, random_file, run};

#[test]
fn a_trace_is_told_in_words_and_replays() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    random_file(&folder.path().join("film.mp4"), 3_000_000, 91)?;
    let tracker = Tracker::start(&folder.path().join("tracker"), "/ip4/127.0.0.1/tcp/0")?;
    let film = folder.path().join("film.mp4");
    let source = Neighbour::start(folder.path(), "127.1.9.1", &tracker.address, &film, None)?;
    let (trace, output, kept) = (at("trace"), at("got.mp4"), at("kept"));
    let viewer =
        ["--listen", "/ip4/127.1.9.2/tcp/0", "--no-neighbours", "--folder", &kept, "--trace", &trace];
    let got = run("nearcast", &[&["get", &source.link, "-o", &output][..], &viewer].concat())?;
    assert!(got.status.success(), "{}", String::from_utf8_lossy(&got.stderr));

    let told = run("nearcast", &["trace", "--events", &trace])?;
    let text = String::from_utf8(told.stdout)?;
    assert!(told.status.success(), "{text}\n{}", String::from_utf8_lossy(&told.stderr));
    for part in
        ["a film of 3000000 bytes", "is connected", "asks peer", "part of the rest", "they are the same"]
    {
        assert!(text.contains(part), "{part}:\n{text}");
    }

    // One that was changed says where; half a line at the end is no harm; anything else is no log.
    let log = fs::read_to_string(&trace)?;
    let first = log.lines().position(|line| line.contains("\"Request\"")).unwrap_or_default();
    let without: Vec<_> =
        log.lines().enumerate().filter(|(n, _)| *n != first).map(|(_, line)| line).collect();
    fs::write(at("changed"), without.join("\n"))?;
    assert!(!run("nearcast", &["trace", &at("changed")])?.status.success());
    fs::write(at("cut"), format!("{log}{{\"Eve"))?;
    assert!(run("nearcast", &["trace", &at("cut")])?.status.success());
    let no = run("nearcast", &["trace", &at("film.mp4")])?;
    assert!(!no.status.success() && String::from_utf8_lossy(&no.stderr).contains("film.mp4"));
    Ok(())
}
