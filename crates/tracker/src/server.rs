//! Calls in, answers out: the tracker's acquisition and sending parts.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use nearcast_network::TrackerCall;
use nearcast_protocol::{
    PeerId,
    tracker::{Answer, Request},
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::sync::mpsc;

use crate::{group_table::GroupTable, pace::Pace, swarm::Swarm};

/// A tracker at work; cheap to clone.
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

    /// Puts another table in place and gives every node its new group. Requests wait no longer than that
    /// takes.
    pub fn set_table(&self, table: GroupTable) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.swarm.regroup(&table);
        state.table = table;
    }

    /// Answers one request.
    pub fn answer(&self, peer: PeerId, observed: IpAddr, request: &Request) -> Answer {
        let now = self.began.elapsed();
        let observed = observed.to_canonical();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { swarm, table, pace, dice } = &mut *state;
        if let Err(wait) = pace.take(now, observed) {
            return refused("too many requests come from your address", wait);
        }
        let place = table.place_of(observed);
        match request {
            Request::Register(registration) => {
                match swarm.register(now, peer, observed, place, registration, dice) {
                    Some(lease) => Answer::Leased(lease),
                    None => refused("this tracker remembers as many nodes as it may", Duration::from_secs(600)),
                }
            }
            Request::Renew(renewal) => {
                swarm.renew(now, peer, observed, renewal, dice).map_or(Answer::Unknown, Answer::Leased)
            }
            Request::Withdraw => {
                swarm.withdraw(now, &peer);
                Answer::Withdrawn
            }
            Request::Find(find) => Answer::Found(swarm.find(now, peer, observed, place, &find.resource, dice)),
            Request::Count(resource) => Answer::Counted(swarm.count(now, &peer, observed, place, resource)),
            Request::Resolve { url } => Answer::Resolved(swarm.resolve(now, url)),
            Request::Claim(claims) => match swarm.claim(now, &peer, claims) {
                true => Answer::Claimed,
                false => refused("only a registered publisher claims addresses", Duration::ZERO),
            },
        }
    }
}

fn refused(reason: &str, retry_after: Duration) -> Answer {
    let retry_after_ms = u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX);
    Answer::Refused { reason: reason.into(), retry_after_ms }
}
