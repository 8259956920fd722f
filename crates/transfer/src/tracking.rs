//! Being known to the trackers (R1, R8): what this node offers, and a task per tracker that tells it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nearcast_network::Network;
use nearcast_protocol::{
    Group, Guard, Multiaddr, ResourceId, Role,
    tracker::{Claim, Lease, MAX_ROUND_TRIPS, Reach, Received},
};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{follow::Follow, trackers::Trackers};

/// How long a tracker may take to answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);

/// What this node offers, for all trackers.
#[derive(Default)]
pub(crate) struct Offers {
    held: BTreeMap<ResourceId, Offer>,
    /// Whose token finders of a resource must show, for those that are protected.
    guards: BTreeMap<ResourceId, Guard>,
    pub claims: BTreeMap<Multiaddr, Vec<Claim>>,
    /// What was received in all of the resources that a tracker knows.
    pub received: BTreeMap<Multiaddr, Received>,
    /// The shortest round trips to other groups, in ms, that a tracker hasn't been told.
    pub round_trips: BTreeMap<Multiaddr, BTreeMap<Group, u16>>,
}

/// A resource and whose token a finder must show.
pub(crate) type Offered = (ResourceId, Option<Guard>);

#[derive(Clone, Default)]
struct Offer {
    permille: u16,
    trackers: Trackers,
}

/// The state of one tracker.
#[derive(Debug, Clone, Default)]
pub struct TrackerState {
    /// The last lease that was given.
    pub lease: Option<Lease>,
    /// What went wrong the last time.
    pub trouble: Option<String>,
    /// Whether this node awaits introductions there, since strangers may not be let in otherwise.
    pub introduced: bool,
    /// Whether it went wrong several times in a row: the next tracker of its list stands in.
    pub failing: bool,
}

/// How viewers elsewhere get to this node, as far as its trackers know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reached {
    /// No tracker has tried yet.
    #[default]
    Unknown,
    /// They dial it.
    Directly,
    /// A tracker introduces them; that works for most, but not where both sit behind strict address translation.
    ByIntroduction,
    /// Those alone who are behind the same address do.
    FromWithin,
}

impl Reached {
    /// What the trackers know together: viewers come from any of them.
    pub fn of<'a>(states: impl IntoIterator<Item = &'a TrackerState>) -> Self {
        let mut all = Self::Unknown;
        for state in states {
            let Some(lease) = &state.lease else { continue };
            let this = match (state.introduced, lease.reach) {
                (true, _) => Self::ByIntroduction,
                (false, Reach::Public) => Self::Directly,
                (false, Reach::Nat) => Self::FromWithin,
                (false, _) => Self::Unknown,
            };
            all = match (all, this) {
                (Self::Directly, _) | (_, Self::Directly) => Self::Directly,
                (Self::ByIntroduction, _) | (_, Self::ByIntroduction) => Self::ByIntroduction,
                (Self::FromWithin, _) | (_, Self::FromWithin) => Self::FromWithin,
                (Self::Unknown, Self::Unknown) => Self::Unknown,
            };
        }
        all
    }
}

/// Keeps this node registered; dropping it ends its tasks.
pub(crate) struct Tracking {
    inner: Arc<Inner>,
    tasks: Mutex<JoinSet<()>>,
    stop: CancellationToken,
}

pub(crate) struct Inner {
    pub network: Arc<Network>,
    pub version: String,
    pub role: Role,
    offers: Mutex<Offers>,
    /// Off while the user wants nothing uploaded: then nothing is offered either.
    sharing: Arc<AtomicBool>,
    /// Set when nothing is offered any more, while uploads that run go on.
    retired: AtomicBool,
    /// Counts changes; each tracker's task watches it.
    pub generation: watch::Sender<u64>,
    pub states: watch::Sender<BTreeMap<Multiaddr, TrackerState>>,
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
    pub fn hold(&self, resource: ResourceId, permille: u16, trackers: &Trackers) {
        let fresh = self.inner.with(|offers| {
            let offer = offers.held.entry(resource).or_default();
            let news = offer.permille != permille;
            offer.permille = permille;
            offer.trackers.add(trackers) || news
        });
        if fresh {
            // Which of them it is registered at, each one's task finds out: that changes while one fails.
            trackers.all().for_each(|tracker| self.follow(tracker));
            self.inner.touch();
        }
    }

    /// From now on the resource is offered to bearers of this guard's tokens only, or to all. To be said before
    /// [`Tracking::hold`], so that nothing protected is ever offered to all.
    pub fn guard(&self, resource: ResourceId, guard: Option<Guard>) {
        let fresh = self.inner.with(|offers| {
            let known = match guard {
                Some(guard) => offers.guards.insert(resource, guard),
                None => offers.guards.remove(&resource),
            };
            known != guard && offers.held.contains_key(&resource)
        });
        if fresh {
            self.inner.touch();
        }
    }

    /// The resource can't be had from here any more.
    pub fn drop_holding(&self, resource: &ResourceId) {
        let held = self.inner.with(|offers| {
            offers.guards.remove(resource);
            offers.held.remove(resource)
        });
        if held.is_some() {
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

    /// More was received of a resource. One tracker of each list is told: together they count it once.
    pub fn received(&self, resource: &ResourceId, trackers: &Trackers, more: Received) {
        if more == Received::default() {
            return;
        }
        let told = trackers.first(resource, |tracker| self.inner.fails(tracker));
        self.inner.with(|offers| {
            for tracker in told {
                let total = offers.received.entry(tracker).or_default();
                *total = total.plus(more);
            }
        });
    }

    /// A node of another group has answered within this time; these trackers say which group it is.
    pub fn answered(&self, trackers: &Trackers, group: Group, within: Duration) {
        let ms = u16::try_from(within.as_millis()).unwrap_or(u16::MAX);
        self.inner.with(|offers| {
            for tracker in trackers.all() {
                let trips = offers.round_trips.entry(tracker.clone()).or_default();
                if trips.contains_key(&group) || trips.len() < MAX_ROUND_TRIPS {
                    let least = trips.entry(group).or_insert(ms);
                    *least = ms.min(*least);
                }
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
        let task = Follow::new(Arc::clone(&self.inner), tracker.clone());
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
    pub fn with<T>(&self, act: impl FnOnce(&mut Offers) -> T) -> T {
        act(&mut self.offers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn touch(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }

    /// Whether others stand in for a tracker.
    pub fn fails(&self, tracker: &Multiaddr) -> bool {
        self.states.borrow().get(tracker).is_some_and(|state| state.failing)
    }

    /// What is offered to all and known to no tracker that answers.
    pub fn untracked(&self) -> BTreeSet<ResourceId> {
        if !self.sharing.load(Ordering::Relaxed) || self.retired.load(Ordering::Relaxed) {
            return BTreeSet::new();
        }
        let states = self.states.borrow().clone();
        let fails = |tracker: &Multiaddr| states.get(tracker).is_some_and(|state| state.failing);
        self.with(|offers| {
            let open = offers.held.iter().filter(|(id, _)| !offers.guards.contains_key(id));
            let untracked = open.filter(|(_, offer)| offer.permille > 0 && offer.trackers.all().all(fails));
            untracked.map(|(id, _)| *id).collect()
        })
    }

    /// What is registered at a tracker now.
    pub fn offered_to(&self, tracker: &Multiaddr) -> BTreeMap<Offered, u16> {
        if !self.sharing.load(Ordering::Relaxed) || self.retired.load(Ordering::Relaxed) {
            return BTreeMap::new();
        }
        let states = self.states.borrow().clone();
        let fails = |tracker: &Multiaddr| states.get(tracker).is_some_and(|state| state.failing);
        self.with(|offers| {
            let held = offers.held.iter().filter(|(_, offer)| offer.permille > 0);
            let to_it = held.filter(|(id, offer)| offer.trackers.registers_at(id, tracker, fails));
            to_it.map(|(id, offer)| ((*id, offers.guards.get(id).copied()), offer.permille)).collect()
        })
    }
}
