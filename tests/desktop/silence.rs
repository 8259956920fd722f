//! Before the first start is answered, nothing is on the network.

use std::{path::Path, process::Command, thread::sleep, time::Duration};

use anyhow::Result;
use nearcast_tests::{Display, Program};

use crate::app::{alone, app, must, processes, settle, until};

/// How long nothing must happen once the window is there.
const SILENCE: Duration = Duration::from_secs(4);

/// A network that ends at this machine, with a way out that swallows all.
struct Island(String);

impl Island {
    fn make() -> Result<Self> {
        let name = format!("nearcast-{}", std::process::id());
        must("ip", &["netns", "add", &name])?;
        let island = Self(name);
        for words in [
            "link set lo up",
            "link add sea type dummy",
            "addr add 10.77.0.2/24 dev sea",
            "link set sea up multicast on",
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

    fn app(&self, display: &Display, root: &Path) -> Result<Program> {
        let mut command = self.command(display, app()?);
        command.arg("--root").arg(root);
        let app = Program::spawn("nearcast-app", command)?;
        until("the window", || {
            display.run("xdotool", &["search", "--onlyvisible", "--name", "^Nearcast$"]).is_ok()
        })?;
        Ok(app)
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        Command::new("ip").args(["netns", "del", &self.0]).output().ok();
    }
}

/// How many sockets of IP the network namespace of a process has.
fn sockets(process: u32) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for table in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6"] {
        let text = std::fs::read_to_string(format!("/proc/{process}/net/{table}"))?;
        found.extend(text.lines().skip(1).map(|line| format!("{table} {line}")));
    }
    Ok(found)
}

#[test]
fn not_one_packet_before_the_answer() -> Result<()> {
    let _alone = alone();
    let folder = tempfile::tempdir()?;
    let display = Display::start(1280, 800)?;
    let island = Island::make()?;
    // What the system itself asks its neighbours isn't the app's.
    let mut tcpdump = island.command(&display, "tcpdump");
    tcpdump.args(["-i", "any", "-n", "-l", "--immediate-mode", "not icmp6 and not arp and not igmp"]);
    let mut tcpdump = Program::spawn("tcpdump", tcpdump)?;
    tcpdump.wait_for("that it listens", |line| line.starts_with("listening on").then_some(()))?;

    let silent = folder.path().join("silent");
    let mut app = island.app(&display, &silent)?;
    sleep(SILENCE);
    let process = processes(&silent).first().copied().unwrap_or_else(|| app.pid());
    assert_eq!(sockets(process)?, Vec::<String>::new(), "sockets before the answer");
    let packets: Vec<String> =
        tcpdump.words().lines().filter(|line| line.contains(" IP")).map(Into::into).collect();
    assert_eq!(packets, Vec::<String>::new(), "packets before the answer");
    app.stop()?;

    // The same app, answered: this capture would have seen it.
    let answered = folder.path().join("answered");
    settle(&answered, &[], true)?;
    let _app = island.app(&display, &answered)?;
    tcpdump.wait_for("a packet after the answer", |line| line.contains(" IP").then_some(()))
}
