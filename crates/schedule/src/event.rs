//! What happened.

use std::{ops::Range, time::Duration};

use nearcast_protocol::{Blocks, Group, Role};
use serde::{Deserialize, Serialize};

use crate::{
    film::{Peer, Reader, RequestId},
    recorded,
};

/// What a [`Schedule`](crate::Schedule) is told. What is said of a peer, a reader or a request that the
/// schedule doesn't know (any more) is harmless: cancelled requests are often answered all the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A peer can be asked from now on. Told again, it changes what is known of the peer.
    PeerJoined {
        /// Who.
        peer: Peer,
        /// Its network group.
        #[serde(with = "recorded::group")]
        group: Group,
        /// What it is there for.
        #[serde(with = "recorded::RoleName")]
        role: Role,
        /// Whether it is on the same local network or behind the same public address, and so a neighbour
        /// whatever the group table says.
        local: bool,
        /// A number that stands for it, the same on every node: members of a group take turns by it.
        name: u64,
    },
    /// A web source can be asked from now on: it has all of the film, and is asked for what no peer has in
    /// time. From now on it is a peer like the others, and told of like them.
    SourceJoined {
        /// Which.
        peer: Peer,
    },
    /// The peer has these blocks too.
    PeerHas {
        /// Who.
        peer: Peer,
        /// What it has.
        #[serde(with = "recorded::blocks")]
        blocks: Blocks,
    },
    /// The peer has these blocks no more.
    PeerLost {
        /// Who.
        peer: Peer,
        /// What it lost.
        #[serde(with = "recorded::blocks")]
        blocks: Blocks,
    },
    /// The peer says that it fetches these blocks into the group, and will have them to give.
    PeerImports {
        /// Who.
        peer: Peer,
        /// What.
        blocks: Range<u64>,
    },
    /// The peer is gone; its requests are void.
    PeerLeft {
        /// Who.
        peer: Peer,
    },
    /// More payload of an answer has arrived, not verified yet: the measure of rate and liveness.
    Progress {
        /// From whom.
        peer: Peer,
        /// Of which request.
        request: RequestId,
        /// How many bytes since the last such event.
        bytes: u64,
    },
    /// The request is answered in full, and `blocks` are verified and held.
    Verified {
        /// From whom.
        peer: Peer,
        /// Which request.
        request: RequestId,
        /// What was verified.
        #[serde(with = "recorded::blocks")]
        blocks: Blocks,
    },
    /// The request won't be answered (any further).
    Failed {
        /// By whom.
        peer: Peer,
        /// Which request.
        request: RequestId,
        /// What of it is verified and held all the same.
        #[serde(with = "recorded::blocks")]
        verified: Blocks,
        /// Why.
        failure: Failure,
    },
    /// These blocks are verified and held: from elsewhere, or the first part of an answer still under way,
    /// or what a cancelled request had brought.
    Held(#[serde(with = "recorded::blocks")] Blocks),
    /// These blocks are held no more.
    Lost(#[serde(with = "recorded::blocks")] Blocks),
    /// The last block was verified: the film is as long as it claims.
    SizeProved,
    /// A reader has come.
    ReaderOpened {
        /// Which.
        reader: Reader,
    },
    /// A reader reads. Told at every read, and again with `waiting` if the read has to block.
    Reading {
        /// Which.
        reader: Reader,
        /// What it asked for.
        bytes: Range<u64>,
        /// Whether it waits for a part of these bytes now.
        waiting: bool,
    },
    /// A reader has gone.
    ReaderClosed {
        /// Which.
        reader: Reader,
    },
    /// A reader plays at another rate.
    Playback {
        /// Which.
        reader: Reader,
        /// 1.0 as filmed, 0.0 paused.
        rate: f64,
    },
    /// The media's mean bit rate in bit/s, from the player or the container.
    BitRate(u64),
    /// This node's own group is now known to be this one.
    Group(#[serde(with = "recorded::group")] Group),
    /// No more than so many bytes of the film may be held from now on, on their way included; 16 MiB at least.
    Room(Option<u64>),
    /// The user has paused (or resumed) fetching.
    Pause(bool),
}

/// Why a request was not answered in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// The peer won't serve, now or (without a time) ever.
    Refused {
        /// When asking again makes sense, from now.
        retry_after: Option<Duration>,
    },
    /// The peer doesn't have the blocks, whatever it said.
    NotHeld,
    /// The bytes were wrong; the caller bans the peer, and [`Event::PeerLeft`] follows, unless the size is
    /// unproved and the link itself may be to blame.
    Wrong,
    /// The answer broke off.
    Incomplete,
}
