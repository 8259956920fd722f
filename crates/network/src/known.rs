//! What is shared between the swarm's task, the connections' tasks and the callers: who is connected, and
//! who is banned.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::Hash,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use libp2p::swarm::ConnectionId;
use nearcast_protocol::{Multiaddr, PeerId};

use crate::address;

/// The most peers, and the most addresses, that are remembered; the oldest is forgotten for a new one. New
/// identities cost an attacker nothing, so there must be an end to bans.
const REMEMBERED: usize = 4096;

/// One established connection.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) id: ConnectionId,
    /// As dialled, or as observed; without `/p2p/…`.
    pub(crate) remote: Multiaddr,
    pub(crate) dialled: bool,
}

impl Link {
    /// The address it came from, if it wasn't dialled here.
    fn origin(&self) -> Option<IpAddr> {
        (!self.dialled).then(|| address::ip(&self.remote)).flatten()
    }
}

/// All established connections.
#[derive(Debug, Default)]
pub(crate) struct Links(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    peers: HashMap<PeerId, Vec<Link>>,
    /// How many connections came from each address: asked before every handshake.
    from: HashMap<IpAddr, usize>,
    /// Which addresses were dialled.
    called: Newest<IpAddr>,
    /// Whether anybody came in from a public address that wasn't.
    visited: bool,
}

impl Links {
    pub(crate) fn add(&self, peer: PeerId, link: Link) {
        let mut table = self.lock();
        if let Some(ip) = link.origin() {
            *table.from.entry(ip).or_default() += 1;
            table.visited |= address::is_public(ip) && !table.called.set.contains(&ip.to_canonical());
        }
        table.peers.entry(peer).or_default().push(link);
    }

    /// Takes a connection out, and says whether it was the peer's last.
    pub(crate) fn remove(&self, peer: PeerId, id: ConnectionId) -> bool {
        let mut table = self.lock();
        let Table { peers, from, .. } = &mut *table;
        let Some(links) = peers.get_mut(&peer) else { return true };
        let gone = links.iter().position(|link| link.id == id).map(|at| links.swap_remove(at));
        let last = links.is_empty();
        if last {
            peers.remove(&peer);
        }
        if let Some(ip) = gone.and_then(|link| link.origin())
            && let Some(count) = from.get_mut(&ip)
        {
            *count -= 1;
            if *count == 0 {
                from.remove(&ip);
            }
        }
        last
    }

    /// The connection to use for a peer: TCP before QUIC, which costs twice the processor time per byte.
    pub(crate) fn best(&self, peer: PeerId) -> Option<Link> {
        let table = self.lock();
        let links = table.peers.get(&peer)?;
        let tcp = |link: &&Link| matches!(address::port(&link.remote), Some((address::Transport::Tcp, _)));
        links.iter().find(tcp).or(links.first()).cloned()
    }

    /// A connection that was made by dialling `address`.
    pub(crate) fn dialled(&self, address: &Multiaddr) -> Option<(PeerId, Link)> {
        let matches = |link: &&Link| link.dialled && link.remote == *address;
        let table = self.lock();
        table.peers.iter().find_map(|(peer, links)| Some((*peer, links.iter().find(matches)?.clone())))
    }

    /// How many connections came from an IP address.
    pub(crate) fn count_from(&self, ip: IpAddr) -> usize {
        self.lock().from.get(&ip).copied().unwrap_or(0)
    }

    /// These addresses are being dialled: whoever comes from there may be let in for that alone.
    pub(crate) fn called(&self, addresses: impl Iterator<Item = IpAddr>) {
        let mut table = self.lock();
        addresses.for_each(|ip| table.called.insert(ip.to_canonical()));
    }

    /// Whether a stranger has come in from a public address that this node never dialled.
    pub(crate) fn visited(&self) -> bool {
        self.lock().visited
    }

    /// Every connection.
    pub(crate) fn all(&self) -> Vec<(PeerId, Link)> {
        let table = self.lock();
        let of_peer = |(peer, links): (&PeerId, &Vec<Link>)| {
            let peer = *peer;
            links.clone().into_iter().map(move |link| (peer, link))
        };
        table.peers.iter().flat_map(of_peer).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing in between the changes of a table can fail: a poisoned lock holds a sound one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who is not talked to.
#[derive(Debug, Default)]
pub(crate) struct Bans {
    peers: Newest<PeerId>,
    addresses: Newest<IpAddr>,
}

impl Bans {
    /// Bans a peer, and its address unless that is a loopback one: behind 127.0.0.1 is every other node of
    /// the machine, and whatever a local proxy lets in.
    pub(crate) fn add(&mut self, peer: PeerId, ip: Option<IpAddr>) {
        self.peers.insert(peer);
        if let Some(ip) = ip.map(|ip| ip.to_canonical()).filter(|ip| !ip.is_loopback()) {
            self.addresses.insert(ip);
        }
    }

    pub(crate) fn has_peer(&self, peer: &PeerId) -> bool {
        self.peers.set.contains(peer)
    }

    pub(crate) fn has_address(&self, address: &Multiaddr) -> bool {
        address::ip(address).is_some_and(|ip| self.addresses.set.contains(&ip))
    }
}

/// A set that forgets its oldest item when it is full.
#[derive(Debug)]
struct Newest<T> {
    set: HashSet<T>,
    order: VecDeque<T>,
}

impl<T> Default for Newest<T> {
    fn default() -> Self {
        Self { set: HashSet::new(), order: VecDeque::new() }
    }
}

impl<T: Copy + Eq + Hash> Newest<T> {
    fn insert(&mut self, item: T) {
        if !self.set.insert(item) {
            return;
        }
        self.order.push_back(item);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_by_where_they_come_from() {
        let links = Links::default();
        let (peer, ip) = (PeerId::random(), "10.0.0.1".parse().unwrap());
        let link = |id, remote: &str, dialled| Link {
            id: ConnectionId::new_unchecked(id),
            remote: remote.parse().unwrap(),
            dialled,
        };
        links.add(peer, link(1, "/ip4/10.0.0.1/udp/1/quic-v1", false));
        links.add(peer, link(2, "/ip4/10.0.0.1/tcp/2", false));
        links.add(PeerId::random(), link(3, "/ip4/10.0.0.1/tcp/3", true));
        assert_eq!(links.count_from(ip), 2);
        assert_eq!(links.all().len(), 3);
        assert_eq!(links.best(peer).unwrap().id, ConnectionId::new_unchecked(2));
        assert!(links.dialled(&"/ip4/10.0.0.1/tcp/3".parse().unwrap()).is_some());
        assert!(links.dialled(&"/ip4/10.0.0.1/tcp/2".parse().unwrap()).is_none());
        assert!(!links.remove(peer, ConnectionId::new_unchecked(2)));
        assert!(links.remove(peer, ConnectionId::new_unchecked(1)));
        assert_eq!(links.count_from(ip), 0);
        assert!(links.best(peer).is_none() && links.lock().from.is_empty());
    }

    #[test]
    fn a_visitor_is_one_who_was_never_called() {
        let links = Links::default();
        let from = |remote: &str, dialled| Link {
            id: ConnectionId::new_unchecked(1),
            remote: remote.parse().unwrap(),
            dialled,
        };
        links.called(["203.0.113.5".parse().unwrap()].into_iter());
        for (remote, dialled) in [
            ("/ip4/203.0.113.5/udp/7/quic-v1", false),
            ("/ip4/192.168.1.5/tcp/7", false),
            ("/ip4/127.0.0.1/tcp/7", false),
            ("/ip4/203.0.113.6/tcp/7", true),
        ] {
            links.add(PeerId::random(), from(remote, dialled));
            assert!(!links.visited(), "{remote}");
        }
        links.add(PeerId::random(), from("/ip4/203.0.113.6/tcp/7", false));
        assert!(links.visited());
    }

    #[test]
    fn a_ban_holds_for_the_peer_and_its_address() {
        let (bad, good) = (PeerId::random(), PeerId::random());
        let mut bans = Bans::default();
        bans.add(bad, Some("203.0.113.5".parse().unwrap()));
        assert!(bans.has_peer(&bad) && !bans.has_peer(&good));
        assert!(bans.has_address(&"/ip4/203.0.113.5/tcp/1".parse().unwrap()));
        assert!(bans.has_address(&"/ip6/::ffff:203.0.113.5/udp/1/quic-v1".parse().unwrap()));
        assert!(!bans.has_address(&"/ip4/203.0.113.6/tcp/1".parse().unwrap()));
        assert!(!bans.has_address(&"/dns4/example.org/tcp/1".parse().unwrap()));
    }

    #[test]
    fn loopback_addresses_are_never_banned() {
        let mut bans = Bans::default();
        for ip in ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"] {
            bans.add(PeerId::random(), Some(ip.parse().unwrap()));
        }
        assert!(!bans.has_address(&"/ip4/127.0.0.1/tcp/1".parse().unwrap()));
        assert!(!bans.has_address(&"/ip6/::1/tcp/1".parse().unwrap()));
    }

    #[test]
    fn bans_have_an_end() {
        let mut bans = Bans::default();
        let first = PeerId::random();
        bans.add(first, None);
        bans.add(first, None);
        for _ in 0..REMEMBERED {
            bans.add(PeerId::random(), None);
        }
        assert!(!bans.has_peer(&first));
        assert_eq!((bans.peers.set.len(), bans.peers.order.len()), (REMEMBERED, REMEMBERED));
    }
}
