//! A screen without a monitor: an X server, a window manager and a session bus of its own.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::Program;

/// A screen of its own, with a home of its own; dropping it ends all of it.
pub struct Display {
    environment: Vec<(String, String)>,
    _manager: Program,
    _bus: Program,
    _server: Program,
    _home: TempDir,
}

impl Display {
    /// Starts one of this many pixels.
    ///
    /// # Errors
    /// When a part isn't installed or doesn't start.
    pub fn start(width: u32, height: u32) -> Result<Self> {
        let home = tempfile::tempdir()?;
        let at = |name: &str| home.path().join(name).to_string_lossy().into_owned();
        let mut environment: Vec<(String, String)> = vec![
            ("HOME".into(), at("")),
            ("XDG_CONFIG_HOME".into(), at("config")),
            ("XDG_DATA_HOME".into(), at("data")),
            ("XDG_CACHE_HOME".into(), at("cache")),
            ("XDG_RUNTIME_DIR".into(), at("run")),
            ("LANG".into(), "C.UTF-8".into()),
            ("GDK_BACKEND".into(), "x11".into()),
            // The real one of whoever runs this must not be touched.
            ("WAYLAND_DISPLAY".into(), String::new()),
        ];
        std::fs::create_dir(home.path().join("run"))?;
        let mut server = Command::new("Xvfb");
        server.args(["-displayfd", "1", "-nolisten", "tcp", "-screen", "0", &format!("{width}x{height}x24")]);
        let mut server = Program::spawn("Xvfb", server)?;
        let number = server.wait_for("its number", |line| line.trim().parse::<u32>().ok())?;
        environment.push(("DISPLAY".into(), format!(":{number}")));

        let mut bus = Command::new("dbus-daemon");
        bus.args(["--session", "--nofork", "--print-address=1"]).envs(environment.clone());
        let mut bus = Program::spawn("dbus-daemon", bus)?;
        let address =
            bus.wait_for("its address", |line| line.starts_with("unix:").then(|| line.to_owned()))?;
        environment.push(("DBUS_SESSION_BUS_ADDRESS".into(), address));

        let mut manager = Command::new("openbox");
        manager.args(["--startup", "echo managing"]).envs(environment.clone());
        let mut manager = Program::spawn("openbox", manager)?;
        manager.wait_for("that it manages windows", |line| (line.trim() == "managing").then_some(()))?;
        Ok(Self { environment, _manager: manager, _bus: bus, _server: server, _home: home })
    }

    /// What a program needs in its environment to run there.
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// A command that runs there.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.envs(self.environment.iter().cloned());
        command
    }

    /// Runs a tool there to its end, and gives what it prints.
    ///
    /// # Errors
    /// When it fails.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output = self.command(program).args(arguments).output();
        let output = output
            .with_context(|| format!("{program} can't be started; scripts/install-packages installs it"))?;
        if !output.status.success() {
            bail!("{program} {arguments:?} failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Moves the pointer, as a hand would.
    ///
    /// # Errors
    /// As [`Display::run`].
    pub fn point(&self, x: u32, y: u32) -> Result<()> {
        self.run("xdotool", &["mousemove", &x.to_string(), &y.to_string()]).map(drop)
    }

    /// Saves a picture of the whole screen, films included, as a PNG.
    ///
    /// # Errors
    /// As [`Display::run`].
    pub fn shoot(&self, path: &Path) -> Result<()> {
        let path = path.to_string_lossy();
        self.run("import", &["-window", "root", &format!("png:{path}")]).map(drop)
    }
}
