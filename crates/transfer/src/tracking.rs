//! Being known to the trackers (R1): one task per tracker registers what this node holds, renews the lease
//! at half of it, and reports what was received (DESIGN §5.4).

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nearcast_network::{AskError, Network};
use nearcast_protocol::{
    Multiaddr, ResourceId, Role,
    tracker::{
        Answer, Claim, Holding, Lease, MAX_CLAIMS, MAX_HOLDINGS, Medium, Reach, Received, Registration,
        Renewal, Request,
    },
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// How long a tracker may take to answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);
/// Changes are gathered this long, so that a fast download isn't a message a block.
const GATHER: Duration = Duration::from_millis(500);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// What this node offers, for all trackers.
#[derive(Default)]
struct Offers {
    held: BTreeMap<ResourceId, Offer>,
    claims: BTreeMap<Multiaddr, Vec<Claim>>,
    /// What was received in all of the resources that a tracker knows.
    received: BTreeMap<Multiaddr, Received>,
}

#[derive(Clone, Default)]
struct Offer {
    permille: u16,
    protected: bool,
    trackers: Vec<Multiaddr>,
}

/// The state of one tracker.
#[derive(Debug, Clone, Default)]
pub struct TrackerState {
    /// The last lease that was given.
    pub lease: Option<Lease>,
    /// What went wrong the last time.
    pub trouble: Option<String>,
}

/// Keeps this node registered; dropping it ends its tasks.
pub(crate) struct Tracking {
    inner: Arc<Inner>,
    tasks: Mutex<JoinSet<()>>,
    stop: CancellationToken,
}

struct Inner {
    network: Arc<Network>,
    version: String,
    role: Role,
    offers: Mutex<Offers>,
    /// Off while the user wants nothing uploaded: then nothing is offered either.
    sharing: Arc<AtomicBool>,
    /// Set when nothing is offered any more, while uploads that run go on.
    retired: AtomicBool,
    /// Counts changes; each tracker's task watches it.
    generation: watch::Sender<u64>,
    states: watch::Sender<BTreeMap<Multiaddr, TrackerState>>,
}

impl Tracking {
    pub fn new(network: Arc<Network>, version: String, role: Role) -> Self {
        let inner = Inner {
            network,
            version,
            role,
            offers: Mutex::default(),
            sharing: Arc::new(AtomicBool::new(true)),
            retired: AtomicBool::new(false),
            generation: watch::Sender::new(0),
            states: watch::Sender::default(),
        };
        Self { inner: Arc::new(inner), tasks: Mutex::default(), stop: CancellationToken::new() }
    }

    /// This much of the resource can be had from here now. Nothing is offered at 0.
    pub fn hold(&self, resource: ResourceId, permille: u16, trackers: &[Multiaddr]) {
        let fresh = self.inner.with(|offers| {
            let offer = offers.held.entry(resource).or_default();
            let mut news = offer.permille != permille;
            offer.permille = permille;
            for tracker in trackers {
                if !offer.trackers.contains(tracker) {
                    offer.trackers.push(tracker.clone());
                    news = true;
                }
            }
            news
        });
        if fresh {
            trackers.iter().for_each(|tracker| self.follow(tracker));
            self.inner.touch();
        }
    }

    /// The resource can't be had from here any more.
    pub fn drop_holding(&self, resource: &ResourceId) {
        if self.inner.with(|offers| offers.held.remove(resource)).is_some() {
            self.inner.touch();
        }
    }

    /// Whether what is held is offered and uploaded.
    pub fn sharing(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.inner.sharing)
    }

    /// Offers and uploads what is held, or doesn't.
    pub fn set_sharing(&self, on: bool) {
        if self.inner.sharing.swap(on, Ordering::Relaxed) != on {
            self.inner.touch();
        }
    }

    /// Offers nothing any more; uploads that run go on.
    pub fn retire(&self) {
        self.inner.retired.store(true, Ordering::Relaxed);
        self.inner.touch();
    }

    /// More was received of a resource that these trackers know.
    pub fn received(&self, trackers: &[Multiaddr], more: Received) {
        if more == Received::default() {
            return;
        }
        self.inner.with(|offers| {
            for tracker in trackers {
                let total = offers.received.entry(tracker.clone()).or_default();
                *total = total.plus(more);
            }
        });
    }

    /// The URLs that stand for links of this node, to be told to a tracker (R6).
    pub fn claim(&self, tracker: &Multiaddr, claims: Vec<Claim>) {
        self.inner.with(|offers| offers.claims.insert(tracker.clone(), claims));
        self.follow(tracker);
        self.inner.touch();
    }

    /// How it stands with each tracker.
    pub fn states(&self) -> watch::Receiver<BTreeMap<Multiaddr, TrackerState>> {
        self.inner.states.subscribe()
    }

    fn follow(&self, tracker: &Multiaddr) {
        let known = self.inner.states.borrow().contains_key(tracker);
        if known {
            return;
        }
        self.inner.states.send_modify(|states| {
            states.insert(tracker.clone(), TrackerState::default());
        });
        let task = Follow {
            inner: Arc::clone(&self.inner),
            tracker: tracker.clone(),
            registered: HashMap::new(),
            reported: Received::default(),
            claimed: Vec::new(),
            leased: false,
        };
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(task.run(self.stop.clone()));
    }

    /// Withdraws from all trackers and ends.
    pub async fn stop(&self) {
        self.stop.cancel();
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        // A tracker that doesn't answer must not hold up the way out.
        let all = async { while tasks.join_next().await.is_some() {} };
        tokio::time::timeout(Duration::from_secs(2), all).await.ok();
    }
}

impl Drop for Tracking {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Inner {
    fn with<T>(&self, act: impl FnOnce(&mut Offers) -> T) -> T {
        act(&mut self.offers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn touch(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }

    fn offered_to(&self, tracker: &Multiaddr) -> BTreeMap<ResourceId, Offer> {
        if !self.sharing.load(Ordering::Relaxed) || self.retired.load(Ordering::Relaxed) {
            return BTreeMap::new();
        }
        self.with(|offers| {
            let to_it = offers.held.iter().filter(|(_, offer)| offer.trackers.contains(tracker));
            to_it.filter(|(_, offer)| offer.permille > 0).map(|(id, offer)| (*id, offer.clone())).collect()
        })
    }
}

/// The task that keeps one tracker told.
struct Follow {
    inner: Arc<Inner>,
    tracker: Multiaddr,
    registered: HashMap<ResourceId, u16>,
    reported: Received,
    claimed: Vec<Claim>,
    leased: bool,
}

impl Follow {
    async fn run(mut self, stop: CancellationToken) {
        let mut generation = self.inner.generation.subscribe();
        let mut failures = 0;
        let mut due = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep_until(due) => {}
                changed = generation.changed(), if failures == 0 => {
                    if changed.is_err() {
                        break;
                    }
                    // What comes within a moment goes in one message.
                    let soon = Instant::now() + GATHER;
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = sleep_until(soon.min(due)) => {}
                    }
                }
            }
            generation.borrow_and_update();
            let told = tokio::select! {
                () = stop.cancelled() => break,
                told = self.tell() => told,
            };
            match told {
                Ok(renew_in) => {
                    failures = 0;
                    due = Instant::now() + renew_in;
                    self.note(|state| state.trouble = None);
                }
                Err(trouble) => {
                    let wait = (FIRST_RETRY * 2_u32.saturating_pow(failures)).min(LONGEST_RETRY);
                    failures = (failures + 1).min(8);
                    tracing::debug!(tracker = %self.tracker, %trouble, "a tracker can't be told");
                    self.note(|state| state.trouble = Some(trouble.to_string()));
                    due = Instant::now() + wait;
                }
            }
        }
        if self.leased {
            let goodbye = self.inner.network.ask(&self.tracker, &Request::Withdraw, Duration::from_secs(1));
            goodbye.await.ok();
        }
    }

    /// Says what is new, and returns when to speak next.
    async fn tell(&mut self) -> Result<Duration, TellError> {
        let offered = self.inner.offered_to(&self.tracker);
        if offered.is_empty() && !self.leased {
            return Ok(Duration::from_secs(24 * 3600));
        }
        let mut lease = None;
        if !self.leased {
            lease = Some(self.register(&offered).await?);
        }
        loop {
            let (renewal, more) = self.renewal(&offered);
            let nothing_new = renewal.held.is_empty() && renewal.dropped.is_empty();
            if lease.is_some() && nothing_new {
                break;
            }
            match self.ask(&Request::Renew(renewal.clone())).await? {
                Answer::Leased(renewed) => {
                    self.apply(&renewal);
                    lease = Some(renewed);
                }
                Answer::Unknown => {
                    self.leased = false;
                    self.claimed.clear();
                    lease = Some(self.register(&offered).await?);
                    continue;
                }
                other => return Err(TellError::unexpected(&other)),
            }
            if !more {
                break;
            }
        }
        self.tell_claims().await?;
        let half = lease.as_ref().map_or(FIRST_RETRY, |lease| {
            Duration::from_millis(u64::from(lease.lease_ms) / 2).max(FIRST_RETRY)
        });
        self.note(|state| state.lease = lease);
        Ok(half)
    }

    async fn register(&mut self, offered: &BTreeMap<ResourceId, Offer>) -> Result<Lease, TellError> {
        let network = &self.inner.network;
        let first = offered.iter().take(MAX_HOLDINGS);
        let holdings: Vec<_> = first.map(|(id, offer)| offer.holding(*id)).collect();
        let registration = Registration {
            version: self.inner.version.clone(),
            role: self.inner.role,
            tcp_port: network.tcp_port(),
            quic_port: network.quic_port(),
            reach: Reach::Unknown,
            medium: Medium::Unknown,
            local: network.local_addresses(),
            holdings: holdings.clone(),
            spare_upload: 0,
        };
        match self.ask(&Request::Register(registration)).await? {
            Answer::Leased(lease) => {
                self.leased = true;
                self.registered = holdings.iter().map(|held| (held.resource, held.permille)).collect();
                Ok(lease)
            }
            other => Err(TellError::unexpected(&other)),
        }
    }

    /// What has changed since the tracker was last told, and whether more has than fits one message.
    fn renewal(&self, offered: &BTreeMap<ResourceId, Offer>) -> (Renewal, bool) {
        let news = offered.iter().filter(|(id, offer)| self.registered.get(id) != Some(&offer.permille));
        let mut held: Vec<_> = news.map(|(id, offer)| offer.holding(*id)).collect();
        let gone = self.registered.keys().filter(|id| !offered.contains_key(id));
        let mut dropped: Vec<_> = gone.copied().collect();
        let more = held.len() > MAX_HOLDINGS || dropped.len() > MAX_HOLDINGS;
        held.truncate(MAX_HOLDINGS);
        dropped.truncate(MAX_HOLDINGS);
        let total = self.inner.with(|offers| offers.received.get(&self.tracker).copied()).unwrap_or_default();
        let received = total.since(self.reported);
        (Renewal { held, dropped, spare_upload: 0, received }, more)
    }

    fn apply(&mut self, told: &Renewal) {
        self.registered.extend(told.held.iter().map(|held| (held.resource, held.permille)));
        told.dropped.iter().for_each(|id| {
            self.registered.remove(id);
        });
        self.reported = self.reported.plus(told.received);
    }

    async fn tell_claims(&mut self) -> Result<(), TellError> {
        let claims = self.inner.with(|offers| offers.claims.get(&self.tracker).cloned()).unwrap_or_default();
        if claims == self.claimed {
            return Ok(());
        }
        for part in claims.chunks(MAX_CLAIMS) {
            match self.ask(&Request::Claim(part.to_vec())).await? {
                Answer::Claimed => {}
                other => return Err(TellError::unexpected(&other)),
            }
        }
        self.claimed = claims;
        Ok(())
    }

    async fn ask(&self, request: &Request) -> Result<Answer, TellError> {
        match self.inner.network.ask(&self.tracker, request, PATIENCE).await? {
            Answer::Refused { reason, .. } => Err(TellError::Refused(reason)),
            answer => Ok(answer),
        }
    }

    fn note(&self, act: impl FnOnce(&mut TrackerState)) {
        self.inner.states.send_modify(|states| act(states.entry(self.tracker.clone()).or_default()));
    }
}

impl Offer {
    fn holding(&self, resource: ResourceId) -> Holding {
        Holding { resource, permille: self.permille, protected: self.protected }
    }
}

#[derive(Debug, thiserror::Error)]
enum TellError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("it refuses: {0}")]
    Refused(String),
    #[error("it answered {0}, which makes no sense here")]
    Unexpected(String),
}

impl TellError {
    fn unexpected(answer: &Answer) -> Self {
        let text = format!("{answer:?}");
        Self::Unexpected(text.chars().take(60).collect())
    }
}
