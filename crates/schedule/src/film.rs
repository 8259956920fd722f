//! What is fetched, how much of it, and the handles that name who takes part.

use nearcast_protocol::{Blocks, Geometry, Group};
use serde::{Deserialize, Serialize};

use crate::recorded;

/// The caller's handle for a connected peer. It may be used again after the peer has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Peer(pub u32);

/// The caller's handle for a reader: a player, or one HTTP range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reader(pub u32);

/// The schedule's number for a request, unique over the schedule's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RequestId(pub u32);

/// What a schedule is about, as known when it begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Film {
    /// The file as blocks; its size is a claim unless `size_proved`.
    #[serde(with = "recorded::geometry")]
    pub geometry: Geometry,
    /// The media's mean bit rate in bit/s, if known; else 8 Mbit/s are assumed.
    pub bit_rate: Option<u64>,
    /// Whether the last block, and with it the size, has been verified (DESIGN §5.2).
    pub size_proved: bool,
    /// What is held and verified already.
    #[serde(with = "recorded::blocks")]
    pub held: Blocks,
    /// The group of this node, [`Group::UNKNOWN`] until the tracker has said.
    #[serde(with = "recorded::group")]
    pub own_group: Group,
    /// The number that stands for this node, as [`Event::PeerJoined`](crate::Event::PeerJoined) has one for
    /// each peer.
    pub own_name: u64,
}

/// How much of the film is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Fetch {
    /// Everything, from the front; a reader, if there is one, comes first.
    Whole,
    /// Only the readers' windows: the film is kept in memory and forgotten behind the playhead.
    AroundPlayhead,
    /// The readers' windows first, then the rest.
    WholeInBackground,
}
