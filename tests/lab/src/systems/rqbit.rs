//! rqbit, built from its own package, and an adapter that adds the torrent at the click.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use nearcast_tests::Program;

use super::{
    Seat, Stage,
    torrent::{PYTHON, adapter, seeded, torrent},
};

fn program() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("no project")?;
    let peers = std::env::var_os("NEARCAST_PEERS").map(PathBuf::from);
    let path = peers.unwrap_or_else(|| root.join("target/lab/peers")).join("bin/rqbit");
    path.is_file().then_some(path).context("rqbit is missing; `scripts/lab-peers` builds it from crates.io")
}

pub fn version() -> Result<String> {
    let said = Command::new(program()?).arg("--version").output()?;
    Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

fn start(stage: &Stage<'_>, node: usize, mode: &str, folder: &Path) -> Result<(Program, String)> {
    let host = stage.host(node)?;
    let mut command = host.space.command(PYTHON);
    command.arg("-u").arg(adapter("rqbit_node.py")).arg(mode).arg(program()?);
    command.arg(host.address.to_string()).arg(torrent(stage)?).arg(folder);
    let mut program = Program::spawn("rqbit", command)?;
    let said = program.wait_for("that it is ready", |line| {
        line.strip_prefix("ready ").map(|rest| rest.trim().to_owned())
    })?;
    Ok((program, said))
}

pub fn source(stage: &Stage<'_>, node: usize) -> Result<Program> {
    Ok(start(stage, node, "seed", &seeded(stage)?)?.0)
}

pub fn seat(stage: &Stage<'_>, node: usize) -> Result<Seat> {
    let folder = stage.folder_of(&stage.host(node)?.name)?;
    let (daemon, target) = start(stage, node, "play", &folder)?;
    Ok(Seat { daemon: Some(daemon), target, arguments: Vec::new() })
}
