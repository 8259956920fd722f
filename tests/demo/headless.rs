//! The viewer without a window: nearcast-player plays and measures.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use nearcast_tests::Program;
use serde_json::Value;

use crate::{
    Cli,
    played::{Bytes, Played, number},
    system::System,
};

/// Plays, seeks once, and tells the figures.
///
/// # Errors
/// When it doesn't play.
pub fn play(cli: &Cli, system: &System) -> Result<Played> {
    let folder = system.folder("viewer").to_string_lossy().into_owned();
    let (seek, play) = (cli.seek.to_string(), cli.play[0].to_string());
    let after = cli.play[1].to_string();
    let arguments = [
        "measure",
        &system.link,
        "--folder",
        &folder,
        "--listen",
        "/ip4/127.1.0.100/tcp/0",
        "--tracker",
        &system.tracker,
        "--no-neighbours",
        "--play",
        &play,
        "--seek",
        &seek,
        "--play-after-seek",
        &after,
        "--json",
    ];
    let mut player = Program::start("nearcast-player", &arguments)?;
    let figures = player.wait_for("its figures", |line| serde_json::from_str::<Value>(line).ok())?;
    let status = player.wait(Duration::from_secs(30))?;
    if !status.success() {
        bail!("the player failed with {status}:\n{}", player.words());
    }
    if let Some(error) = figures["error"].as_str() {
        bail!("{error}");
    }
    let seek = figures["seeks"].get(0).context("the player didn't seek")?;
    let bytes = &figures["bytes"];
    Ok(Played {
        first_picture_ms: figures["first_picture_ms"].as_u64(),
        seek_picture_ms: seek["picture_ms"].as_u64(),
        stalls: number(&figures["stalls"]),
        stalled_ms: number(&figures["stalled_ms"]),
        bytes: Bytes {
            own_group: number(&bytes["own_group"]),
            other_groups: number(&bytes["other_groups"]),
            publisher: number(&bytes["publisher"]),
        },
        verified: figures["verified"].as_bool() == Some(true),
    })
}
