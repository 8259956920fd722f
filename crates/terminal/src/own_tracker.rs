//! A tracker in this program, for those who share with the people around them and have no other.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

use multiaddr::{Multiaddr, Protocol};
use nearcast_network::{Config, Network, StartError, identity_on_disk};
use nearcast_tracker::{GroupTable, Server, Swarm, rules::Rules};
use tokio::task::JoinHandle;

use crate::atomic;

/// Addresses of it that a link names. A computer may be in several networks, and a link is to stay short.
const NAMED: usize = 3;
/// Whoever is in reach of it is a neighbour.
const NEIGHBOURS: &str = "prefix,group,name
10.0.0.0/8,1,local
100.64.0.0/10,1,local
127.0.0.0/8,1,local
169.254.0.0/16,1,local
172.16.0.0/12,1,local
192.168.0.0/16,1,local
fc00::/7,1,local
fe80::/10,1,local
";

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum OwnTrackerError {
    /// Its identity can't be kept.
    #[error("this computer can't be a tracker: {0}")]
    Identity(#[from] nearcast_network::IdentityError),
    /// It can't listen.
    #[error("this computer can't be a tracker: {0}")]
    Network(#[from] StartError),
    /// Its table of neighbours can't be read.
    #[error("this computer can't be a tracker: {0}")]
    Table(#[from] nearcast_tracker::BadLines),
    /// It is in no network.
    #[error("this computer is in no network that others could reach it by; connect it and try again")]
    NoNetwork,
}

/// A tracker while it runs.
pub struct OwnTracker {
    network: Network,
    answering: JoinHandle<()>,
    addresses: Vec<Multiaddr>,
}

impl OwnTracker {
    /// Starts it on these of the computer's addresses; on all of them if none is named. It keeps its identity and its
    /// port in `folder`, so that links stay good.
    ///
    /// # Errors
    /// When it can't listen or nobody could reach it.
    pub async fn start(folder: &Path, listen: &[Multiaddr]) -> Result<Self, OwnTrackerError> {
        let identity = identity_on_disk(&folder.join("identity"))?;
        let named: Vec<IpAddr> = listen.iter().filter_map(ip).collect();
        let port_file = folder.join("port");
        let before = std::fs::read_to_string(&port_file).ok().and_then(|port| port.trim().parse().ok());
        let start = async |port: u16| {
            let mut config = Config::new(identity.clone());
            config.listen = match named.as_slice() {
                [] => vec![at(Ipv4Addr::UNSPECIFIED.into(), port)],
                named => named.iter().map(|ip| at(*ip, port)).collect(),
            };
            (config.neighbours, config.map_ports, config.kademlia) = (false, false, false);
            config.serve_tracker = true;
            Network::start(config).await
        };
        let network = match before {
            // Another program may have the port now: then old links need the new one.
            Some(port) => match start(port).await {
                Ok(network) => network,
                Err(_) => start(0).await?,
            },
            None => start(0).await?,
        };
        let addresses = addresses(&network);
        let calls = network.incoming_tracker_calls();
        let (Some(calls), false) = (calls, addresses.is_empty()) else {
            network.stop().await;
            return Err(OwnTrackerError::NoNetwork);
        };
        if before != Some(network.tcp_port())
            && let Err(error) = atomic::write(&port_file, network.tcp_port().to_string().as_bytes())
        {
            tracing::warn!(%error, "the tracker's port can't be noted: links made now may not live long");
        }
        let server = Server::new(Swarm::new(Rules::default()), GroupTable::parse(NEIGHBOURS)?);
        let answering = tokio::spawn(server.run(calls));
        Ok(Self { network, answering, addresses })
    }

    /// What links name.
    pub fn addresses(&self) -> &[Multiaddr] {
        &self.addresses
    }

    /// Ends it.
    pub async fn stop(self) {
        self.network.stop().await;
        // With the network gone there are no more calls.
        if let Err(error) = self.answering.await {
            tracing::error!(%error, "the tracker ended badly");
        }
    }
}

fn at(ip: IpAddr, port: u16) -> Multiaddr {
    Multiaddr::from(ip).with(Protocol::Tcp(port))
}

fn ip(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

/// Where others can reach it, networks of the house first; loopback only where there is nothing else.
fn addresses(network: &Network) -> Vec<Multiaddr> {
    let mut found: Vec<_> =
        network.listening().into_iter().filter_map(|address| Some((rank(ip(&address)?)?, address))).collect();
    found.sort_by_key(|(rank, _)| *rank);
    let outside = found.iter().any(|(rank, _)| *rank < LOOPBACK);
    let shown = found.into_iter().filter(|(rank, _)| !outside || *rank < LOOPBACK);
    let peer = network.peer_id();
    shown.take(NAMED).map(|(_, address)| address.with(Protocol::P2p(peer))).collect()
}

const LOOPBACK: u8 = 2;

fn rank(ip: IpAddr) -> Option<u8> {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() || ip.is_link_local() => None,
        IpAddr::V4(ip) if ip.is_loopback() => Some(LOOPBACK),
        IpAddr::V4(ip) if ip.is_private() => Some(0),
        IpAddr::V4(_) => Some(1),
        IpAddr::V6(ip) => ip.is_loopback().then_some(LOOPBACK),
    }
}
