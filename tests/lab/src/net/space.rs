//! One machine's view of the network: a kernel namespace.

use std::{
    ffi::OsStr,
    fs::File,
    io::Write,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use rustix::{
    fd::AsFd,
    process::{Pid, Signal, kill_process},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

const PREFIX: &str = "nearcast-lab-";

/// A network namespace of this process; gone when dropped, after whatever runs in it.
#[derive(Debug)]
pub struct Space {
    name: String,
}

impl Space {
    /// Makes one.
    ///
    /// # Errors
    /// When that takes rights this process doesn't have.
    pub fn add(name: &str) -> Result<Self> {
        let space = Self { name: format!("{PREFIX}{}-{name}", std::process::id()) };
        run(Command::new("ip").args(["netns", "add", &space.name]), "")?;
        space.ip(&["link set lo up".to_owned()])?;
        Ok(space)
    }

    /// Its name, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs lines of `ip` in it.
    ///
    /// # Errors
    /// With what `ip` says.
    pub fn ip(&self, lines: &[String]) -> Result<()> {
        let mut command = Command::new("ip");
        command.args(["-n", &self.name, "-batch", "-"]);
        run(&mut command, &lines.join("\n")).map(drop)
    }

    /// Runs one line of `tc` in it.
    ///
    /// # Errors
    /// With what `tc` says.
    pub fn tc(&self, line: &str) -> Result<()> {
        let mut command = Command::new("tc");
        command.args(["-n", &self.name]).args(line.split_whitespace());
        run(&mut command, "").map(drop)
    }

    /// Runs a script of `nft` in it.
    ///
    /// # Errors
    /// With what `nft` says.
    pub fn nft(&self, script: &str) -> Result<()> {
        run(self.command("nft").args(["-f", "-"]), script).map(drop)
    }

    /// Lets it carry packets that aren't its own.
    ///
    /// # Errors
    /// When the kernel doesn't.
    pub fn forward(&self) -> Result<()> {
        let mut command = self.command("sh");
        run(command.args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]), "").map(drop)
    }

    /// A command that will run in it; its process is the command's own.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs a command in it to its end, and gives what it prints.
    ///
    /// # Errors
    /// When it fails; with what it says.
    pub fn output(&self, program: impl AsRef<OsStr>, arguments: &[&str]) -> Result<String> {
        run(self.command(program).args(arguments), "")
    }

    /// What `ip` knows of its interfaces.
    ///
    /// # Errors
    /// With what `ip` says.
    pub fn interfaces(&self) -> Result<serde_json::Value> {
        let said = run(Command::new("ip").args(["-n", &self.name, "-j", "-s", "link", "show"]), "")?;
        serde_json::from_str(&said).context("ip prints no JSON here")
    }

    /// Does something on a thread that is in it.
    ///
    /// # Errors
    /// When the thread can't go there, or what `act` says.
    pub fn within<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let door = File::open(format!("/run/netns/{}", self.name))?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(door.as_fd(), Some(LinkNameSpaceType::Network))?;
                act()
            });
            thread.join().unwrap_or_else(|_| bail!("the thread in the namespace {} broke", self.name))
        })
    }

    /// All programs that run in it now.
    ///
    /// # Errors
    /// When the kernel doesn't tell.
    pub fn processes(&self) -> Result<Vec<Pid>> {
        let said = run(Command::new("ip").args(["netns", "pids", &self.name]), "")?;
        Ok(said.lines().filter_map(|line| Pid::from_raw(line.trim().parse().ok()?)).collect())
    }

    /// Takes away what runs that were killed have left behind.
    pub fn sweep() {
        let Ok(folder) = std::fs::read_dir("/run/netns") else { return };
        for entry in folder.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner =
                name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
            if owner.is_some_and(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()) {
                run(Command::new("ip").args(["netns", "del", &name]), "").ok();
            }
        }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        for pid in self.processes().unwrap_or_default() {
            kill_process(pid, Signal::KILL).ok();
        }
        run(Command::new("ip").args(["netns", "del", &self.name]), "").ok();
    }
}

/// Runs a tool to its end.
pub(super) fn run(command: &mut Command, input: &str) -> Result<String> {
    let shown = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("{shown} can't be started"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).with_context(|| format!("{shown} takes no input"))?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let input = if input.is_empty() { String::new() } else { format!("\nit was given:\n{input}") };
        bail!("{shown} failed: {}{input}", said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
