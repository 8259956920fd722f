//! What the tracker remembers of one node.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use nearcast_protocol::{
    Group, Multiaddr, PeerAddress, PeerId, ResourceId, Role,
    peer::ip_of,
    tracker::{Claim, ListedPeer, Registration},
    wire::MAX_ADDRESSES,
};

use crate::group_table::Place;

/// Where a node counts as being at home. Nodes of an unknown network are at home only with those behind the
/// very same address: an office that no table knows is still a neighbourhood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Home {
    Group(Group),
    Address(IpAddr),
}

impl Home {
    pub fn of(observed: IpAddr, place: Place) -> Self {
        if place.group == Group::UNKNOWN { Self::Address(observed) } else { Self::Group(place.group) }
    }
}

/// One registered node.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub observed: IpAddr,
    pub place: Place,
    pub role: Role,
    tcp_port: u16,
    quic_port: u16,
    local: Vec<Multiaddr>,
    pub spare_upload: u64,
    /// How much of each resource it holds, in thousandths.
    pub holdings: BTreeMap<ResourceId, u16>,
    pub claims: Vec<Claim>,
    pub expires: Duration,
    pub reported: Duration,
}

impl Node {
    pub fn new(registration: &Registration, observed: IpAddr, place: Place, now: Duration) -> Self {
        let local = registration.local.iter().filter(|address| may_be_local(address, observed)).cloned();
        Self {
            observed,
            place,
            role: registration.role,
            tcp_port: registration.tcp_port,
            quic_port: registration.quic_port,
            local: local.collect(),
            spare_upload: registration.spare_upload,
            holdings: BTreeMap::new(),
            claims: Vec::new(),
            expires: now,
            reported: now,
        }
    }

    pub fn home(&self) -> Home {
        Home::of(self.observed, self.place)
    }

    /// Whether anyone could dial it at all.
    pub fn reachable(&self) -> bool {
        self.tcp_port != 0 || self.quic_port != 0
    }

    /// The observed address with the registered ports.
    pub fn observed_addresses(&self) -> Vec<Multiaddr> {
        let ip = match self.observed {
            IpAddr::V4(ip) => format!("/ip4/{ip}"),
            IpAddr::V6(ip) => format!("/ip6/{ip}"),
        };
        let tcp = (self.tcp_port != 0).then(|| format!("{ip}/tcp/{}", self.tcp_port));
        let quic = (self.quic_port != 0).then(|| format!("{ip}/udp/{}/quic-v1", self.quic_port));
        tcp.into_iter().chain(quic).filter_map(|address| address.parse().ok()).collect()
    }

    /// The node as one asker may see it: local addresses only from behind the same public one (R1).
    pub fn listed(&self, peer: PeerId, resource: &ResourceId, asker: IpAddr) -> ListedPeer {
        let mut addresses = Vec::new();
        if asker == self.observed {
            addresses.extend(self.local.iter().take(MAX_ADDRESSES - 2).cloned());
        }
        addresses.extend(self.observed_addresses());
        ListedPeer {
            address: PeerAddress::new(peer, addresses),
            group: self.place.group,
            role: self.role,
            permille: self.holdings.get(resource).copied().unwrap_or_default(),
            spare_upload: self.spare_upload,
        }
    }
}

/// Whether an address that a node claims to have locally may be handed on: a stranger's address could be a
/// victim's.
fn may_be_local(address: &Multiaddr, observed: IpAddr) -> bool {
    let text = address.to_string();
    let dialled = text.contains("/tcp/") || (text.contains("/udp/") && text.ends_with("/quic-v1"));
    let plain = address.iter().count() <= 3;
    let Some(ip) = ip_of(address) else { return false };
    let inside = match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_loopback(),
    };
    dialled && plain && (inside || ip.to_canonical() == observed)
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
            ("/ip6/fd00::9/udp/4400/quic-v1", true),
            ("/ip4/198.51.100.7/tcp/80", false),
            ("/dns4/victim.example/tcp/80", false),
            ("/ip4/192.168.1.9/udp/53", false),
            ("/ip4/192.168.1.9/tcp/80/ws/p2p-circuit", false),
        ] {
            assert_eq!(may_be_local(&address.parse().unwrap(), observed), may, "{address}");
        }
    }
}
