//! A rate limit that many streams share, and the order in which they pass.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use nearcast_protocol::pieces::Class;
use tokio::{
    sync::Notify,
    time::{Instant as TokioInstant, sleep_until},
};

use crate::bucket::{Attempt, Bucket};

/// Every so many passes the one who came first passes, whatever its class: who calls everything urgent holds
/// nobody up for ever.
const LONGEST_WAITING: u64 = 8;

/// One direction's payload: counted, and held to a rate if there is one.
///
/// Those who wait pass by class, the most urgent first, and within a class by their [`Ticket`]s. So an answer that
/// has begun is finished before the next of its class begins, as fast as its receiver takes it: the line goes to as
/// many at a time as fill it, and everyone's next answer comes after the others'.
#[derive(Debug)]
pub struct Limit {
    state: Mutex<State>,
    passed: AtomicU64,
}

/// A place among those of the same class, behind all whose tickets were given before; an answer's fragments share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

#[derive(Debug)]
struct State {
    bucket: Bucket,
    /// The rate that was set, and the one that the line bears now.
    rate: Option<u64>,
    bound: Option<u64>,
    /// Who waits, with what wakes it.
    waiting: BTreeMap<(Class, Ticket), Arc<Notify>>,
    tickets: u64,
    /// How many have passed after a wait.
    passes: u64,
}

impl State {
    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// Who passes next.
    fn next(&self) -> Option<(&(Class, Ticket), &Arc<Notify>)> {
        if self.passes % LONGEST_WAITING == LONGEST_WAITING - 1 {
            self.waiting.iter().min_by_key(|((_, ticket), _)| *ticket)
        } else {
            self.waiting.first_key_value()
        }
    }

    fn apply(&mut self) {
        let rate = self.rate.into_iter().chain(self.bound).min();
        self.bucket.set_rate(rate, now());
        self.wake_next();
    }

    fn wake_next(&self) {
        if let Some((_, wake)) = self.next() {
            wake.notify_one();
        }
    }
}

impl Limit {
    /// A limit of `rate` bytes/s, or none.
    pub fn new(rate: Option<u64>) -> Self {
        let bucket = Bucket::new(rate, now());
        let state = State { bucket, rate, bound: None, waiting: BTreeMap::new(), tickets: 0, passes: 0 };
        Self { state: Mutex::new(state), passed: AtomicU64::new(0) }
    }

    /// Changes the rate, for those who already wait as well.
    pub fn set(&self, rate: Option<u64>) {
        let mut state = self.state();
        state.rate = rate;
        state.apply();
    }

    /// Bounds the rate besides, by what the line bears now.
    pub(crate) fn bound(&self, bound: Option<u64>) {
        let mut state = self.state();
        if state.bound != bound {
            state.bound = bound;
            state.apply();
        }
    }

    /// The rate it is held to at this moment, in bytes/s.
    pub fn rate(&self) -> Option<u64> {
        self.state().bucket.rate()
    }

    /// The bytes that have passed.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// A place behind all that were given before.
    pub fn ticket(&self) -> Ticket {
        self.state().ticket()
    }

    /// Passes now, or not at all.
    pub fn try_take(&self, bytes: usize) -> bool {
        let mut state = self.state();
        // Behind others who wait, one waits too.
        let free = state.waiting.is_empty() || state.bucket.rate().is_none();
        let passes = free && state.bucket.take(bytes, now()) == Attempt::Passed;
        if passes {
            self.count(bytes);
        }
        passes
    }

    /// Waits until `bytes` may pass, in the order of arrival. Dropped before that, it takes nothing.
    pub async fn take(&self, bytes: usize) {
        if !self.try_take(bytes) {
            self.take_as(Class::Urgent, self.ticket(), bytes).await;
        }
    }

    /// Waits until `bytes` may pass before all who are less urgent or came later. Dropped before that, it takes
    /// nothing, and may come again with the same ticket. No two may wait with one ticket; it may be another limit's
    /// if all who wait here come with tickets of that one.
    pub async fn take_as(&self, class: Class, ticket: Ticket, bytes: usize) {
        let (place, wake) = ((class, ticket), Arc::new(Notify::new()));
        self.state().waiting.insert(place, Arc::clone(&wake));
        let _leave = Leaving { limit: self, place };
        loop {
            let attempt = {
                let mut state = self.state();
                // Without a limit nobody waits for anybody.
                let free = state.bucket.rate().is_none();
                let first = free || state.next().is_some_and(|(first, _)| *first == place);
                first.then(|| state.bucket.take(bytes, now()))
            };
            match attempt {
                Some(Attempt::Passed) => {
                    self.state().passes += 1;
                    return self.count(bytes);
                }
                Some(Attempt::Later(then)) => tokio::select! {
                    () = sleep_until(TokioInstant::from_std(then)) => {}
                    () = wake.notified() => {}
                },
                Some(Attempt::Never) | None => wake.notified().await,
            }
        }
    }

    fn count(&self, bytes: usize) {
        self.passed.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The arithmetic can't be left half done: a poisoned lock holds a sound bucket.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes one who waits out of the line, however its wait ends, and wakes who is next then.
struct Leaving<'a> {
    limit: &'a Limit,
    place: (Class, Ticket),
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut state = self.limit.state();
        state.waiting.remove(&self.place);
        state.wake_next();
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

    /// Puts everyone named into a line that is closed, opens it, and says in which order they pass.
    async fn order_of(line: &[(&'static str, Class)]) -> Vec<&'static str> {
        let limit = Arc::new(Limit::new(Some(0)));
        limit.take(MAX_FRAGMENT).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut streams = JoinSet::new();
        for &(name, class) in line {
            let (limit, order, ticket) = (limit.clone(), order.clone(), limit.ticket());
            streams.spawn(async move {
                limit.take_as(class, ticket, MAX_FRAGMENT).await;
                order.lock().unwrap().push(name);
            });
            tokio::task::yield_now().await;
        }
        limit.set(Some(64_000_000));
        streams.join_all().await;
        Arc::into_inner(order).unwrap().into_inner().unwrap()
    }

    #[tokio::test]
    async fn the_most_urgent_pass_first_and_their_equals_as_they_came() {
        let line = [
            ("rest", Class::Background),
            ("soon", Class::Ready),
            ("now", Class::Urgent),
            ("later", Class::Prefetch),
            ("now too", Class::Urgent),
        ];
        assert_eq!(order_of(&line).await, ["now", "now too", "soon", "later", "rest"]);
    }

    #[tokio::test]
    async fn who_calls_everything_urgent_holds_nobody_up_for_ever() {
        let mut line = vec![("patient", Class::Background)];
        line.extend([("pushing", Class::Urgent); 20]);
        let order = order_of(&line).await;
        let place = order.iter().position(|name| *name == "patient").unwrap();
        assert_eq!(place as u64, LONGEST_WAITING - 1, "{order:?}");
    }

    #[tokio::test]
    async fn an_answer_that_has_begun_is_finished_first() {
        let limit = Arc::new(Limit::new(Some(0)));
        limit.take(MAX_FRAGMENT).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut streams = JoinSet::new();
        for stream in 0..3 {
            let (limit, order, ticket) = (limit.clone(), order.clone(), limit.ticket());
            streams.spawn(async move {
                for _ in 0..4 {
                    limit.take_as(Class::Ready, ticket, MAX_FRAGMENT).await;
                    order.lock().unwrap().push(stream);
                }
            });
            tokio::task::yield_now().await;
        }
        // So slow that each has come again before the next passes.
        limit.set(Some(8_000_000));
        streams.join_all().await;
        assert_eq!(*order.lock().unwrap(), [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
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
