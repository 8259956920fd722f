//! What the tracker remembers of one node, and what it tells of it.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use multiaddr::Protocol;
use nearcast_protocol::{
    Group, Multiaddr, PeerAddress, PeerId, ResourceId, Role,
    tracker::{ListedPeer, Reach, Registration},
    wire::MAX_ADDRESSES,
};

use crate::{group_table::Place, swarm::Caller};

/// The number that stands for a node inside the tracker: a peer id is ten times as large.
pub(crate) type Slot = usize;

/// Where a node counts as being at home. Nodes of an unknown network are at home only with those behind the
/// very same address: an office that no table knows is still a neighbourhood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Home {
    Group(Group),
    Address(IpAddr),
}

impl Home {
    /// Where a caller is at home.
    pub fn of(caller: &Caller) -> Self {
        Self::at(caller.observed, caller.place)
    }

    fn at(observed: IpAddr, place: Place) -> Self {
        if place.group == Group::UNKNOWN { Self::Address(observed) } else { Self::Group(place.group) }
    }
}

/// One registered node.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub peer: PeerId,
    pub observed: IpAddr,
    pub place: Place,
    pub role: Role,
    pub reach: Reach,
    tcp_port: u16,
    quic_port: u16,
    local: Vec<Multiaddr>,
    /// In bit/s.
    pub spare_upload: u64,
    /// How much of each resource it holds, in thousandths.
    pub holdings: BTreeMap<ResourceId, u16>,
    /// When its lease runs out.
    pub expires: Duration,
    /// When it last said what it received.
    pub reported: Duration,
}

impl Node {
    /// A node that holds nothing yet and whose lease is yet to be given.
    pub fn new(now: Duration, caller: &Caller, registration: &Registration) -> Self {
        let may_be_told = |address: &&Multiaddr| may_be_local(address, caller.observed);
        // The observed addresses come after them, one for each transport.
        let local = registration.local.iter().filter(may_be_told).take(MAX_ADDRESSES - 2);
        Self {
            peer: caller.peer,
            observed: caller.observed,
            place: caller.place,
            role: registration.role,
            reach: registration.reach,
            tcp_port: registration.tcp_port,
            quic_port: registration.quic_port,
            local: local.cloned().collect(),
            spare_upload: registration.spare_upload,
            holdings: BTreeMap::new(),
            expires: now,
            reported: now,
        }
    }

    pub fn home(&self) -> Home {
        Home::at(self.observed, self.place)
    }

    /// Whether anyone could dial it at all.
    pub fn reachable(&self) -> bool {
        self.tcp_port != 0 || self.quic_port != 0
    }

    /// How much of a resource it holds, in thousandths.
    pub fn permille(&self, resource: &ResourceId) -> u16 {
        self.holdings.get(resource).copied().unwrap_or_default()
    }

    /// The observed address with the registered ports (R1).
    pub fn observed_addresses(&self) -> Vec<Multiaddr> {
        let ip = Multiaddr::from(self.observed);
        let tcp = (self.tcp_port != 0).then(|| ip.clone().with(Protocol::Tcp(self.tcp_port)));
        let quic = || ip.clone().with(Protocol::Udp(self.quic_port)).with(Protocol::QuicV1);
        let quic = (self.quic_port != 0).then(quic);
        tcp.into_iter().chain(quic).collect()
    }

    /// The node as one asker may see it: local addresses only from behind the same public one, and first (R1).
    pub fn listed(&self, resource: &ResourceId, asker: IpAddr) -> ListedPeer {
        let mut addresses = if asker == self.observed { self.local.clone() } else { Vec::new() };
        for address in self.observed_addresses() {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        ListedPeer {
            address: PeerAddress::new(self.peer, addresses),
            group: self.place.group,
            role: self.role,
            permille: self.permille(resource),
            spare_upload: self.spare_upload,
        }
    }
}

/// Whether an address that a node claims to have locally may be handed on: a stranger's address could be a
/// victim's.
fn may_be_local(address: &Multiaddr, observed: IpAddr) -> bool {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => return false,
    };
    match (parts.next(), parts.next(), parts.next()) {
        (Some(Protocol::Tcp(port)), None, None) if port != 0 => {}
        (Some(Protocol::Udp(port)), Some(Protocol::QuicV1), None) if port != 0 => {}
        _ => return false,
    }
    let ip = ip.to_canonical();
    let inside = match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_loopback(),
    };
    inside || ip == observed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_stranger_s_address_is_handed_on() {
        let observed: IpAddr = "203.0.113.5".parse().unwrap();
        for (address, may) in [
            ("/ip4/192.168.1.9/tcp/4400", true),
            ("/ip4/203.0.113.5/tcp/4400", true),
            ("/ip6/::ffff:203.0.113.5/tcp/4400", true),
            ("/ip4/127.0.0.1/tcp/4400", true),
            ("/ip6/fd00::9/udp/4400/quic-v1", true),
            ("/ip6/fe80::9/tcp/4400", true),
            ("/ip4/198.51.100.7/tcp/80", false),
            ("/ip6/2001:db8::7/tcp/80", false),
            ("/ip6/::ffff:198.51.100.7/tcp/80", false),
            ("/dns4/victim.example/tcp/80", false),
            ("/ip4/192.168.1.9", false),
            ("/ip4/192.168.1.9/tcp/0", false),
            ("/ip4/192.168.1.9/udp/53", false),
            ("/ip4/192.168.1.9/tcp/80/ws", false),
            ("/ip4/192.168.1.9/udp/80/quic-v1/webtransport", false),
            ("/ip4/192.168.1.9/tcp/80/ws/p2p-circuit", false),
        ] {
            assert_eq!(may_be_local(&address.parse().unwrap(), observed), may, "{address}");
        }
    }
}
