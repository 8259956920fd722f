//! This project's own programs.

use anyhow::{Context, Result};
use nearcast_protocol::Multiaddr;
use nearcast_scenario::Kind;
use nearcast_tests::{Program, binary, run};

use super::{Seat, Stage};
use crate::{
    net::{Host, Topology},
    operator::STATUS,
};

const PORT: u16 = 4400;
const TRACKER_PORT: u16 = 4401;

/// The version of what was built.
pub fn version() -> Result<String> {
    let said = run("nearcast", &["--version"])?;
    Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

fn listen(host: &Host) -> String {
    format!("/ip4/{}/tcp/{PORT}", host.address)
}

/// Its identity is kept for the run, so that a restarted one is the same.
pub fn tracker(stage: &Stage<'_>) -> Result<Program> {
    let groups = stage.folder.join("groups.csv");
    std::fs::write(&groups, Topology::groups(stage.scenario))?;
    let host = &stage.topology.tracker;
    let mut command = host.space.command(binary("nearcast-tracker")?);
    for way in [format!("tcp/{TRACKER_PORT}"), format!("udp/{TRACKER_PORT}/quic-v1")] {
        command.args(["--listen", &format!("/ip4/{}/{way}", host.address)]);
    }
    command
        .arg("--groups")
        .arg(&groups)
        .args(["--status", STATUS])
        .arg("--state")
        .arg(stage.folder.join("tracker"));
    let mut program = Program::spawn("nearcast-tracker", command)?;
    let address = program.wait_for("where it listens", |line| {
        Some(line.strip_prefix("listening on ")?.trim().to_owned())
            .filter(|address| address.contains("/tcp/"))
    })?;
    std::fs::write(stage.folder.join("tracker-address"), address)?;
    Ok(program)
}

pub fn tracker_address(stage: &Stage<'_>) -> Result<String> {
    std::fs::read_to_string(stage.folder.join("tracker-address")).context("the tracker has no address yet")
}

fn link(stage: &Stage<'_>) -> Result<String> {
    let mut link = stage.film.link.clone();
    let tracker: Multiaddr = tracker_address(stage)?.parse().context("the tracker's address is none")?;
    link.trackers = vec![tracker];
    Ok(link.to_string())
}

/// A holder, a publisher or a liar, registered.
pub fn source(stage: &Stage<'_>, node: usize) -> Result<Program> {
    let host = stage.host(node)?;
    let kind = stage.scenario.nodes.get(node).context("no such node")?.kind;
    let tracker = tracker_address(stage)?;
    match kind {
        Kind::Publisher => publisher(stage, host, &tracker),
        Kind::Liar => liar(stage, host, &tracker),
        Kind::Holder | Kind::Viewer => holder(stage, host, &tracker),
    }
}

fn holder(stage: &Stage<'_>, host: &Host, tracker: &str) -> Result<Program> {
    let folder = stage.kept.join(format!("nearcast-{}-{}", stage.film.link.id, host.name));
    let mut command = host.space.command(binary("nearcast")?);
    command.arg("share").arg(&stage.film.path).args(["--no-neighbours", "--listen", &listen(host)]);
    command.args(["--tracker", tracker, "--folder"]).arg(folder);
    let mut program = Program::spawn("nearcast", command)?;
    program.wait_for("that it is registered", |line| line.starts_with("registered with").then_some(()))?;
    Ok(program)
}

fn publisher(stage: &Stage<'_>, host: &Host, tracker: &str) -> Result<Program> {
    let kept = stage.kept.join(format!("nearcast-publisher-{}-{}", stage.film.link.id, host.name));
    let films = kept.join("films");
    std::fs::create_dir_all(&films)?;
    let name = stage.film.path.file_name().context("the film has no name")?;
    if !films.join(name).exists() && std::fs::hard_link(&stage.film.path, films.join(name)).is_err() {
        std::fs::copy(&stage.film.path, films.join(name))?;
    }
    let mut command = host.space.command(binary("nearcast-publisher")?);
    command.arg(&films).args(["--listen", &listen(host), "--http", &format!("{}:8080", host.address)]);
    command.args(["--tracker", tracker, "--state"]).arg(kept.join("state"));
    let mut program = Program::spawn("nearcast-publisher", command)?;
    program.wait_for("its film", |line| {
        (line.contains("put up") && !line.contains("not put up")).then_some(())
    })?;
    Ok(program)
}

fn liar(stage: &Stage<'_>, host: &Host, tracker: &str) -> Result<Program> {
    let mut command = host.space.command(std::env::current_exe()?);
    command.args(["lie", &stage.film.link.to_string(), "--listen", &listen(host), "--tracker", tracker]);
    let mut program = Program::spawn("a liar", command)?;
    program.wait_for("that it is registered", |line| line.starts_with("registered").then_some(()))?;
    Ok(program)
}

/// The measuring player fetches by itself; the others ask a windowless terminal for a local address.
pub fn seat(stage: &Stage<'_>, node: usize, measured: bool) -> Result<Seat> {
    let host = stage.host(node)?;
    let link = link(stage)?;
    let folder = stage.folder_of(&host.name)?.to_string_lossy().into_owned();
    let mut options =
        ["--no-neighbours", "--listen", &listen(host), "--folder", &folder].map(str::to_owned).to_vec();
    if let Some(traces) = stage.traces {
        let trace = traces.join(format!("{}-{}.jsonl", stage.scenario.name, host.name));
        options.extend(["--trace".to_owned(), trace.to_string_lossy().into_owned()]);
    }
    if measured {
        return Ok(Seat { daemon: None, target: link, arguments: options });
    }
    let mut command = host.space.command(binary("nearcast")?);
    command.args(["play", &link]).args(&options);
    let mut daemon = Program::spawn("nearcast", command)?;
    let target = daemon.wait_for("its local address", |line| {
        line.starts_with("http://127.").then(|| line.trim().to_owned())
    })?;
    Ok(Seat { daemon: Some(daemon), target, arguments: Vec::new() })
}
