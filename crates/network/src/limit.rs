//! A rate limit that many streams share.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant as TokioInstant, sleep_until},
};

use crate::bucket::{Attempt, Bucket};

/// One direction's payload: counted, and held to a rate if there is one.
///
/// Those who wait pass in the order they came. A stream asks for one fragment at a time, so streams that
/// send at once take turns.
#[derive(Debug)]
pub struct Limit {
    bucket: Mutex<Bucket>,
    /// One permit: whoever holds it is next. Tokio's semaphore hands it on in order of arrival.
    turn: Semaphore,
    changed: Notify,
    passed: AtomicU64,
}

impl Limit {
    /// A limit of `rate` bytes/s, or none.
    pub fn new(rate: Option<u64>) -> Self {
        Self {
            bucket: Mutex::new(Bucket::new(rate, now())),
            turn: Semaphore::new(1),
            changed: Notify::new(),
            passed: AtomicU64::new(0),
        }
    }

    /// Changes the rate, for those who already wait as well.
    pub fn set(&self, rate: Option<u64>) {
        self.bucket().set_rate(rate, now());
        self.changed.notify_waiters();
    }

    /// The bytes that have passed.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Passes now, or not at all.
    pub(crate) fn try_take(&self, bytes: usize) -> bool {
        // Behind others who wait, one waits too.
        let turn = self.turn.try_acquire();
        let free = turn.is_ok() || self.bucket().rate().is_none();
        let passes = free && self.bucket().take(bytes, now()) == Attempt::Passed;
        if passes {
            self.count(bytes);
        }
        passes
    }

    /// Waits until `bytes` may pass. Dropped before that, it takes nothing.
    pub async fn take(&self, bytes: usize) {
        if self.try_take(bytes) {
            return;
        }
        // The semaphore is never closed.
        let _turn = self.turn.acquire().await;
        loop {
            // Before the attempt, so that no change falls in between.
            let changed = self.changed.notified();
            let attempt = self.bucket().take(bytes, now());
            match attempt {
                Attempt::Passed => return self.count(bytes),
                Attempt::Never => changed.await,
                Attempt::Later(then) => tokio::select! {
                    () = sleep_until(TokioInstant::from_std(then)) => {}
                    () = changed => {}
                },
            }
        }
    }

    fn count(&self, bytes: usize) {
        self.passed.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        // The arithmetic can't be left half done: a poisoned lock holds a sound bucket.
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tokio's clock, which tests can stop.
fn now() -> Instant {
    TokioInstant::now().into_std()
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::Arc, time::Duration};

    use nearcast_protocol::pieces::MAX_FRAGMENT;
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn streams_take_turns_and_together_keep_the_rate() {
        const RATE: u64 = 4_000_000;
        // Closed at first, so that all streams wait for it when it opens.
        let limit = Arc::new(Limit::new(Some(0)));
        limit.take(MAX_FRAGMENT).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut streams = JoinSet::new();
        for stream in 0..4 {
            let (limit, order) = (limit.clone(), order.clone());
            streams.spawn(async move {
                for _ in 0..20 {
                    limit.take(MAX_FRAGMENT).await;
                    order.lock().unwrap().push(stream);
                }
            });
        }
        tokio::task::yield_now().await;
        let start = Instant::now();
        limit.set(Some(RATE));
        streams.join_all().await;
        let total = 80 * MAX_FRAGMENT as u64;
        assert_eq!(limit.passed(), total + MAX_FRAGMENT as u64);
        let burst = (RATE / 20).max(MAX_FRAGMENT as u64);
        assert!(start.elapsed() >= Duration::from_secs_f64((total - burst) as f64 / RATE as f64));
        let order = order.lock().unwrap();
        for window in order.windows(4) {
            assert_eq!(window.iter().collect::<HashSet<_>>().len(), 4, "{order:?}");
        }
    }

    #[tokio::test]
    async fn a_change_reaches_those_who_wait() {
        let limit = Arc::new(Limit::new(Some(1)));
        limit.take(MAX_FRAGMENT).await;
        let waiting = tokio::spawn({
            let limit = limit.clone();
            async move { limit.take(MAX_FRAGMENT).await }
        });
        // At one byte a second it would be nine hours, at none for ever.
        for rate in [Some(0), Some(2), None] {
            tokio::task::yield_now().await;
            assert!(!waiting.is_finished());
            limit.set(rate);
        }
        waiting.await.unwrap();
        assert_eq!(limit.passed(), 2 * MAX_FRAGMENT as u64);
    }

    #[tokio::test]
    async fn one_who_gives_up_takes_nothing_and_blocks_nobody() {
        let limit = Limit::new(Some(1));
        limit.take(MAX_FRAGMENT).await;
        let impatient = tokio::time::timeout(Duration::from_millis(5), limit.take(MAX_FRAGMENT));
        assert!(impatient.await.is_err());
        assert_eq!(limit.passed(), MAX_FRAGMENT as u64);
        limit.set(None);
        limit.take(MAX_FRAGMENT).await;
        assert_eq!(limit.passed(), 2 * MAX_FRAGMENT as u64);
    }
}
