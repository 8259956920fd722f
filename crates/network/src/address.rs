//! What a multiaddr says.

use std::net::{IpAddr, SocketAddr};

use libp2p::multiaddr::Protocol;
use nearcast_protocol::{Multiaddr, PeerId};

/// The two transports a node speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Transport {
    Tcp,
    Quic,
}

/// The transport and port of an address.
pub(crate) fn port(address: &Multiaddr) -> Option<(Transport, u16)> {
    let mut parts = address.iter().skip(1);
    match (parts.next(), parts.next()) {
        (Some(Protocol::Tcp(port)), _) => Some((Transport::Tcp, port)),
        (Some(Protocol::Udp(port)), Some(Protocol::QuicV1)) => Some((Transport::Quic, port)),
        _ => None,
    }
}

/// The same address with another port.
pub(crate) fn with_port(address: &Multiaddr, port: u16) -> Multiaddr {
    let change = |part| match part {
        Protocol::Tcp(_) => Protocol::Tcp(port),
        Protocol::Udp(_) => Protocol::Udp(port),
        other => other,
    };
    address.iter().map(change).collect()
}

/// The IP address it starts with, if it does; IPv4 even where it is mapped into IPv6.
pub(crate) fn ip(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(IpAddr::V6(ip).to_canonical()),
        _ => None,
    }
}

/// The socket address of a plain TCP address, with or without `/p2p/…`.
pub(crate) fn tcp_socket(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    let Protocol::Tcp(port) = parts.next()? else { return None };
    let end = match parts.next() {
        Some(Protocol::P2p(_)) => parts.next(),
        other => other,
    };
    (end.is_none() && port != 0 && !ip.is_unspecified()).then_some(SocketAddr::new(ip, port))
}

/// Takes the `/p2p/<id>` off the end.
pub fn split_peer(address: &Multiaddr) -> (Multiaddr, Option<PeerId>) {
    let mut address = address.clone();
    match address.pop() {
        Some(Protocol::P2p(peer)) => (address, Some(peer)),
        Some(other) => (address.with(other), None),
        None => (address, None),
    }
}

/// Whether an address only makes sense to neighbours: private (RFC 1918), shared (RFC 6598) or unique local
/// (RFC 4193). Link-local ones need an interface to go with them, which a multiaddr can't carry to others.
pub(crate) fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || (ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

/// Whether an address is one of the internet's at large.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(is_private(ip) || link_local || ip.is_loopback() || ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn ports_are_read_and_changed() {
        let tcp = address("/ip4/10.0.0.1/tcp/40");
        let quic = address("/ip6/::1/udp/41/quic-v1");
        assert_eq!(port(&tcp), Some((Transport::Tcp, 40)));
        assert_eq!(port(&quic), Some((Transport::Quic, 41)));
        assert_eq!(port(&address("/ip4/10.0.0.1/udp/40")), None);
        assert_eq!(with_port(&quic, 7), address("/ip6/::1/udp/7/quic-v1"));
        assert_eq!(with_port(&tcp, 7), address("/ip4/10.0.0.1/tcp/7"));
    }

    #[test]
    fn a_peer_comes_off_the_end_and_nowhere_else() {
        let peer = PeerId::random();
        let plain = address("/dns4/tracker.example/tcp/4401");
        assert_eq!(split_peer(&plain), (plain.clone(), None));
        assert_eq!(split_peer(&plain.clone().with(Protocol::P2p(peer))), (plain, Some(peer)));
        assert_eq!(split_peer(&Multiaddr::empty()), (Multiaddr::empty(), None));
    }

    #[test]
    fn only_plain_tcp_is_a_socket() {
        assert_eq!(tcp_socket(&address("/ip4/127.1.0.5/tcp/9")), Some("127.1.0.5:9".parse().unwrap()));
        let with_peer = address("/ip6/::1/tcp/9").with(Protocol::P2p(PeerId::random()));
        assert_eq!(tcp_socket(&with_peer), Some("[::1]:9".parse().unwrap()));
        for other in [
            "/ip4/1.2.3.4/tcp/0",
            "/ip4/0.0.0.0/tcp/9",
            "/ip4/1.2.3.4/udp/9/quic-v1",
            "/dns4/a/tcp/9",
            "/ip4/1.2.3.4/tcp/9/ws",
            "/ip4/1.2.3.4",
        ] {
            assert_eq!(tcp_socket(&address(other)), None, "{other}");
        }
    }

    #[test]
    fn neighbours_addresses_are_told_from_public_ones() {
        for ip in ["10.1.2.3", "192.168.0.1", "172.16.0.1", "100.64.0.1", "100.127.0.1", "fd00::1"] {
            assert!(is_private(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["8.8.8.8", "100.128.0.1", "172.32.0.1", "127.0.0.1", "2001:db8::1", "fe80::1", "::1"] {
            assert!(!is_private(ip.parse().unwrap()), "{ip}");
        }
        assert_eq!(ip(&address("/ip6/::ffff:1.2.3.4/tcp/1")), Some("1.2.3.4".parse().unwrap()));
    }
}
