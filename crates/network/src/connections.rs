//! Which connections there are, and the dials that others wait for.

use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroU8,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use libp2p::{
    core::{ConnectedPoint, Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, DialError, DialFailure, FromSwarm, NetworkBehaviour, NotifyHandler,
        THandlerOutEvent, ToSwarm,
        behaviour::ConnectionEstablished,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use nearcast_protocol::{Multiaddr, PeerId, wire::MAX_ADDRESSES};
use tokio::sync::{Semaphore, watch};

use crate::{
    address,
    error::dial_reason,
    handler::{Failure, Handler, Served, Wanted},
    known::{Bans, Link, Links},
    transport::TransportFailure,
};

/// The most that may wait for one dial; beyond it something is wrong with the caller.
const MAX_WAITING: usize = 256;

/// Whom to reach, and where.
#[derive(Debug)]
pub(crate) struct Target {
    /// `None` takes whoever answers.
    pub(crate) peer: Option<PeerId>,
    /// Without `/p2p/…`.
    pub(crate) addresses: Vec<Multiaddr>,
    /// Whether a connection there is won't do, because it has just failed.
    pub(crate) afresh: bool,
    pub(crate) through: Through,
}

/// Which connections with a target will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Through {
    /// One there is, one that is being dialled, or a new one.
    Any,
    /// One there is, or a new one, whatever else is being dialled: the others' addresses may lead nowhere.
    Apart,
    /// One that was made by dialling the first of these very addresses.
    Exactly,
}

struct Dial {
    target: Target,
    wanted: Vec<Wanted>,
}

/// Why a connection is refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the peer or its address is banned")]
    Banned,
    #[error("there are too many connections from this address")]
    TooManyFromAddress,
}

/// Keeps the connections and brings what is wanted to them.
pub(crate) struct Connections {
    links: Arc<Links>,
    bans: watch::Receiver<Bans>,
    served: Served,
    max_per_address: usize,
    max_streams: usize,
    /// The places for piece streams of every connected peer.
    places: HashMap<PeerId, Arc<Semaphore>>,
    dials: HashMap<ConnectionId, Dial>,
    actions: VecDeque<ToSwarm<std::convert::Infallible, Wanted>>,
    waker: Option<Waker>,
}

impl Connections {
    pub(crate) fn new(
        links: Arc<Links>,
        bans: watch::Receiver<Bans>,
        served: Served,
        max_per_address: u32,
        max_streams: usize,
    ) -> Self {
        Self {
            links,
            bans,
            served,
            max_per_address: usize::try_from(max_per_address).unwrap_or(usize::MAX),
            max_streams: max_streams.min(Semaphore::MAX_PERMITS),
            places: HashMap::new(),
            dials: HashMap::new(),
            actions: VecDeque::new(),
            waker: None,
        }
    }

    /// Takes `wanted` to a connection with the target: one there is, one that is being dialled, or a new one.
    pub(crate) fn reach(&mut self, target: Target, wanted: Wanted) {
        let link = match target.peer {
            _ if target.afresh && !target.addresses.is_empty() => None,
            wanted if target.through == Through::Exactly => {
                let dialled = target.addresses.first().and_then(|address| self.links.dialled(address));
                dialled.filter(|(peer, _)| wanted.is_none_or(|wanted| wanted == *peer))
            }
            Some(peer) => self.links.best(peer).map(|link| (peer, link)),
            None => target.addresses.first().and_then(|address| self.links.dialled(address)),
        };
        if let Some((peer, link)) = link {
            return self.pass_on(peer, link.id, vec![wanted]);
        }
        let same = |dial: &&mut Dial| match target.peer {
            _ if target.through == Through::Apart || dial.target.through != target.through => false,
            _ if target.through == Through::Exactly => dial.target.addresses == target.addresses,
            Some(peer) => dial.target.peer == Some(peer),
            None => dial.target.peer.is_none() && dial.target.addresses == target.addresses,
        };
        match self.dials.values_mut().find(same) {
            Some(dial) if dial.wanted.len() < MAX_WAITING => dial.wanted.push(wanted),
            Some(_) => wanted.fail(Failure::NotDialled("too much waits for this peer".into())),
            None => self.dial(Dial { target, wanted: vec![wanted] }),
        }
    }

    fn dial(&mut self, mut dial: Dial) {
        // All TCP addresses at once, since most private ones lead nowhere and say so late; a QUIC address
        // only when a TCP one has failed.
        let quic =
            |address: &Multiaddr| !matches!(address::port(address), Some((address::Transport::Tcp, _)));
        dial.target.addresses.sort_by_key(quic);
        dial.target.addresses.truncate(MAX_ADDRESSES);
        let tcp = dial.target.addresses.iter().filter(|address| !quic(address)).count();
        let at_once = u8::try_from(tcp).ok().and_then(NonZeroU8::new).unwrap_or(NonZeroU8::MIN);
        let opts = match (dial.target.peer, dial.target.addresses.first()) {
            (Some(peer), Some(_)) => DialOpts::peer_id(peer)
                // Whether a dial is needed has been decided above.
                .condition(PeerCondition::Always)
                .override_dial_concurrency_factor(at_once)
                .addresses(dial.target.addresses.clone())
                .build(),
            (None, Some(address)) => DialOpts::unknown_peer_id().address(address.clone()).build(),
            (_, None) => {
                return fail(dial.wanted, &Failure::NotDialled("there is no address to dial".into()));
            }
        };
        self.links.called(dial.target.addresses.iter().filter_map(address::ip));
        self.dials.insert(opts.connection_id(), dial);
        self.act(ToSwarm::Dial { opts });
    }

    fn pass_on(&mut self, peer_id: PeerId, id: ConnectionId, wanted: Vec<Wanted>) {
        for event in wanted {
            // If the connection ends meanwhile, the want is dropped and whoever waits for it sees that.
            self.act(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::One(id), event });
        }
    }

    fn act(&mut self, action: ToSwarm<std::convert::Infallible, Wanted>) {
        self.actions.push_back(action);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn established(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        let link = Link {
            id,
            remote: address::split_peer(endpoint.get_remote_address()).0,
            dialled: endpoint.is_dialer(),
        };
        self.links.add(peer, link);
        // Whoever waits for this peer is served, even if it was the peer who dialled.
        let any = |dial: &Dial| dial.target.peer == Some(peer) && dial.target.through != Through::Exactly;
        let served = |(dial_id, dial): &(&ConnectionId, &Dial)| **dial_id == id || any(dial);
        let dials: Vec<_> = self.dials.iter().filter(served).map(|(dial_id, _)| *dial_id).collect();
        for dial in dials {
            if let Some(dial) = self.dials.remove(&dial) {
                self.pass_on(peer, id, dial.wanted);
            }
        }
    }

    fn closed(&mut self, peer: PeerId, id: ConnectionId) {
        if self.links.remove(peer, id) {
            self.places.remove(&peer);
        }
    }

    fn failed(&mut self, id: ConnectionId, error: &DialError) {
        let Some(mut dial) = self.dials.remove(&id) else { return };
        if let DialError::WrongPeerId { address, .. } = error {
            // A stale or private address can belong to someone else by now; the others may be right.
            let wrong = address::split_peer(address).0;
            dial.target.addresses.retain(|address| *address != wrong);
            if !dial.target.addresses.is_empty() {
                return self.dial(dial);
            }
        }
        fail(dial.wanted, &failure(error));
    }

    fn handler(&mut self, peer: PeerId, remote: &Multiaddr) -> Handler {
        let max_streams = self.max_streams;
        let places = self.places.entry(peer).or_insert_with(|| Arc::new(Semaphore::new(max_streams)));
        Handler::new(peer, address::split_peer(remote).0, self.served.clone(), places.clone())
    }

    fn allow(&self, peer: Option<&PeerId>, address: &Multiaddr) -> Result<(), ConnectionDenied> {
        let bans = self.bans.borrow();
        if peer.is_some_and(|peer| bans.has_peer(peer)) || bans.has_address(address) {
            return Err(ConnectionDenied::new(Refusal::Banned));
        }
        Ok(())
    }
}

fn fail(wanted: Vec<Wanted>, failure: &Failure) {
    wanted.into_iter().for_each(|wanted| wanted.fail(failure.clone()));
}

/// Sorts what libp2p says into what a person needs to know.
fn failure(error: &DialError) -> Failure {
    let reason = dial_reason(error);
    match error {
        DialError::WrongPeerId { obtained, .. } => Failure::WrongPeer(*obtained),
        DialError::Transport(attempts) => {
            let handshake = attempts.iter().any(|(_, error)| match error {
                libp2p::TransportError::Other(error) => {
                    matches!(TransportFailure::of(error), Some(TransportFailure::Handshake(_)))
                }
                libp2p::TransportError::MultiaddrNotSupported(_) => false,
            });
            if handshake { Failure::Nonsense(reason) } else { Failure::Unanswered(reason) }
        }
        DialError::Denied { .. }
        | DialError::NoAddresses
        | DialError::LocalPeerId { .. }
        | DialError::DialPeerConditionFalse(_)
        | DialError::Aborted => Failure::NotDialled(reason),
    }
}

impl NetworkBehaviour for Connections {
    type ConnectionHandler = Handler;
    type ToSwarm = std::convert::Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        // Before the handshake, so that a flood costs little.
        let count = address::ip(remote).map_or(0, |ip| self.links.count_from(ip));
        if count >= self.max_per_address {
            return Err(ConnectionDenied::new(Refusal::TooManyFromAddress));
        }
        self.allow(None, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        // Again, since others may have come in during the handshake.
        self.handle_pending_inbound_connection(id, local, remote)?;
        self.allow(Some(&peer), remote)?;
        Ok(self.handler(peer, remote))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        self.allow(Some(&peer), remote)?;
        Ok(self.handler(peer, remote))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            }) => {
                self.established(peer_id, connection_id, endpoint);
            }
            FromSwarm::ConnectionClosed(closed) => self.closed(closed.peer_id, closed.connection_id),
            FromSwarm::DialFailure(DialFailure { connection_id, error, .. }) => {
                self.failed(connection_id, error)
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<std::convert::Infallible, Wanted>> {
        match self.actions.pop_front() {
            Some(action) => Poll::Ready(action),
            None => {
                self.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
