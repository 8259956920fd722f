//! Calls in, answers out: the tracker's acquisition and sending parts.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nearcast_network::TrackerCall;
use nearcast_protocol::{
    Group, PeerId,
    tracker::{Answer, Received, Request},
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::{sync::mpsc, time::Instant};

use crate::{
    group_table::GroupTable,
    pace::Pace,
    swarm::{Caller, Swarm},
};

/// When to try again at a tracker that is full: leases run out all the time.
const FULL: Duration = Duration::from_secs(600);

/// A tracker at work; a clone is the same tracker.
#[derive(Clone)]
pub struct Server {
    state: Arc<Mutex<State>>,
    began: Instant,
}

struct State {
    swarm: Swarm,
    table: GroupTable,
    pace: Pace,
    dice: StdRng,
}

impl Server {
    /// A tracker with this memory and this table.
    pub fn new(swarm: Swarm, table: GroupTable) -> Self {
        let state = State { swarm, table, pace: Pace::default(), dice: StdRng::from_os_rng() };
        Self { state: Arc::new(Mutex::new(state)), began: Instant::now() }
    }

    /// Answers calls until there are no more.
    pub async fn run(self, mut calls: mpsc::Receiver<TrackerCall>) {
        while let Some(call) = calls.recv().await {
            let answer = self.answer(call.peer, call.observed, &call.request);
            call.answer(answer);
        }
    }

    /// Puts another table in place and gives every node its new group. No call is lost: those that come
    /// meanwhile wait.
    pub fn set_table(&self, table: GroupTable) {
        let mut state = self.state();
        state.swarm.regroup(&table);
        // The old table is taken apart after the others may go on.
        let old = std::mem::replace(&mut state.table, table);
        drop(state);
        drop(old);
    }

    /// What the nodes of each group have reported to have received, with the group's name: the operator's
    /// proof.
    pub fn received(&self) -> BTreeMap<Group, (String, Received)> {
        let state = self.state();
        let name = |group| state.table.name_of(group).unwrap_or_default().to_owned();
        state.swarm.received().iter().map(|(group, sum)| (*group, (name(*group), *sum))).collect()
    }

    /// Answers one request.
    pub fn answer(&self, peer: PeerId, observed: IpAddr, request: &Request) -> Answer {
        let now = self.began.elapsed();
        let observed = observed.to_canonical();
        let mut state = self.state();
        let State { swarm, table, pace, dice } = &mut *state;
        if let Err(wait) = pace.take(now, observed) {
            return refused("too many requests come from your address", wait);
        }
        let caller = Caller { peer, observed, place: table.place_of(observed) };
        match request {
            Request::Register(registration) => match swarm.register(now, &caller, registration, dice) {
                Some(lease) => Answer::Leased(lease),
                None => refused("this tracker remembers as many nodes as it may", FULL),
            },
            Request::Renew(renewal) => {
                swarm.renew(now, &caller, renewal, dice).map_or(Answer::Unknown, Answer::Leased)
            }
            Request::Withdraw => {
                swarm.withdraw(now, &peer);
                Answer::Withdrawn
            }
            Request::Find(find) => Answer::Found(swarm.find(now, &caller, &find.resource, dice)),
            Request::Count(resource) => Answer::Counted(swarm.count(now, &caller, resource)),
            Request::Resolve { url } => Answer::Resolved(swarm.resolve(now, url)),
            Request::Claim(claims) => match swarm.claim(now, &peer, claims) {
                true => Answer::Claimed,
                false => refused("only a registered publisher claims URLs", Duration::ZERO),
            },
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(reason: &str, retry_after: Duration) -> Answer {
    // Rounded up: whoever waits as long as told is let in.
    let retry_after_ms = u32::try_from(retry_after.as_micros().div_ceil(1000)).unwrap_or(u32::MAX);
    Answer::Refused { reason: reason.into(), retry_after_ms }
}

#[cfg(test)]
mod tests {
    use nearcast_protocol::{ResourceId, tracker::Renewal};

    use super::*;
    use crate::rules::Rules;

    #[test]
    fn a_flood_is_refused_and_told_how_long_to_wait() {
        let server = Server::new(Swarm::new(Rules::default()), GroupTable::default());
        let (peer, address) = (PeerId::random(), "203.0.113.1".parse().unwrap());
        let count = Request::Count(ResourceId::from_bytes([1; 32]));
        let refused = (0..100_000).find_map(|_| match server.answer(peer, address, &count) {
            Answer::Refused { retry_after_ms, .. } => Some(retry_after_ms),
            _ => None,
        });
        assert!(refused.is_some_and(|wait| (1..1_000).contains(&wait)), "{refused:?}");
        let other = "203.0.113.2".parse().unwrap();
        assert!(matches!(server.answer(PeerId::random(), other, &count), Answer::Counted(_)));
    }

    #[test]
    fn strangers_are_told_so() {
        let server = Server::new(Swarm::new(Rules::default()), GroupTable::default());
        let (peer, address) = (PeerId::random(), "203.0.113.1".parse().unwrap());
        assert_eq!(server.answer(peer, address, &Request::Renew(Renewal::default())), Answer::Unknown);
        assert_eq!(server.answer(peer, address, &Request::Withdraw), Answer::Withdrawn);
        let claim = server.answer(peer, address, &Request::Claim(Vec::new()));
        assert!(matches!(claim, Answer::Refused { retry_after_ms: 0, .. }));
        let resolve = Request::Resolve { url: "https://films.example/".into() };
        assert_eq!(server.answer(peer, address, &resolve), Answer::Resolved(Vec::new()));
        assert!(server.received().is_empty());
    }
}
