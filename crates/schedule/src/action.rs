//! What to do, and why.

use std::{ops::Range, time::Duration};

use nearcast_protocol::{Blocks, pieces::Class};
use serde::{Deserialize, Serialize};

use crate::{
    film::{Peer, RequestId},
    recorded,
};

/// What the caller is to do now. Times are from the schedule's start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Ask a peer for a run of blocks, at most
    /// [`MAX_REQUEST_BLOCKS`](nearcast_protocol::pieces::MAX_REQUEST_BLOCKS).
    Request {
        /// Whom.
        peer: Peer,
        /// The request's number, never used before.
        request: RequestId,
        /// What.
        blocks: Range<u64>,
        /// How badly it is wanted.
        #[serde(with = "recorded::ClassName")]
        class: Class,
        /// When it is wanted; may have passed.
        #[serde(with = "recorded::micros")]
        deadline: Duration,
    },
    /// The answer to this request is no longer wanted from this peer. Whatever of it is already verified may
    /// still be told as [`Event::Held`](crate::Event::Held).
    Cancel {
        /// Of whom.
        peer: Peer,
        /// Which.
        request: RequestId,
    },
    /// Tell the terminals of the own group that these blocks are being fetched into it. It is told again
    /// while that goes on; what isn't told again within [`LEASE`](crate::LEASE) no longer counts.
    Import {
        /// What.
        blocks: Range<u64>,
    },
    /// Give these blocks up: there is no room for them any more. They count as not held from now on.
    Forget {
        /// What.
        #[serde(with = "recorded::blocks")]
        blocks: Blocks,
    },
    /// Poll again at this time even if nothing happens. It replaces a later one.
    WakeAt(#[serde(with = "recorded::micros")] Duration),
}

/// Why an action was decided, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Because {
    /// The last block proves the size, and until then nothing counts.
    SizeUnproved,
    /// A reader waits for it.
    ReaderWaits,
    /// It lies ahead of a reader's cursor, or at the head of a film about to be opened.
    Ahead,
    /// It lies at the tail, where containers keep their index.
    Tail,
    /// It is part of the rest of the film.
    Rest,
    /// No reader wants it soon, and one that waits needs the line.
    NoLongerWanted,
    /// The peer has gone silent.
    PeerSilent,
    /// Another peer will deliver it sooner, and it is late.
    Overtaken,
    /// The peer answers others but never this one.
    Starved,
    /// It came from elsewhere.
    HeldAlready,
    /// The user paused fetching.
    Paused,
    /// It is fetched from outside, and the own group's others needn't.
    ForTheGroup,
    /// It goes, since the room is full.
    NoRoom,
    /// Something may have to be done then.
    Watchdog,
}
