//! Starting and stopping this program's node.

use std::{
    fs,
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use nearcast_network::Signals;
use nearcast_protocol::{Multiaddr, Opening};
use nearcast_transfer::{
    Controller, PrivateSources, Resolved, Settings, local::Local, plain::PlainFile, resolve::Resolver,
};
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use crate::cli::Options;

/// Starts the node and acts on it until that is done or the user wants an end, and stops it in good order;
/// whoever is in a hurry says so twice. `None` if it was the user who ended it.
pub async fn with_node<T>(
    options: &Options,
    signals: &mut Signals,
    act: impl AsyncFnOnce(&mut Node) -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    let mut node = tokio::select! {
        node = Node::start(options) => node?,
        () = signals.stop() => return Ok(None),
    };
    let outcome = tokio::select! {
        outcome = act(&mut node) => outcome.map(Some),
        () = signals.stop() => Ok(None),
    };
    tokio::select! {
        () = node.stop() => {}
        () = signals.stop() => eprintln!("ended at once; what is held will be checked at the next start"),
    }
    outcome
}

/// Names the program that runs on a folder, for `nearcast status`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Running {
    /// Its process.
    pub pid: u32,
    /// The address of its reports, token included.
    pub base: String,
}

/// The node of one run of this program.
pub struct Node {
    pub controller: Controller,
    options: Options,
    local: Option<Local>,
}

pub fn start_log(verbose: u8) {
    let default = match verbose {
        // The table warns that it knows nobody, which is how everyone begins.
        0 => "warn,libp2p_kad=error",
        1 => "info,nearcast_transfer=debug",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}

/// Where things are kept unless the user says otherwise.
pub fn folder(options: &Options) -> anyhow::Result<PathBuf> {
    if let Some(folder) = &options.folder {
        return Ok(folder.clone());
    }
    let folders = directories::ProjectDirs::from("", "", "nearcast")
        .context("no home folder is known; name a folder with --folder")?;
    Ok(folders.data_dir().to_owned())
}

fn running_file(folder: &Path) -> PathBuf {
    folder.join("running.json")
}

/// What runs on the folder, as far as it says.
pub fn running(folder: &Path) -> Option<Running> {
    serde_json::from_slice(&fs::read(running_file(folder)).ok()?).ok()
}

impl Node {
    pub async fn start(options: &Options) -> anyhow::Result<Self> {
        let mut settings = Settings::new(folder(options)?);
        settings.listen = options.listen.clone();
        settings.trackers = options.tracker.clone();
        settings.upload = options.upload.map(|rate| rate.bytes);
        settings.download = options.download.map(|rate| rate.bytes);
        settings.neighbours = options.neighbours.unwrap_or(true) && !options.no_neighbours;
        settings.map_ports = options.port_mapping.unwrap_or(true) && !options.no_port_mapping;
        settings.give_way = options.give_way.unwrap_or(true) && !options.whole_line;
        settings.trace = options.trace.clone();
        if options.private_sources {
            settings.private_sources = PrivateSources::Any;
        }
        let controller = Controller::start(settings).await?;
        Ok(Self { controller, options: options.clone(), local: None })
    }

    /// What an opening stands for.
    pub async fn resolve(&self, opening: &Opening) -> anyhow::Result<Resolved> {
        let trackers: &[Multiaddr] = &self.options.tracker;
        Ok(Resolver::new(self.controller.network(), trackers)?.resolve(opening).await?)
    }

    /// Opens the local address, and lets `nearcast status` find it.
    pub async fn local(&mut self, plain: Option<Arc<PlainFile>>) -> anyhow::Result<&Local> {
        let port = self.options.port.unwrap_or(0);
        let local = Local::start(self.controller.clone(), port, plain).await?;
        let running = Running { pid: std::process::id(), base: local.base() };
        // The token is in it: for the user's eyes only. A status that can't be had is no reason to stop.
        if let Err(error) = write_private(&running_file(self.controller.folder()), &running) {
            tracing::warn!(%error, "nearcast status won't find this program");
        }
        Ok(self.local.insert(local))
    }

    /// Stops in good order.
    pub async fn stop(self) {
        if let Some(local) = self.local {
            fs::remove_file(running_file(self.controller.folder())).ok();
            local.stop().await;
        }
        self.controller.stop().await;
    }
}

fn write_private(path: &Path, running: &Running) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)?.write_all(&serde_json::to_vec(running)?)
}
