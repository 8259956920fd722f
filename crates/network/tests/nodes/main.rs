//! Real nodes on loopback addresses, over real sockets. Nothing waits for a time: only for what must happen,
//! with a bound that no working machine reaches.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod bounds;
mod pieces;
mod start;
mod stranger;
mod tracker;

use std::{future::Future, time::Duration};

use nearcast_network::{Config, Keypair, Network};
use nearcast_protocol::{
    Blocks, Group, Multiaddr, PeerAddress, ResourceId, Role,
    pieces::{Data, Frame, Hello, VERSION},
};

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A configuration that listens on one loopback address, by TCP and by QUIC.
fn config(ip: &str) -> Config {
    let mut config = Config::new(Keypair::generate_ed25519());
    config.listen = [format!("/ip4/{ip}/tcp/0"), format!("/ip4/{ip}/udp/0/quic-v1")]
        .map(|address| address.parse().unwrap())
        .to_vec();
    config.neighbours = false;
    config
}

async fn node(ip: &str) -> Network {
    Network::start(config(ip)).await.unwrap()
}

fn is_quic(address: &Multiaddr) -> bool {
    address.to_string().contains("quic")
}

/// Where a node is dialled by TCP.
fn tcp(node: &Network) -> PeerAddress {
    PeerAddress::new(node.peer_id(), node.listening().into_iter().filter(|address| !is_quic(address)))
}

/// Where a node is dialled by QUIC.
fn quic(node: &Network) -> PeerAddress {
    PeerAddress::new(node.peer_id(), node.listening().into_iter().filter(is_quic))
}

#[track_caller]
fn soon<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    let at = std::panic::Location::caller();
    async move {
        let patient = tokio::time::timeout(PATIENCE, future).await;
        patient.unwrap_or_else(|_| panic!("{at}: it should have happened long ago"))
    }
}

fn hello(seed: u8) -> Frame {
    Frame::Hello(Hello {
        version: VERSION,
        resource: ResourceId::from_bytes([seed; 32]),
        size: 1 << 30,
        token: None,
        role: Role::Terminal,
        group: Group::UNKNOWN,
    })
}

fn have(first: u64) -> Frame {
    Frame::Have(Blocks::from(first..first + 10))
}

fn data(id: u32, bytes: usize) -> Frame {
    Frame::Data(Data { id, last: false, payload: vec![7; bytes].into() })
}
