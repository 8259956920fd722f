//! Dialling, connecting, hearing and leaving one another.

use std::{rc::Rc, time::Duration};

use nearcast_protocol::{Blocks, Group, Role};
use nearcast_schedule::{Event, Peer, RequestId};

use super::{Happening, Word, World};
use crate::{node::Link, upload::Uploads};

/// How many streams a node serves at once for one film (R7 a), when one may come again who was refused, and
/// how long a stream that asks for nothing is kept while others wait. As in `transfer`.
const STREAMS: usize = 50;
const BUSY: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(30);
/// How long an unanswered dial is waited for.
const HANDSHAKE: Duration = Duration::from_secs(8);
/// A handshake takes a round trip before the hello's own.
const ROUND_TRIPS_BEFORE_HELLO: u32 = 1;

impl World<'_> {
    /// Dials whoever is to be dialled now.
    pub(super) fn dial(&mut self, node: u32) {
        let (now, group) = (self.now, self.nodes[node as usize].group);
        while self.nodes[node as usize].fetching.is_some()
            && let Some(to) = self.nodes[node as usize].contacts.next(now, group)
        {
            let way = self.way(node, to);
            let held = Rc::new(self.nodes[node as usize].held.clone());
            let knock = Happening::Knock { to, from: node, held };
            self.soon(way * (1 + 2 * ROUND_TRIPS_BEFORE_HELLO), knock);
        }
        if let Some(ends) = self.nodes[node as usize].contacts.head_start_ends(now, group) {
            self.agenda.note(ends, Happening::Dial(node));
        }
    }

    /// Somebody who dialled says hello.
    pub(super) fn knock(&mut self, to: u32, from: u32, held: &Rc<Blocks>) {
        let back = self.way(to, from);
        let door = &self.nodes[to as usize];
        let refused = |rest| Happening::NotReached { to, from, rest };
        if door.killed {
            self.soon(back, refused(Duration::ZERO));
        } else if door.frozen || door.behind_nat || !self.is_open(to, from) {
            self.soon(HANDSHAKE, refused(Duration::ZERO));
        } else if self.refuses_twin(to, from) {
            self.soon(back, refused(Duration::ZERO));
        } else if door.contacts.is_banned(from) || !self.has_room(to) {
            self.soon(back, refused(BUSY));
        } else {
            self.connections += 1;
            let connection = self.connections;
            let word = Word::Welcome(Rc::new(self.nodes[to as usize].held.clone()));
            self.join(to, from, connection, false, held);
            self.say(to, from, connection, word);
        }
    }

    /// Of two connections that both ends dial at once, the one that the smaller opened stays.
    fn refuses_twin(&self, to: u32, from: u32) -> bool {
        let door = &self.nodes[to as usize];
        door.links.contains_key(&from) || door.contacts.is_dialling(from) && to < from
    }

    fn has_room(&mut self, node: u32) -> bool {
        if self.nodes[node as usize].served() < STREAMS {
            return true;
        }
        // The one goes that has asked for nothing for longest.
        let now = self.now;
        let idle = self.nodes[node as usize]
            .links
            .iter()
            .filter(|(_, link)| !link.outgoing && now - link.last_upload > IDLE)
            .min_by_key(|(_, link)| link.last_upload)
            .map(|(peer, _)| *peer);
        if let Some(peer) = idle {
            self.leave(node, peer, Duration::ZERO);
        }
        idle.is_some()
    }

    pub(super) fn not_reached(&mut self, from: u32, to: u32, rest: Duration) {
        let node = &mut self.nodes[from as usize];
        if !node.links.contains_key(&to)
            && let Some(until) = node.contacts.rest(to, rest, self.now)
        {
            self.agenda.note(until, Happening::Dial(from));
        }
        self.dial(from);
    }

    fn join(&mut self, node: u32, peer: u32, connection: u64, outgoing: bool, has: &Blocks) {
        let role = self.nodes[peer as usize].role();
        let now = self.now;
        let claimed = self.nodes[peer as usize].group;
        let joining = &mut self.nodes[node as usize];
        let contact = joining.contacts.connected(peer);
        // What it says of its group counts until a list knows better.
        let group = match contact.group {
            Group::UNKNOWN => claimed,
            known => known,
        };
        joining.links.insert(
            peer,
            Link {
                connection,
                outgoing,
                group,
                role,
                has: has.clone(),
                uploads: Uploads::default(),
                last_upload: now,
                in_turn: false,
            },
        );
        self.tell(node, joined(peer, group, role));
        if !has.is_empty() {
            self.tell(node, Event::PeerHas { peer: Peer(peer), blocks: has.clone() });
        }
        if contact.group == Group::UNKNOWN && self.nodes[node as usize].fetching.is_some() {
            let due = self.nodes[node as usize].finding.ask_soon(now);
            self.agenda.note(due.max(now), Happening::Find(node));
        }
        self.leave_if_both_have_all(node, peer);
    }

    pub(super) fn hear(&mut self, to: u32, from: u32, connection: u64, word: Word) {
        if !self.is_open(to, from) {
            self.held_up.push(Happening::Hear { to, from, connection, word });
            return;
        }
        if let Word::Welcome(held) = &word {
            let ours = &self.nodes[to as usize];
            if ours.links.contains_key(&from) || ours.contacts.is_banned(from) {
                self.say(to, from, connection, Word::Bye);
            } else {
                self.join(to, from, connection, true, held);
                self.catch_up(to, from, connection);
                self.dial(to);
            }
            return;
        }
        let listener = &mut self.nodes[to as usize];
        let Some(link) = listener.links.get_mut(&from).filter(|link| link.connection == connection) else {
            return;
        };
        match word {
            Word::Welcome(_) => {}
            Word::Have(blocks) => {
                link.has = link.has.union(&blocks);
                if !self.leave_if_both_have_all(to, from) {
                    self.tell(to, Event::PeerHas { peer: Peer(from), blocks: (*blocks).clone() });
                }
            }
            Word::Importing(blocks) => self.tell(to, Event::PeerImports { peer: Peer(from), blocks }),
            Word::Request { request, class, due, bytes } => {
                link.uploads.push(request, class, due, bytes);
                if !std::mem::replace(&mut link.in_turn, true) {
                    listener.turns.push_back(from);
                }
                self.begin_sending(to);
            }
            Word::Cancel(request) => self.uncalled(to, from, request),
            Word::Bye => self.left(to, from, Duration::ZERO),
        }
    }

    fn uncalled(&mut self, node: u32, peer: u32, request: RequestId) {
        if let Some(link) = self.nodes[node as usize].links.get_mut(&peer) {
            link.uploads.cancel(request);
        }
    }

    /// What was verified during the dial was announced without this peer.
    fn catch_up(&mut self, node: u32, peer: u32, connection: u64) {
        let held = Rc::new(self.nodes[node as usize].held.clone());
        if !held.is_empty() {
            self.say(node, peer, connection, Word::Have(held));
        }
    }

    /// Neither has anything to give the other.
    fn leave_if_both_have_all(&mut self, node: u32, peer: u32) -> bool {
        let count = self.film.count();
        let idle = self.nodes[node as usize].complete
            && self.nodes[node as usize].links.get(&peer).is_some_and(|link| link.has.contains_run(0..count));
        if idle {
            self.leave(node, peer, Duration::ZERO);
        }
        idle
    }

    /// Ends a connection.
    pub(super) fn leave(&mut self, node: u32, peer: u32, rest: Duration) {
        if let Some(link) = self.nodes[node as usize].links.get(&peer) {
            let connection = link.connection;
            self.say(node, peer, connection, Word::Bye);
            self.left(node, peer, rest);
        }
    }

    /// A connection has ended.
    pub(super) fn left(&mut self, node: u32, peer: u32, rest: Duration) {
        let now = self.now;
        let leaving = &mut self.nodes[node as usize];
        if leaving.links.remove(&peer).is_none() {
            return;
        }
        leaving.turns.retain(|other| *other != peer);
        if let Some(fetching) = &mut leaving.fetching {
            let void: Vec<_> =
                fetching.open.iter().filter(|(_, open)| open.peer == peer).map(|(id, _)| *id).collect();
            for request in void {
                leaving.tally.wasted += fetching.open.remove(&request).map_or(0, |open| open.came);
                fetching.unproved.retain(|parked| *parked != request);
            }
        }
        if let Some(until) = leaving.contacts.rest(peer, rest, now)
            && leaving.fetching.is_some()
        {
            self.agenda.note(until, Happening::Dial(node));
        }
        self.tell(node, Event::PeerLeft { peer: Peer(peer) });
        self.dial(node);
    }

    /// Ends a connection for good.
    pub(super) fn ban(&mut self, node: u32, peer: u32) {
        self.leave(node, peer, Duration::ZERO);
        self.nodes[node as usize].contacts.ban(peer);
    }

    /// Peers that came in before a list named their group are told to the scheduler anew.
    pub(super) fn regroup(&mut self, node: u32) {
        let regrouped = &mut self.nodes[node as usize];
        let mut news = Vec::new();
        for (peer, link) in &mut regrouped.links {
            let Some(contact) = regrouped.contacts.get(*peer) else { continue };
            if contact.group != Group::UNKNOWN && contact.group != link.group {
                link.group = contact.group;
                news.push((*peer, link.group, link.role));
            }
        }
        for (peer, group, role) in news {
            self.tell(node, joined(peer, group, role));
        }
    }
}

/// The number that stands for a node in its group's turns, in no order that anything else has.
pub(super) fn name_of(node: u32) -> u64 {
    (u64::from(node) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn joined(peer: u32, group: Group, role: Role) -> Event {
    Event::PeerJoined { peer: Peer(peer), group, role, local: false, name: name_of(peer) }
}
