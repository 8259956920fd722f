//! The real film, ten minutes long, from neighbours of 2 Mbit/s each: it starts, it seeks, it never stalls.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use nearcast_tests::{Film, Neighbour, Program, Tracker, film};
use serde_json::Value;

/// One film at a time: two decoders on two cores would measure one another.
static SCREEN: Mutex<()> = Mutex::new(());

/// Plays from five neighbours in the own network and three in another, with a seek to a part not held.
fn plays(net: u8, container: Film) -> Result<()> {
    let _screen = SCREEN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let file = film(container)?;
    let tracker = Tracker::start(&at.join("tracker"), "/ip4/127.0.0.1/tcp/0")?;
    let mut neighbours = Vec::new();
    for n in 1..=5 {
        let ip = format!("127.1.{net}.{n}");
        neighbours.push(Neighbour::start(at, &ip, &tracker.address, &file, Some("2Mbit"))?);
    }
    for n in 1..=3 {
        let ip = format!("127.2.{net}.{n}");
        neighbours.push(Neighbour::start(at, &ip, &tracker.address, &file, Some("2Mbit"))?);
    }
    let link = &neighbours.first().context("nobody")?.link;
    let kept = at.join("viewer").to_string_lossy().into_owned();
    let listen = format!("/ip4/127.1.{net}.100/tcp/0");
    let arguments = [
        "measure",
        link,
        "--folder",
        &kept,
        "--listen",
        &listen,
        "--no-neighbours",
        "--play",
        "10",
        "--seek",
        "300",
        "--play-after-seek",
        "8",
        "--json",
    ];
    let mut player = Program::start("nearcast-player", &arguments)?;
    let figures = player.wait_for("its figures", |line| serde_json::from_str::<Value>(line).ok())?;
    let ended = player.wait(Duration::from_secs(60))?;
    println!("{container:?}: {figures}");
    assert!(ended.success(), "{figures}\n{}", player.words());
    assert_eq!(figures["error"], Value::Null, "{figures}");
    assert_eq!(figures["stalls"], 0, "{figures}");
    let landed = figures["seeks"][0]["landed_s"].as_f64().context("it didn't seek")?;
    // A fast seek lands on a key frame, an estimate in a transport stream a little further off.
    assert!((landed - 300.0).abs() < 15.0, "{figures}");
    let bytes = |from: &str| figures["bytes"][from].as_u64().unwrap_or_default();
    assert!(bytes("own_group") >= 4 * bytes("other_groups"), "not the own network first: {figures}");
    assert_eq!(figures["verified"], true);
    Ok(())
}

#[test]
fn mp4_with_its_index_first() -> Result<()> {
    plays(51, Film::Mp4)
}

#[test]
fn mp4_with_its_index_last() -> Result<()> {
    plays(52, Film::Mp4IndexLast)
}

#[test]
fn matroska() -> Result<()> {
    plays(53, Film::Mkv)
}

#[test]
fn webm() -> Result<()> {
    plays(54, Film::Webm)
}

#[test]
fn mpeg_transport_stream() -> Result<()> {
    plays(55, Film::Ts)
}
