//! Two machines on one wire, made of network namespaces, and no tracker at all.

use std::{fs, process::Command};

use anyhow::{Context, Result};
use nearcast_tests::{Program, binary, random_file};

/// Two namespaces joined by a cable; gone when dropped.
struct Wire {
    names: [String; 2],
}

impl Wire {
    /// Lays the cable, or says why that can't be done here.
    fn lay() -> Result<Option<Self>> {
        let id = std::process::id();
        let wire = Self { names: [format!("nearcast-{id}-a"), format!("nearcast-{id}-b")] };
        let [a, b] = &wire.names;
        let steps = [
            format!("netns add {a}"),
            format!("netns add {b}"),
            format!("link add wire netns {a} type veth peer name wire netns {b}"),
            format!("-n {a} addr add 10.77.0.1/24 dev wire"),
            format!("-n {b} addr add 10.77.0.2/24 dev wire"),
            format!("-n {a} link set lo up"),
            format!("-n {b} link set lo up"),
            format!("-n {a} link set wire up"),
            format!("-n {b} link set wire up"),
            format!("-n {a} route add 224.0.0.0/4 dev wire"),
            format!("-n {b} route add 224.0.0.0/4 dev wire"),
        ];
        for step in steps {
            let done = Command::new("ip").args(step.split(' ')).output();
            let Some(done) = done.ok().filter(|done| done.status.success()) else {
                eprintln!("skipped: `ip {step}` can't be done here (it takes root and network namespaces)");
                return Ok(None);
            };
            drop(done);
        }
        Ok(Some(wire))
    }

    fn command(&self, end: usize, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[end]]).arg(binary("nearcast")?).args(arguments);
        Ok(command)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for name in &self.names {
            // One that was never made is no loss.
            Command::new("ip").args(["netns", "del", name]).output().ok();
        }
    }
}

#[test]
fn neighbours_find_one_another_without_a_tracker() -> Result<()> {
    let Some(wire) = Wire::lay()? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    random_file(&folder.path().join("film.mp4"), 3_000_000, 81)?;
    let share = wire.command(0, &["share", &at("film.mp4"), "--folder", &at("one")])?;
    let mut sharing = Program::spawn("nearcast", share)?;
    let link = sharing.wait_for("a link", |line| line.starts_with("nearcast://").then(|| line.to_owned()))?;
    assert!(!link.contains("tracker="), "{link}");
    let got = wire.command(1, &["get", &link, "-o", &at("got.mp4"), "--folder", &at("two")])?.output();
    let got = got.context("nearcast can't be started")?;
    assert!(got.status.success(), "{}", String::from_utf8_lossy(&got.stderr));
    assert!(fs::read(folder.path().join("film.mp4"))? == fs::read(folder.path().join("got.mp4"))?);
    Ok(())
}
