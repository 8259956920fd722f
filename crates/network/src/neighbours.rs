//! Neighbours found on the local network by mDNS (RFC 6762).

use std::collections::BTreeMap;

use libp2p::mdns;
use nearcast_protocol::{Multiaddr, PeerAddress, PeerId, wire::MAX_ADDRESSES};
use tokio::sync::watch;

use crate::address;

/// The most neighbours that are kept. Anyone on the local network can announce any number of peers.
const MAX_NEIGHBOURS: usize = 128;

/// Keeps the list that [`Network::neighbours`](crate::Network::neighbours) shows.
pub(crate) struct Neighbours {
    found: BTreeMap<PeerId, Vec<Multiaddr>>,
    shown: watch::Sender<Vec<PeerAddress>>,
}

impl Neighbours {
    pub(crate) fn new(shown: watch::Sender<Vec<PeerAddress>>) -> Self {
        Self { found: BTreeMap::new(), shown }
    }

    pub(crate) fn handle(&mut self, event: mdns::Event) {
        match event {
            mdns::Event::Discovered(found) => found.into_iter().for_each(|(peer, at)| self.add(peer, &at)),
            mdns::Event::Expired(lost) => lost.into_iter().for_each(|(peer, at)| self.remove(peer, &at)),
        }
        let list = self.found.iter().map(|(peer, at)| PeerAddress::new(*peer, at.iter().cloned()));
        self.shown.send_replace(list.collect());
    }

    fn add(&mut self, peer: PeerId, at: &Multiaddr) {
        if self.found.len() >= MAX_NEIGHBOURS && !self.found.contains_key(&peer) {
            return;
        }
        let addresses = self.found.entry(peer).or_default();
        let address = address::split_peer(at).0;
        if addresses.len() < MAX_ADDRESSES && !addresses.contains(&address) {
            addresses.push(address);
        }
    }

    fn remove(&mut self, peer: PeerId, at: &Multiaddr) {
        let Some(addresses) = self.found.get_mut(&peer) else { return };
        let address = address::split_peer(at).0;
        addresses.retain(|known| *known != address);
        if addresses.is_empty() {
            self.found.remove(&peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use libp2p::multiaddr::Protocol;

    use super::*;

    #[test]
    fn neighbours_come_and_go_and_stay_few() {
        let (shown, list) = watch::channel(Vec::new());
        let mut neighbours = Neighbours::new(shown);
        let peer = PeerId::random();
        let tcp: Multiaddr = "/ip4/192.168.0.9/tcp/4".parse().unwrap();
        let quic: Multiaddr = "/ip4/192.168.0.9/udp/4/quic-v1".parse().unwrap();
        let announced = tcp.clone().with(Protocol::P2p(peer));
        neighbours.handle(mdns::Event::Discovered(vec![(peer, announced.clone()), (peer, quic.clone())]));
        assert_eq!(*list.borrow(), [PeerAddress::new(peer, [tcp, quic.clone()])]);
        neighbours.handle(mdns::Event::Expired(vec![(peer, announced)]));
        assert_eq!(*list.borrow(), [PeerAddress::new(peer, [quic.clone()])]);
        neighbours.handle(mdns::Event::Expired(vec![(peer, quic.clone())]));
        assert!(list.borrow().is_empty());

        let crowd = (0..1000).map(|_| (PeerId::random(), quic.clone())).collect();
        neighbours.handle(mdns::Event::Discovered(crowd));
        assert_eq!(list.borrow().len(), MAX_NEIGHBOURS);
    }
}
