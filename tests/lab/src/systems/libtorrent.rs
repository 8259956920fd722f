//! libtorrent, by Debian's Python binding and an adapter that serves a local address.

use std::process::Command;

use anyhow::{Result, bail};
use nearcast_tests::Program;

use super::{
    Seat, Stage,
    torrent::{PYTHON, adapter, seeded, torrent},
};

pub fn version() -> Result<String> {
    let said =
        Command::new(PYTHON).args(["-c", "import libtorrent; print(libtorrent.__version__)"]).output()?;
    if !said.status.success() {
        bail!("libtorrent's Python binding is missing; `scripts/install-packages lab` installs it");
    }
    Ok(format!("libtorrent {}", String::from_utf8_lossy(&said.stdout).trim()))
}

fn start(stage: &Stage<'_>, node: usize, mode: &str, folder: &std::path::Path) -> Result<(Program, String)> {
    let host = stage.host(node)?;
    let mut command = host.space.command(PYTHON);
    command.arg("-u").arg(adapter("libtorrent_node.py"));
    command.args([mode, &host.address.to_string()]).arg(torrent(stage)?).arg(folder);
    let mut program = Program::spawn("libtorrent", command)?;
    let said = program.wait_for("that it is ready", |line| {
        line.strip_prefix("ready ").map(|rest| rest.trim().to_owned())
    })?;
    Ok((program, said))
}

pub fn source(stage: &Stage<'_>, node: usize) -> Result<Program> {
    Ok(start(stage, node, "seed", &seeded(stage)?)?.0)
}

pub fn seat(stage: &Stage<'_>, node: usize, mode: &str) -> Result<Seat> {
    let folder = stage.folder_of(&stage.host(node)?.name)?;
    let (daemon, target) = start(stage, node, mode, &folder)?;
    Ok(Seat { daemon: Some(daemon), target, arguments: Vec::new() })
}
