//! The upload side of a session: what a peer has asked for, the most urgent first.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use nearcast_content::{Store, StoreError};
use nearcast_protocol::{
    Blocks,
    pieces::{Class, Data, Frame, MAX_FRAGMENT, MAX_REQUESTS_IN_FLIGHT, PieceRequest, Reason, Refuse},
};

/// What one peer waits for.
#[derive(Default)]
pub(crate) struct Uploads {
    /// In the order they are served: by class, then by deadline, then as they came.
    queue: BTreeMap<(Class, Instant, u64), PieceRequest>,
    arrived: u64,
    current: Option<Answer>,
    /// What the store gave up as it was read for an answer, until it is taken.
    pub damaged: Option<Blocks>,
}

struct Answer {
    id: u32,
    rest: Bytes,
}

impl Uploads {
    /// Whether nothing is to be sent.
    pub fn is_empty(&self) -> bool {
        self.current.is_none() && self.queue.is_empty()
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
        self.current.take_if(|answer| answer.id == id);
    }

    /// The next frame to send. Reads and encodes on a blocking thread where it must. Not cancel-safe.
    pub async fn next(&mut self, store: &Arc<dyn Store>) -> Option<Frame> {
        if self.current.is_none() {
            let (_, request) = self.queue.pop_first()?;
            match encode(store, request).await {
                Ok(rest) => self.current = Some(Answer { id: request.id, rest }),
                Err(error) => {
                    let reason = match error {
                        StoreError::NoSuchRun { .. } => Reason::Invalid,
                        _ => Reason::NotHeld,
                    };
                    if let StoreError::Damaged { blocks, .. } = error {
                        self.damaged = Some(blocks);
                    }
                    return Some(refusal(request.id, reason));
                }
            }
        }
        let mut answer = self.current.take()?;
        let payload = answer.rest.split_to(answer.rest.len().min(MAX_FRAGMENT));
        let data = Data { id: answer.id, last: answer.rest.is_empty(), payload };
        if !data.last {
            self.current = Some(answer);
        }
        Some(Frame::Data(data))
    }
}

async fn encode(store: &Arc<dyn Store>, request: PieceRequest) -> Result<Bytes, StoreError> {
    let block = request.first;
    let count = store.geometry().count();
    let blocks = request.blocks().ok_or(StoreError::NoSuchRun { run: block..block, count })?;
    let store = Arc::clone(store);
    let encoded = tokio::task::spawn_blocking(move || {
        store.encode(blocks).inspect_err(|error| {
            if !matches!(error, StoreError::NotHeld { .. } | StoreError::NoSuchRun { .. }) {
                tracing::warn!(id = %store.id(), %error, "can't be read for a peer");
            }
        })
    });
    Ok(encoded.await.map_err(|_| StoreError::NotHeld { block })??.into())
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
    use nearcast_content::MemoryStore;
    use nearcast_protocol::{BLOCK_BYTES, ResourceId, pieces::MAX_REQUEST_BLOCKS};

    use super::*;

    fn request(id: u32, class: Class) -> PieceRequest {
        PieceRequest { id, first: 0, count: 1, class, deadline_ms: 0 }
    }

    fn empty_store() -> Arc<dyn Store> {
        Arc::new(MemoryStore::new(ResourceId::from_bytes([7; 32]), 3 * BLOCK_BYTES).unwrap())
    }

    fn id_of(frame: Option<Frame>) -> Option<u32> {
        match frame? {
            Frame::Refuse(refuse) => refuse.id,
            Frame::Data(data) => Some(data.id),
            _ => None,
        }
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
        let store = empty_store();
        let mut order = Vec::new();
        while let Some(id) = id_of(uploads.next(&store).await) {
            order.push(id);
        }
        assert_eq!(order, [5, 2, 3, 1]);
        assert!(uploads.is_empty());
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
        assert_eq!(uploads.next(&empty_store()).await, Some(refusal(5, Reason::Invalid)));
    }
}
