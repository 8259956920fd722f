//! Who is known to hold a resource, and who is dialled next.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use nearcast_protocol::{
    Group, Multiaddr, PeerAddress, PeerId, Role,
    pieces::MAX_HINTS,
    tracker::{ListedPeer, MAX_UNREACHED},
};
use nearcast_schedule::Peer;

/// How many dials run at once: enough to reach a whole group quickly, few enough for a home router.
const AT_ONCE: usize = 16;
/// How many peers are connected for one resource, at most; R3's list is no longer than 50.
const CONNECTED: usize = 60;
/// How many contacts are remembered per resource.
const REMEMBERED: usize = 400;
/// How many hints are remembered.
const HINTED: usize = 64;
const FIRST_REST: Duration = Duration::from_secs(2);
/// How long the own group's members are dialled before others are.
const HEAD_START: Duration = Duration::from_millis(250);
const LONGEST_REST: Duration = Duration::from_secs(300);
/// After so many failures in a row nobody waits for a contact any more, though it is still tried.
const GIVEN_UP: u32 = 3;

/// Everyone known to hold a resource.
#[derive(Default)]
pub(crate) struct Contacts {
    known: HashMap<PeerId, Contact>,
    /// Who was hinted at and isn't known: dialled first, should a tracker list it.
    hinted: VecDeque<PeerId>,
    /// Who was listed and couldn't be dialled since a tracker was last told.
    missed: VecDeque<PeerId>,
    order: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Contact {
    pub address: PeerAddress,
    pub group: Group,
    pub role: Role,
    /// Found on the local network rather than through the tracker.
    pub neighbour: bool,
    /// Whether a tracker has named it.
    listed: bool,
    /// Where it awaits introductions, if it does.
    pub awaits: Option<Multiaddr>,
    state: State,
    failures: u32,
    place: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Idle,
    Dialling(Instant),
    Connected(Peer),
    Resting(Instant),
    Banned,
}

impl Contacts {
    /// Takes in a tracker's list, in its order: the own group comes first in it. Whoever awaits introductions does
    /// so at `place`. `true` if it names somebody new.
    pub fn learn(&mut self, list: &[ListedPeer], place: Option<&Multiaddr>) -> bool {
        let mut news = false;
        for listed in list {
            news |= !self.known.contains_key(&listed.peer());
            self.add(listed.address.clone(), listed.group, listed.role, false);
            if let Some(contact) = self.known.get_mut(&listed.peer()) {
                contact.listed = true;
                contact.awaits = place.filter(|_| listed.awaits).cloned();
            }
        }
        news
    }

    /// Takes in peers found on the local network.
    pub fn learn_neighbours(&mut self, neighbours: &[PeerAddress]) {
        for address in neighbours {
            match self.known.get_mut(&address.peer) {
                Some(contact) => contact.neighbour = true,
                None => self.add(address.clone(), Group::UNKNOWN, Role::Terminal, true),
            }
        }
    }

    /// Takes in peers found without a tracker, whose networks nobody knows.
    pub fn learn_strangers(&mut self, strangers: Vec<PeerAddress>) {
        for address in strangers {
            if !self.known.contains_key(&address.peer) {
                self.add(address, Group::UNKNOWN, Role::Terminal, false);
            }
        }
    }

    fn add(&mut self, address: PeerAddress, group: Group, role: Role, neighbour: bool) {
        if let Some(contact) = self.known.get_mut(&address.peer) {
            contact.group = group;
            contact.role = role;
            if !address.addresses.is_empty() {
                contact.address = address;
            }
            return;
        }
        if self.known.len() >= REMEMBERED && !self.forget_one() {
            return;
        }
        self.order += 1;
        let hinted = self.hinted.contains(&address.peer);
        let place = if hinted { 0 } else { self.order };
        let (state, failures, listed, awaits) = (State::Idle, 0, false, None);
        let contact = Contact { address, group, role, neighbour, listed, awaits, state, failures, place };
        self.known.insert(contact.address.peer, contact);
    }

    /// A peer couldn't be dialled; the trackers are told of those whom they listed.
    pub fn missed(&mut self, peer: PeerId) {
        let listed = |contact: &&Contact| contact.listed && contact.awaits.is_none() && !contact.neighbour;
        if self.known.get(&peer).filter(listed).is_some() && !self.missed.contains(&peer) {
            self.missed.push_back(peer);
            if self.missed.len() > MAX_UNREACHED {
                self.missed.pop_front();
            }
        }
    }

    /// Those, to be told.
    pub fn take_missed(&mut self) -> Vec<PeerId> {
        std::mem::take(&mut self.missed).into()
    }

    /// These may have it, somebody says: whoever is known is dialled before others like it. `true` if anybody
    /// isn't known yet.
    pub fn hint(&mut self, peers: impl Iterator<Item = PeerId>) -> bool {
        let mut unknown = false;
        for peer in peers.take(MAX_HINTS) {
            match self.known.get_mut(&peer) {
                Some(contact) => contact.place = 0,
                None => {
                    unknown = true;
                    if !self.hinted.contains(&peer) {
                        self.hinted.push_back(peer);
                    }
                }
            }
        }
        while self.hinted.len() > HINTED {
            self.hinted.pop_front();
        }
        unknown
    }

    fn forget_one(&mut self) -> bool {
        let resting = self.known.iter().filter(|(_, contact)| matches!(contact.state, State::Resting(_)));
        let oldest = resting.min_by_key(|(_, contact)| contact.place).map(|(peer, _)| *peer);
        oldest.is_some_and(|peer| self.known.remove(&peer).is_some())
    }

    /// Who is to be dialled now.
    pub fn next(&mut self, now: Instant, own: Group) -> Option<PeerAddress> {
        if self.full() {
            return None;
        }
        let held_back = self.head_start_ends(now, own).is_some();
        let next = self.known.values_mut().filter(|contact| contact.ready(now));
        // Somebody on the same wire comes before the own group, and that before the tracker's order.
        let next = next.min_by_key(|contact| {
            (!contact.neighbour, contact.failures, contact.is_outside(own), contact.place)
        })?;
        if held_back && next.is_outside(own) {
            return None;
        }
        next.state = State::Dialling(now);
        Some(next.address.clone())
    }

    /// While the first of the own group are dialled, others wait a moment: whoever is met first is asked
    /// first, and what the group holds needn't come from outside.
    pub fn head_start_ends(&self, now: Instant, own: Group) -> Option<Instant> {
        let near = || self.known.values().filter(|contact| !contact.is_outside(own));
        if near().any(|contact| matches!(contact.state, State::Connected(_))) {
            return None;
        }
        let dialled = near().filter_map(|contact| match contact.state {
            State::Dialling(since) => Some(since + HEAD_START),
            _ => None,
        });
        dialled.min().filter(|ends| *ends > now)
    }

    /// Whether nobody more may be dialled; the end of a dial or of a session changes that.
    fn full(&self) -> bool {
        let busy = |state| self.known.values().filter(|contact| contact.in_state(state)).count();
        let (dialling, connected) = (busy(Stage::Dialling), busy(Stage::Connected));
        dialling >= AT_ONCE || dialling + connected >= CONNECTED
    }

    /// When somebody may be dialled again.
    pub fn wake_at(&self) -> Option<Instant> {
        if self.full() {
            return None;
        }
        self.known
            .values()
            .filter(|contact| !contact.address.addresses.is_empty())
            .filter_map(|contact| match contact.state {
                State::Resting(until) => Some(until),
                _ => None,
            })
            .min()
    }

    /// A stream with this peer is open, whoever opened it.
    pub fn connected(&mut self, peer: PeerId, handle: Peer) -> Contact {
        if !self.known.contains_key(&peer) {
            self.add(PeerAddress::new(peer, []), Group::UNKNOWN, Role::Terminal, false);
        }
        let contact = self.known.entry(peer).or_insert_with(|| Contact {
            address: PeerAddress::new(peer, []),
            group: Group::UNKNOWN,
            role: Role::Terminal,
            neighbour: false,
            listed: false,
            awaits: None,
            state: State::Idle,
            failures: 0,
            place: u64::MAX,
        });
        contact.state = State::Connected(handle);
        contact.failures = 0;
        contact.clone()
    }

    /// The dial failed, or the stream ended: when to try again.
    pub fn rest(&mut self, peer: PeerId, at_least: Option<Duration>, now: Instant) {
        if let Some(contact) = self.known.get_mut(&peer) {
            if contact.state == State::Banned {
                return;
            }
            let grown = FIRST_REST * 2_u32.saturating_pow(contact.failures.min(8));
            contact.failures += 1;
            contact.state = State::Resting(now + at_least.unwrap_or_default().max(grown.min(LONGEST_REST)));
        }
    }

    /// Who rests may be tried again now.
    pub fn pardon(&mut self, now: Instant) {
        for contact in self.known.values_mut() {
            if let State::Resting(until) = &mut contact.state {
                *until = now;
            }
        }
    }

    /// Never again.
    pub fn ban(&mut self, peer: PeerId) {
        if let Some(contact) = self.known.get_mut(&peer) {
            contact.state = State::Banned;
        }
    }

    /// The handle of a connected peer.
    pub fn handle(&self, peer: PeerId) -> Option<Peer> {
        match self.known.get(&peer)?.state {
            State::Connected(handle) => Some(handle),
            _ => None,
        }
    }

    /// What is known of a peer.
    pub fn get(&self, peer: PeerId) -> Option<&Contact> {
        self.known.get(&peer)
    }

    /// How many are known.
    pub fn count(&self) -> usize {
        self.known.len()
    }

    /// Whether anybody else may still be reached: not banned, not among `doubtful`, and not given up.
    pub fn hopeful(&self, doubtful: impl Fn(&PeerId) -> bool) -> bool {
        self.known.iter().any(|(peer, contact)| {
            contact.state != State::Banned
                && !contact.address.addresses.is_empty()
                && contact.failures < GIVEN_UP
                && !doubtful(peer)
        })
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Dialling,
    Connected,
}

impl Contact {
    fn in_state(&self, stage: Stage) -> bool {
        match self.state {
            State::Dialling(_) => stage == Stage::Dialling,
            State::Connected(_) => stage == Stage::Connected,
            _ => false,
        }
    }

    /// Whether asking it burdens another network, or a publisher.
    fn is_outside(&self, own: Group) -> bool {
        self.role == Role::Publisher || !(self.neighbour || self.group.same_network(own))
    }

    fn ready(&self, now: Instant) -> bool {
        let rested = match self.state {
            State::Idle => true,
            State::Resting(until) => until <= now,
            _ => false,
        };
        rested && !self.address.addresses.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(number: u8) -> ListedPeer {
        let address = format!("/ip4/127.1.0.{number}/tcp/4400").parse().unwrap();
        ListedPeer {
            address: PeerAddress::new(PeerId::random(), [address]),
            group: Group(1),
            role: Role::Terminal,
            permille: 1000,
            spare_upload: 0,
            awaits: false,
        }
    }

    #[test]
    fn dials_in_the_tracker_s_order_and_not_too_many_at_once() {
        let mut contacts = Contacts::default();
        let list: Vec<_> = (0..AT_ONCE as u8 + 5).map(listed).collect();
        contacts.learn(&list, None);
        let now = Instant::now();
        let dialled: Vec<_> = std::iter::from_fn(|| contacts.next(now, Group(1))).map(|a| a.peer).collect();
        let expected: Vec<_> = list[..AT_ONCE].iter().map(ListedPeer::peer).collect();
        assert_eq!(dialled, expected);
    }

    #[test]
    fn the_own_group_has_a_head_start() {
        let mut contacts = Contacts::default();
        let mut list: Vec<_> = (0..3).map(listed).collect();
        (list[0].role, list[1].group) = (Role::Publisher, Group(2));
        contacts.learn(&list, None);
        let now = Instant::now();
        assert_eq!(contacts.next(now, Group(1)).map(|a| a.peer), Some(list[2].peer()));
        assert_eq!(contacts.next(now, Group(1)), None);
        assert_eq!(contacts.head_start_ends(now, Group(1)), Some(now + HEAD_START));
        // One that is met ends it, and so does time.
        let late = contacts.next(now + HEAD_START, Group(1)).map(|a| a.peer);
        assert_eq!(late, Some(list[0].peer()));
        contacts.connected(list[2].peer(), Peer(1));
        assert_eq!(contacts.next(now, Group(1)).map(|a| a.peer), Some(list[1].peer()));
        // Where nobody is near, nobody waits.
        contacts.learn(&[listed(9)], None);
        let mut alone = Contacts::default();
        alone.learn(&list[..2], None);
        assert!(alone.next(now, Group(1)).is_some() && alone.next(now, Group(1)).is_some());
    }

    #[test]
    fn who_fails_rests_longer_each_time_and_the_banned_never_return() {
        let mut contacts = Contacts::default();
        let list = [listed(1), listed(2)];
        contacts.learn(&list, None);
        let (first, second) = (list[0].peer(), list[1].peer());
        let mut now = Instant::now();
        let mut rests = Vec::new();
        contacts.ban(second);
        for _ in 0..3 {
            assert_eq!(contacts.next(now, Group(1)).map(|a| a.peer), Some(first));
            contacts.rest(first, None, now);
            assert_eq!(contacts.next(now, Group(1)), None);
            let until = contacts.wake_at().unwrap();
            rests.push(until - now);
            now = until;
        }
        assert_eq!(rests, [FIRST_REST, FIRST_REST * 2, FIRST_REST * 4]);
        // Being listed again is no pardon.
        contacts.learn(&list, None);
        assert_eq!(contacts.next(now, Group(1)).map(|a| a.peer), Some(first));
        assert_eq!(contacts.next(now, Group(1)), None);
        contacts.rest(first, Some(Duration::from_secs(900)), now);
        assert_eq!(contacts.wake_at(), Some(now + Duration::from_secs(900)));
    }

    #[test]
    fn a_hint_is_followed_only_once_a_tracker_lists_it() {
        let mut contacts = Contacts::default();
        let list: Vec<_> = (0..4).map(listed).collect();
        let now = Instant::now();
        contacts.learn(&list[..2], None);
        assert!(contacts.hint([list[1].peer(), list[3].peer()].into_iter()));
        // The known one comes first; the other one isn't dialled.
        assert_eq!(contacts.next(now, Group(1)).map(|a| a.peer), Some(list[1].peer()));
        assert_eq!(contacts.next(now, Group(1)).map(|a| a.peer), Some(list[0].peer()));
        assert_eq!(contacts.next(now, Group(1)), None);
        contacts.learn(&list, None);
        assert_eq!(contacts.next(now, Group(1)).map(|a| a.peer), Some(list[3].peer()));
        assert!(!contacts.hint([list[3].peer()].into_iter()));
        // A liar's hints are bounded.
        for _ in 0..50 {
            contacts.hint((0..MAX_HINTS).map(|_| PeerId::random()));
        }
        assert_eq!(contacts.hinted.len(), HINTED);
    }

    #[test]
    fn trackers_are_told_once_of_those_they_listed() {
        let mut contacts = Contacts::default();
        let list: Vec<_> = (0..3).map(listed).collect();
        let place = "/ip4/203.0.113.5/udp/1/quic-v1".parse().unwrap();
        let awaiting = ListedPeer { awaits: true, ..list[2].clone() };
        contacts.learn(&[list[0].clone(), list[1].clone(), awaiting], Some(&place));
        let neighbour = PeerAddress::new(PeerId::random(), ["/ip4/10.0.0.1/tcp/1".parse().unwrap()]);
        contacts.learn_neighbours(std::slice::from_ref(&neighbour));
        let all = [list[0].peer(), list[2].peer(), neighbour.peer, list[0].peer(), list[1].peer()];
        all.into_iter().for_each(|peer| contacts.missed(peer));
        assert_eq!(contacts.take_missed(), [list[0].peer(), list[1].peer()]);
        assert!(contacts.take_missed().is_empty());
    }

    #[test]
    fn who_can_t_be_dialled_wakes_nobody() {
        let (mut contacts, now) = (Contacts::default(), Instant::now());
        // One that came in by itself and left: it has no address.
        let stranger = PeerId::random();
        contacts.connected(stranger, Peer(1));
        contacts.rest(stranger, None, now);
        assert_eq!(contacts.wake_at(), None);
        // As many dials as may run: their end wakes, not somebody's rest.
        let list: Vec<_> = (0..=AT_ONCE as u8).map(listed).collect();
        contacts.learn(&list, None);
        let first = contacts.next(now, Group(1)).unwrap().peer;
        contacts.rest(first, None, now);
        assert!(contacts.wake_at().is_some());
        while contacts.next(now, Group(1)).is_some() {}
        assert_eq!(contacts.wake_at(), None);
    }

    #[test]
    fn a_flood_of_contacts_is_bounded() {
        let mut contacts = Contacts::default();
        for _ in 0..10 {
            contacts.learn(&(0..100).map(listed).collect::<Vec<_>>(), None);
        }
        assert_eq!(contacts.count(), REMEMBERED);
    }
}
