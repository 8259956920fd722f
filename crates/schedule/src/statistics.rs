//! How much came from where, and how each peer does.

use std::time::Duration;

use nearcast_protocol::{Group, Role};

use crate::{
    film::Peer,
    neighbour::{InFlight, WEB},
    schedule::Schedule,
};

/// Bytes since the schedule began.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Received {
    pub(crate) payload: u64,
    own_group: u64,
    other_groups: u64,
    publishers: u64,
    web: u64,
}

impl Received {
    pub(crate) fn verified(&mut self, tier: usize, bytes: u64) {
        *match tier {
            0 => &mut self.own_group,
            2 => &mut self.other_groups,
            WEB => &mut self.web,
            _ => &mut self.publishers,
        } += bytes;
    }
}

/// A schedule's figures at a moment. Byte counts are since the schedule began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    /// Verified bytes from terminals of the own group.
    pub own_group: u64,
    /// Verified bytes from terminals of other groups.
    pub other_groups: u64,
    /// Verified bytes from publishers of any group.
    pub publishers: u64,
    /// Verified bytes from web sources.
    pub web: u64,
    /// Payload bytes as they came, hashes and what was thrown away included.
    pub payload: u64,
    /// Bytes asked for that haven't come yet.
    pub in_flight: u64,
    /// Requests on their way.
    pub requests: usize,
    /// Each connected peer, by its handle.
    pub peers: Vec<PeerStatistics>,
}

/// One connected peer's figures at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatistics {
    /// Who.
    pub peer: Peer,
    /// Its network group.
    pub group: Group,
    /// What it is there for.
    pub role: Role,
    /// Whether it counts as a member of the own group.
    pub own_group: bool,
    /// What it is believed to give, in bytes/s.
    pub rate: u64,
    /// Its round trip.
    pub latency: Duration,
    /// Verified bytes it gave.
    pub given: u64,
    /// Bytes it was asked for that haven't come yet.
    pub in_flight: u64,
    /// Requests it has to answer.
    pub requests: usize,
    /// How often it was given up as silent.
    pub timeouts: u64,
    /// How long it won't be asked, because it said so or has failed.
    pub resting: Duration,
}

impl Schedule {
    /// The figures at `now`.
    pub fn statistics(&self, now: Duration) -> Statistics {
        let peers: Vec<_> = self
            .peers
            .iter()
            .map(|(peer, neighbour)| PeerStatistics {
                peer: *peer,
                group: neighbour.group,
                role: neighbour.role,
                own_group: neighbour.tier(self.own_group) < 2,
                rate: neighbour.rate(now),
                latency: neighbour.latency,
                given: neighbour.given,
                in_flight: neighbour.outstanding(),
                requests: neighbour.requests.len(),
                timeouts: neighbour.timeouts,
                resting: neighbour.benched_for(now),
            })
            .collect();
        Statistics {
            own_group: self.received.own_group,
            other_groups: self.received.other_groups,
            publishers: self.received.publishers,
            web: self.received.web,
            payload: self.received.payload,
            in_flight: self.in_flight().map(|(.., request)| InFlight::remaining(request)).sum(),
            requests: self.in_flight().count(),
            peers,
        }
    }
}
