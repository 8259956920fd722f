//! Bytes for those without the app: few at a time and slowly enough that viewers with it lose nothing.
//!
//! A place is taken by who has read in the last half minute. Who pauses for longer loses it to the next one,
//! and takes a place again when it reads on; so that a paused player in a forgotten window keeps nobody out.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use nearcast_network::Limit;
use tokio::time::Instant;

/// A place that isn't read from for so long is somebody else's.
const IDLE: Duration = Duration::from_secs(30);

/// Why a stream has ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    /// Its place was given away while it paused, and there is none free.
    #[error("all places are taken; ask again from where this one ends")]
    Taken,
    /// The film can't be read.
    #[error("the film can't be read any further: {0}")]
    Read(axum::Error),
}

/// The places for those without the app; a clone is the same ones.
#[derive(Clone)]
pub(crate) struct Direct {
    inner: Arc<Inner>,
}

struct Inner {
    most: AtomicUsize,
    idle: Duration,
    closed: AtomicBool,
    limit: Limit,
    places: Mutex<BTreeMap<u64, Instant>>,
    next: AtomicU64,
    refused: AtomicU64,
}

/// A place; dropping it frees it.
struct Place {
    direct: Direct,
    number: u64,
}

impl Direct {
    /// `most` streams at a time, together no faster than `rate` bytes/s.
    pub(crate) fn new(most: usize, rate: Option<u64>) -> Self {
        Self::idle_after(IDLE, most, rate)
    }

    fn idle_after(idle: Duration, most: usize, rate: Option<u64>) -> Self {
        let inner = Inner {
            idle,
            most: AtomicUsize::new(most),
            closed: AtomicBool::new(false),
            limit: Limit::new(rate),
            places: Mutex::default(),
            next: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Whether there are places at all.
    pub(crate) fn offered(&self) -> bool {
        self.most() > 0
    }

    /// How many streams there may be at a time.
    pub(crate) fn most(&self) -> usize {
        self.inner.most.load(Ordering::Relaxed)
    }

    /// Changes how many there may be, and how fast; those that run keep their places.
    pub(crate) fn set(&self, most: Option<usize>, rate: Option<Option<u64>>) {
        if let Some(most) = most {
            self.inner.most.store(most, Ordering::Relaxed);
        }
        if let Some(rate) = rate {
            self.inner.limit.set(rate);
        }
    }

    /// Gives no new places: the program is about to end.
    pub(crate) fn close(&self) {
        self.inner.closed.store(true, Ordering::Relaxed);
    }

    /// Streams that are read from now.
    pub(crate) fn streams(&self) -> usize {
        self.places().values().filter(|read| read.elapsed() < self.inner.idle).count()
    }

    /// Bytes given since the start.
    pub(crate) fn given(&self) -> u64 {
        self.inner.limit.passed()
    }

    /// How often somebody found no place.
    pub(crate) fn refused(&self) -> u64 {
        self.inner.refused.load(Ordering::Relaxed)
    }

    /// The answer with its body held to the limits; `None` if all places are taken.
    pub(crate) fn admit(&self, answer: Response) -> Option<Response> {
        let number = self.inner.next.fetch_add(1, Ordering::Relaxed);
        if self.inner.closed.load(Ordering::Relaxed) || !self.take(number) {
            self.inner.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let place = Place { direct: self.clone(), number };
        Some(answer.map(|body| Body::from_stream(paced(body.into_data_stream(), place))))
    }

    /// Takes a place, or notes that it is still in use.
    fn take(&self, number: u64) -> bool {
        let mut places = self.places();
        if !places.contains_key(&number) && places.len() >= self.most() {
            places.retain(|_, read| read.elapsed() < self.inner.idle);
            if places.len() >= self.most() {
                return false;
            }
        }
        places.insert(number, Instant::now());
        true
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<u64, Instant>> {
        self.inner.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.direct.places().remove(&self.number);
    }
}

fn paced(
    body: impl Stream<Item = Result<Bytes, axum::Error>> + Send + 'static,
    place: Place,
) -> impl Stream<Item = Result<Bytes, Ended>> + Send + 'static {
    stream::try_unfold((Box::pin(body), place), |(mut body, place)| async move {
        if !place.direct.take(place.number) {
            return Err(Ended::Taken);
        }
        let Some(part) = body.next().await else { return Ok(None) };
        let part = part.map_err(Ended::Read)?;
        place.direct.inner.limit.take(part.len()).await;
        Ok(Some((part, (body, place))))
    })
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    fn answer() -> Response {
        Body::from_stream(stream::iter((0..3).map(|_| Ok::<_, axum::Error>(Bytes::from_static(b"bytes")))))
            .into_response()
    }

    #[tokio::test]
    async fn a_place_is_for_those_who_read() {
        let direct = Direct::new(2, None);
        let first = direct.admit(answer()).unwrap();
        let mut first = first.into_body().into_data_stream();
        assert!(first.next().await.unwrap().is_ok());
        let second = direct.admit(answer()).unwrap();
        assert!(direct.admit(answer()).is_none());
        assert_eq!((direct.streams(), direct.refused(), direct.given()), (2, 1, 5));
        drop((first, second));
        assert!(direct.admit(answer()).is_some());
    }

    #[tokio::test]
    async fn whoever_pauses_loses_the_place_to_whoever_comes() {
        // Everyone is idle at once here.
        let direct = Direct::idle_after(Duration::ZERO, 1, None);
        let paused = direct.admit(answer()).unwrap();
        let mut paused = paused.into_body().into_data_stream();
        assert!(paused.next().await.unwrap().is_ok());
        let other = direct.admit(answer()).unwrap();
        assert_eq!(other.into_body().into_data_stream().count().await, 3);
        // The other has ended, so that there is a place again.
        assert!(paused.next().await.unwrap().is_ok());
        direct.set(Some(0), None);
        assert!(paused.next().await.unwrap().is_ok(), "who has a place keeps it");
        let number = *direct.places().keys().next().unwrap();
        direct.places().remove(&number);
        assert!(paused.next().await.unwrap().is_err());
    }

    #[tokio::test]
    async fn nobody_new_is_let_in_at_the_end() {
        let direct = Direct::new(2, None);
        let running = direct.admit(answer()).unwrap();
        direct.close();
        assert!(direct.admit(answer()).is_none());
        assert_eq!(running.into_body().into_data_stream().count().await, 3);
    }
}
