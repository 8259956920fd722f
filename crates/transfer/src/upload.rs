//! The upload side of a session: what a peer has asked for, the most urgent first.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use nearcast_content::{PAIR_BYTES, Store, StoreError, common_parents};
use nearcast_network::Ticket;
use nearcast_protocol::{
    Blocks,
    pieces::{Class, Data, Frame, MAX_REQUESTS_IN_FLIGHT, PieceRequest, Reason, Refuse},
};

/// What one peer waits for.
#[derive(Default)]
pub(crate) struct Uploads {
    /// In the order they are served: by class, then by deadline, then as they came.
    queue: BTreeMap<(Class, Instant, u64), PieceRequest>,
    arrived: u64,
    /// Answers that have begun, the one being sent last: each was interrupted by a more urgent one, so there are no
    /// more than classes.
    begun: Vec<Answer>,
    /// What the store gave up as it was read for an answer, until it is taken.
    pub damaged: Option<Blocks>,
}

struct Answer {
    id: u32,
    class: Class,
    ticket: Ticket,
    rest: Bytes,
}

/// A fragment to send, and its place among all that the node uploads.
pub(crate) struct Fragment {
    pub data: Data,
    pub class: Class,
    pub ticket: Ticket,
}

/// What is to be sent next.
pub(crate) enum Next {
    Fragment(Fragment),
    Refusal(Frame),
}

impl Uploads {
    /// Whether nothing is to be sent.
    pub fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.queue.is_empty()
    }

    /// The class of the most urgent that waits here, begun or not.
    pub fn most_urgent(&self) -> Option<Class> {
        let asked = self.queue.first_key_value().map(|((class, ..), _)| *class);
        asked.into_iter().chain(self.begun.last().map(|answer| answer.class)).min()
    }

    /// Notes a request; the frame to answer with if it can't be taken.
    pub fn push(&mut self, now: Instant, request: PieceRequest) -> Result<(), Frame> {
        if request.blocks().is_none() {
            return Err(refusal(request.id, Reason::Invalid));
        }
        if self.queue.len() >= MAX_REQUESTS_IN_FLIGHT {
            return Err(refusal(request.id, Reason::Busy));
        }
        self.arrived += 1;
        let due = now + Duration::from_millis(request.deadline_ms.into());
        self.queue.insert((request.class, due, self.arrived), request);
        Ok(())
    }

    /// Forgets a request, even in the middle of its answer.
    pub fn cancel(&mut self, id: u32) {
        self.queue.retain(|_, request| request.id != id);
        self.begun.retain(|answer| answer.id != id);
    }

    /// What to send next; `ticket` is the place in the node's order of an answer that begins now, and no fragment
    /// has more than `most` bytes. Reads and encodes on a blocking thread where it must. Not cancel-safe.
    pub async fn next(&mut self, store: &Arc<dyn Store>, ticket: Ticket, most: usize) -> Option<Next> {
        let sending = self.begun.last().map(|answer| answer.class);
        let asked =
            self.queue.first_entry().filter(|asked| sending.is_none_or(|class| asked.key().0 < class));
        if let Some(asked) = asked {
            let request = asked.remove();
            let (id, class) = (request.id, request.class);
            match encode(store, request).await {
                Ok(rest) => self.begun.push(Answer { id, class, ticket, rest }),
                Err(error) => {
                    let reason = match error {
                        StoreError::NoSuchRun { .. } => Reason::Invalid,
                        _ => Reason::NotHeld,
                    };
                    if let StoreError::Damaged { blocks, .. } = error {
                        self.damaged = Some(blocks);
                    }
                    return Some(Next::Refusal(refusal(id, reason)));
                }
            }
        }
        let answer = self.begun.last_mut()?;
        let payload = answer.rest.split_to(answer.rest.len().min(most));
        let data = Data { id: answer.id, last: answer.rest.is_empty(), payload };
        let (class, ticket) = (answer.class, answer.ticket);
        if data.last {
            self.begun.pop();
        }
        Some(Next::Fragment(Fragment { data, class, ticket }))
    }
}

async fn encode(store: &Arc<dyn Store>, request: PieceRequest) -> Result<Bytes, StoreError> {
    let block = request.first;
    let count = store.geometry().count();
    let blocks = request.blocks().ok_or(StoreError::NoSuchRun { run: block..block, count })?;
    let known = usize::from(request.known);
    if known > common_parents(store.geometry(), &blocks) {
        return Err(StoreError::NoSuchRun { run: blocks, count });
    }
    let store = Arc::clone(store);
    let encoded = tokio::task::spawn_blocking(move || {
        store.encode(blocks).inspect_err(|error| {
            if !matches!(error, StoreError::NotHeld { .. } | StoreError::NoSuchRun { .. }) {
                tracing::warn!(id = %store.id(), %error, "can't be read for a peer");
            }
        })
    });
    let mut encoded = Bytes::from(encoded.await.map_err(|_| StoreError::NotHeld { block })??);
    encoded.advance(known * PAIR_BYTES as usize);
    Ok(encoded)
}

/// What answers a request while the user wants nothing uploaded.
pub(crate) fn paused(id: u32) -> Frame {
    let (reason, retry_after_ms) = (Reason::Paused, 60_000);
    Frame::Refuse(Refuse { id: Some(id), reason, retry_after_ms, peers: Vec::new() })
}

/// What answers a request that isn't served.
pub(crate) fn refusal(id: u32, reason: Reason) -> Frame {
    let retry_after_ms = if reason == Reason::Busy { 1000 } else { 0 };
    Frame::Refuse(Refuse { id: Some(id), reason, retry_after_ms, peers: Vec::new() })
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::atomic::AtomicBool};

    use nearcast_content::{Library, MemoryStore};
    use nearcast_network::Limit;
    use nearcast_protocol::{
        BLOCK_BYTES, ResourceId,
        pieces::{MAX_FRAGMENT, MAX_REQUEST_BLOCKS},
    };

    use super::*;

    fn request(id: u32, class: Class) -> PieceRequest {
        PieceRequest { id, first: 0, count: 1, class, deadline_ms: 0, known: 0 }
    }

    fn empty_store() -> Arc<dyn Store> {
        Arc::new(MemoryStore::new(ResourceId::from_bytes([7; 32]), 3 * BLOCK_BYTES).unwrap())
    }

    /// Who gives out places; nothing waits here.
    fn limit() -> Limit {
        Limit::new(None)
    }

    fn id_of(next: Option<Next>) -> Option<u32> {
        match next? {
            Next::Refusal(Frame::Refuse(refuse)) => refuse.id,
            Next::Refusal(_) => None,
            Next::Fragment(fragment) => Some(fragment.data.id),
        }
    }

    /// A store that holds all of a file of so many blocks.
    fn full_store(folder: &Path, blocks: u64) -> Arc<dyn Store> {
        let bytes: Vec<u8> = (0..blocks * BLOCK_BYTES).map(|at| (at % 251) as u8).collect();
        std::fs::write(folder.join("film"), bytes).unwrap();
        let library = Library::open(&folder.join("library")).unwrap();
        library.import(&folder.join("film"), &|_| {}, &AtomicBool::new(false)).unwrap()
    }

    #[tokio::test]
    async fn the_most_urgent_is_answered_first() {
        let mut uploads = Uploads::default();
        let now = Instant::now();
        for (id, class, deadline_ms) in [
            (1, Class::Background, 0),
            (2, Class::Urgent, 900),
            (3, Class::Ready, 0),
            (4, Class::Urgent, 0),
            (5, Class::Urgent, 100),
        ] {
            assert_eq!(uploads.push(now, PieceRequest { deadline_ms, ..request(id, class) }), Ok(()));
        }
        uploads.cancel(4);
        let (store, limit) = (empty_store(), limit());
        let mut order = Vec::new();
        while let Some(id) = id_of(uploads.next(&store, limit.ticket(), MAX_FRAGMENT).await) {
            order.push(id);
        }
        assert_eq!(order, [5, 2, 3, 1]);
        assert!(uploads.is_empty());
    }

    #[tokio::test]
    async fn what_is_more_urgent_interrupts_an_answer_that_then_goes_on() {
        let mut uploads = Uploads::default();
        let folder = tempfile::tempdir().unwrap();
        let (store, limit) = (full_store(folder.path(), 16), limit());
        let whole = |id, first, class| PieceRequest { first, count: 4, ..request(id, class) };
        assert_eq!(uploads.push(Instant::now(), whole(1, 0, Class::Background)), Ok(()));
        let mut sent = Vec::new();
        while let Some(Next::Fragment(fragment)) = uploads.next(&store, limit.ticket(), MAX_FRAGMENT).await {
            sent.push((fragment.data.id, fragment.data.last));
            if sent.len() == 1 {
                assert_eq!(uploads.push(Instant::now(), whole(2, 4, Class::Urgent)), Ok(()));
                assert_eq!(uploads.push(Instant::now(), whole(3, 8, Class::Background)), Ok(()));
                assert_eq!(uploads.most_urgent(), Some(Class::Urgent));
            }
        }
        sent.dedup();
        assert_eq!(sent, [(1, false), (2, false), (2, true), (1, false), (1, true), (3, false), (3, true)]);
    }

    #[tokio::test]
    async fn what_the_asker_has_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let (store, limit) = (full_store(folder.path(), 16), limit());
        let asked = |known| PieceRequest { first: 5, known, ..request(1, Class::Urgent) };
        let mut uploads = Uploads::default();
        for known in [0, 1, 4] {
            assert_eq!(uploads.push(Instant::now(), asked(known)), Ok(()));
            let mut sent = Vec::new();
            while let Some(Next::Fragment(part)) = uploads.next(&store, limit.ticket(), MAX_FRAGMENT).await {
                sent.extend_from_slice(&part.data.payload);
            }
            assert!(sent == store.encode(5..6).unwrap()[usize::from(known) * PAIR_BYTES as usize..]);
        }
        assert_eq!(uploads.push(Instant::now(), asked(5)), Ok(()));
        let next = uploads.next(&store, limit.ticket(), MAX_FRAGMENT).await;
        assert!(matches!(next, Some(Next::Refusal(refused)) if refused == refusal(1, Reason::Invalid)));
    }

    #[tokio::test]
    async fn nonsense_and_floods_are_refused() {
        let mut uploads = Uploads::default();
        let many = PieceRequest { count: MAX_REQUEST_BLOCKS + 1, ..request(1, Class::Urgent) };
        assert_eq!(uploads.push(Instant::now(), many), Err(refusal(1, Reason::Invalid)));
        let overflow = PieceRequest { first: u64::MAX, ..request(1, Class::Urgent) };
        assert_eq!(uploads.push(Instant::now(), overflow), Err(refusal(1, Reason::Invalid)));
        for id in 0..MAX_REQUESTS_IN_FLIGHT as u32 {
            assert_eq!(uploads.push(Instant::now(), request(id, Class::Ready)), Ok(()));
        }
        assert_eq!(
            uploads.push(Instant::now(), request(999, Class::Urgent)),
            Err(refusal(999, Reason::Busy))
        );
        let beyond = PieceRequest { first: 3, ..request(5, Class::Urgent) };
        let mut uploads = Uploads::default();
        assert_eq!(uploads.push(Instant::now(), beyond), Ok(()));
        let limit = limit();
        let next = uploads.next(&empty_store(), limit.ticket(), MAX_FRAGMENT).await;
        assert!(matches!(next, Some(Next::Refusal(refused)) if refused == refusal(5, Reason::Invalid)));
    }
}
