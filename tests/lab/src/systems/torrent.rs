//! What both torrent systems need: the film's torrent, and opentracker.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use nearcast_tests::Program;

use super::Stage;

const PORT: u16 = 6969;

/// The folder of the adapters, in this project's sources.
pub fn adapter(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("adapters").join(name)
}

/// Debian's Python, which Debian's libtorrent is built for.
pub const PYTHON: &str = "/usr/bin/python3";

pub fn tracker(stage: &Stage<'_>) -> Result<Program> {
    let host = &stage.topology.tracker;
    let (address, port) = (host.address.to_string(), PORT.to_string());
    // Debian's lists only what it is told to.
    let folder = stage.folder_of("opentracker")?;
    std::fs::copy(torrent(stage)?.with_extension("torrent.hash"), folder.join("whitelist"))?;
    let mut command = host.space.command("opentracker");
    command.args(["-i", &address, "-p", &port, "-P", &port, "-w", "whitelist", "-d"]).arg(folder);
    let program = Program::spawn("opentracker", command)
        .context("opentracker is missing; `scripts/install-packages lab` installs it")?;
    // It says nothing when it listens, so it is asked until it answers.
    let url = format!("http://{address}:{port}/stats");
    host.space.output(
        "curl",
        &[
            "--silent",
            "--output",
            "/dev/null",
            "--retry",
            "50",
            "--retry-delay",
            "1",
            "--retry-connrefused",
            "--max-time",
            "50",
            &url,
        ],
    )?;
    Ok(program)
}

/// The film's torrent file, made once.
pub fn torrent(stage: &Stage<'_>) -> Result<PathBuf> {
    let path = stage.kept.join(format!("{}.torrent", stage.film.link.id));
    if path.exists() {
        return Ok(path);
    }
    let announce = format!("http://{}:{PORT}/announce", stage.topology.tracker.address);
    let made = Command::new(PYTHON)
        .arg(adapter("torrent.py"))
        .args([stage.film.path.as_os_str(), announce.as_ref(), path.as_os_str()])
        .output()
        .context("python3 is missing")?;
    if !made.status.success() {
        bail!("no torrent could be made: {}", String::from_utf8_lossy(&made.stderr));
    }
    Ok(path)
}

/// A folder that holds the film under its own name, for seeding.
pub fn seeded(stage: &Stage<'_>) -> Result<PathBuf> {
    Ok(stage.film.path.parent().context("the film lies nowhere")?.to_owned())
}
