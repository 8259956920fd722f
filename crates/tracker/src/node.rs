//! What the tracker remembers of one node, and what it tells of it.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use multiaddr::Protocol;
use nearcast_protocol::{
    Multiaddr, Role,
    tracker::{Medium, Reach, Registration},
    wire::MAX_ADDRESSES,
};

use crate::{
    dialled::Dialled,
    holder::Key,
    home::{Home, HomeId, Homes},
    identity::Identity,
    lists::{List, Lists},
    resources::{Short, Stand},
    swarm::Caller,
};

/// The number that stands for a node inside the tracker: a peer id is ten times as large.
pub(crate) type Slot = u32;

/// One registered node, in 96 bytes: a tracker may know millions. What an asker's choice goes by stands in the
/// last 32, which never lie across two lines of the processor's cache.
#[derive(Debug)]
#[repr(C, align(32))]
pub(crate) struct Node {
    pub identity: Identity,
    /// The numbers of the resources it holds. A node without a port holds nothing.
    pub held: List<Short>,
    /// Its local addresses, packed.
    local: List<u32>,
    pub home: HomeId,
    /// When it last said what it received, in seconds.
    pub reported: u32,

    pub observed: IpAddr,
    pub role: Role,
    pub reach: Reach,
    /// What came of dialling it.
    pub dialled: Dialled,
    pub tcp_port: u16,
    pub quic_port: u16,
    /// The number of the region, 0 if the table names none.
    pub region: u32,
    /// In kbit/s.
    spare_upload: u32,
}

impl Node {
    /// A node that holds nothing yet and has no lease.
    pub fn new(
        now: Duration,
        caller: &Caller,
        home: HomeId,
        registration: &Registration,
        locals: &mut Lists<u32>,
    ) -> Self {
        let may_be_told = |address: &&Multiaddr| may_be_local(address, caller.observed);
        let mut local = List::default();
        // The observed addresses come after them, one for each transport.
        for address in registration.local.iter().filter(may_be_told).take(MAX_ADDRESSES - 2) {
            pack(address, |number| {
                locals.push(&mut local, number);
            });
        }
        let mut node = Self {
            identity: Identity::of(&caller.peer),
            observed: caller.observed,
            home,
            region: caller.place.region,
            role: registration.role,
            reach: registration.reach,
            dialled: Dialled::default(),
            tcp_port: registration.tcp_port,
            quic_port: registration.quic_port,
            spare_upload: 0,
            reported: seconds(now),
            held: List::default(),
            local,
        };
        node.set_spare_upload(registration.spare_upload);
        node
    }

    /// What it registered, as far as it is remembered, but for what it holds.
    pub fn registration(&self, locals: &Lists<u32>) -> Registration {
        Registration {
            version: String::new(),
            role: self.role,
            tcp_port: self.tcp_port,
            quic_port: self.quic_port,
            reach: self.reach,
            medium: Medium::Unknown,
            local: unpack(locals.get(&self.local)),
            holdings: Vec::new(),
            spare_upload: self.spare_upload(),
        }
    }

    /// Gives back what it has in the lists.
    pub fn clear(&mut self, held: &mut Lists<Short>, locals: &mut Lists<u32>) {
        held.clear(&mut self.held);
        locals.clear(&mut self.local);
    }

    /// Whether anyone could dial it at all.
    pub fn has_port(&self) -> bool {
        self.tcp_port != 0 || self.quic_port != 0
    }

    /// Where it stands among the holders of what it holds. A node that can't be dialled from outside stands
    /// with those behind its own address.
    pub fn stand(&self, slot: Slot, homes: &Homes) -> Option<Stand> {
        let behind = self.dialled.hidden();
        let home = if behind { homes.get(&Home::Address(self.observed))? } else { self.home };
        Some(Stand { key: Key::new(home, slot), behind })
    }

    /// Takes what is known of dialling the node that it replaces, if that was registered alike.
    pub fn dialled_as(&mut self, before: &Self) {
        let at = |node: &Self| (node.observed, node.tcp_port, node.quic_port);
        if at(self) == at(before) && self.reach != Reach::Relayed {
            self.dialled = before.dialled;
            self.reach = before.dialled.reach().unwrap_or(self.reach);
        }
    }

    /// What it could still upload, in bit/s, to the kbit/s.
    pub fn spare_upload(&self) -> u64 {
        u64::from(self.spare_upload) * 1000
    }

    /// In bit/s.
    pub fn set_spare_upload(&mut self, spare: u64) {
        self.spare_upload = u32::try_from(spare / 1000).unwrap_or(u32::MAX);
    }

    /// The observed address with the registered ports (R1).
    pub fn observed_addresses(&self) -> Vec<Multiaddr> {
        let tcp = (self.tcp_port != 0).then(|| address(self.observed, self.tcp_port, false));
        let quic = (self.quic_port != 0).then(|| address(self.observed, self.quic_port, true));
        tcp.into_iter().chain(quic).collect()
    }

    /// The addresses that one asker may see: local ones only from behind the same public one, and first (R1).
    pub fn addresses_for(&self, asker: IpAddr, locals: &Lists<u32>) -> Vec<Multiaddr> {
        let mut addresses = if asker == self.observed { unpack(locals.get(&self.local)) } else { Vec::new() };
        for address in self.observed_addresses() {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }
}

/// Whole seconds, as nodes count.
pub(crate) fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

fn address(ip: IpAddr, port: u16, quic: bool) -> Multiaddr {
    // The longest of these, so that it is allocated once.
    let mut address = Multiaddr::with_capacity(24);
    address.push(ip.into());
    if quic {
        address.push(Protocol::Udp(port));
        address.push(Protocol::QuicV1);
    } else {
        address.push(Protocol::Tcp(port));
    }
    address
}

const QUIC: u32 = 1 << 16;
const IPV6: u32 = 1 << 17;

/// Puts an address that [`may_be_local`] into numbers: port and kind, then the IP.
fn pack(address: &Multiaddr, mut push: impl FnMut(u32)) {
    let (mut ip, mut kind) = (None, 0);
    for part in address {
        match part {
            Protocol::Ip4(four) => ip = Some(IpAddr::V4(four)),
            Protocol::Ip6(six) => ip = Some(IpAddr::V6(six)),
            Protocol::Tcp(port) => kind |= u32::from(port),
            Protocol::Udp(port) => kind |= u32::from(port) | QUIC,
            _ => {}
        }
    }
    match ip {
        Some(IpAddr::V4(four)) => [kind, four.to_bits()].into_iter().for_each(push),
        Some(IpAddr::V6(six)) => {
            push(kind | IPV6);
            let bits = six.to_bits();
            [96, 64, 32, 0].into_iter().for_each(|shift| push((bits >> shift) as u32));
        }
        None => {}
    }
}

fn unpack(mut numbers: &[u32]) -> Vec<Multiaddr> {
    let mut addresses = Vec::new();
    loop {
        let (kind, ip, rest) = match *numbers {
            [kind, one, two, three, four, ref rest @ ..] if kind & IPV6 != 0 => {
                let bits =
                    [one, two, three, four].iter().fold(0, |bits, part| bits << 32 | u128::from(*part));
                (kind, IpAddr::V6(Ipv6Addr::from_bits(bits)), rest)
            }
            [kind, four, ref rest @ ..] => (kind, IpAddr::V4(four.into()), rest),
            _ => return addresses,
        };
        addresses.push(address(ip, kind as u16, kind & QUIC != 0));
        numbers = rest;
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
    use proptest::{
        collection::vec,
        prelude::{any, prop_assert_eq, proptest},
    };

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

    proptest! {
        #[test]
        fn local_addresses_come_back(
            sent in vec((any::<IpAddr>(), 1..=u16::MAX, any::<bool>()), 0..6),
        ) {
            let sent: Vec<_> = sent.into_iter().map(|(ip, port, quic)| address(ip, port, quic)).collect();
            let mut packed = Vec::new();
            sent.iter().for_each(|address| pack(address, |number| packed.push(number)));
            prop_assert_eq!(unpack(&packed), sent);
        }
    }

    #[test]
    fn a_node_takes_no_more_than_this() {
        assert_eq!((size_of::<Node>(), size_of::<Option<Node>>()), (96, 96));
        assert_eq!(std::mem::offset_of!(Node, observed), 64);
    }
}
