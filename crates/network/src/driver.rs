//! The one task that owns the swarm.

use std::{collections::HashMap, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use futures::StreamExt as _;
use libp2p::{
    PeerId, Swarm, TransportError, connection_limits,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, ListenerId},
        upgrade::Version,
    },
    mdns,
    swarm::{self, Executor, NetworkBehaviour, SwarmEvent, behaviour::toggle::Toggle},
    upnp,
};
use nearcast_protocol::Multiaddr;
use socket2::{Domain, Socket, Type};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{
    address::{self, Transport},
    connections::{Connections, Target},
    error::StartError,
    handler::Wanted,
    kademlia::{self, Lookup, Searches},
    known::{Bans, Links},
    neighbours::Neighbours,
};

/// How long a listener on every interface may take to find the first one.
const FIRST_INTERFACE: Duration = Duration::from_secs(2);
/// How long connections may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// Someone wants something from a peer.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) target: Target,
    pub(crate) wanted: Wanted,
}

// The limits come first: what they refuse must leave no trace in the others.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    connections: Connections,
    neighbours: Toggle<mdns::tokio::Behaviour>,
    router: Toggle<upnp::tokio::Behaviour>,
    table: Toggle<kademlia::Table>,
}

impl Behaviour {
    pub(crate) fn new(
        limits: connection_limits::ConnectionLimits,
        connections: Connections,
        neighbours: Option<mdns::tokio::Behaviour>,
        router: Option<upnp::tokio::Behaviour>,
        table: Option<kademlia::Table>,
    ) -> Self {
        let limits = connection_limits::Behaviour::new(limits);
        Self {
            limits,
            connections,
            neighbours: neighbours.into(),
            router: router.into(),
            table: table.into(),
        }
    }
}

/// Runs a connection's task until it or the node ends.
struct Tasks {
    tracker: TaskTracker,
    end: CancellationToken,
}

impl Executor for Tasks {
    fn exec(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let end = self.end.clone();
        self.tracker.spawn(async move { end.run_until_cancelled(future).await });
    }
}

/// The swarm and what it is connected with.
pub(crate) struct Driver {
    swarm: Swarm<Behaviour>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) lookups: mpsc::Receiver<Lookup>,
    pub(crate) bans: watch::Receiver<Bans>,
    pub(crate) links: Arc<Links>,
    pub(crate) listening: watch::Sender<Vec<Multiaddr>>,
    pub(crate) neighbours: Neighbours,
    pub(crate) mapped: watch::Sender<Vec<Multiaddr>>,
    searches: Searches,
    /// Ends the connections' tasks with the driver.
    _end: DropGuard,
}

/// The ends of the driver's channels.
pub(crate) struct Ends {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) lookups: mpsc::Receiver<Lookup>,
    pub(crate) bans: watch::Receiver<Bans>,
    pub(crate) links: Arc<Links>,
    pub(crate) listening: watch::Sender<Vec<Multiaddr>>,
    pub(crate) neighbours: Neighbours,
    pub(crate) mapped: watch::Sender<Vec<Multiaddr>>,
}

impl Driver {
    /// A swarm whose connections run in `tracker`.
    pub(crate) fn new(
        transport: Boxed<(PeerId, StreamMuxerBox)>,
        behaviour: Behaviour,
        peer: PeerId,
        idle: Duration,
        tracker: TaskTracker,
        ends: Ends,
    ) -> Self {
        let end = CancellationToken::new();
        let config = swarm::Config::with_executor(Tasks { tracker, end: end.clone() })
            .with_idle_connection_timeout(idle)
            // The first frame rides along with the proposal of the protocol.
            .with_substream_upgrade_protocol_override(Version::V1Lazy);
        let Ends { commands, lookups, bans, links, listening, neighbours, mapped } = ends;
        Self {
            swarm: Swarm::new(transport, behaviour, peer, config),
            commands,
            lookups,
            bans,
            links,
            listening,
            neighbours,
            mapped,
            searches: Searches::new(),
            _end: end.drop_guard(),
        }
    }

    /// Listens on all addresses that exist here, and waits until they are known.
    pub(crate) async fn listen(&mut self, addresses: &[Multiaddr]) -> Result<(), StartError> {
        let mut ports = HashMap::new();
        for address in addresses {
            let Some((transport, port)) = address::port(address) else {
                return Err(StartError::Address { address: address.clone() });
            };
            let wildcard = address::ip(address).is_some_and(|ip| ip.is_unspecified());
            let shared = ports.get(&transport).filter(|_| port == 0);
            let shared = shared.map(|port| address::with_port(address, *port));
            let listener = shared
                .and_then(|address| self.listen_on(&address).ok())
                .map_or_else(|| self.listen_on(address), Ok);
            match listener {
                Ok(id) if !wildcard || !ports.contains_key(&transport) => {
                    if let Some(port) = self.first_port(id).await {
                        ports.entry(transport).or_insert(port);
                    }
                }
                Ok(_) => {}
                // A machine without IPv6 is no reason not to start.
                Err(error) if wildcard && address::ip(address).is_some_and(|ip| ip.is_ipv6()) => {
                    tracing::debug!(%address, %error, "not listening");
                }
                Err(error) => return Err(StartError::listen(address.clone(), error)),
            }
        }
        if self.listening.borrow().is_empty() && !addresses.is_empty() {
            return Err(StartError::Deaf);
        }
        Ok(())
    }

    fn listen_on(&mut self, address: &Multiaddr) -> Result<ListenerId, TransportError<io::Error>> {
        ensure_free(address).map_err(TransportError::Other)?;
        self.swarm.listen_on(address.clone())
    }

    async fn first_port(&mut self, listener: ListenerId) -> Option<u16> {
        let first = async {
            loop {
                let event = self.swarm.select_next_some().await;
                let port = match &event {
                    SwarmEvent::NewListenAddr { listener_id, address } if *listener_id == listener => {
                        address::port(address).map(|(_, port)| port)
                    }
                    _ => None,
                };
                self.handle(event);
                if port.is_some() {
                    return port;
                }
            }
        };
        timeout(FIRST_INTERFACE, first).await.ok().flatten()
    }

    /// Runs until told to stop, or until nobody is left to give commands; then says goodbye.
    pub(crate) async fn run(mut self, stopping: CancellationToken) {
        loop {
            tokio::select! {
                () = stopping.cancelled() => break,
                command = self.commands.recv() => match command {
                    Some(Command { target, wanted }) => {
                        self.swarm.behaviour_mut().connections.reach(target, wanted);
                    }
                    None => break,
                },
                Some(lookup) = self.lookups.recv() => self.look_up(lookup),
                changed = self.bans.changed() => match changed {
                    Ok(()) => self.enforce_bans(),
                    Err(_) => break,
                },
                event = self.swarm.select_next_some() => self.handle(event),
            }
        }
        self.commands.close();
        for (peer, _) in self.links.all() {
            // An error means that it is gone already.
            self.swarm.disconnect_peer_id(peer).ok();
        }
        let goodbyes = async {
            while self.swarm.network_info().num_peers() > 0 {
                self.swarm.select_next_some().await;
            }
        };
        timeout(GOODBYE, goodbyes).await.ok();
    }

    fn handle(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::NewListenAddr { address, .. } => self.listening.send_modify(|listening| {
                if !listening.contains(&address) {
                    listening.push(address);
                }
            }),
            SwarmEvent::ExpiredListenAddr { address, .. } => self.forget(&[address]),
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::warn!(?addresses, ?reason, "a listener closed");
                self.forget(&addresses);
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "a listener failed to accept"),
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                tracing::debug!(%send_back_addr, %error, "an inbound connection failed");
            }
            SwarmEvent::Behaviour(BehaviourEvent::Neighbours(event)) => self.neighbours.handle(event),
            SwarmEvent::Behaviour(BehaviourEvent::Router(event)) => self.routed(event),
            SwarmEvent::Behaviour(BehaviourEvent::Table(event)) => {
                if let Some(table) = self.swarm.behaviour_mut().table.as_mut() {
                    self.searches.handle(table, &self.links, event);
                }
            }
            _ => {}
        }
    }

    fn look_up(&mut self, lookup: Lookup) {
        if let Lookup::Reached(addresses) = &lookup {
            let before: Vec<_> = self.swarm.external_addresses().cloned().collect();
            let gone = before.iter().filter(|address| !addresses.contains(address));
            gone.for_each(|address| self.swarm.remove_external_address(address));
            let news = addresses.iter().filter(|address| !before.contains(address));
            news.for_each(|address| self.swarm.add_external_address(address.clone()));
        }
        if let Some(table) = self.swarm.behaviour_mut().table.as_mut() {
            self.searches.act(table, lookup);
        }
    }

    fn routed(&self, event: upnp::Event) {
        match event {
            upnp::Event::NewExternalAddr { external_addr, .. } => {
                tracing::info!(%external_addr, "the router leads strangers here");
                self.mapped.send_if_modified(|mapped| {
                    let news = !mapped.contains(&external_addr);
                    mapped.extend(news.then_some(external_addr));
                    news
                });
            }
            upnp::Event::ExpiredExternalAddr { external_addr, .. } => {
                tracing::info!(%external_addr, "the router leads nobody here any more");
                self.mapped.send_modify(|mapped| mapped.retain(|address| *address != external_addr));
            }
            upnp::Event::GatewayNotFound => tracing::debug!("no router maps ports here"),
            upnp::Event::NonRoutableGateway => {
                tracing::debug!("the router that maps ports here isn't on the internet itself");
            }
        }
    }

    fn forget(&self, gone: &[Multiaddr]) {
        self.listening.send_modify(|listening| listening.retain(|address| !gone.contains(address)));
    }

    fn enforce_bans(&mut self) {
        let bans = self.bans.borrow_and_update();
        for (peer, link) in self.links.all() {
            if bans.has_peer(&peer) || bans.has_address(&link.remote) {
                self.swarm.close_connection(link.id);
            }
        }
    }
}

/// Whether a TCP port is free. libp2p shares listening ports on purpose, so that without this check a
/// second tracker would silently take half of the first one's connections.
fn ensure_free(address: &Multiaddr) -> io::Result<()> {
    let (Some((Transport::Tcp, port @ 1..)), Some(ip)) = (address::port(address), address::ip(address))
    else {
        return Ok(());
    };
    let address = SocketAddr::new(ip, port);
    let probe = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        probe.set_only_v6(true)?;
    }
    // As a server does on Unix: the remains of old connections don't count. On Windows it means otherwise.
    #[cfg(unix)]
    probe.set_reuse_address(true)?;
    probe.bind(&address.into())
}
