//! The app at work, with the network it plays from.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nearcast_tests::{Display, Film, Neighbour, PATIENCE, Tracker, Window, binary, film};
use serde_json::json;
use tempfile::TempDir;

/// One app at a time: decoders and WebKit on two cores would measure one another.
static SCREEN: Mutex<()> = Mutex::new(());

/// How often the system is asked about what tells nobody when it changes.
const GLANCE: Duration = Duration::from_millis(50);

/// A tracker, a neighbour who holds the film, and a viewer's machine.
pub struct Scene {
    pub display: Display,
    pub link: String,
    pub tracker: String,
    pub root: PathBuf,
    net: u8,
    _neighbour: Neighbour,
    _tracker: Tracker,
    _folder: TempDir,
    _screen: MutexGuard<'static, ()>,
}

impl Scene {
    /// Sets it up in `127.1.net.0/24`; each test has a net of its own.
    pub fn set(net: u8) -> Result<Self> {
        let screen = alone();
        let folder = tempfile::tempdir()?;
        let at = folder.path();
        let tracker = Tracker::start(&at.join("tracker"), "/ip4/127.0.0.1/tcp/0")?;
        let file = film(Film::Mp4)?;
        let neighbour = Neighbour::start(at, &format!("127.1.{net}.1"), &tracker.address, &file, None)?;
        Ok(Self {
            display: Display::start(1280, 800)?,
            link: neighbour.link.clone(),
            tracker: tracker.address.clone(),
            root: at.join("viewer"),
            net,
            _neighbour: neighbour,
            _tracker: tracker,
            _folder: folder,
            _screen: screen,
        })
    }

    /// Opens the app. A trusting one plays links of the scene's tracker without a question.
    pub fn open(&self, trusting: bool) -> Result<Window> {
        let trusted: &[&str] = if trusting { &[&self.tracker] } else { &[] };
        settle(&self.root, trusted, false)?;
        let listen = format!("/ip4/127.1.{}.100/tcp/0", self.net);
        let window =
            Window::open(&self.display, &self.root, &["--windowed", "1000x600", "--listen", &listen])?;
        window.until("home", "return document.querySelector('[data-testid=home]') !== null")?;
        Ok(window)
    }

    /// Starts the program once more, as the desktop does with a link, and waits until it has handed it on.
    pub fn start_again(&self, arguments: &[&str]) -> Result<()> {
        let mut second = self.display.command(app()?);
        let output = second.arg("--root").arg(&self.root).args(arguments).output()?;
        if !output.status.success() {
            bail!("the second start ended with {}", output.status);
        }
        Ok(())
    }

    /// Whether the app's window can be seen.
    pub fn is_shown(&self) -> bool {
        self.display.run("xdotool", &["search", "--onlyvisible", "--name", "^Nearcast$"]).is_ok()
    }

    /// Whether the app's process lives.
    pub fn lives(&self) -> bool {
        !processes(&self.root).is_empty()
    }
}

/// Waits for the other tests of the app, and keeps them waiting.
pub fn alone() -> MutexGuard<'static, ()> {
    SCREEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The app's program.
pub fn app() -> Result<PathBuf> {
    binary("nearcast-app").context("build it with `scripts/screen build && cargo build --workspace --bins`")
}

/// Writes the settings that the first start would have asked for.
pub fn settle(root: &Path, trusted: &[&str], neighbours: bool) -> Result<()> {
    let settings = json!({ "folder": root.join("films"), "trusted": trusted, "neighbours": neighbours });
    std::fs::create_dir_all(root.join("config"))?;
    Ok(std::fs::write(root.join("config/settings.json"), settings.to_string())?)
}

/// The processes of apps that keep their things in `root`.
pub fn processes(root: &Path) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let mut parts = line.split(|byte| *byte == 0);
        parts.next().is_some_and(|program| program.ends_with(b"nearcast-app"))
            && parts.any(|part| part == root.as_os_str().as_encoded_bytes())
    })
    .collect()
}

/// Waits until something is so that tells nobody when it becomes so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        if Instant::now() > end {
            bail!("{what} never came");
        }
        sleep(GLANCE);
    }
    Ok(())
}

/// A command that says what it printed when it fails.
pub fn must(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output()?;
    if !output.status.success() {
        bail!("{program} {arguments:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
