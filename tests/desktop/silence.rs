//! Before the first start is answered, nothing is on the network.

use std::{path::Path, process::Command, thread::sleep, time::Duration};

use anyhow::{Context, Result};
use nearcast_tests::{Display, Program};

use crate::app::{alone, app, must, processes, settle, until};

/// How long nothing must happen once the window is there.
const SILENCE: Duration = Duration::from_secs(4);

/// A network that ends at this machine, with a way out that leads nowhere.
struct Island(String);

impl Island {
    fn make() -> Result<Self> {
        let name = format!("nearcast-{}", std::process::id());
        must("ip", &["netns", "add", &name])?;
        let island = Self(name);
        for words in [
            "link set lo up",
            "link add sea type veth peer name shore",
            "link set shore up",
            "addr add 10.77.0.2/24 dev sea",
            "link set sea up",
            "route add default via 10.77.0.1",
        ] {
            let arguments: Vec<&str> = ["-n", &island.0].into_iter().chain(words.split(' ')).collect();
            must("ip", &arguments)?;
        }
        Ok(island)
    }

    fn command(&self, display: &Display, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = display.command("ip");
        command.args(["netns", "exec", &self.0]).arg(program);
        command
    }
}

/// Starts the app, on the island if there is one, and waits for its window.
fn start(island: Option<&Island>, display: &Display, root: &Path) -> Result<Program> {
    let mut command = match island {
        Some(island) => island.command(display, app()?),
        None => display.command(app()?),
    };
    command.arg("--root").arg(root);
    let app = Program::spawn("nearcast-app", command)?;
    until("the window", || {
        display.run("xdotool", &["search", "--onlyvisible", "--name", "^Nearcast$"]).is_ok()
    })?;
    Ok(app)
}

/// A capture of all that leaves the island or moves on it.
fn capture(island: &Island, display: &Display) -> Result<Program> {
    let mut tcpdump = island.command(display, "tcpdump");
    tcpdump.args(["-i", "any", "-n", "-l", "--immediate-mode", "not icmp6 and not igmp"]);
    let mut tcpdump = Program::spawn("tcpdump", tcpdump)?;
    tcpdump.wait_for("that it listens", |line| line.starts_with("listening on").then_some(()))?;
    Ok(tcpdump)
}

impl Drop for Island {
    fn drop(&mut self) {
        Command::new("ip").args(["netns", "del", &self.0]).output().ok();
    }
}

/// A process and all that it started.
fn family(process: u32) -> Vec<u32> {
    let mut found = vec![process];
    let mut at = 0;
    while let Some(&one) = found.get(at) {
        for task in std::fs::read_dir(format!("/proc/{one}/task")).into_iter().flatten().flatten() {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        }
        at += 1;
    }
    found
}

/// The sockets of IP that a process has, as the system lists them.
fn sockets(process: u32) -> Result<Vec<String>> {
    let files = std::fs::read_dir(format!("/proc/{process}/fd"))?.flatten();
    let links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    let own: Vec<String> = links
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let mut found = Vec::new();
    for table in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6"] {
        let text = std::fs::read_to_string(format!("/proc/{process}/net/{table}"))?;
        // The tenth column is the socket's number (proc_pid_net(5)).
        let lines = text.lines().skip(1).filter(|line| {
            line.split_whitespace().nth(9).is_some_and(|number| own.iter().any(|one| one == number))
        });
        found.extend(lines.map(|line| format!("{process} {table} {line}")));
    }
    Ok(found)
}

/// Whether a line of tcpdump is a packet of the app: the system itself greets in IPv6 when a card comes up.
fn is_packet(line: &str) -> bool {
    (line.contains(" IP") && !line.contains("ICMP6")) || line.contains(" ARP")
}

#[test]
fn not_one_packet_before_the_answer() -> Result<()> {
    let _alone = alone();
    let folder = tempfile::tempdir()?;
    let display = Display::start(1280, 800)?;
    let island = Island::make()
        .inspect_err(|error| eprintln!("nothing is captured here, only sockets are looked at: {error:#}"))
        .ok();
    let mut tcpdump = island.as_ref().map(|island| capture(island, &display)).transpose()?;

    let silent = folder.path().join("silent");
    let mut app = start(island.as_ref(), &display, &silent)?;
    sleep(SILENCE);
    let process = processes(&silent).first().copied().context("the app has gone")?;
    for one in family(process) {
        assert_eq!(sockets(one)?, Vec::<String>::new(), "sockets before the answer");
    }
    let words = tcpdump.as_ref().map(Program::words).unwrap_or_default();
    let packets: Vec<&str> = words.lines().filter(|line| is_packet(line)).collect();
    assert_eq!(packets, Vec::<&str>::new(), "packets before the answer");
    app.stop()?;

    // The same app, answered: what is looked at above would have shown it.
    let answered = folder.path().join("answered");
    settle(&answered, &[], true)?;
    let _app = start(island.as_ref(), &display, &answered)?;
    if let Some(tcpdump) = &mut tcpdump {
        tcpdump.wait_for("a packet after the answer", |line| is_packet(line).then_some(()))?;
    }
    let process = processes(&answered).first().copied().context("the app has gone")?;
    until("a socket after the answer", || sockets(process).is_ok_and(|all| !all.is_empty()))
}
