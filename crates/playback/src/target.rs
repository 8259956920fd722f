//! What the program's TARGET may be: a file on this machine, or whatever the transfer controller opens.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use clap::Args;
use nearcast_network::Signals;
use nearcast_playback::{Fetched, FileMedia, Media};
use nearcast_protocol::{Multiaddr, Opening};
use nearcast_transfer::{
    Controller, Fetch, Keep, Reader, Resolved, Settings, Transfer, local::Source, plain::PlainFile,
    resolve::Resolver,
};
use serde::Serialize;
use tokio::runtime::Runtime;

/// How films that aren't files are fetched.
#[derive(Debug, Args)]
pub struct Fetching {
    /// Where what is fetched is kept [default: a folder that is deleted at the end]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Keep nothing on disk
    #[arg(long)]
    memory: bool,
    /// Where to listen for peers, such as /ip4/0.0.0.0/tcp/4400; can be given again
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<Multiaddr>,
    /// A tracker besides those a link names; can be given again
    #[arg(long, value_name = "ADDRESS")]
    tracker: Vec<Multiaddr>,
    /// Don't look for neighbours on the local network
    #[arg(long)]
    no_neighbours: bool,
    /// Don't ask the router to lead strangers here (UPnP)
    #[arg(long)]
    no_port_mapping: bool,
    /// Write every decision of the schedule to this file, a JSON value a line
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

/// Something that can be opened, with all that must run before it is.
pub enum Target {
    File(PathBuf),
    Fetched(Box<Node>),
}

/// A node that is up before the film is opened, as it is when a viewer clicks.
pub struct Node {
    opening: Opening,
    controller: Controller,
    keep: Keep,
    transfer: Option<Transfer>,
    runtime: Runtime,
    _temporary: Option<tempfile::TempDir>,
}

/// Where the bytes came from.
#[derive(Debug, Serialize)]
pub struct Origin {
    bytes: Source,
    /// Bytes as they came, with their proofs and with what was thrown away.
    payload: u64,
    /// Bytes given to others.
    uploaded: u64,
    /// Whether every byte that was played was verified.
    verified: bool,
}

impl Target {
    /// Prepares what must run before `target` can be opened.
    ///
    /// # Errors
    /// One sentence that says what can't be opened, and why.
    pub fn new(target: &str, fetching: Fetching) -> anyhow::Result<Self> {
        let path = Path::new(target);
        if path.exists() || !target.contains(':') {
            return Ok(Self::File(path.to_owned()));
        }
        let opening = target.parse()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let temporary = fetching.folder.is_none().then(tempfile::tempdir).transpose()?;
        let folder = fetching.folder.or_else(|| Some(temporary.as_ref()?.path().to_owned()));
        let mut settings = Settings::new(folder.context("there is no folder to fetch into")?);
        settings.listen = fetching.listen;
        settings.trackers = fetching.tracker;
        settings.neighbours = !fetching.no_neighbours;
        settings.map_ports = !fetching.no_port_mapping;
        settings.trace = fetching.trace;
        let controller = runtime.block_on(Controller::start(settings))?;
        let keep = if fetching.memory { Keep::Memory } else { Keep::Disk };
        let node = Node { opening, controller, keep, transfer: None, runtime, _temporary: temporary };
        Ok(Self::Fetched(Box::new(node)))
    }

    /// Opens it: the click.
    ///
    /// # Errors
    /// One sentence that says what can't be opened, and why.
    pub fn open(&mut self) -> anyhow::Result<Arc<dyn Media>> {
        match self {
            Self::File(path) => {
                let media =
                    FileMedia::open(path).with_context(|| format!("{} can't be opened", path.display()))?;
                Ok(Arc::new(media))
            }
            Self::Fetched(node) => node.open(),
        }
    }

    /// Where the bytes came from, unless they lay here.
    pub fn origin(&self) -> Option<Origin> {
        let Self::Fetched(node) = self else { return None };
        let progress = node.transfer.as_ref()?.progress();
        Some(Origin {
            bytes: progress.received.into(),
            payload: progress.payload,
            uploaded: progress.uploaded,
            verified: progress.size_proved,
        })
    }

    /// Goes on sharing what was fetched until the program is asked to end.
    ///
    /// # Errors
    /// When the system doesn't tell of signals.
    pub fn share_on(&self) -> anyhow::Result<()> {
        let Self::Fetched(node) = self else { return Ok(()) };
        node.runtime.block_on(async {
            Signals::listen().context("signals can't be listened for")?.stop().await;
            Ok(())
        })
    }

    /// Ends what runs.
    pub fn close(self) {
        if let Self::Fetched(node) = self {
            node.runtime.block_on(node.controller.stop());
        }
    }
}

impl Node {
    fn open(&mut self) -> anyhow::Result<Arc<dyn Media>> {
        let (controller, keep) = (&self.controller, self.keep);
        let trackers = &controller.settings().trackers;
        let opened: anyhow::Result<_> = self.runtime.block_on(async {
            match Resolver::new(controller.network(), trackers)?.resolve(&self.opening).await? {
                Resolved::Link(link) => {
                    let fetch = match keep {
                        Keep::Disk => Fetch::WholeInBackground,
                        Keep::Memory => Fetch::AroundPlayhead,
                    };
                    let transfer = controller.open(&link, keep, fetch).await?;
                    Ok((transfer.reader(), Some(transfer)))
                }
                Resolved::Plain(url) => {
                    let file = PlainFile::open(url).await?;
                    let file = match keep {
                        Keep::Disk => file.kept_in(controller.folder()),
                        Keep::Memory => file,
                    };
                    Ok((Reader::plain(Arc::new(file)), None))
                }
            }
        });
        let (reader, transfer) = opened?;
        self.transfer = transfer;
        Ok(Arc::new(Fetched::new(reader)))
    }
}
