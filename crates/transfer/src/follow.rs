//! One tracker and what it is told: this node is registered, its lease renewed at half of it, and what was
//! received reported (R1, DESIGN §5.4).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use nearcast_network::AskError;
use nearcast_protocol::{
    Multiaddr, ResourceId,
    tracker::{
        Answer, Claim, Holding, Lease, MAX_CLAIMS, MAX_HOLDINGS, Medium, Reach, Received, Registration,
        Renewal, Request, RoundTrip,
    },
};
use tokio::time::{Instant, sleep_until};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    meeting,
    renewing::{Renewed, Tickets},
    tracking::{Inner, Offered, PATIENCE, TrackerState},
};

/// Changes are gathered this long, so that a fast download isn't a message a block.
const GATHER: Duration = Duration::from_millis(500);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// Claims are told in so many messages at a time, with a break after them: a tracker takes some 60 requests a second
/// of one address.
const CLAIMS_AT_ONCE: usize = 32;
/// What leaving may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// After so many failures in a row the next tracker of its list stands in.
const FAILING: u32 = 2;

/// The task that keeps one tracker told.
pub(crate) struct Follow {
    inner: Arc<Inner>,
    tracker: Multiaddr,
    registered: HashMap<Offered, u16>,
    reported: Received,
    /// Which URL it was told to stand for which link.
    claimed: HashMap<String, String>,
    leased: bool,
    tickets: Tickets,
    /// Where it awaits introductions, and the task that does.
    awaiting: Option<(Multiaddr, AbortOnDropHandle<()>)>,
    /// What others are told without a tracker, while this one and its like fail.
    provided: BTreeSet<ResourceId>,
}

impl Follow {
    pub fn new(inner: Arc<Inner>, tracker: Multiaddr) -> Self {
        let (registered, claimed) = (HashMap::new(), HashMap::new());
        let (reported, tickets) = (Received::default(), Tickets::default());
        Self {
            inner,
            tracker,
            registered,
            reported,
            claimed,
            leased: false,
            tickets,
            awaiting: None,
            provided: BTreeSet::new(),
        }
    }

    /// Keeps the tracker told until stopped; then withdraws.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut generation = self.inner.generation.subscribe();
        let mut mapped = self.inner.network.mapped();
        mapped.mark_unchanged();
        let mut failures = 0;
        let mut due = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep_until(due) => {}
                // Whoever registers anew is dialled anew.
                Ok(()) = mapped.changed() => self.leased &= mapped.borrow_and_update().is_empty(),
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
                    self.stand_in(false);
                    self.provide(BTreeSet::new()).await;
                }
                Err(trouble) => {
                    let wait = (FIRST_RETRY * 2_u32.saturating_pow(failures)).min(LONGEST_RETRY);
                    failures = (failures + 1).min(8);
                    tracing::debug!(tracker = %self.tracker, %trouble, "a tracker can't be told");
                    self.note(|state| state.trouble = Some(trouble.to_string()));
                    self.stand_in(failures >= FAILING);
                    self.provide(self.inner.untracked()).await;
                    due = Instant::now() + wait;
                }
            }
        }
        self.awaiting = None;
        if self.leased {
            // Whoever is gone is missed by nobody, and the lease ends by itself.
            tokio::time::timeout(GOODBYE, self.leave()).await.ok();
        }
    }

    /// Tells of these without a tracker, and of nothing else.
    async fn provide(&mut self, wanted: BTreeSet<ResourceId>) {
        let before = std::mem::replace(&mut self.provided, wanted);
        for gone in before.difference(&self.provided) {
            self.inner.network.provide(*gone, false).await;
        }
        for new in self.provided.difference(&before) {
            self.inner.network.provide(*new, true).await;
        }
    }

    /// Reports what was received since the last time, and withdraws.
    async fn leave(&mut self) {
        let (Renewal { received, .. }, _) = self.renewal(&self.inner.offered_to(&self.tracker));
        if received != Received::default() {
            let (held, dropped, round_trips) = (Vec::new(), Vec::new(), Vec::new());
            let last = Renewal { held, dropped, spare_upload: 0, received, round_trips };
            if let Err(error) = self.ask(&Request::Renew(last)).await {
                tracing::debug!(tracker = %self.tracker, %error, "the last report");
            }
        }
        if let Err(error) = self.ask(&Request::Withdraw).await {
            tracing::debug!(tracker = %self.tracker, %error, "withdrawing");
        }
    }

    /// Lets others stand in for the tracker, or no more.
    fn stand_in(&self, failing: bool) {
        let news = self.inner.states.send_if_modified(|states| {
            let state = states.entry(self.tracker.clone()).or_default();
            std::mem::replace(&mut state.failing, failing) != failing
        });
        if news {
            self.inner.touch();
        }
    }

    /// Says what is new, and returns when to speak next.
    async fn tell(&mut self) -> Result<Duration, TellError> {
        let offered = self.inner.offered_to(&self.tracker);
        if offered.is_empty() && !self.leased {
            return Ok(Duration::from_secs(24 * 3600));
        }
        if let Some(lease_ms) = self.renew_by_datagram(&offered).await {
            return Ok(half(lease_ms));
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
        let all_claimed = self.tell_claims().await?;
        let renew_in = lease.as_ref().filter(|_| all_claimed);
        let renew_in = renew_in.map_or(FIRST_RETRY, |lease| half(lease.lease_ms));
        if let Some(lease) = &lease {
            self.tickets.take(lease.ticket.clone(), self.inner.network.reached_at(&self.tracker));
        }
        if let Some(lease) = &lease {
            self.be_met(lease);
        }
        let introduced = self.awaiting.is_some();
        self.note(|state| (state.lease, state.introduced) = (lease, introduced));
        Ok(renew_in)
    }

    /// Awaits introductions if strangers may not be let in otherwise.
    fn be_met(&mut self, lease: &Lease) {
        let network = &self.inner.network;
        let introduced = meeting::needs_introductions(network, lease);
        let dialled = !introduced && lease.reach != Reach::Nat;
        let at = lease.observed.iter().chain(network.mapped().borrow().iter()).cloned().collect();
        network.reached(if dialled { at } else { Vec::new() });
        if !introduced {
            self.awaiting = None;
            return;
        }
        // The address of a connection that has ended is the one before.
        let Some(place) = meeting::place(network, &self.tracker, lease.introduces) else { return };
        if self.awaiting.as_ref().is_none_or(|(before, _)| *before != place) {
            let task = meeting::await_introductions(Arc::clone(network), place.clone());
            self.awaiting = Some((place, AbortOnDropHandle::new(tokio::spawn(task))));
        }
    }

    /// If there is nothing to say but that this node is still here and what it received, a datagram does.
    async fn renew_by_datagram(&mut self, offered: &BTreeMap<Offered, u16>) -> Option<u32> {
        let (renewal, _) = self.renewal(offered);
        let unclaimed = !self.unclaimed(1).is_empty();
        let more = !renewal.held.is_empty() || !renewal.dropped.is_empty() || !renewal.round_trips.is_empty();
        if !self.leased || more || unclaimed {
            return None;
        }
        match self.tickets.renew(&self.inner.network, renewal.received).await? {
            Renewed::Counted(lease_ms) => {
                self.reported = self.reported.plus(renewal.received);
                Some(lease_ms)
            }
            Renewed::Unknown => None,
        }
    }

    async fn register(&mut self, offered: &BTreeMap<Offered, u16>) -> Result<Lease, TellError> {
        let network = &self.inner.network;
        let first = offered.iter().take(MAX_HOLDINGS);
        let holdings: Vec<_> = first.map(|(offered, permille)| holding(*offered, *permille)).collect();
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
                self.registered =
                    holdings.iter().map(|held| ((held.resource, held.guard), held.permille)).collect();
                Ok(lease)
            }
            other => Err(TellError::unexpected(&other)),
        }
    }

    /// What has changed since the tracker was last told, and whether more has than fits one message.
    fn renewal(&self, offered: &BTreeMap<Offered, u16>) -> (Renewal, bool) {
        let news = offered.iter().filter(|(it, permille)| self.registered.get(it) != Some(permille));
        let mut held: Vec<_> = news.map(|(it, permille)| holding(*it, *permille)).collect();
        let gone = || self.registered.keys().filter(|it| !offered.contains_key(it)).copied();
        // What is held under a guard is known by both names, so that it is dropped as nothing held.
        held.extend(gone().filter(|(_, guard)| guard.is_some()).map(|it| holding(it, 0)));
        let mut dropped: Vec<_> =
            gone().filter(|(_, guard)| guard.is_none()).map(|(resource, _)| resource).collect();
        let more = held.len() > MAX_HOLDINGS || dropped.len() > MAX_HOLDINGS;
        held.truncate(MAX_HOLDINGS);
        dropped.truncate(MAX_HOLDINGS);
        let (total, trips) = self.inner.with(|offers| {
            let trips = offers.round_trips.get(&self.tracker).cloned();
            (offers.received.get(&self.tracker).copied().unwrap_or_default(), trips.unwrap_or_default())
        });
        let received = total.since(self.reported);
        let round_trips = trips.into_iter().map(|(group, ms)| RoundTrip { group, ms }).collect();
        (Renewal { held, dropped, spare_upload: 0, received, round_trips }, more)
    }

    fn apply(&mut self, told: &Renewal) {
        for held in &told.held {
            match held.permille {
                0 => self.registered.remove(&(held.resource, held.guard)),
                permille => self.registered.insert((held.resource, held.guard), permille),
            };
        }
        told.dropped.iter().for_each(|id| {
            self.registered.remove(&(*id, None));
        });
        self.reported = self.reported.plus(told.received);
        if !told.round_trips.is_empty() {
            self.inner.with(|offers| offers.round_trips.remove(&self.tracker));
        }
    }

    /// Some of the claims that it wasn't told yet.
    fn unclaimed(&self, many: usize) -> Vec<Claim> {
        self.inner.with(|offers| {
            let claims = offers.claims.get(&self.tracker).into_iter().flatten();
            let news = claims.filter(|claim| self.claimed.get(&claim.url) != Some(&claim.link));
            news.take(many).cloned().collect()
        })
    }

    /// Tells some claims, and says whether those were all.
    async fn tell_claims(&mut self) -> Result<bool, TellError> {
        let news = self.unclaimed(CLAIMS_AT_ONCE * MAX_CLAIMS);
        for part in news.chunks(MAX_CLAIMS) {
            match self.ask(&Request::Claim(part.to_vec())).await? {
                Answer::Claimed => {
                    let told = part.iter().map(|claim| (claim.url.clone(), claim.link.clone()));
                    self.claimed.extend(told);
                }
                other => return Err(TellError::unexpected(&other)),
            }
        }
        Ok(news.len() < CLAIMS_AT_ONCE * MAX_CLAIMS)
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

/// A lease is renewed at half of it.
fn half(lease_ms: u32) -> Duration {
    Duration::from_millis(u64::from(lease_ms) / 2).max(FIRST_RETRY)
}

fn holding((resource, guard): Offered, permille: u16) -> Holding {
    Holding { resource, permille, guard }
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
