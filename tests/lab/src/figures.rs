//! What a run comes to.

use nearcast_scenario::Kind;
use serde::{Deserialize, Serialize};

use crate::systems::System;

/// Everything that is known of one run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// The scenario's name.
    pub scenario: String,
    /// Which system ran.
    pub system: System,
    /// Its version.
    pub version: String,
    /// The film's size in bytes.
    pub film_bytes: u64,
    /// How long the run took, s.
    pub seconds: f64,
    /// What the viewer who decodes saw.
    pub measured: Option<Measured>,
    /// What those who read at the film's rate got; the measured one isn't among them.
    pub readers: Vec<Reader>,
    /// The bytes on each border.
    pub borders: Vec<Border>,
    /// Each node's work.
    pub nodes: Vec<Work>,
    /// What made it a failure, if it was one.
    pub failure: Option<String>,
}

/// What the viewer who decodes saw. Times in ms.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measured {
    /// From the click to the first picture.
    pub first_picture_ms: Option<f64>,
    /// From the click to the second picture on the clock.
    pub runs_ms: Option<f64>,
    /// The same for each seek.
    pub seeks: Vec<Seek>,
    /// How often the picture stood.
    pub stalls: u32,
    /// For how long, in all.
    pub stalled_ms: f64,
    /// How long it ran.
    pub played_ms: f64,
    /// What went wrong, in a sentence.
    pub error: Option<String>,
}

/// One seek. Times in ms.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seek {
    /// To the first picture.
    pub picture_ms: Option<f64>,
    /// To the second picture on the clock.
    pub runs_ms: Option<f64>,
}

/// What one who reads at the film's rate got. Times in ms, by a model of a player: half a second of film is
/// put by before its clock runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reader {
    /// Who.
    pub name: String,
    /// Its network.
    pub network: String,
    /// From the click, starting its program included, until its clock ran.
    pub runs_ms: Option<f64>,
    /// How often its clock stood afterwards.
    pub stalls: u32,
    /// For how long.
    pub stalled_ms: f64,
    /// How many bytes it read.
    pub bytes: u64,
    /// Whether it read all it wanted.
    pub whole: bool,
}

/// The bytes on a border, headers and all.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Border {
    /// The network.
    pub network: String,
    /// Into it.
    pub into: u64,
    /// Out of it.
    pub out: u64,
    /// How much of `into` was the film, verified, as its nodes say; only ours tells.
    pub payload_into: Option<u64>,
    /// What came to its nodes over their lines, headers and all; of nodes behind translators nothing is known.
    #[serde(default)]
    pub lines_into: u64,
    /// What its nodes have reported to the tracker; only ours do.
    #[serde(default)]
    pub reported: Option<Reported>,
}

/// Film bytes that a network's nodes received, as they reported them to the tracker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// From their own network.
    pub own_group: u64,
    /// From other networks and publishers.
    pub elsewhere: u64,
}

impl Border {
    /// The share of what its nodes got that never crossed the border, by the tracker's figures.
    pub fn kept_by_reports(&self) -> Option<f64> {
        let Reported { own_group, elsewhere } = self.reported?;
        (own_group + elsewhere > 0).then(|| own_group as f64 / (own_group + elsewhere) as f64)
    }

    /// The same by the kernel's counters.
    pub fn kept_by_counters(&self) -> Option<f64> {
        (self.lines_into > 0).then(|| 1.0 - self.into as f64 / self.lines_into as f64)
    }
}

/// What one node did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Work {
    /// Who.
    pub name: String,
    /// What it is there for.
    pub kind: String,
    /// Its network.
    pub network: String,
    /// Seconds of processor time, all its programs together.
    pub cpu_s: f64,
    /// Its anonymous memory at the end, in bytes, all its programs together.
    pub memory: u64,
    /// Bytes it sent, headers and all; of a node behind a translator nothing is known.
    pub gave: u64,
    /// Film bytes it received, verified, by where they came from; only ours tells.
    pub received: Option<Received>,
}

/// Film bytes by where they came from.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Received {
    /// Terminals of the own network.
    pub own_group: u64,
    /// Terminals of others.
    pub other_groups: u64,
    /// Publishers.
    pub publisher: u64,
    /// All that came, with proofs and with what was thrown away.
    pub payload: u64,
}

impl Received {
    /// All that was of use.
    pub fn verified(&self) -> u64 {
        self.own_group + self.other_groups + self.publisher
    }
}

impl Run {
    /// How many times the film crossed into the network that had the most of it, by the counters, headers and
    /// all. Networks with a source are left out: nothing has to come into them.
    pub fn most_copies(&self) -> Option<f64> {
        let into = self.without_source().map(|border| border.into);
        Some(into.max()? as f64 / self.film_bytes as f64)
    }

    /// The borders of networks that have no source of their own.
    pub fn without_source(&self) -> impl Iterator<Item = &Border> {
        let sources = self.nodes.iter().filter(|node| node.kind == "publisher" || node.kind == "holder");
        let with: Vec<_> = sources.map(|node| node.network.as_str()).collect();
        self.borders.iter().filter(move |border| !with.contains(&border.network.as_str()))
    }

    /// How many times the film's size the sources sent, by the counters.
    pub fn source_copies(&self) -> f64 {
        let sources = self.nodes.iter().filter(|node| node.kind != "viewer" && node.kind != "liar");
        sources.map(|node| node.gave).sum::<u64>() as f64 / self.film_bytes as f64
    }

    /// The share of what was received that was thrown away, over all nodes that tell. Proofs are no waste:
    /// they are 0.7 % of what comes at most sizes of request.
    pub fn wasted(&self) -> Option<f64> {
        let (mut payload, mut verified) = (0, 0);
        for received in self.nodes.iter().filter_map(|node| node.received) {
            payload += received.payload;
            verified += received.verified();
        }
        (payload > 0).then(|| (payload.saturating_sub(verified)) as f64 / payload as f64)
    }

    /// Milliseconds of stall of all viewers, and how many viewers had one.
    pub fn stalls(&self) -> (f64, usize) {
        let measured = self.measured.iter().map(|measured| (measured.stalled_ms, measured.stalls));
        let all: Vec<_> =
            measured.chain(self.readers.iter().map(|reader| (reader.stalled_ms, reader.stalls))).collect();
        (all.iter().map(|(ms, _)| ms).sum(), all.iter().filter(|(_, stalls)| *stalls > 0).count())
    }
}

/// A node's kind in the figures.
pub fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Publisher => "publisher",
        Kind::Holder => "holder",
        Kind::Liar => "liar",
        Kind::Viewer => "viewer",
    }
}
