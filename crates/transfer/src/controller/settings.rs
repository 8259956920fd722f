//! How a controller is set up.

use std::path::PathBuf;

use nearcast_protocol::{Multiaddr, Role};

use crate::{access::Protect, load::LoadRules, web::PrivateSources};

/// How a controller is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the identity and the library are kept.
    pub folder: PathBuf,
    /// Where to listen; empty for any free port on all addresses.
    pub listen: Vec<Multiaddr>,
    /// Trackers that are asked besides those a link names.
    pub trackers: Vec<Multiaddr>,
    /// The upload limit in bytes/s.
    pub upload: Option<u64>,
    /// Whether uploads give way to whatever else is on the line.
    pub give_way: bool,
    /// The download limit in bytes/s.
    pub download: Option<u64>,
    /// Whether neighbours on the local network are looked for (mDNS).
    pub neighbours: bool,
    /// Whether the router is asked to lead strangers here (UPnP).
    pub map_ports: bool,
    /// What this node is there for.
    pub role: Role,
    /// How many streams are served at once for each resource (R7 a).
    pub streams: usize,
    /// How many streams are served at once of all resources together.
    pub streams_in_all: Option<usize>,
    /// What a publisher's load is kept to besides `streams` (R7); a terminal has no need of it.
    pub load: LoadRules,
    /// Upload no faster than this for any one resource, in bytes/s.
    pub upload_each: Option<u64>,
    /// Whether only what [`Controller::offer`] was called for since the start is offered and served, rather
    /// than all that the library holds. What a publisher was told to hold back stays back after a restart.
    pub only_offered: bool,
    /// The program and its version, as the tracker is told.
    pub version: String,
    /// Where the schedule of what is fetched writes its event log.
    pub trace: Option<PathBuf>,
    /// How much of a resource that is kept in memory is held at once, in bytes.
    pub memory: u64,
    /// Which of a link's web sources may lie on this machine or in a private network.
    pub private_sources: PrivateSources,
    /// Which of the files that are shared are for bearers of this node's tokens only.
    pub protect: Option<Protect>,
}

impl Settings {
    /// A terminal's settings, with what it keeps in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            listen: Vec::new(),
            trackers: Vec::new(),
            upload: None,
            give_way: true,
            download: None,
            neighbours: true,
            map_ports: true,
            role: Role::Terminal,
            streams: 50,
            streams_in_all: None,
            load: LoadRules::default(),
            upload_each: None,
            only_offered: false,
            version: concat!("nearcast/", env!("CARGO_PKG_VERSION")).into(),
            trace: None,
            memory: 24 << 20,
            private_sources: PrivateSources::Never,
            protect: None,
        }
    }
}
