//! The same with this project's programs: a film shared from behind each kind, fetched from behind each.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use nearcast_tests::{Program, binary};

use crate::net::Host;

/// Bytes of a film: a few blocks.
const SIZE: usize = 200_000;
/// Seconds after which a fetch in which nothing has arrived gives up.
const PATIENCE: &str = "25";
/// And by which it has ended in any case.
const END: Duration = Duration::from_secs(90);
const SHARING: u16 = 4500;

/// Shares a film from each of `holders` and fetches each of them from each of `viewers`, all at once. Says for each
/// holder which viewers got it.
pub fn fetched(folder: &Path, tracker: &str, holders: &[&Host], viewers: &[&Host]) -> Result<Vec<Vec<bool>>> {
    let mut shared = Vec::new();
    for (number, host) in (0u8..).zip(holders) {
        let film = folder.join(format!("film-{number}"));
        fs::write(&film, vec![number + 1; SIZE])?;
        let mut program =
            nearcast(host, SHARING, tracker, &folder.join(format!("holder-{number}")), |command| {
                command.arg("share").arg(&film);
            })?;
        // Either may be said first.
        let (mut link, mut registered) = (None, false);
        let link = program.wait_for("its link and that it is registered", |line| {
            if line.trim().starts_with("nearcast:") {
                link = Some(line.trim().to_owned());
            }
            registered |= line.starts_with("registered with");
            link.clone().filter(|_| registered)
        })?;
        shared.push((film, link, program));
    }
    let mut fetching = Vec::new();
    for (number, (film, link, _)) in shared.iter().enumerate() {
        let mut of_one = Vec::new();
        for (port, host) in (SHARING + 1 + 10 * u16::try_from(number)?..).zip(viewers) {
            let kept = folder.join(format!("viewer-{port}"));
            let output = kept.with_extension("film");
            let program = nearcast(host, port, tracker, &kept, |command| {
                command.args(["get", link, "--patience", PATIENCE, "--output"]).arg(&output);
            })?;
            of_one.push((film, output, program));
        }
        fetching.push(of_one);
    }
    let got = |(film, output, mut program): (&PathBuf, PathBuf, Program)| {
        let ended = program.wait(END)?;
        Ok(ended.success() && fs::read(film)? == fs::read(output)?)
    };
    fetching.into_iter().map(|of_one| of_one.into_iter().map(got).collect()).collect()
}

fn nearcast(
    host: &Host,
    port: u16,
    tracker: &str,
    folder: &Path,
    act: impl FnOnce(&mut std::process::Command),
) -> Result<Program> {
    let mut command = host.space.command(binary("nearcast")?);
    act(&mut command);
    let here = format!("/ip4/{}", host.address);
    command.args([
        "--listen",
        &format!("{here}/tcp/{port}"),
        "--listen",
        &format!("{here}/udp/{port}/quic-v1"),
    ]);
    command.args(["--no-neighbours", "--no-port-mapping", "--tracker", tracker, "--folder"]).arg(folder);
    Program::spawn(&host.name, command).with_context(|| format!("at {}", host.name))
}
