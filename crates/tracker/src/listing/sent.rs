//! A list as it is sent, written straight out of the memory: making fifty peers into a message first takes
//! ten times as long as choosing them.

use std::{convert::Infallible, net::IpAddr, time::Duration};

use minicbor::{Encoder, encode::Error};
use nearcast_protocol::{
    ResourceId,
    tracker::{PeerList, Rule},
    wire,
};
use rand::Rng;

use super::{Listed, Listing};
use crate::{
    identity::Identity,
    swarm::{Caller, Swarm},
};

/// The place of `Answer::Found` among the answers.
const FOUND: u32 = 3;

/// What is counted of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    pub rule: Rule,
    /// Peers of the asker's network.
    pub inside: usize,
    /// Other peers.
    pub outside: usize,
    /// Whether anybody holds it but the asker.
    pub anybody: bool,
}

impl Told {
    pub fn of(list: &PeerList) -> Self {
        let inside = list.peers.iter().filter(|peer| peer.group.same_network(list.group)).count();
        let anybody = !list.peers.is_empty() || list.counts.in_group + list.counts.outside > 0;
        Self { rule: list.rule, inside, outside: list.peers.len() - inside, anybody }
    }
}

type Writing<'a> = Encoder<&'a mut Vec<u8>>;
type Written = Result<(), Error<Infallible>>;

impl Swarm {
    /// As [`Swarm::find`], but the list is appended as it goes out, as an `Answer::Found`.
    pub(crate) fn find_to(
        &mut self,
        now: Duration,
        caller: &Caller,
        resource: &ResourceId,
        stalled: bool,
        rng: &mut impl Rng,
        bytes: &mut Vec<u8>,
    ) -> Told {
        let listing = self.choose(now, caller, resource, rng);
        let (told, rule) = (listing.told(), listing.rule);
        // A `Vec` takes every write.
        listing.write(&mut Encoder::new(&mut *bytes)).ok();
        let mut e = Encoder::new(bytes);
        if self.tells_bridges(rule, stalled) {
            self.bridges(now, caller, resource, rng).write_peers(&mut e).ok();
        } else {
            e.array(0).ok();
        }
        e.u16(self.introduces).ok();
        told
    }
}

impl Listing<'_> {
    fn told(&self) -> Told {
        let inside = self.peers().filter(|peer| peer.group().same_network(self.group)).count();
        let all = self.swarm.draw.listed.len();
        let anybody = all > 0 || self.counts.in_group + self.counts.outside > 0;
        Told { rule: self.rule, inside, outside: all - inside, anybody }
    }

    /// Writes all but the bridges.
    fn write(&self, e: &mut Writing<'_>) -> Written {
        e.array(2)?.u32(FOUND)?.array(1)?.array(7)?;
        e.encode(self.rule)?.encode(self.group)?.encode(self.counts)?;
        self.write_peers(e)?;
        e.u32(self.ask_again_ms())?.ok()
    }

    fn write_peers(&self, e: &mut Writing<'_>) -> Written {
        e.array(self.peers().count() as u64)?;
        self.peers().try_for_each(|peer| peer.write(e))
    }
}

impl Listed<'_> {
    fn write(self, e: &mut Writing<'_>) -> Written {
        let Self { node, listing, .. } = self;
        let mut peer = Peer::default();
        peer.push([0x86, 0x82]);
        match &node.identity {
            Identity::Ed25519(key) => peer.push(ED25519_BEFORE).push(*key),
            other => other.with_bytes(|id| peer.text(BYTES, id)),
        };
        if listing.asker == node.observed {
            // Its local addresses are told to few.
            e.writer_mut().extend_from_slice(peer.bytes());
            wire::addresses::encode(&node.addresses_for(node.observed, &listing.swarm.locals), e, &mut ())?;
            peer = Peer::default();
        } else {
            let many = u8::from(node.tcp_port != 0) + u8::from(node.quic_port != 0);
            peer.push([ARRAY | many]);
            if node.tcp_port != 0 {
                peer.address(node.observed, node.tcp_port, false);
            }
            if node.quic_port != 0 {
                peer.address(node.observed, node.quic_port, true);
            }
        }
        peer.number(self.group().0.into()).number(node.role as u64);
        peer.number(self.permille().into()).number(node.spare_upload());
        peer.push([FALSE + u8::from(node.dialled.awaits())]);
        e.writer_mut().extend_from_slice(peer.bytes());
        Ok(())
    }
}

/// CBOR's major types (RFC 8949, 3.1).
const BYTES: u8 = 2 << 5;
const ARRAY: u8 = 4 << 5;
const FALSE: u8 = 7 << 5 | 20;
/// What stands before an Ed25519 key in a peer id of 38 bytes.
const ED25519_BEFORE: [u8; 8] = [BYTES | 24, 38, 0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
/// More than a peer takes without local addresses: the longest peer id of 44 bytes, two addresses of 25 and 4
/// numbers of 9, a flag, and what stands before each.
const ROOM: usize = 160;

/// One peer as it is sent: written where the processor has it at hand, and copied once.
struct Peer {
    bytes: [u8; ROOM],
    len: usize,
}

impl Default for Peer {
    fn default() -> Self {
        Self { bytes: [0; ROOM], len: 0 }
    }
}

impl Peer {
    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn push<const N: usize>(&mut self, bytes: [u8; N]) -> &mut Self {
        if let Some(place) = self.bytes.get_mut(self.len..).and_then(|rest| rest.first_chunk_mut()) {
            *place = bytes;
            self.len += N;
        }
        self
    }

    /// What begins an item: its type, and a number that is its value or its length.
    fn head(&mut self, kind: u8, number: u64) -> &mut Self {
        match number {
            0..24 => self.push([kind | number as u8]),
            24..0x100 => self.push([kind | 24, number as u8]),
            0x100..0x1_0000 => self.push([kind | 25]).push((number as u16).to_be_bytes()),
            0x1_0000..0x1_0000_0000 => self.push([kind | 26]).push((number as u32).to_be_bytes()),
            _ => self.push([kind | 27]).push(number.to_be_bytes()),
        }
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.head(0, number)
    }

    fn text(&mut self, kind: u8, text: &[u8]) -> &mut Self {
        self.head(kind, text.len() as u64);
        let place = self.bytes.get_mut(self.len..).and_then(|rest| rest.get_mut(..text.len()));
        if let Some(place) = place {
            place.copy_from_slice(text);
            self.len += text.len();
        }
        self
    }

    /// An observed address in its binary form (multiaddr specification): ip4 is 4 and ip6 41, tcp is 6, and above
    /// 127 codes take two bytes: udp is 273, quic-v1 461.
    fn address(&mut self, ip: IpAddr, port: u16, quic: bool) -> &mut Self {
        let of_port = if quic { 6 } else { 3 };
        match ip {
            IpAddr::V4(ip) => self.push([BYTES | (5 + of_port), 4]).push(ip.octets()),
            IpAddr::V6(ip) => self.head(BYTES, (17 + of_port).into()).push([41]).push(ip.octets()),
        };
        let [high, low] = port.to_be_bytes();
        if quic { self.push([0x91, 0x02, high, low, 0xcd, 0x03]) } else { self.push([6, high, low]) }
    }
}

#[cfg(test)]
mod tests {
    use nearcast_protocol::{
        Group, PeerId, Role,
        tracker::{Answer, Holding, Medium, Reach, Registration},
    };
    use proptest::{
        collection::vec,
        option,
        prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest},
    };
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::{BridgePolicy, Place, Rules};

    const FILM: ResourceId = ResourceId::from_bytes([1; 32]);

    /// Few addresses, so that some nodes stand behind the same one.
    fn addresses() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            (0u8..3).prop_map(|last| IpAddr::from([203, 0, 113, last])),
            (0u16..3).prop_map(|last| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last])),
        ]
    }

    fn identities() -> impl Strategy<Value = PeerId> {
        let bytes = |before: &'static [u8]| {
            any::<[u8; 32]>().prop_map(move |key| PeerId::from_bytes(&[before, &key[..]].concat()).unwrap())
        };
        prop_oneof![
            4 => bytes(&[0, 36, 8, 1, 18, 32]),
            1 => bytes(&[0, 32]),
            1 => bytes(&[0x12, 32]),
            1 => vec(any::<u8>(), 0..42).prop_map(|id| {
                PeerId::from_bytes(&[&[0, id.len() as u8], &id[..]].concat()).unwrap()
            }),
        ]
    }

    fn callers() -> impl Strategy<Value = Caller> {
        (identities(), addresses(), 0u32..3).prop_map(|(peer, observed, group)| {
            let place = Place { group: Group(group), ..Place::default() };
            Caller { peer, observed, place }
        })
    }

    fn registrations() -> impl Strategy<Value = Registration> {
        let port = || prop_oneof![Just(0), any::<u16>()];
        let local = vec((addresses(), 1..=u16::MAX), 0..3).prop_map(|local| {
            let address = |(ip, port): (IpAddr, u16)| {
                let kind = if ip.is_ipv4() { "ip4" } else { "ip6" };
                format!("/{kind}/{ip}/tcp/{port}").parse().unwrap()
            };
            local.into_iter().map(address).collect()
        });
        (port(), port(), local, 0u16..=1000, any::<bool>(), any::<u64>()).prop_map(
            |(tcp_port, quic_port, local, permille, publisher, spare_upload)| Registration {
                version: String::new(),
                role: if publisher { Role::Publisher } else { Role::Terminal },
                tcp_port,
                quic_port,
                reach: Reach::Unknown,
                medium: Medium::Unknown,
                local,
                holdings: vec![Holding { resource: FILM, permille, guard: None }],
                spare_upload,
            },
        )
    }

    proptest! {
        #[test]
        fn it_is_byte_for_byte_the_message(
            nodes in vec((callers(), registrations()), 0..30),
            asker in option::of(callers()),
            (low, high) in (0usize..6, 0usize..12),
            stalled in any::<bool>(),
            always in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let bridges = if always { BridgePolicy::Always } else { BridgePolicy::Stalled };
            let rules = Rules { low, high: low + high, bridges, ..Rules::default() };
            let now = Duration::from_secs(1);
            // The same twice, since asking changes who is told of bridges.
            let [mut one, mut other] = [(); 2].map(|()| {
                let (mut swarm, mut dice) = (Swarm::new(rules), StdRng::seed_from_u64(seed));
                for (caller, registration) in &nodes {
                    swarm.register(now, caller, registration, &mut dice);
                }
                (swarm, dice)
            });
            let Some(asker) = asker.or(nodes.first().map(|(caller, _)| *caller)) else { return Ok(()) };
            let list = one.0.find(now, &asker, &FILM, stalled, &mut one.1);
            let mut bytes = vec![7];
            let told = other.0.find_to(now, &asker, &FILM, stalled, &mut other.1, &mut bytes);
            prop_assert_eq!(told, Told::of(&list));
            prop_assert_eq!(bytes.split_off(1), wire::encode(&Answer::Found(list)));
        }
    }
}
