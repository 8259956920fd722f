//! The answers of one peer, put together from fragments.
//!
//! What is cancelled is often on its way already: the peer's queue and its kernel's can't be emptied from here. It
//! isn't thrown away. What comes of it until the peer goes on to another answer is verified and kept like any other,
//! which may be sooner than from whoever was asked instead.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use nearcast_content::encoded_len;
use nearcast_protocol::{BLOCK_BYTES, Geometry, pieces::Data};

/// How often the drive is told how far an answer has come, in either direction, beside its end: a fragment is so
/// small that waking the drive for each costs more than carrying it.
pub(crate) const TOLD: Duration = Duration::from_millis(20);
/// So many that were cancelled are remembered.
const MOST_CANCELLED: usize = 16;

/// What was asked for and hasn't come.
struct Wanted {
    blocks: Range<u64>,
    /// What is known of the encoding, and what has come of the rest.
    encoded: BytesMut,
    known: usize,
    /// When the drive was last told how much of it has come, and how much has come since.
    told: Instant,
    untold: u64,
}

impl Wanted {
    fn has_begun(&self) -> bool {
        self.encoded.len() > self.known
    }
}

/// All that will come of one request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub request: u32,
    pub blocks: Range<u64>,
    pub encoded: BytesMut,
    /// Whether the peer has said that this is all of it; else it may end anywhere, as it was cancelled.
    pub whole: bool,
}

/// What a fragment has brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Brought {
    /// So many bytes are to be told as progress.
    pub progress: Option<u64>,
    /// These can be judged.
    pub answers: Vec<Answer>,
}

/// The requests on their way to one peer, and what has come of each.
#[derive(Default)]
pub(crate) struct Answers {
    wanted: HashMap<u32, Wanted>,
    /// The oldest first: numbers rise.
    cancelled: BTreeMap<u32, Wanted>,
}

impl Answers {
    /// It is asked for these blocks, of whose encoding the beginning is `known`.
    pub fn ask(&mut self, request: u32, blocks: Range<u64>, known: &[u8], now: Instant) {
        let wanted = Wanted { blocks, encoded: known.into(), known: known.len(), told: now, untold: 0 };
        self.wanted.insert(request, wanted);
    }

    /// The answer isn't wanted any more; if it comes all the same, it is to be kept or not. Says whether the peer is to
    /// be told.
    pub fn cancel(&mut self, request: u32, keep: bool) -> bool {
        let Some(wanted) = self.wanted.remove(&request) else { return false };
        if keep {
            self.cancelled.insert(request, wanted);
            if self.cancelled.len() > MOST_CANCELLED {
                self.cancelled.pop_first();
            }
        }
        true
    }

    /// The peer won't answer this. Says whether it was asked for.
    pub fn refused(&mut self, request: u32) -> bool {
        self.wanted.remove(&request).or_else(|| self.cancelled.remove(&request)).is_some()
    }

    /// Takes a fragment in.
    ///
    /// # Errors
    /// How it breaks the protocol.
    pub fn take(&mut self, data: &Data, geometry: Geometry, now: Instant) -> Result<Brought, &'static str> {
        if data.payload.is_empty() && !data.last {
            return Err("it sent fragments of nothing");
        }
        let mut brought = Brought::default();
        let asked = match self.wanted.get_mut(&data.id) {
            // The peer has seen what was cancelled, and gone on.
            Some(wanted) => {
                brought.answers.extend(settle(&mut self.cancelled));
                Some(wanted)
            }
            None => self.cancelled.get_mut(&data.id),
        };
        // What has been given up is late, not wrong.
        let Some(wanted) = asked else { return Ok(brought) };
        let limit = encoded_len(geometry, wanted.blocks.clone());
        if (wanted.encoded.len() + data.payload.len()) as u64 > limit {
            return Err("it sent more than was asked for");
        }
        if !wanted.has_begun() {
            // It is what was asked for, so it has its place among what may be under way.
            wanted.encoded.reserve(usize::try_from(limit).unwrap_or_default().saturating_sub(wanted.known));
        }
        wanted.encoded.extend_from_slice(&data.payload);
        wanted.untold += data.payload.len() as u64;
        if data.last || now >= wanted.told + TOLD {
            wanted.told = now;
            brought.progress = Some(std::mem::take(&mut wanted.untold));
        }
        if data.last
            && let Some(Wanted { blocks, encoded, .. }) =
                self.wanted.remove(&data.id).or_else(|| self.cancelled.remove(&data.id))
        {
            brought.answers.push(Answer { request: data.id, blocks, encoded, whole: true });
        }
        Ok(brought)
    }
}

/// Of what was cancelled, what has begun to come and ended there; without a whole block it is of no use.
fn settle(cancelled: &mut BTreeMap<u32, Wanted>) -> Vec<Answer> {
    let begun = cancelled.extract_if(.., |_, wanted| wanted.has_begun());
    begun
        .filter(|(_, wanted)| wanted.encoded.len() as u64 > BLOCK_BYTES)
        .map(|(request, Wanted { blocks, encoded, .. })| Answer { request, blocks, encoded, whole: false })
        .collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const BLOCK: usize = BLOCK_BYTES as usize;

    fn geometry() -> Geometry {
        Geometry::new(100 * BLOCK_BYTES)
    }

    fn data(id: u32, length: usize, last: bool) -> Data {
        Data { id, last, payload: Bytes::from(vec![7; length]) }
    }

    struct Peer(Answers, Instant);

    impl Peer {
        fn asked(requests: &[(u32, Range<u64>)]) -> Self {
            let (mut answers, now) = (Answers::default(), Instant::now());
            requests.iter().for_each(|(request, blocks)| answers.ask(*request, blocks.clone(), &[], now));
            Self(answers, now)
        }

        fn sends(&mut self, id: u32, length: usize, last: bool) -> Vec<(u32, usize, bool)> {
            let brought = self.0.take(&data(id, length, last), geometry(), self.1).unwrap();
            let short = |answer: Answer| (answer.request, answer.encoded.len(), answer.whole);
            brought.answers.into_iter().map(short).collect()
        }
    }

    #[test]
    fn an_answer_is_whole_with_its_last_fragment() {
        let mut peer = Peer::asked(&[(1, 0..2)]);
        assert_eq!(peer.sends(1, BLOCK, false), []);
        assert_eq!(peer.sends(1, BLOCK, true), [(1, 2 * BLOCK, true)]);
        assert_eq!(peer.sends(1, BLOCK, true), [], "once");
        assert!(!peer.0.cancel(1, true));
    }

    #[test]
    fn what_was_cancelled_and_comes_all_the_same_is_kept() {
        let mut peer = Peer::asked(&[(1, 0..4), (2, 4..8), (3, 8..12)]);
        peer.sends(1, BLOCK, false);
        assert!(peer.0.cancel(1, true) && peer.0.cancel(2, true));
        assert_eq!(peer.sends(1, 2 * BLOCK, false), [], "more may come of it");
        assert_eq!(peer.sends(3, BLOCK, false), [(1, 3 * BLOCK, false)], "the peer has gone on");
        assert_eq!(peer.sends(1, BLOCK, true), [], "and isn't believed to come back");
        assert_eq!(peer.sends(2, 4 * BLOCK, true), [(2, 4 * BLOCK, true)]);
    }

    #[test]
    fn what_is_not_to_be_kept_or_is_less_than_a_block_is_not() {
        let mut peer = Peer::asked(&[(1, 0..4), (2, 4..8), (3, 8..12)]);
        peer.sends(1, BLOCK, false);
        assert!(peer.0.cancel(1, false) && peer.0.cancel(2, true));
        assert_eq!(peer.sends(1, 3 * BLOCK, true), []);
        peer.sends(2, BLOCK, false);
        assert_eq!(peer.sends(3, BLOCK, false), []);
        assert!(!peer.0.refused(2) && peer.0.refused(3) && !peer.0.refused(3));
    }

    #[test]
    fn no_more_than_some_are_remembered() {
        let requests: Vec<_> = (0..40_u32).map(|id| (id, u64::from(id)..u64::from(id) + 1)).collect();
        let mut peer = Peer::asked(&requests);
        (0..40).for_each(|id| assert!(peer.0.cancel(id, true)));
        assert_eq!(peer.0.cancelled.len(), MOST_CANCELLED);
        assert_eq!(peer.sends(39, BLOCK, true), [(39, BLOCK, true)]);
        assert_eq!(peer.sends(0, BLOCK, true), []);
    }

    #[test]
    fn more_than_was_asked_for_breaks_the_protocol() {
        let mut peer = Peer::asked(&[(1, 0..1), (2, 1..2)]);
        let mut takes = |id, length, last| peer.0.take(&data(id, length, last), geometry(), peer.1).is_ok();
        assert!(!takes(1, 0, false));
        assert!(takes(9, 3 * BLOCK, true), "what isn't known is late, not wrong");
        assert!(!takes(1, 2 * BLOCK, false));
        peer.0.cancel(2, true);
        assert!(peer.0.take(&data(2, 2 * BLOCK, false), geometry(), peer.1).is_err());
    }

    #[test]
    fn what_is_known_stands_before_what_comes() {
        let mut peer = Peer::asked(&[]);
        peer.0.ask(1, 0..2, &[8; 64], peer.1);
        peer.0.ask(2, 2..4, &[9; 64], peer.1);
        assert!(peer.0.cancel(2, true));
        assert_eq!(peer.sends(1, BLOCK, false), [], "nothing of the other has come");
        assert_eq!(peer.sends(1, BLOCK, true), [(1, 64 + 2 * BLOCK, true)]);
        let brought = peer.0.take(&data(2, 2 * BLOCK, true), geometry(), peer.1).unwrap();
        assert_eq!(brought.progress, Some(2 * BLOCK_BYTES), "what comes is told, and no more");
        assert!(brought.answers[0].encoded.starts_with(&[9; 64]));
    }

    #[test]
    fn progress_is_told_now_and_then_and_at_the_end() {
        let mut peer = Peer::asked(&[(1, 0..4)]);
        let mut progress = |ms, last| {
            let now = peer.1 + Duration::from_millis(ms);
            peer.0.take(&data(1, 1000, last), geometry(), now).unwrap().progress
        };
        assert_eq!(
            [(1, false), (25, false), (26, false), (27, true)].map(|(ms, last)| progress(ms, last)),
            [None, Some(2000), None, Some(2000)]
        );
    }
}
