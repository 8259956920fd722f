//! Who is known to hold the film, and who is dialled next: `transfer`'s `dialling` with nodes' numbers in
//! place of addresses.

use std::{collections::BTreeMap, time::Duration};

use nearcast_protocol::{Group, Role};

/// As in `transfer`: how many dials run at once, how many peers are connected, how long one that failed
/// rests.
const AT_ONCE: usize = 16;
const CONNECTED: usize = 60;
const HEAD_START: Duration = Duration::from_millis(250);
const FIRST_REST: Duration = Duration::from_secs(2);
const LONGEST_REST: Duration = Duration::from_secs(300);

/// A node that a tracker has listed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listed {
    pub node: u32,
    pub group: Group,
    pub role: Role,
}

#[derive(Debug, Default)]
pub(crate) struct Contacts {
    known: BTreeMap<u32, Contact>,
    order: u64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Contact {
    pub group: Group,
    pub role: Role,
    /// Whether a tracker has said where it is; one that came in by itself can't be dialled.
    listed: bool,
    state: State,
    failures: u32,
    place: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Idle,
    Dialling(Duration),
    Connected,
    Resting(Duration),
    Banned,
}

impl Contacts {
    /// Takes in a tracker's list, in its order.
    pub fn learn(&mut self, list: &[Listed]) {
        for listed in list {
            let contact = self.add(listed.node);
            (contact.group, contact.role, contact.listed) = (listed.group, listed.role, true);
        }
    }

    fn add(&mut self, node: u32) -> &mut Contact {
        self.order += 1;
        let place = self.order;
        let (group, role, state) = (Group::UNKNOWN, Role::Terminal, State::Idle);
        self.known.entry(node).or_insert(Contact { group, role, listed: false, state, failures: 0, place })
    }

    /// Who is to be dialled now.
    pub fn next(&mut self, now: Duration, own: Group) -> Option<u32> {
        let dials = |contact: &&Contact| matches!(contact.state, State::Dialling(_));
        let dialling = self.known.values().filter(dials).count();
        let connected = self.known.values().filter(|contact| contact.state == State::Connected).count();
        if dialling >= AT_ONCE || dialling + connected >= CONNECTED {
            return None;
        }
        let held_back = self.head_start_ends(now, own).is_some();
        let ready = self.known.iter_mut().filter(|(_, contact)| contact.is_ready(now));
        let key = |contact: &Contact| (contact.failures, contact.is_outside(own), contact.place);
        let (node, next) = ready.min_by_key(|(_, contact)| key(contact))?;
        if held_back && next.is_outside(own) {
            return None;
        }
        next.state = State::Dialling(now);
        Some(*node)
    }

    /// While the first of the own group are dialled, others wait a moment, as in `transfer`.
    pub fn head_start_ends(&self, now: Duration, own: Group) -> Option<Duration> {
        let near = || self.known.values().filter(|contact| !contact.is_outside(own));
        if near().any(|contact| contact.state == State::Connected) {
            return None;
        }
        let dialled = near().filter_map(|contact| match contact.state {
            State::Dialling(since) => Some(since + HEAD_START),
            _ => None,
        });
        dialled.min().filter(|ends| *ends > now)
    }

    /// A connection is open, whoever opened it: what is known of the peer.
    pub fn connected(&mut self, node: u32) -> Contact {
        let contact = self.add(node);
        (contact.state, contact.failures) = (State::Connected, 0);
        *contact
    }

    /// The dial failed, or the connection ended: when it may be tried again.
    pub fn rest(&mut self, node: u32, at_least: Duration, now: Duration) -> Option<Duration> {
        let contact = self.known.get_mut(&node).filter(|contact| contact.state != State::Banned)?;
        let grown = FIRST_REST * 2_u32.saturating_pow(contact.failures.min(8));
        contact.failures += 1;
        let until = now + at_least.max(grown.min(LONGEST_REST));
        contact.state = State::Resting(until);
        Some(until)
    }

    /// Never again.
    pub fn ban(&mut self, node: u32) {
        self.add(node).state = State::Banned;
    }

    pub fn is_banned(&self, node: u32) -> bool {
        self.known.get(&node).is_some_and(|contact| contact.state == State::Banned)
    }

    pub fn is_dialling(&self, node: u32) -> bool {
        self.known.get(&node).is_some_and(|contact| matches!(contact.state, State::Dialling(_)))
    }

    pub fn get(&self, node: u32) -> Option<&Contact> {
        self.known.get(&node)
    }
}

impl Contact {
    /// Whether asking it burdens another network, or a publisher.
    fn is_outside(&self, own: Group) -> bool {
        self.role == Role::Publisher || !self.group.same_network(own)
    }

    fn is_ready(&self, now: Duration) -> bool {
        let rested = match self.state {
            State::Idle => true,
            State::Resting(until) => until <= now,
            _ => false,
        };
        rested && self.listed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_tracker_s_order_and_not_too_many_at_once() {
        let list: Vec<_> =
            (0..40).map(|node| Listed { node: 100 - node, group: Group(1), role: Role::Terminal }).collect();
        let mut contacts = Contacts::default();
        contacts.learn(&list);
        let dialled: Vec<_> = std::iter::from_fn(|| contacts.next(Duration::ZERO, Group(1))).collect();
        assert_eq!(dialled, (0..16).map(|number| 100 - number).collect::<Vec<_>>());
        assert_eq!(contacts.rest(100, Duration::ZERO, Duration::ZERO), Some(FIRST_REST));
        contacts.ban(99);
        contacts.learn(&list);
        assert_eq!(
            contacts.next(Duration::ZERO, Group(1)),
            Some(84),
            "who failed rests, and the next is dialled"
        );
        assert_eq!(contacts.rest(99, Duration::ZERO, Duration::ZERO), None);
        assert!(contacts.is_banned(99) && contacts.is_dialling(84));
    }
}
