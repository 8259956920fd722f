//! Asking the tracker, and telling it what is held: as `transfer`'s `drive` and `tracking` do.

use std::{rc::Rc, time::Duration};

use nearcast_protocol::Group;
use nearcast_schedule::Event;

use super::{Happening, SHORTEST_WAY, World};
use crate::tracker::List;

/// Changes are gathered this long before the tracker hears of them.
const GATHER: Duration = Duration::from_millis(500);
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(8);

impl World<'_> {
    /// How long a word takes to the tracker, which stands in the middle, beyond all borders.
    fn way_to_tracker(&self, node: u32) -> Duration {
        let node = &self.nodes[node as usize];
        SHORTEST_WAY + node.delay + self.borders[node.network].delay
    }

    fn reaches_tracker(&self, node: u32) -> bool {
        let node = &self.nodes[node as usize];
        node.unplugged.is_none() && self.borders[node.network].cut.is_none()
    }

    pub(super) fn find(&mut self, node: u32) {
        let asking = &mut self.nodes[node as usize];
        if asking.fetching.is_none() || !asking.finding.begin(self.now, asking.links.is_empty()) {
            return;
        }
        if self.reaches_tracker(node) {
            // A handshake and then the question.
            let way = self.way_to_tracker(node);
            self.soon(way * 3, Happening::Asked(node));
        } else {
            self.soon(PATIENCE, Happening::Found(node, None));
        }
    }

    pub(super) fn asked(&mut self, node: u32) {
        let list = self.tracker.find(self.now, node).map(Rc::new);
        let way = self.way_to_tracker(node);
        self.soon(way, Happening::Found(node, list));
    }

    pub(super) fn found(&mut self, node: u32, list: Option<&List>) {
        let now = self.now;
        let asking = &mut self.nodes[node as usize];
        let Some(list) = list else {
            let again = asking.finding.failed(now);
            self.agenda.note(again, Happening::Find(node));
            return;
        };
        let again = asking.finding.found(list.again, now);
        asking.contacts.learn(&list.peers);
        self.agenda.note(again, Happening::Find(node));
        if self.brain.knows_groups() && list.group != Group::UNKNOWN {
            self.nodes[node as usize].group = list.group;
            self.tell(node, Event::Group(list.group));
        }
        self.regroup(node);
        self.dial(node);
    }

    /// What is held has changed: the tracker is told within a moment.
    pub(super) fn offer(&mut self, node: u32) {
        let permille = self.permille(node);
        let tracking = &mut self.nodes[node as usize].tracking;
        if tracking.permille != permille && !std::mem::replace(&mut tracking.busy, true) {
            self.soon(GATHER, Happening::Offer(node));
        }
    }

    /// Renews the lease, or registers.
    pub(super) fn tell_tracker(&mut self, node: u32) {
        let permille = self.permille(node);
        if permille == 0 {
            return;
        }
        if !self.reaches_tracker(node) {
            self.nodes[node as usize].tracking.busy = true;
            self.soon(PATIENCE, Happening::Offer(node));
            return;
        }
        let (now, role) = (self.now, self.nodes[node as usize].role());
        let leased = self.nodes[node as usize].tracking.leased;
        let renewed = if leased { self.tracker.renew(now, node, permille) } else { None };
        let lease = renewed.or_else(|| self.tracker.register(now, node, role, permille));
        let tracking = &mut self.nodes[node as usize].tracking;
        (tracking.leased, tracking.permille) = (lease.is_some(), permille);
        if let Some(lease) = lease {
            tracking.renew_at = now + lease / 2;
            let at = tracking.renew_at;
            self.agenda.note(at, Happening::Renew(node));
        }
    }

    /// How much is held, in thousandths; 1000 only if it is all, 1 at least if it is anything.
    fn permille(&self, node: u32) -> u16 {
        let node = &self.nodes[node as usize];
        if node.complete {
            return 1000;
        }
        let held = node.held.count();
        let share = held.saturating_mul(1000) / self.film.count();
        u16::try_from(share).unwrap_or(999).clamp(u16::from(held > 0), 999)
    }
}
