//! The node, as the rest of the program sees it.

use std::{
    collections::HashSet,
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use libp2p::{connection_limits::ConnectionLimits, mdns, upnp};
use nearcast_protocol::{
    Multiaddr, PeerAddress, PeerId, ResourceId,
    tracker::{Answer, Request},
    wire::MAX_ADDRESSES,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{
    address::{self, Transport},
    config::Config,
    connections::{Connections, Target, Through},
    dialler::Dialler,
    driver::{Behaviour, Command, Driver, Ends},
    error::{AskError, OpenError, StartError},
    exchange::TrackerCall,
    frames::{Limits, PieceStream},
    handler::{Failure, Reply, Served, Wanted},
    kademlia::{self, Lookup},
    known::{Bans, Links},
    limit::Limit,
    line::Line,
    neighbours::Neighbours,
    source, transport,
};

/// How long opening a piece stream may take, dialling included.
const OPEN: Duration = Duration::from_secs(10);
/// How often a want is taken to another connection when the one it was on ended: an idle connection may be
/// closing just as it is wanted again.
const ATTEMPTS: usize = 3;
/// Commands wait here while the swarm's task is busy; more callers than this wait in line.
const COMMANDS: usize = 64;
/// Piece streams and calls wait here to be taken; more than this wait in their connections.
const INCOMING: usize = 256;
/// Handshakes under way, in each direction: each costs a millisecond of processor time.
const MAX_PENDING: u32 = 256;
/// Two nodes may dial each other at once, by both transports; no peer needs more.
const MAX_PER_PEER: u32 = 4;
/// How long [`Network::stop`] waits: the driver gives connections two seconds.
const STOP: Duration = Duration::from_secs(5);

/// A running libp2p node. Dropping it ends it; [`stop`](Self::stop) also waits for the goodbyes.
pub struct Network {
    peer_id: PeerId,
    /// The IP addresses that were asked for by name, not by interface.
    named: HashSet<IpAddr>,
    /// All that it was told to listen on.
    sources: Vec<IpAddr>,
    commands: mpsc::Sender<Command>,
    lookups: mpsc::Sender<Lookup>,
    pieces: Mutex<Option<mpsc::Receiver<PieceStream>>>,
    takes_pieces: Arc<AtomicBool>,
    unheard: Arc<AtomicU64>,
    calls: Mutex<Option<mpsc::Receiver<TrackerCall>>>,
    listening: watch::Receiver<Vec<Multiaddr>>,
    neighbours: watch::Receiver<Vec<PeerAddress>>,
    mapped: watch::Receiver<Vec<Multiaddr>>,
    bans: watch::Sender<Bans>,
    links: Arc<Links>,
    limits: Limits,
    line: Arc<Line>,
    tasks: TaskTracker,
    stopping: CancellationToken,
    _stop_when_dropped: DropGuard,
}

impl Network {
    /// Starts a node and returns once it listens.
    ///
    /// # Errors
    /// When an address can't be listened on. An IPv6 wildcard on a machine without IPv6 is no error.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let peer_id = config.identity.public().to_peer_id();
        let named: HashSet<_> = config.listen.iter().filter_map(address::ip).collect();
        let sources: Vec<_> = config.listen.iter().filter_map(address::ip).collect();
        let limits = Limits {
            upload: Arc::new(Limit::new(config.upload)),
            download: Arc::new(Limit::new(config.download)),
        };
        let line = Arc::new(Line::new(config.give_way, limits.clone()));
        let transport = transport::build(&config.identity, &sources, &line)?;

        let (commands, command_ends) = mpsc::channel(COMMANDS);
        let (lookups, lookup_ends) = mpsc::channel(COMMANDS);
        let (piece_ends, pieces) = mpsc::channel(INCOMING);
        let (call_ends, calls) = mpsc::channel(INCOMING);
        let (listening_end, listening) = watch::channel(Vec::new());
        let (neighbours_end, neighbours) = watch::channel(Vec::new());
        let (mapped_end, mapped) = watch::channel(Vec::new());
        let (bans, bans_end) = watch::channel(Bans::default());
        let links = Arc::new(Links::default());
        let takes_pieces = Arc::new(AtomicBool::new(false));
        let unheard = Arc::new(AtomicU64::new(0));
        let served = Served {
            pieces: piece_ends,
            takes_pieces: takes_pieces.clone(),
            calls: config.serve_tracker.then_some(call_ends),
            unheard: unheard.clone(),
            limits: limits.clone(),
        };
        let connections = Connections::new(
            links.clone(),
            bans_end.clone(),
            served,
            config.max_connections_per_address,
            config.max_streams_per_peer,
        );
        let connection_limits = ConnectionLimits::default()
            .with_max_established(Some(config.max_connections))
            .with_max_established_per_peer(Some(MAX_PER_PEER))
            .with_max_pending_incoming(Some(MAX_PENDING))
            .with_max_pending_outgoing(Some(MAX_PENDING));
        let mdns = if config.neighbours { find_neighbours(peer_id) } else { None };
        let behind = |ip: &IpAddr| ip.is_unspecified() || address::is_private(*ip);
        let router = (config.map_ports && sources.iter().any(behind)).then(upnp::tokio::Behaviour::default);
        let table = config.kademlia.then(|| kademlia::table(peer_id));
        let behaviour = Behaviour::new(connection_limits, connections, mdns, router, table);
        let tasks = TaskTracker::new();
        let ends = Ends {
            commands: command_ends,
            lookups: lookup_ends,
            bans: bans_end,
            links: links.clone(),
            listening: listening_end,
            neighbours: Neighbours::new(neighbours_end),
            mapped: mapped_end,
        };
        let mut driver = Driver::new(transport, behaviour, peer_id, config.idle, tasks.clone(), ends);
        driver.listen(&config.listen).await?;

        let stopping = CancellationToken::new();
        tasks.spawn(driver.run(stopping.clone()));
        tasks.close();
        Ok(Self {
            peer_id,
            named,
            sources,
            commands,
            lookups,
            pieces: Mutex::new(Some(pieces)),
            takes_pieces,
            unheard,
            calls: Mutex::new(config.serve_tracker.then_some(calls)),
            listening,
            neighbours,
            mapped,
            bans,
            links,
            limits,
            line,
            tasks,
            _stop_when_dropped: stopping.clone().drop_guard(),
            stopping,
        })
    }

    /// The node's identity.
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// Where the node listens now, interface by interface.
    pub fn listening(&self) -> Vec<Multiaddr> {
        self.listening.borrow().clone()
    }

    /// The port it listens on for TCP; 0 if it doesn't.
    pub fn tcp_port(&self) -> u16 {
        self.port(Transport::Tcp)
    }

    /// The port it listens on for QUIC; 0 if it doesn't.
    pub fn quic_port(&self) -> u16 {
        self.port(Transport::Quic)
    }

    fn port(&self, wanted: Transport) -> u16 {
        let listening = self.listening.borrow();
        let ports = listening.iter().filter_map(address::port);
        ports.filter(|(transport, _)| *transport == wanted).map(|(_, port)| port).next().unwrap_or(0)
    }

    /// Where neighbours can dial it: the private addresses among [`listening`](Self::listening), and
    /// loopback ones that the configuration names. TCP first, at most [`MAX_ADDRESSES`].
    pub fn local_addresses(&self) -> Vec<Multiaddr> {
        let local = |address: &&Multiaddr| {
            address::ip(address)
                .is_some_and(|ip| address::is_private(ip) || (ip.is_loopback() && self.named.contains(&ip)))
        };
        let mut addresses: Vec<_> = self.listening.borrow().iter().filter(local).cloned().collect();
        addresses.sort_by_key(|address| matches!(address::port(address), Some((Transport::Quic, _))));
        addresses.truncate(MAX_ADDRESSES);
        addresses
    }

    /// Opens a piece stream, over a connection there is or by dialling: all TCP addresses at once, then
    /// QUIC. Takes at most ten seconds.
    ///
    /// A stream is there before the peer has agreed, so that the hello saves a round trip. A peer that
    /// serves no pieces, or that has too many streams with this node, ends the stream before its hello.
    ///
    /// # Errors
    /// When the peer can't be reached or is banned.
    pub async fn open_pieces(&self, peer: &PeerAddress) -> Result<PieceStream, OpenError> {
        self.reach(peer, Through::Any, Wanted::Pieces).await
    }

    /// As [`Network::open_pieces`], but at these addresses alone, even while the peer is being dialled at others: it
    /// dials this node at the same moment.
    ///
    /// # Errors
    /// When the peer can't be reached or is banned.
    pub async fn meet(&self, peer: &PeerAddress) -> Result<PieceStream, OpenError> {
        self.reach(peer, Through::Apart, Wanted::Pieces).await
    }

    /// Connects with a peer that wants to meet this node, unless they are connected.
    ///
    /// # Errors
    /// When the peer can't be reached or is banned.
    pub async fn dial(&self, peer: &PeerAddress) -> Result<(), OpenError> {
        self.reach(peer, Through::Apart, Wanted::Connection).await
    }

    async fn reach<T>(
        &self,
        peer: &PeerAddress,
        through: Through,
        wanted: fn(Reply<T>) -> Wanted,
    ) -> Result<T, OpenError> {
        let peer_id = peer.peer;
        if peer_id == self.peer_id {
            return Err(OpenError::Myself(peer_id));
        }
        if self.is_banned(&peer_id) {
            return Err(OpenError::Banned(peer_id));
        }
        let addresses: Vec<_> = {
            let bans = self.bans.borrow();
            let plain = peer.addresses.iter().map(|address| address::split_peer(address).0);
            plain.filter(|address| !bans.has_address(address)).collect()
        };
        if addresses.is_empty() && self.links.best(peer_id).is_none() {
            return Err(OpenError::NoAddress(peer_id));
        }
        let target = |afresh| Target { peer: Some(peer_id), addresses: addresses.clone(), afresh, through };
        let failure = match timeout(OPEN, self.want(target, wanted)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(None)) => return Err(OpenError::Stopped),
            Ok(Err(Some(failure))) => failure,
            Err(_) => Failure::TimedOut,
        };
        Err(match failure {
            Failure::TimedOut => OpenError::TimedOut { peer: peer_id, waited: OPEN },
            Failure::WrongPeer(found) => {
                OpenError::Unreachable { peer: peer_id, reason: format!("{found} answers at its addresses") }
            }
            Failure::Unanswered(reason) | Failure::Nonsense(reason) | Failure::NotDialled(reason) => {
                OpenError::Unreachable { peer: peer_id, reason }
            }
            Failure::BrokeOff(reason) => OpenError::Refused { peer: peer_id, reason },
        })
    }

    /// The piece streams that peers open. Only the first call gets them; until then the node tells peers
    /// that it serves no pieces. Take them fast and with a bound: what isn't taken holds its peer up.
    pub fn incoming_pieces(&self) -> Option<mpsc::Receiver<PieceStream>> {
        let pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.takes_pieces.fetch_or(pieces.is_some(), Ordering::Relaxed);
        pieces
    }

    /// Asks a tracker, over a connection there is or by dialling. With `/p2p/<id>` in the address, only
    /// that peer's answer counts. A connection that breaks off is tried again: a request may be heard twice.
    ///
    /// # Errors
    /// When no proper answer comes within `within`.
    pub async fn ask(
        &self,
        tracker: &Multiaddr,
        request: &Request,
        within: Duration,
    ) -> Result<Answer, AskError> {
        let (plain, peer) = address::split_peer(tracker);
        if plain.is_empty() {
            return Err(AskError::Address { address: tracker.clone() });
        }
        // What is asked in order to be met tells where the socket is that this node listens on.
        let through = match request {
            Request::Await | Request::Introduce(_) => Through::Exactly,
            _ => Through::Any,
        };
        let target = |afresh| Target { peer, addresses: vec![plain.clone()], afresh, through };
        let wanted = |reply| Wanted::Answer { request: request.clone(), within, reply };
        let failure = match timeout(within, self.want(target, wanted)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(None)) => return Err(AskError::Stopped),
            Ok(Err(Some(failure))) => failure,
            Err(_) => Failure::TimedOut,
        };
        let address = tracker.clone();
        Err(match failure {
            Failure::TimedOut => AskError::TimedOut { address, waited: within },
            Failure::WrongPeer(found) => {
                AskError::WrongIdentity { address, expected: peer.unwrap_or(found), found }
            }
            Failure::Unanswered(reason) => AskError::Nobody { address, reason },
            Failure::Nonsense(reason) => AskError::Nonsense { address, reason },
            Failure::BrokeOff(reason) => AskError::BrokeOff { address, reason },
            Failure::NotDialled(reason) => AskError::NotDialled { address, reason },
        })
    }

    /// Sends a want to the driver until it has an outcome; `Err(None)` if the node has stopped.
    async fn want<T>(
        &self,
        target: impl Fn(bool) -> Target,
        wanted: impl Fn(Reply<T>) -> Wanted,
    ) -> Result<T, Option<Failure>> {
        let mut failure = Failure::BrokeOff("the connection ended".into());
        for attempt in 0..ATTEMPTS {
            let (reply, outcome) = oneshot::channel();
            let command = Command { target: target(attempt > 0), wanted: wanted(reply) };
            self.commands.send(command).await.map_err(|_| None)?;
            match outcome.await {
                Ok(Ok(outcome)) => return Ok(outcome),
                Ok(Err(broken @ Failure::BrokeOff(_))) => failure = broken,
                Ok(Err(other)) => return Err(Some(other)),
                // The connection ended with the want in its queue.
                Err(_) => {}
            }
        }
        if self.stopping.is_cancelled() { Err(None) } else { Err(Some(failure)) }
    }

    /// The IP address at which a tracker was last reached, while a connection with it is up.
    pub fn reached_at(&self, tracker: &Multiaddr) -> Option<IpAddr> {
        let (plain, peer) = address::split_peer(tracker);
        let link = match peer {
            Some(peer) => self.links.best(peer),
            None => self.links.dialled(&plain).map(|(_, link)| link),
        };
        address::ip(&link?.remote)
    }

    /// The address that a socket of one's own has to be bound to, so that a tracker at `target` observes the
    /// same address as of this node's connections; `None` leaves it to the system.
    pub fn source_for(&self, target: IpAddr) -> Option<IpAddr> {
        source::source_for(&self.sources, target)
    }

    /// What finds out whether peers can be dialled, from the addresses that this node listens on.
    ///
    /// # Errors
    /// When there is no encryption to be had.
    pub fn dialler(&self) -> Result<Dialler, StartError> {
        Dialler::new(&self.sources)
    }

    /// The calls to this tracker; `None` if the node isn't one, or if they have been taken.
    pub fn incoming_tracker_calls(&self) -> Option<mpsc::Receiver<TrackerCall>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// How many streams have been opened to ask this tracker something and held no request: they were cut
    /// short, malformed, too long or silent. Shared, and it goes on counting.
    pub fn unheard(&self) -> Arc<AtomicU64> {
        self.unheard.clone()
    }

    /// The nodes that mDNS finds on the local network, as the list changes. Nothing about them is proved
    /// until they are dialled.
    pub fn neighbours(&self) -> watch::Receiver<Vec<PeerAddress>> {
        self.neighbours.clone()
    }

    /// The addresses at which the router leads strangers to this node, as the list changes (UPnP IGD).
    pub fn mapped(&self) -> watch::Receiver<Vec<Multiaddr>> {
        self.mapped.clone()
    }

    /// This peer was reached there: it may know who holds what, should no tracker answer. `false` if that is no
    /// address for others, who are told of it.
    pub fn met(&self, peer: PeerId, at: Multiaddr) -> bool {
        let told = address::ip(&at).is_some_and(|ip| !address::is_private(ip));
        if told {
            self.look_up(Lookup::Met(PeerAddress::new(peer, [at])));
        }
        told
    }

    /// Where others reach this node, for those who look for it without a tracker; nowhere, if they don't.
    pub fn reached(&self, at: Vec<Multiaddr>) {
        self.look_up(Lookup::Reached(at));
    }

    /// From now on tells the others, without a tracker, that this node holds a resource; or no more.
    pub async fn provide(&self, resource: ResourceId, on: bool) {
        let lookup = if on { Lookup::Provide(resource) } else { Lookup::Withdraw(resource) };
        // A node that has stopped tells nobody anything.
        self.lookups.send(lookup).await.ok();
    }

    /// Who holds a resource, as far as those know whom this node has met, and whom they have; takes some seconds.
    pub async fn providers(&self, resource: ResourceId) -> Vec<PeerAddress> {
        let (reply, found) = oneshot::channel();
        self.lookups.send(Lookup::Find(resource, reply)).await.ok();
        found.await.unwrap_or_default()
    }

    fn look_up(&self, lookup: Lookup) {
        // A table that is behind hears it again.
        if let Err(error) = self.lookups.try_send(lookup) {
            tracing::debug!(%error, "not looked up");
        }
    }

    /// Whether a stranger has come in: from a public address that this node never dialled.
    pub fn visited(&self) -> bool {
        self.links.visited()
    }

    /// Bans a peer, and the address it came from: they are disconnected and refused until the node ends.
    ///
    /// Loopback addresses are not banned, the peer alone is: behind one stands every node of the machine,
    /// and whatever a local proxy or an onion service lets in.
    pub fn ban(&self, peer: PeerId, address: Option<IpAddr>) {
        self.bans.send_modify(|bans| bans.add(peer, address));
    }

    /// Whether a peer is banned.
    pub fn is_banned(&self, peer: &PeerId) -> bool {
        self.bans.borrow().has_peer(peer)
    }

    /// Where a connected peer is, as dialled or as observed; `None` if it isn't connected.
    pub fn connected_address(&self, peer: &PeerId) -> Option<Multiaddr> {
        self.links.best(*peer).map(|link| link.remote)
    }

    /// Changes the upload limit, in bytes/s of payload, for all streams at once; `None` lifts it.
    pub fn set_upload_limit(&self, rate: Option<u64>) {
        self.limits.upload.set(rate);
    }

    /// Whether uploads give way to whatever else is on the line, from now on.
    pub fn set_give_way(&self, give_way: bool) {
        self.line.set_gives_way(give_way);
    }

    /// What uploads are held to at this moment, in bytes/s: by the limit, or by what the line bears.
    pub fn upload_rate(&self) -> Option<u64> {
        self.limits.upload.rate()
    }

    /// Waits until the download limit lets `bytes` pass: for payload that comes another way than by a stream.
    pub async fn receive(&self, bytes: usize) {
        let mut left = bytes;
        while left > 0 {
            // No more than a fragment at a time, so that all who receive take turns.
            let part = left.min(nearcast_protocol::pieces::MAX_FRAGMENT);
            self.limits.download.take(part).await;
            left -= part;
        }
    }

    /// Changes the download limit, in bytes/s of payload, for all streams at once; `None` lifts it.
    pub fn set_download_limit(&self, rate: Option<u64>) {
        self.limits.download.set(rate);
    }

    /// Payload bytes sent since the start.
    pub fn uploaded(&self) -> u64 {
        self.limits.upload.passed()
    }

    /// Payload bytes received since the start.
    pub fn downloaded(&self) -> u64 {
        self.limits.download.passed()
    }

    /// Closes all connections and waits, at most five seconds, until every task has ended.
    pub async fn stop(&self) {
        self.stopping.cancel();
        if timeout(STOP, self.tasks.wait()).await.is_err() {
            tracing::warn!("the node's tasks didn't end in time");
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("peer_id", &self.peer_id).finish_non_exhaustive()
    }
}

fn find_neighbours(peer: PeerId) -> Option<mdns::tokio::Behaviour> {
    mdns::tokio::Behaviour::new(mdns::Config::default(), peer)
        .inspect_err(|error| tracing::warn!(%error, "neighbours can't be looked for"))
        .ok()
}
