//! Calls in, answers out: the tracker's acquisition and sending parts.

mod answers;
mod introducing;
pub(crate) mod portions;
mod upkeep;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use nearcast_network::TrackerCall;
use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use crate::{
    access::Access,
    datagrams::Tickets,
    dial_back::DialBack,
    group_table::GroupTable,
    guarding::Guarding,
    introductions::Introductions,
    limits::Limits,
    metrics::{Metrics, resident},
    pace::Pace,
    rules::Rules,
    snapshot::Changes,
    swarm::Swarm,
};

/// How often leases that have run out are looked for, if nobody calls.
const TIDY: Duration = Duration::from_millis(100);
/// How often the process's memory is looked at.
const WEIGH: Duration = Duration::from_secs(1);
/// Questions whether the server still answers that may wait: the page's and the system's.
const PROBES: usize = 8;

/// A tracker at work; a clone is the same tracker.
#[derive(Clone)]
pub struct Server {
    state: Arc<Mutex<State>>,
    began: Instant,
    metrics: Arc<Metrics>,
    probes: mpsc::Sender<oneshot::Sender<()>>,
    probed: Arc<Mutex<Option<mpsc::Receiver<oneshot::Sender<()>>>>>,
    /// Held by whoever saves.
    pub(crate) saving: Arc<Mutex<()>>,
    /// Whether whoever saves waits for nobody.
    pub(crate) hurried: Arc<AtomicBool>,
}

pub(crate) struct State {
    pub(crate) swarm: Swarm,
    pub(crate) table: Arc<GroupTable>,
    pub(crate) access: Arc<Access>,
    pace: Pace,
    pub(crate) dice: StdRng,
    /// As the operator set them; the swarm's are narrower while the memory is full.
    pub(crate) rules: Rules,
    limits: Limits,
    crowded: bool,
    /// What the clock showed at the start: after a restart it goes on.
    pub(crate) clock: Duration,
    pub(crate) changes: Changes,
    /// If renewals are taken by datagram.
    pub(crate) tickets: Option<Tickets>,
    /// If nodes are dialled.
    pub(crate) dial_back: Option<DialBack>,
    guarding: Guarding,
    introductions: Introductions<TrackerCall>,
}

impl Server {
    /// A tracker with this memory and this table.
    pub fn new(mut swarm: Swarm, table: GroupTable) -> Self {
        swarm.set_distances(table.said().clone());
        let rules = swarm.rules;
        let state = State {
            swarm,
            table: Arc::new(table),
            access: Arc::default(),
            pace: Pace::default(),
            dice: StdRng::from_os_rng(),
            rules,
            limits: Limits::default(),
            crowded: false,
            clock: Duration::ZERO,
            changes: Changes::default(),
            tickets: None,
            dial_back: None,
            guarding: Guarding::default(),
            introductions: Introductions::new(0),
        };
        let (probes, probed) = mpsc::channel(PROBES);
        Self {
            state: Arc::new(Mutex::new(state)),
            began: Instant::now(),
            metrics: Arc::default(),
            probes,
            probed: Arc::new(Mutex::new(Some(probed))),
            saving: Arc::default(),
            hurried: Arc::default(),
        }
    }

    /// Answers calls until there are no more.
    pub async fn run(self, mut calls: mpsc::Receiver<TrackerCall>) {
        let mut tidy = interval(TIDY);
        tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut weigh = interval(WEIGH);
        weigh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let probed = self.probed.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A second run of the same tracker isn't probed.
        let mut probed = probed.unwrap_or_else(|| mpsc::channel(1).1);
        loop {
            tokio::select! {
                call = calls.recv() => {
                    let Some(call) = call else { break };
                    self.take(call);
                }
                // So that whoever calls after a silence doesn't wait until all the dead are forgotten.
                _ = tidy.tick() => self.expire(),
                _ = weigh.tick() => {
                    self.weigh(resident());
                    self.tidy_introductions();
                }
                Some(probe) = probed.recv() => drop(probe.send(())),
            }
        }
    }

    /// Whether the task that answers calls is there and comes round to it in time.
    pub async fn responds(&self, within: Duration) -> bool {
        let (probe, heard) = oneshot::channel();
        let heard = async { self.probes.send(probe).await.is_ok() && heard.await.is_ok() };
        timeout(within, heard).await.unwrap_or(false)
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// How often somebody was refused a protected resource, for want of a good token.
    pub fn denied(&self) -> u64 {
        self.state().guarding.denied()
    }

    pub(crate) fn now(&self, state: &State) -> Duration {
        state.clock + self.began.elapsed()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
