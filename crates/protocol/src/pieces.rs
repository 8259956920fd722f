//! The frames of `/nearcast/pieces/1`: one long-lived stream per peer and resource, many requests in flight.
//!
//! On the wire a frame is a length (4 bytes, big-endian, of what follows), a kind (1 byte) and a body. The
//! opener says [`Frame::Hello`] first; the other side answers with its own hello and what it has, or with
//! a [`Frame::Refuse`] and closes. Both may then request. A [`Frame::Data`] body is raw, so that the bulk
//! is never copied through an encoder; its payloads, put together in order, are the Bao encoding (parents
//! and leaves in pre-order, no size prefix, 16 KiB chunk groups) of the requested blocks, without the first parents
//! if the request says that the asker has them.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use minicbor::{Decode, Encode};

use crate::{
    Blocks, Group, PeerAddress, ResourceId, Role, Token,
    wire::{self, MAX_FRAME, WireError},
};

/// The libp2p name of the protocol.
pub const PROTOCOL: &str = "/nearcast/pieces/1";
/// The version in [`Hello`].
pub const VERSION: u16 = 2;
/// Who speaks this version or a later one heeds [`PieceRequest::known`].
pub const VERSION_KNOWN: u16 = 2;
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
    /// What a protected resource asks for, bound to the speaker's peer id ([`crate::token`]).
    #[n(3)]
    pub token: Option<Token>,
    /// What the speaker is there for.
    #[n(4)]
    pub role: Role,
    /// The speaker's network group, as the tracker has told it: a claim, until a list names the speaker.
    #[n(5)]
    #[cbor(default)]
    pub group: Group,
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
    /// So many parents at the beginning of the answer's encoding the asker has; they are left out. All of the blocks
    /// have to lie below each. Of somebody who speaks less than [`VERSION_KNOWN`] nothing may be left out.
    #[n(5)]
    #[cbor(default)]
    pub known: u8,
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
    /// The resource is protected, and no token was shown.
    #[n(3)]
    NotAllowed,
    /// The request makes no sense.
    #[n(4)]
    Invalid,
    /// Sharing is paused, or the node is leaving.
    #[n(5)]
    Paused,
    /// The token can't be read, or was changed.
    #[n(16)]
    TokenWrong,
    /// The token's time is over.
    #[n(17)]
    TokenExpired,
    /// The token's time is still to come.
    #[n(18)]
    TokenEarly,
    /// The token is for another resource.
    #[n(19)]
    TokenOfOther,
    /// The token is bound to another terminal, or to none.
    #[n(20)]
    TokenOfTerminal,
    /// The key that signed the token is retired or revoked.
    #[n(21)]
    KeyRetired,
    /// The token is of a guard that doesn't protect this here.
    #[n(22)]
    UnknownGuard,
}

impl Reason {
    /// Whether a token is what is missing or wrong: then asking again with the same one is in vain.
    pub fn denies(self) -> bool {
        use Reason::{
            KeyRetired, NotAllowed, TokenEarly, TokenExpired, TokenOfOther, TokenOfTerminal, TokenWrong,
            UnknownGuard,
        };
        matches!(
            self,
            NotAllowed
                | TokenWrong
                | TokenExpired
                | TokenEarly
                | TokenOfOther
                | TokenOfTerminal
                | KeyRetired
                | UnknownGuard
        )
    }
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

    /// As many [`Frame::Gone`] as it takes to take back `blocks`.
    pub fn gone(blocks: &Blocks) -> Vec<Self> {
        let runs: Vec<_> = blocks.runs().collect();
        runs.chunks(MAX_RUNS).map(|chunk| Self::Gone(chunk.iter().cloned().collect())).collect()
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

#[cfg(test)]
mod tests {
    use minicbor::Encoder;
    use proptest::{
        collection::vec,
        prelude::{any, prop_assert, prop_assert_eq, proptest},
    };

    use super::*;
    use crate::{PeerId, arbitrary::frames};

    fn bytes_of(frame: &Frame) -> BytesMut {
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes);
        bytes
    }

    /// A frame of any kind around any body.
    fn framed(kind: u8, body: &[u8]) -> BytesMut {
        let mut bytes = BytesMut::new();
        bytes.put_u32(u32::try_from(1 + body.len()).unwrap());
        bytes.put_u8(kind);
        bytes.put_slice(body);
        bytes
    }

    fn decode(mut bytes: BytesMut) -> Result<Option<Frame>, WireError> {
        Frame::decode(&mut bytes)
    }

    #[test]
    fn a_hostile_length_is_refused_before_anything_is_allocated() {
        for length in [MAX_FRAME + 1, 1 << 20, u32::MAX as usize] {
            let mut bytes = BytesMut::with_capacity(16);
            bytes.put_u32(u32::try_from(length).unwrap());
            bytes.put_u8(DATA);
            let before = bytes.capacity();
            let error = Frame::decode(&mut bytes).unwrap_err();
            assert!(matches!(error, WireError::TooLong { length: l, limit: MAX_FRAME } if l == length));
            assert_eq!(bytes.capacity(), before);
        }
    }

    #[test]
    fn the_longest_length_makes_room_for_one_frame_only() {
        let mut bytes = BytesMut::with_capacity(16);
        bytes.put_u32(u32::try_from(MAX_FRAME).unwrap());
        assert_eq!(Frame::decode(&mut bytes).unwrap(), None);
        assert!(bytes.capacity() <= 2 * (HEADER + MAX_FRAME), "{}", bytes.capacity());
    }

    #[test]
    fn frames_cut_short_are_errors() {
        assert!(matches!(decode(BytesMut::from(&[0, 0, 0, 0][..])), Err(WireError::Short)));
        assert!(matches!(decode(framed(DATA, &[0, 0, 0, 1])), Err(WireError::Short)));
        assert!(matches!(decode(framed(0, &[])), Err(WireError::Malformed(_))));
        assert!(matches!(decode(framed(200, b"later")), Err(WireError::UnknownKind(200))));
    }

    #[test]
    fn data_has_up_to_a_fragment_of_bytes() {
        let data = |length| Frame::Data(Data { id: 9, last: true, payload: vec![1; length].into() });
        assert_eq!(decode(bytes_of(&data(0))).unwrap(), Some(data(0)));
        assert_eq!(decode(bytes_of(&data(MAX_FRAGMENT))).unwrap(), Some(data(MAX_FRAGMENT)));
        let error = decode(bytes_of(&data(MAX_FRAGMENT + 1))).unwrap_err();
        assert!(matches!(error, WireError::TooLong { limit: MAX_FRAGMENT, .. }), "{error}");
    }

    #[test]
    fn a_scattered_set_goes_in_frames_that_fit() {
        let scattered: Blocks = (0..2 * MAX_RUNS as u64 + 1)
            .map(|n| (u64::MAX / 2 + 2 * n)..(u64::MAX / 2 + 2 * n + 1))
            .collect();
        let frames = Frame::have(&scattered);
        assert_eq!(frames.len(), 3);
        let mut bytes = BytesMut::new();
        let mut put_together = Blocks::new();
        for frame in &frames {
            let before = bytes.len();
            frame.encode(&mut bytes);
            assert!(bytes.len() - before <= HEADER + MAX_FRAME);
        }
        while let Some(Frame::Have(blocks)) = Frame::decode(&mut bytes).unwrap() {
            put_together = put_together.union(&blocks);
        }
        assert_eq!(put_together, scattered);
        assert!(Frame::have(&Blocks::new()).is_empty());
    }

    #[test]
    fn too_many_runs_and_hints_are_refused() {
        let runs = |length: usize| {
            let mut body = Vec::new();
            let mut e = Encoder::new(&mut body);
            e.array(1).unwrap().array(length as u64).unwrap();
            (0..length as u64).for_each(|n| drop(e.encode([2 * n, 1])));
            [decode(framed(1, &body)).is_ok(), decode(framed(7, &body)).is_ok()]
        };
        assert_eq!(runs(MAX_RUNS), [true, true]);
        assert_eq!(runs(MAX_RUNS + 1), [false, false]);
        let hints = |length: usize| {
            let hint = PeerAddress::new(PeerId::random(), []);
            let mut body = Vec::new();
            let mut e = Encoder::new(&mut body);
            e.array(4).unwrap().null().unwrap().encode(Reason::Busy).unwrap().u32(0).unwrap();
            e.encode(vec![hint; length]).unwrap();
            decode(framed(5, &body)).is_ok()
        };
        assert_eq!((hints(MAX_HINTS), hints(MAX_HINTS + 1)), (true, false));
    }

    #[test]
    fn runs_that_overlap_or_overflow_are_a_set_all_the_same() {
        let body = |runs: &[[u64; 2]]| {
            let mut body = Vec::new();
            Encoder::new(&mut body).array(1).unwrap().encode(runs.to_vec()).unwrap();
            decode(framed(1, &body)).unwrap()
        };
        let have = |run: std::ops::Range<u64>| Some(Frame::Have(run.into()));
        assert_eq!(body(&[[5, 5], [0, 6], [7, 0]]), have(0..10));
        assert_eq!(body(&[[u64::MAX - 1, u64::MAX]]), have(u64::MAX - 1..u64::MAX));
        assert_eq!(body(&[[u64::MAX, 1]]), have(0..0));
    }

    #[test]
    fn what_may_be_requested() {
        let request = |first, count| {
            PieceRequest { id: 1, first, count, class: Class::Urgent, deadline_ms: 0, known: 0 }.blocks()
        };
        assert_eq!(request(3, 1), Some(3..4));
        assert_eq!(request(0, MAX_REQUEST_BLOCKS), Some(0..MAX_REQUEST_BLOCKS));
        assert_eq!(request(0, MAX_REQUEST_BLOCKS + 1), None);
        assert_eq!(request(3, 0), None);
        assert_eq!(request(u64::MAX, 1), None);
        assert!(Class::Urgent < Class::Ready && Class::Prefetch < Class::Background);
    }

    #[test]
    fn a_newer_peer_may_add_fields() {
        let resource = ResourceId::from_bytes([7; 32]);
        let hello =
            Hello { version: 2, resource, size: 5, token: None, role: Role::Publisher, group: Group(7) };
        let mut body = wire::encode(&hello);
        assert_eq!(body.first(), Some(&0x86), "an array of six");
        body[0] = 0x87;
        body.extend(wire::encode(&vec!["zstd", "later"]));
        assert_eq!(decode(framed(0, &body)).unwrap(), Some(Frame::Hello(hello.clone())));
        // One from before there were groups says nothing of its own.
        let mut body = wire::encode(&Hello { group: Group::UNKNOWN, ..hello.clone() });
        body[0] = 0x85;
        assert_eq!(body.pop(), Some(0));
        let older = Hello { group: Group::UNKNOWN, ..hello };
        assert_eq!(decode(framed(0, &body)).unwrap(), Some(Frame::Hello(older)));
    }

    proptest! {
        #[test]
        fn frames_survive_however_they_arrive(sent in vec(frames(), 1..5), step in 1..50usize) {
            let mut wire = BytesMut::new();
            sent.iter().for_each(|frame| frame.encode(&mut wire));
            let (mut arrived, mut read) = (BytesMut::new(), Vec::new());
            for part in wire.chunks(step) {
                arrived.extend_from_slice(part);
                while let Some(frame) = Frame::decode(&mut arrived).unwrap() {
                    read.push(frame);
                }
            }
            prop_assert_eq!(read, sent);
            prop_assert!(arrived.is_empty());
        }

        #[test]
        fn a_frame_is_whole_only_with_its_last_byte(sent in frames()) {
            let wire = bytes_of(&sent);
            let mut arrived = BytesMut::new();
            for (place, byte) in wire.iter().enumerate() {
                prop_assert_eq!(Frame::decode(&mut arrived).unwrap(), None, "after {} bytes", place);
                arrived.put_u8(*byte);
            }
            prop_assert_eq!(Frame::decode(&mut arrived).unwrap(), Some(sent));
        }

        #[test]
        fn any_bytes_give_an_answer(bytes in vec(any::<u8>(), 0..500), kind in 0..10u8) {
            let _ = decode(BytesMut::from(&bytes[..]));
            let _ = decode(framed(kind, &bytes));
        }

        #[test]
        fn a_damaged_frame_gives_an_answer(sent in frames(), at in any::<usize>(), byte in any::<u8>()) {
            let mut bytes = bytes_of(&sent);
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = decode(bytes);
        }
    }
}
