//! Who a node is and how it is reached.

use std::{fmt, net::IpAddr};

use libp2p_identity::PeerId;
use minicbor::{Decode, Encode};
use multiaddr::Multiaddr;

use crate::wire::{self, MAX_ADDRESSES, MAX_TOKEN};

/// The number of a network group (组号): the ISP, campus or office that an address belongs to.
///
/// [`Group::UNKNOWN`] means that the group table has no entry; two unknown groups are never the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Group(#[n(0)] pub u32);

impl Group {
    /// No entry in the group table.
    pub const UNKNOWN: Self = Self(0);

    /// Whether both addresses are known to be of one network.
    pub fn same_network(self, other: Self) -> bool {
        self == other && self != Self::UNKNOWN
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::UNKNOWN { f.write_str("unknown") } else { write!(f, "{}", self.0) }
    }
}

/// What a node is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Encode, Decode)]
#[cbor(index_only)]
pub enum Role {
    /// Someone who watches and shares on (点播终端).
    #[default]
    #[n(0)]
    Terminal,
    /// The source of a resource (资源发布服务器).
    #[n(1)]
    Publisher,
}

/// A capability that a protected resource asks for, as text; [`crate::token`] says what is in it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(String);

impl Token {
    /// A token, unless it is longer than [`MAX_TOKEN`] bytes.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (text.len() <= MAX_TOKEN).then_some(Self(text))
    }

    /// The token's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A token is a secret: it must not end up in a log.
        write!(f, "Token({} bytes)", self.0.len())
    }
}

impl<C> Encode<C> for Token {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Token {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::new(d.str()?).ok_or_else(|| minicbor::decode::Error::message("the token is too long"))
    }
}

/// The IP address that a multiaddr begins with, if it begins with one.
pub fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        multiaddr::Protocol::Ip4(ip) => Some(ip.into()),
        multiaddr::Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

/// A peer and where it may be dialled.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct PeerAddress {
    /// The libp2p identity, proved by the connection (P-ID).
    #[n(0)]
    #[cbor(with = "wire::peer_id")]
    pub peer: PeerId,
    /// Where to dial, best first; at most [`MAX_ADDRESSES`].
    #[n(1)]
    #[cbor(with = "wire::addresses")]
    pub addresses: Vec<Multiaddr>,
}

impl PeerAddress {
    /// A peer with the addresses that fit the wire.
    pub fn new(peer: PeerId, addresses: impl IntoIterator<Item = Multiaddr>) -> Self {
        Self { peer, addresses: addresses.into_iter().take(MAX_ADDRESSES).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_unknown_groups_are_never_the_same() {
        assert!(Group(7).same_network(Group(7)));
        assert!(!Group(7).same_network(Group(8)));
        assert!(!Group::UNKNOWN.same_network(Group::UNKNOWN));
        assert_eq!((Group(7).to_string(), Group::default().to_string()), ("7".into(), "unknown".into()));
    }

    #[test]
    fn a_token_has_a_limit_and_keeps_its_secret() {
        assert!(Token::new("é".repeat(MAX_TOKEN / 2)).is_some());
        assert_eq!(Token::new("t".repeat(MAX_TOKEN + 1)), None);
        assert_eq!(format!("{:?}", Token::new("secret").unwrap()), "Token(6 bytes)");
    }

    #[test]
    fn a_peer_keeps_the_addresses_that_fit_the_wire_best_first() {
        let address = |port: usize| format!("/ip4/192.0.2.1/tcp/{port}").parse().unwrap();
        let peer = PeerAddress::new(PeerId::random(), (1..100).map(address));
        assert_eq!(peer.addresses, (1..=MAX_ADDRESSES).map(address).collect::<Vec<_>>());
    }

    #[test]
    fn the_ip_address_a_multiaddr_begins_with() {
        let ip = |address: &str| ip_of(&address.parse().unwrap());
        assert_eq!(ip("/ip4/192.0.2.1/tcp/1"), Some([192, 0, 2, 1].into()));
        assert_eq!(ip("/ip6/::1/udp/1/quic-v1"), Some(std::net::Ipv6Addr::LOCALHOST.into()));
        assert_eq!(ip("/dns/films.example/tcp/1"), None);
        assert_eq!(ip_of(&Multiaddr::empty()), None);
    }
}
