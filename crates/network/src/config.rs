//! What a node is started with.

use std::{net::Ipv4Addr, net::Ipv6Addr, time::Duration};

use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use nearcast_protocol::Multiaddr;

/// How a node takes part in the network. [`Config::new`] suits a terminal.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who the node is; see [`identity_on_disk`](crate::identity_on_disk).
    pub identity: Keypair,
    /// Where to listen. Port 0 lets the system choose; all addresses of one transport get the same port
    /// where that is possible, because a node registers one port for each.
    pub listen: Vec<Multiaddr>,
    /// Whether to look for neighbours on the local network by mDNS (RFC 6762), and to be found.
    pub neighbours: bool,
    /// Whether to ask the router to lead strangers here (UPnP IGD), where this machine has a private address.
    pub map_ports: bool,
    /// Whether to take part in the hash table by which holders are found where no tracker answers (Kademlia).
    pub kademlia: bool,
    /// The most payload to send, in bytes/s; `None` for no limit.
    pub upload: Option<u64>,
    /// Whether uploads give way to whatever else is on the line: its delay is watched, and kept short (LEDBAT). Over
    /// TCP on Linux.
    pub give_way: bool,
    /// The most payload to take in, in bytes/s; `None` for no limit.
    pub download: Option<u64>,
    /// The most connections at a time, in both directions together.
    pub max_connections: u32,
    /// The most connections that may come from one IP address: one address can be a whole campus, but also
    /// a single flooder.
    pub max_connections_per_address: u32,
    /// The most piece streams one peer may have open towards this node.
    pub max_streams_per_peer: usize,
    /// How long a connection without streams is kept: long enough for the next question, short enough
    /// that a tracker doesn't hold a socket per node.
    pub idle: Duration,
    /// Whether to answer the tracker protocol.
    pub serve_tracker: bool,
}

impl Config {
    /// Listens for TCP and QUIC on every interface, finds neighbours, has no rate limits and gives way to others.
    pub fn new(identity: Keypair) -> Self {
        let (v4, v6) = (Protocol::Ip4(Ipv4Addr::UNSPECIFIED), Protocol::Ip6(Ipv6Addr::UNSPECIFIED));
        let tcp = |ip| Multiaddr::empty().with(ip).with(Protocol::Tcp(0));
        let quic = |ip| Multiaddr::empty().with(ip).with(Protocol::Udp(0)).with(Protocol::QuicV1);
        Self {
            identity,
            listen: vec![tcp(v4.clone()), quic(v4), tcp(v6.clone()), quic(v6)],
            neighbours: true,
            map_ports: true,
            kademlia: true,
            upload: None,
            give_way: true,
            download: None,
            max_connections: 512,
            max_connections_per_address: 64,
            max_streams_per_peer: 64,
            idle: Duration::from_secs(10),
            serve_tracker: false,
        }
    }
}
