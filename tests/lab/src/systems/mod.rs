//! The systems that are measured side by side: ours, and its peers in the field.
//!
//! Each is told to run its own real programs on the topology's hosts. Nothing of the others is kept here;
//! they come from their own packages, and their versions are recorded with every figure.

mod http;
mod libtorrent;
pub mod nearcast;
mod rqbit;
mod torrent;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nearcast_protocol::Link;
use nearcast_scenario::{Harm, Kind, Line, Rate, Scenario};
use nearcast_tests::Program;
use serde::{Deserialize, Serialize};

use crate::net::{Host, Topology};

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// This project.
    Nearcast,
    /// A plain HTTP server with the line of all sources together.
    Http,
    /// libtorrent with piece deadlines, as its own documentation advises for streaming.
    LibtorrentDeadlines,
    /// libtorrent, in sequence from the playhead.
    LibtorrentSequential,
    /// rqbit and its own streaming address.
    Rqbit,
}

/// The film of a run, on this machine.
#[derive(Debug, Clone)]
pub struct FilmFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its link, without trackers.
    pub link: Link,
    /// How long it is, s.
    pub seconds: f64,
}

/// Where a system's programs run, and with what.
pub struct Stage<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// Its networks.
    pub topology: &'a Topology,
    /// Its film.
    pub film: &'a FilmFile,
    /// A folder for this run.
    pub folder: &'a Path,
    /// A folder that later runs find again: what was hashed once needn't be hashed again.
    pub kept: &'a Path,
    /// Where our viewers write every decision down, if that is wanted.
    pub traces: Option<&'a Path>,
}

impl Stage<'_> {
    /// A node's host.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn host(&self, node: usize) -> Result<&Host> {
        self.topology.hosts.get(node).context("no such node")
    }

    /// A folder of a node's own, there already.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn folder_of(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

/// Where a viewer sits: what runs before the click, and what is opened by it.
pub struct Seat {
    /// What runs beside the player.
    pub daemon: Option<Program>,
    /// What the player opens.
    pub target: String,
    /// What the measuring player is told besides.
    pub arguments: Vec<String>,
}

impl System {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Nearcast, Self::Http, Self::LibtorrentDeadlines, Self::LibtorrentSequential, Self::Rqbit];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nearcast => "nearcast",
            Self::Http => "http",
            Self::LibtorrentDeadlines => "libtorrent, deadlines",
            Self::LibtorrentSequential => "libtorrent, sequential",
            Self::Rqbit => "rqbit",
        }
    }

    /// Its version, or why it isn't here.
    ///
    /// # Errors
    /// What is missing, and how to get it.
    pub fn version(self) -> Result<String> {
        match self {
            Self::Nearcast => nearcast::version(),
            Self::Http => http::version(),
            Self::LibtorrentDeadlines | Self::LibtorrentSequential => libtorrent::version(),
            Self::Rqbit => rqbit::version(),
        }
    }

    /// Why it can't take part in a scenario, if so.
    pub fn unfit(self, scenario: &Scenario) -> Option<&'static str> {
        if self == Self::Nearcast {
            return None;
        }
        if scenario.nodes.iter().any(|node| node.nat.is_some()) {
            return Some("its own way through translators isn't set up here");
        }
        if scenario.nodes.iter().any(|node| node.kind == Kind::Liar) {
            return Some("a liar speaks only our protocol");
        }
        if scenario.faults.iter().any(|fault| fault.harm == Harm::RestartTracker) {
            return Some("the tracker restarted is ours");
        }
        (self == Self::Http && !scenario.faults.is_empty()).then_some("there are no neighbours to harm")
    }

    /// The origin this system has in place of the scenario's sources: its network and its line.
    pub fn origin(self, scenario: &Scenario) -> Option<(usize, Line)> {
        let source = |node: &&nearcast_scenario::Node| matches!(node.kind, Kind::Publisher | Kind::Holder);
        let first = scenario.nodes.iter().find(source).filter(|_| self == Self::Http)?;
        let supply = scenario.supply();
        let line = Line { up: supply, down: supply.map(|rate| Rate(rate.0.max(50_000_000))), ..first.line };
        Some((first.network, line))
    }

    /// Starts the tracker.
    ///
    /// # Errors
    /// When it doesn't come up.
    pub fn tracker(self, stage: &Stage<'_>) -> Result<Option<Program>> {
        match self {
            Self::Nearcast => nearcast::tracker(stage).map(Some),
            Self::Http => Ok(None),
            _ => torrent::tracker(stage).map(Some),
        }
    }

    /// Starts a node that gives the film from the beginning, and waits until it can.
    ///
    /// # Errors
    /// When it doesn't come up.
    pub fn source(self, stage: &Stage<'_>, node: usize) -> Result<Option<Program>> {
        match self {
            Self::Nearcast => nearcast::source(stage, node).map(Some),
            Self::Http => Ok(None),
            Self::LibtorrentDeadlines | Self::LibtorrentSequential => {
                libtorrent::source(stage, node).map(Some)
            }
            Self::Rqbit => rqbit::source(stage, node).map(Some),
        }
    }

    /// Starts what isn't a node of the scenario.
    ///
    /// # Errors
    /// When it doesn't come up.
    pub fn others(self, stage: &Stage<'_>) -> Result<Option<Program>> {
        if self == Self::Http { http::origin(stage).map(Some) } else { Ok(None) }
    }

    /// Prepares a viewer to the point where one click is left.
    ///
    /// # Errors
    /// When its program doesn't come up.
    pub fn seat(self, stage: &Stage<'_>, node: usize, measured: bool) -> Result<Seat> {
        match self {
            Self::Nearcast => nearcast::seat(stage, node, measured),
            Self::Http => http::seat(stage),
            Self::LibtorrentDeadlines => libtorrent::seat(stage, node, "deadlines"),
            Self::LibtorrentSequential => libtorrent::seat(stage, node, "sequential"),
            Self::Rqbit => rqbit::seat(stage, node),
        }
    }
}
