//! How far a transfer is, and where its bytes came from.

use std::time::Duration;

use nearcast_protocol::{Blocks, Group, Multiaddr, pieces::Reason, tracker::Received};
use nearcast_schedule::Wait;
use url::Url;

/// The state of a transfer at one moment.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// The size in bytes; a claim of the link until `size_proved`.
    pub size: u64,
    /// Whether the last block has proved the size.
    pub size_proved: bool,
    /// Verified bytes held.
    pub held_bytes: u64,
    /// Which blocks are held.
    pub held: Blocks,
    /// Payload bytes received since the transfer was opened, by where they came from.
    pub received: Received,
    /// Verified bytes from the link's web sources, which are in none of `received`.
    pub web: u64,
    /// The web sources, as soon as they may be asked.
    pub sources: Vec<WebSource>,
    /// Payload bytes as they came since the transfer was opened: with their proofs, and with what was thrown
    /// away because it was late, wrong or asked for twice.
    pub payload: u64,
    /// Payload bytes uploaded since the transfer was opened.
    pub uploaded: u64,
    /// What arrives now, in bytes/s.
    pub rate: u64,
    /// Connected peers.
    pub peers: Peers,
    /// The own network group, as the tracker sees it.
    pub group: Group,
    /// Why a reader waits, if one does.
    pub waiting: Option<Wait>,
    /// What keeps the transfer from moving, if anything does: it goes on trying all the same.
    pub trouble: Option<Trouble>,
    /// Why it has ended for good, if it has.
    pub stopped: Option<Stopped>,
}

impl Progress {
    /// Whether every byte is held.
    pub fn complete(&self) -> bool {
        self.size_proved && self.held_bytes == self.size
    }
}

/// One of the link's web sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSource {
    /// Its address.
    pub url: Url,
    /// Why it is asked no more for this film, if so.
    pub dropped: Option<String>,
}

/// How many peers are connected for a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Peers {
    /// Terminals of the own group.
    pub own_group: usize,
    /// Terminals of other groups.
    pub other_groups: usize,
    /// Publishers.
    pub publishers: usize,
}

impl Peers {
    /// All of them.
    pub fn all(self) -> usize {
        self.own_group + self.other_groups + self.publishers
    }
}

/// What keeps a transfer from moving. It goes on trying.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// No tracker is named by the link or the settings.
    #[error("the link names no tracker and none is set; add one with --tracker ADDRESS")]
    NoTracker,
    /// A tracker doesn't answer, or not sensibly.
    #[error("the tracker {tracker} is of no help: {reason}; asking again in {} s", again.as_secs().max(1))]
    Tracker {
        /// Its address.
        tracker: Multiaddr,
        /// What it did.
        reason: String,
        /// When it is asked again.
        again: Duration,
    },
    /// The film is protected, and the link's token is missing or isn't good.
    #[error("{reason}")]
    Denied {
        /// The code.
        why: Reason,
        /// In words.
        reason: String,
    },
    /// The tracker knows nobody.
    #[error("nobody who is online holds this now; waiting for somebody who does")]
    NobodyHolds,
    /// None of the listed peers can be reached.
    #[error("{listed} peers hold this, but none can be reached: {reason}")]
    NobodyReached {
        /// How many the tracker listed.
        listed: usize,
        /// What happened with the last one tried.
        reason: String,
    },
    /// Everyone who was asked refuses for now.
    #[error("all peers are busy; asking again soon")]
    Busy,
}

impl Trouble {
    /// Whether only another link can help.
    pub fn needs_another_link(&self) -> bool {
        matches!(self, Self::Denied { why, .. } if *why != Reason::TokenEarly)
    }
}

/// Why a transfer has ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// The link's size isn't that of the resource.
    #[error(
        "the link says {claimed} bytes, but {peers} of the peers that hold this file say {held}; \
         the link is wrong, ask for a new one"
    )]
    WrongSize {
        /// The link's claim.
        claimed: u64,
        /// What the peers say.
        held: u64,
        /// How many say so.
        peers: usize,
    },
    /// The last block doesn't verify under the link's size, whoever sends it.
    #[error(
        "the link's size of {claimed} bytes can't be proved with what {peers} peers sent; \
         the link is wrong or they are, ask for a new one"
    )]
    SizeUnproved {
        /// The link's claim.
        claimed: u64,
        /// How many peers tried.
        peers: usize,
    },
    /// The store can't take more.
    #[error("{0}; what was fetched is kept, free some space and start again")]
    Store(String),
    /// The controller was stopped.
    #[error("the transfer was closed")]
    Closed,
}
