//! A publisher's gate: who is let in (R7), what the trackers are asked for it, and who is told to go where.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use nearcast_network::{Network, PieceStream};
use nearcast_protocol::{
    Group, Multiaddr, PeerAddress, PeerId, ResourceId, Role,
    peer::ip_of,
    pieces::{Frame, Hello, MAX_HINTS, Reason, Refuse},
    tracker::{ListedPeer, PeerList, Request},
};
use nearcast_schedule::Peer;

use super::{Done, Drive, meet::refuse_stream};
use crate::{
    load::{Load, LoadRules, Place, Verdict},
    served::Served,
};

/// How long a newcomer waits for what a tracker says of its network.
const PATIENCE: Duration = Duration::from_secs(5);
/// Newcomers that wait so; whoever comes beyond that comes back.
const WAITING: usize = 64;
/// Addresses whose network is remembered.
const REMEMBERED: usize = 4096;
/// Others that are remembered to be hinted at.
const OTHERS: usize = 256;

/// Somebody who wants a stream.
pub(super) type Newcomer = Box<(PieceStream, Hello)>;

/// What the gate of one resource knows.
pub(super) struct Gate {
    pub load: Load,
    places: HashMap<IpAddr, (Group, Place)>,
    /// Terminals that hold it, as the trackers said last.
    others: HashMap<PeerId, ListedPeer>,
    waiting: usize,
    asking: bool,
}

impl Gate {
    pub fn new(rules: LoadRules) -> Self {
        let (load, places, others) = (Load::new(rules), HashMap::new(), HashMap::new());
        Self { load, places, others, waiting: 0, asking: false }
    }

    fn place_of(&self, address: Option<IpAddr>) -> Option<(Group, Place)> {
        self.places.get(&address?).copied()
    }

    fn learn(&mut self, now: Instant, address: Option<IpAddr>, list: &PeerList) {
        self.load.counted(now, list.counts.complete_terminals);
        if let Some(address) = address {
            if self.places.len() >= REMEMBERED {
                self.places.clear();
            }
            let place = Place { complete: list.counts.complete_in_group, said: now };
            self.places.insert(address, (list.group, place));
        }
        if self.others.len() >= OTHERS {
            self.others.clear();
        }
        let terminals = list.peers.iter().filter(|peer| peer.role == Role::Terminal);
        self.others.extend(terminals.map(|peer| (peer.peer(), peer.clone())));
    }

    /// Whom somebody of `group` may ask instead: its own network first, then whoever has more of it.
    fn hints(&self, asker: PeerId, group: Group) -> Vec<PeerAddress> {
        let mut others: Vec<_> = self.others.values().filter(|other| other.peer() != asker).collect();
        others.sort_by_key(|other| {
            (!other.group.same_network(group), std::cmp::Reverse(other.permille), other.peer().to_bytes())
        });
        others.into_iter().take(MAX_HINTS).map(|other| other.address.clone()).collect()
    }
}

impl Drive {
    /// The newcomer, if it is let in; `None` if it has to wait for a tracker, or was sent away.
    pub(super) fn admit(&mut self, newcomer: Newcomer, asked: bool) -> Option<Newcomer> {
        let served = self.served();
        let known = self.contacts.handle(newcomer.0.peer).is_some();
        let Some(gate) = &mut self.gate else { return Some(newcomer) };
        let address = newcomer.0.remote.as_ref().and_then(ip_of);
        let place = gate.place_of(address);
        let now = Instant::now();
        // Whoever has a stream already opens it anew.
        let served = served.saturating_sub(usize::from(known));
        let full = !self.parts.bounds.room(served);
        match gate.load.arrives(now, full, place.map(|(_, place)| place), asked) {
            _ if known => Some(newcomer),
            Verdict::Serve => {
                if place.is_none() && !asked {
                    self.ask_about(address, None);
                }
                Some(newcomer)
            }
            Verdict::Ask if gate.waiting < WAITING => {
                gate.waiting += 1;
                self.ask_about(address, Some(newcomer));
                None
            }
            Verdict::Ask => {
                self.send_away(newcomer, Reason::Busy, PATIENCE);
                None
            }
            Verdict::Refuse { reason, retry_after } => {
                self.send_away(newcomer, reason, retry_after);
                None
            }
        }
    }

    /// Refuses a stream, and says where else to ask.
    fn send_away(&mut self, newcomer: Newcomer, reason: Reason, retry_after: Duration) {
        let (stream, hello) = *newcomer;
        let Some(gate) = &self.gate else { return };
        let address = stream.remote.as_ref().and_then(ip_of);
        let group = gate.place_of(address).map_or(hello.group, |(group, _)| group);
        let peers = gate.hints(stream.peer, group);
        tracing::debug!(peer = %stream.peer, ?reason, hints = peers.len(), "a stream is refused");
        self.note(|served| match reason {
            Reason::EnoughHolders => served.refused_enough += 1,
            _ => served.refused_busy += 1,
        });
        let retry_after_ms = u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX);
        let frame = Frame::Refuse(Refuse { id: None, reason, retry_after_ms, peers });
        self.jobs.spawn(async move {
            refuse_stream(stream, frame).await;
            Done::Session
        });
    }

    /// Asks how many hold it, if it is time to.
    pub(super) fn count(&mut self, now: Instant) {
        let served = self.served();
        let Some(gate) = &mut self.gate else { return };
        let due = gate.load.ask_at(now, served).is_some_and(|due| due <= now);
        if due && !gate.asking {
            gate.asking = true;
            self.ask_about(None, None);
        }
    }

    /// When to ask next.
    pub(super) fn count_at(&self, now: Instant) -> Option<Instant> {
        let gate = self.gate.as_ref().filter(|gate| !gate.asking)?;
        gate.load.ask_at(now, self.served())
    }

    fn ask_about(&mut self, address: Option<IpAddr>, newcomer: Option<Newcomer>) {
        let (network, resource) = (Arc::clone(&self.parts.network), self.parts.shared.link.id);
        let trackers: Vec<_> = self.parts.trackers.ordered(&resource).into_iter().flatten().collect();
        let own = self.parts.network.listening().first().and_then(ip_of);
        self.jobs.spawn(async move {
            let asking = ask(&network, &trackers, resource, address.or(own));
            let list = tokio::time::timeout(PATIENCE, asking).await.ok().flatten();
            Done::Placed(address, newcomer, list.map(Box::new))
        });
    }

    /// What a tracker has said, or not.
    pub(super) fn placed(
        &mut self,
        address: Option<IpAddr>,
        newcomer: Option<Newcomer>,
        list: Option<Box<PeerList>>,
    ) {
        let now = Instant::now();
        let Some(gate) = &mut self.gate else { return };
        if address.is_none() {
            gate.asking = false;
        }
        match list {
            Some(list) => {
                gate.learn(now, address, &list);
                let (complete, resting) = (gate.load.complete(), gate.load.resting());
                self.note(|served| {
                    served.complete_terminals = complete;
                    served.most_complete = served.most_complete.max(complete.unwrap_or(0));
                    served.resting = resting;
                });
                self.settle(address, list.group);
            }
            None if address.is_none() => gate.load.not_counted(now),
            // Nobody can say; what was given is known all the same.
            None => self.settle(address, Group::UNKNOWN),
        }
        if let Some(newcomer) = newcomer {
            if let Some(gate) = &mut self.gate {
                gate.waiting = gate.waiting.saturating_sub(1);
            }
            if let Some(newcomer) = self.admit(newcomer, true) {
                self.welcome(*newcomer);
            }
        }
    }

    /// Books what went to an address under the network that it turned out to be in.
    fn settle(&mut self, address: Option<IpAddr>, group: Group) {
        let Some(address) = address else { return };
        let mut bytes = 0;
        for peer in self.peers.values_mut() {
            if peer.address.as_ref().and_then(ip_of) == Some(address) {
                bytes += std::mem::take(&mut peer.unbooked);
                peer.network = Some(group);
            }
        }
        self.book(group, bytes);
    }

    /// Books what was uploaded to a peer.
    pub(super) fn gave(&mut self, peer: Peer, bytes: u64) {
        let Some(gate) = &self.gate else { return };
        let Some(connected) = self.peers.get_mut(&peer) else { return };
        if connected.network.is_none() {
            let address = connected.address.as_ref().and_then(ip_of);
            connected.network = gate.place_of(address).map(|(group, _)| group);
        }
        match connected.network {
            Some(group) => {
                let bytes = bytes + std::mem::take(&mut connected.unbooked);
                self.book(group, bytes);
            }
            None => connected.unbooked += bytes,
        }
    }

    pub(super) fn book(&self, group: Group, bytes: u64) {
        if bytes > 0 && self.gate.is_some() {
            self.note(|served| {
                let sum = served.networks.entry(group).or_default();
                *sum = sum.saturating_add(bytes);
            });
        }
    }

    pub(super) fn note(&self, note: impl FnOnce(&mut Served)) {
        self.parts.accounts.with(&self.parts.shared.link.id, note);
    }
}

/// What the first tracker that answers says of a resource, seen from an address.
async fn ask(
    network: &Network,
    trackers: &[Multiaddr],
    resource: ResourceId,
    address: Option<IpAddr>,
) -> Option<PeerList> {
    let address = address.map_or_else(|| "127.0.0.1".to_owned(), |address| address.to_string());
    let request = Request::FindFor { resource, address };
    for tracker in trackers {
        match crate::finding::find(network, tracker, &request, Vec::new()).await {
            Ok(found) => return Some(found.list),
            Err(why) => tracing::debug!(%tracker, reason = why.reason, "a tracker doesn't say who holds it"),
        }
    }
    None
}
