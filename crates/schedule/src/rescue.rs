//! What doesn't come is taken back and given to another peer.
//!
//! Nothing is asked for twice at a time, so a request is cancelled first; the walk that follows gives its
//! blocks away anew. Four cases: no reader wants it any more and one that waits needs the line; its peer has
//! gone silent; its peer answers others but not this one; or it is late, and another peer, alive all the
//! while, would deliver it sooner: much sooner, if its own peer is at least at work.

use std::{ops::Range, time::Duration};

use nearcast_protocol::pieces::{Class, MAX_FRAGMENT};

use crate::{
    action::Because,
    demand::{GRACE, Lane, Rank},
    film::{Peer, RequestId},
    schedule::Schedule,
};

/// Without any alternative a silent peer gets this many times the usual patience.
const NO_ALTERNATIVE: u32 = 4;
/// A request among others that are answered is taken for lost after this long.
const STARVED: Duration = Duration::from_secs(10);
/// A rescue must gain at least this much.
const GAIN: Duration = Duration::from_millis(50);
/// For how long a peer that faltered is left alone.
const BREATHER: Duration = Duration::from_millis(250);

impl Schedule {
    /// Cancels what no urgent or ready window wants, and what nobody waits for.
    pub(crate) fn refocus(&mut self, now: Duration, lanes: &[Lane]) {
        let wanted = |run: &Range<u64>| {
            lanes.iter().any(|lane| {
                let start = run.start.max(lane.blocks.start);
                lane.rank != Rank::Rest
                    && start < run.end.min(lane.blocks.end)
                    && lane.class(start) <= Class::Ready
            })
        };
        let unwanted: Vec<_> = self
            .in_flight()
            .filter(|(_, _, request)| !wanted(&request.blocks) && !request.is_nearly_there())
            .map(|(peer, id, _)| (peer, id))
            .collect();
        for (peer, request) in unwanted {
            self.cancel(now, peer, request, Because::NoLongerWanted);
        }
    }

    /// Gives up on peers that have gone silent and on requests that are never answered.
    pub(crate) fn give_up(&mut self, now: Duration) {
        let mut silent = Vec::new();
        let mut starved = Vec::new();
        for (peer, neighbour) in self.peers.iter().filter(|(_, neighbour)| neighbour.is_busy()) {
            let (silence, patience) = (neighbour.silence(now), neighbour.patience());
            if silence > patience
                && (silence > patience * NO_ALTERNATIVE || self.has_alternative(now, *peer, patience))
            {
                silent.push(*peer);
                continue;
            }
            starved.extend(neighbour.requests.iter().filter_map(|(id, request)| {
                let limit = STARVED.max(request.expected * 8);
                (now.saturating_sub(request.touched) > limit).then_some((*peer, *id))
            }));
        }
        for peer in silent {
            let Some(neighbour) = self.peers.get_mut(&peer) else { continue };
            neighbour.timeouts += 1;
            neighbour.rate.halve();
            neighbour.strike(now);
            let requests: Vec<_> = neighbour.requests.keys().copied().collect();
            for request in requests {
                self.cancel(now, peer, request, Because::PeerSilent);
            }
        }
        for (peer, request) in starved {
            self.cancel(now, peer, request, Because::Starved);
        }
    }

    /// Whether another peer could serve what this one is asked for first, and isn't silent itself.
    fn has_alternative(&self, now: Duration, peer: Peer, patience: Duration) -> bool {
        let Some(front) = self.peers.get(&peer).and_then(|neighbour| neighbour.requests.values().next())
        else {
            return false;
        };
        self.peers.iter().any(|(other, neighbour)| {
            *other != peer
                && neighbour.benched_for(now).is_zero()
                && neighbour.silence(now) < patience
                && neighbour.blocks.contains(front.blocks.start)
        })
    }

    /// Takes late requests from peers that others would overtake.
    pub(crate) fn rescue(&mut self, now: Duration, lanes: &[Lane]) {
        let mut overtaken: Vec<(Peer, RequestId, bool)> = Vec::new();
        let mut candidates = None;
        let mut budget = std::mem::take(&mut self.budget);
        for (peer, neighbour) in &self.peers {
            let (rate, falters) = (neighbour.rate(now), neighbour.falters(now));
            let silence = if falters { neighbour.silence(now) } else { Duration::ZERO };
            let mut ahead = 0;
            let sends_another =
                neighbour.requests.values().any(|request| request.received > 0 && !request.has_come());
            for (id, request) in &neighbour.requests {
                ahead += request.remaining();
                if request.has_come() && !falters {
                    continue;
                }
                let begun = request.received > 0;
                // Of what is being sent a fragment at least is on its way, and that may be any that hasn't begun.
                let on_its_way = crate::rate::bytes_in(neighbour.latency, rate).max(MAX_FRAGMENT as u64);
                let coming = if begun || !sends_another { on_its_way } else { 0 };
                let cost = request.received + coming.min(request.remaining());
                let lag = if begun { Duration::ZERO } else { neighbour.latency + neighbour.held_up(now) };
                let eta = lag + silence + crate::rate::time_for(ahead, rate);
                let Some(deadline) = urgency(lanes, &request.blocks) else { continue };
                if eta <= deadline.saturating_sub(now).max(GRACE / 2) {
                    continue;
                }
                let others = candidates.get_or_insert_with(|| self.candidates(now, lanes));
                let alternative = others
                    .iter_mut()
                    .filter(|other| other.peer != *peer && other.has_room(Rank::Waiting))
                    .filter(|other| {
                        // A machine that was away for a moment makes all peers look silent: one that hasn't
                        // been heard since is no better.
                        let alive = self.peers.get(&other.peer);
                        alive.is_some_and(|other| !other.is_busy() || other.heard >= neighbour.heard)
                    })
                    .filter_map(|other| {
                        other.holds(request.blocks.start).then(|| (other.eta(request.bytes), other))
                    })
                    .min_by_key(|(eta, other)| (*eta, other.peer));
                // What is as far as was foreseen may be on its way already, to the last byte.
                let on_time = now < request.asked + request.expected;
                let worth = |sooner: Duration| match (falters, on_time) {
                    (true, _) => sooner,
                    (false, false) => sooner * 3 / 2,
                    (false, true) => sooner * 3,
                };
                if let Some((sooner, other)) = alternative
                    && worth(sooner) + GAIN < eta
                    // Whoever has gone silent isn't waited for, whatever that costs.
                    && (falters || budget.affords(now, cost))
                {
                    budget.spend(now, cost);
                    other.queued += request.bytes;
                    overtaken.push((*peer, *id, falters));
                    ahead -= request.remaining();
                }
            }
        }
        self.budget = budget;
        for (peer, request, falters) in overtaken {
            if let Some(neighbour) = self.peers.get_mut(&peer).filter(|_| falters) {
                neighbour.suspect(now);
                neighbour.rest(now, BREATHER, false);
            }
            self.cancel(now, peer, request, Because::Overtaken);
        }
    }
}

/// The deadline of the most urgent block of a run, if any is urgent.
fn urgency(lanes: &[Lane], run: &Range<u64>) -> Option<Duration> {
    lanes
        .iter()
        .filter_map(|lane| {
            let start = run.start.max(lane.blocks.start);
            (start < run.end.min(lane.blocks.end) && lane.class(start) == Class::Urgent)
                .then(|| lane.deadline(start))
        })
        .min()
}
