//! The frames of `/nearcast/pieces/1`: one long-lived stream per peer and resource, many requests in flight.
//!
//! On the wire a frame is a length (4 bytes, big-endian, of what follows), a kind (1 byte) and a body. The
//! opener says [`Frame::Hello`] first; the other side answers with its own hello and what it has, or with
//! a [`Frame::Refuse`] and closes. Both may then request. A [`Frame::Data`] body is raw, so that the bulk
//! is never copied through an encoder; its payloads, put together in order, are the Bao encoding (parents
//! and leaves in pre-order, no size prefix, 16 KiB chunk groups) of the requested blocks.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use minicbor::{Decode, Encode};

use crate::{
    Blocks, PeerAddress, ResourceId, Role, Token,
    wire::{self, MAX_FRAME, WireError},
};

/// The libp2p name of the protocol.
pub const PROTOCOL: &str = "/nearcast/pieces/1";
/// The version in [`Hello`].
pub const VERSION: u16 = 1;
/// The most blocks of one request: 1 MiB.
pub const MAX_REQUEST_BLOCKS: u64 = 64;
/// The most requests a peer keeps open on a stream.
pub const MAX_REQUESTS_IN_FLIGHT: usize = 128;
/// The most payload bytes in a [`Frame::Data`]: small enough that a cancel takes effect soon.
pub const MAX_FRAGMENT: usize = 32 * 1024;
/// The most runs in one frame; a more scattered set goes in several.
pub const MAX_RUNS: usize = 2048;
/// The most peers a refusal hints at.
pub const MAX_HINTS: usize = 16;

const HEADER: usize = 4;
const DATA: u8 = 3;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Which resource this stream is about, and who speaks.
    Hello(Hello),
    /// These blocks can be requested of me from now on.
    Have(Blocks),
    /// Send me these blocks.
    Request(PieceRequest),
    /// A part of an answer.
    Data(Data),
    /// The answer to this request is no longer wanted.
    Cancel(u32),
    /// I won't.
    Refuse(Refuse),
    /// I am fetching these blocks into our group; wait for me if you can (DESIGN §5.5).
    Importing(Importing),
    /// These blocks can't be requested of me any more.
    Gone(Blocks),
}

/// The first frame in each direction.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// [`VERSION`] of the speaker; the lower of the two is spoken.
    #[n(0)]
    pub version: u16,
    /// What the stream is about.
    #[n(1)]
    pub resource: ResourceId,
    /// The size in bytes as the speaker knows it: a claim, unless the speaker's blocks prove it.
    #[n(2)]
    pub size: u64,
    /// What a protected resource asks for.
    #[n(3)]
    pub token: Option<Token>,
    /// What the speaker is there for.
    #[n(4)]
    pub role: Role,
}

/// How badly a request is wanted, the most urgent first (DESIGN §5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Class {
    /// The picture waits or soon will.
    #[n(0)]
    Urgent,
    /// Within half a minute of the playhead.
    #[n(1)]
    Ready,
    /// Within two minutes.
    #[n(2)]
    Prefetch,
    /// The rest.
    #[n(3)]
    Background,
}

/// A request for a run of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct PieceRequest {
    /// The asker's number for it, not in use on this stream.
    #[n(0)]
    pub id: u32,
    /// The first block.
    #[n(1)]
    pub first: u64,
    /// How many blocks, 1 to [`MAX_REQUEST_BLOCKS`].
    #[n(2)]
    pub count: u64,
    /// How badly it is wanted.
    #[n(3)]
    pub class: Class,
    /// When it is wanted, in ms from now.
    #[n(4)]
    pub deadline_ms: u32,
}

impl PieceRequest {
    /// The run of blocks, or `None` if the request is outside of what may be asked.
    pub fn blocks(&self) -> Option<std::ops::Range<u64>> {
        let end = self.first.checked_add(self.count)?;
        (1..=MAX_REQUEST_BLOCKS).contains(&self.count).then_some(self.first..end)
    }
}

/// A part of the answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// The request's number.
    pub id: u32,
    /// Whether this is the last part.
    pub last: bool,
    /// At most [`MAX_FRAGMENT`] bytes of the encoding.
    pub payload: Bytes,
}

/// A refusal, of one request or of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Refuse {
    /// The request's number; none if the stream as a whole is refused.
    #[n(0)]
    pub id: Option<u32>,
    /// Why.
    #[n(1)]
    pub reason: Reason,
    /// When asking again makes sense, in ms; 0 if never.
    #[n(2)]
    pub retry_after_ms: u32,
    /// Others who may have it; to be checked with the tracker before they are dialled.
    #[n(3)]
    #[cbor(encode_with = "wire::list::encode::<MAX_HINTS, _, _, _>")]
    #[cbor(decode_with = "wire::list::decode::<MAX_HINTS, _, _>")]
    pub peers: Vec<PeerAddress>,
}

/// Why a request or a stream is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Reason {
    /// The resource or the blocks aren't here.
    #[n(0)]
    NotHeld,
    /// As many streams or requests as this node serves are open (R7 a).
    #[n(1)]
    Busy,
    /// Enough others have it (R7 b).
    #[n(2)]
    EnoughHolders,
    /// The token is missing or wrong.
    #[n(3)]
    NotAllowed,
    /// The request makes no sense.
    #[n(4)]
    Invalid,
    /// Sharing is paused, or the node is leaving.
    #[n(5)]
    Paused,
}

/// A claim to fetch blocks for the group.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Importing {
    /// The first block.
    #[n(0)]
    pub first: u64,
    /// How many blocks.
    #[n(1)]
    pub count: u64,
    /// How long the claim holds, in ms.
    #[n(2)]
    pub lease_ms: u32,
}

#[derive(Encode, Decode)]
struct Runs(
    #[n(0)]
    #[cbor(encode_with = "wire::list::encode::<MAX_RUNS, _, _, _>")]
    #[cbor(decode_with = "wire::list::decode::<MAX_RUNS, _, _>")]
    Vec<Run>,
);

#[derive(Encode, Decode)]
#[cbor(array)]
struct Run {
    #[n(0)]
    first: u64,
    #[n(1)]
    count: u64,
}

impl Runs {
    fn of(blocks: &Blocks) -> Self {
        Self(blocks.runs().map(|run| Run { first: run.start, count: run.end - run.start }).collect())
    }

    fn blocks(self) -> Blocks {
        self.0.into_iter().map(|run| run.first..run.first.saturating_add(run.count)).collect()
    }
}

impl Frame {
    /// [`Frame::Have`] in as many frames as the limit on runs asks for.
    pub fn have(blocks: &Blocks) -> Vec<Self> {
        let runs: Vec<_> = blocks.runs().collect();
        runs.chunks(MAX_RUNS).map(|chunk| Self::Have(chunk.iter().cloned().collect())).collect()
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => 0,
            Self::Have(_) => 1,
            Self::Request(_) => 2,
            Self::Data(_) => DATA,
            Self::Cancel(_) => 4,
            Self::Refuse(_) => 5,
            Self::Importing(_) => 6,
            Self::Gone(_) => 7,
        }
    }

    /// Appends the frame to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        let body = match self {
            Self::Data(data) => {
                out.put_u32(u32::try_from(6 + data.payload.len()).unwrap_or(u32::MAX));
                out.put_u8(DATA);
                out.put_u32(data.id);
                out.put_u8(data.last.into());
                out.put_slice(&data.payload);
                return;
            }
            Self::Hello(hello) => wire::encode(hello),
            Self::Have(blocks) | Self::Gone(blocks) => wire::encode(&Runs::of(blocks)),
            Self::Request(request) => wire::encode(request),
            Self::Cancel(id) => wire::encode(id),
            Self::Refuse(refuse) => wire::encode(refuse),
            Self::Importing(importing) => wire::encode(importing),
        };
        out.put_u32(u32::try_from(1 + body.len()).unwrap_or(u32::MAX));
        out.put_u8(self.kind());
        out.put_slice(&body);
    }

    /// Takes one frame off the front of `bytes`, or `None` if it isn't all there yet. Never allocates more
    /// than [`MAX_FRAME`], whatever the length field says.
    ///
    /// # Errors
    /// When the length is over the limit, the kind unknown or the body malformed; the stream is then lost.
    pub fn decode(bytes: &mut BytesMut) -> Result<Option<Self>, WireError> {
        let Some(length) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(WireError::TooLong { length, limit: MAX_FRAME });
        }
        if bytes.len() < HEADER + length {
            bytes.reserve(HEADER + length - bytes.len());
            return Ok(None);
        }
        bytes.advance(HEADER);
        let mut body = bytes.split_to(length).freeze();
        if body.is_empty() {
            return Err(WireError::Short);
        }
        let kind = body.get_u8();
        let limit = MAX_FRAME;
        Ok(Some(match kind {
            0 => Self::Hello(wire::decode(&body, limit)?),
            1 => Self::Have(wire::decode::<Runs>(&body, limit)?.blocks()),
            2 => Self::Request(wire::decode(&body, limit)?),
            DATA => {
                if body.len() < 5 {
                    return Err(WireError::Short);
                }
                let (id, last) = (body.get_u32(), body.get_u8() != 0);
                if body.len() > MAX_FRAGMENT {
                    return Err(WireError::TooLong { length: body.len(), limit: MAX_FRAGMENT });
                }
                Self::Data(Data { id, last, payload: body })
            }
            4 => Self::Cancel(wire::decode(&body, limit)?),
            5 => Self::Refuse(wire::decode(&body, limit)?),
            6 => Self::Importing(wire::decode(&body, limit)?),
            7 => Self::Gone(wire::decode::<Runs>(&body, limit)?.blocks()),
            unknown => return Err(WireError::UnknownKind(unknown)),
        }))
    }
}
