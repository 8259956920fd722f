//! What the outside sees of a transfer: how far it is, and what keeps it from moving.

use std::time::Instant;

use nearcast_protocol::{Role, tracker::Received};

use super::{Drive, STRANDED};
use crate::{
    finding::FoundNobody,
    progress::{Peers, Progress, Trouble},
};

impl Drive {
    fn trouble(&self) -> Option<Trouble> {
        if !self.fetching() || !self.peers.is_empty() || self.sources.are_left() {
            return None;
        }
        match self.finding.nobody() {
            Some(FoundNobody::NoTracker) if self.contacts.count() == 0 => Some(Trouble::NoTracker),
            Some(FoundNobody::Failed(tracker, reason, again)) => {
                Some(Trouble::Tracker { tracker, reason, again })
            }
            Some(FoundNobody::Denied(why, reason)) => Some(Trouble::Denied { why, reason }),
            Some(FoundNobody::Listed(0)) => Some(Trouble::NobodyHolds),
            Some(FoundNobody::Listed(listed)) => {
                let (reason, denied) = self.last_failure.clone()?;
                let others = || self.contacts.hopeful(|peer| self.denied.contains(peer));
                Some(match denied {
                    Some(why) if !others() => Trouble::Denied { why, reason },
                    _ => Trouble::NobodyReached { listed, reason },
                })
            }
            _ => None,
        }
    }

    /// A group may miss a part of a film among itself: who has stood still for a while asks the tracker for
    /// somebody outside.
    fn watch_for_islands(&mut self, stranded: bool) {
        match (stranded, self.stranded) {
            (false, _) => self.stranded = None,
            (true, Some(_)) => {}
            (true, None) => {
                self.stranded = Some(self.shown);
                self.finding.ask_by(self.shown + STRANDED);
            }
        }
    }

    /// Whether somebody has come, gone or got something that the outside doesn't see yet.
    pub(super) fn serves_unseen(&self) -> bool {
        let seen = self.parts.shared.progress.borrow();
        seen.uploaded != self.uploaded || seen.peers.all() != self.peers.len()
    }

    /// Lets the outside see how far it is.
    pub(super) fn show(&mut self) {
        self.shown = Instant::now();
        let now = self.now();
        let store = &self.parts.shared.store;
        let held = store.held();
        let mut peers = Peers::default();
        for connected in self.peers.values() {
            let own = connected.group.same_network(self.group);
            match connected.role {
                Role::Publisher => peers.publishers += 1,
                Role::Terminal if own => peers.own_group += 1,
                Role::Terminal => peers.other_groups += 1,
            }
        }
        let (mut received, mut payload, mut rate, mut waiting) = (Received::default(), 0, 0, None);
        let mut web = 0;
        let mut stranded = false;
        if let Some(schedule) = &self.schedule {
            let statistics = schedule.statistics(now);
            received = Received {
                own_group: statistics.own_group,
                other_groups: statistics.other_groups,
                publishers: statistics.publishers,
            };
            payload = statistics.payload;
            web = statistics.web;
            rate = self.meter.rate(now, payload);
            waiting = schedule.why_waiting(now);
            stranded = !self.paused && schedule.is_stranded();
        }
        let id = self.parts.shared.link.id;
        self.parts.tracking.received(&id, &self.parts.trackers, received.since(self.told));
        self.told = received;
        self.rate = rate;
        let progress = Progress {
            size: self.parts.shared.link.size,
            size_proved: store.size_proved(),
            held_bytes: if store.size_proved() { store.geometry().bytes_in(&held) } else { 0 },
            held,
            received,
            web,
            sources: self.sources.shown(),
            payload,
            uploaded: self.uploaded,
            rate,
            peers,
            group: self.group,
            waiting,
            trouble: self.trouble(),
            stopped: self.stopped.clone(),
        };
        self.parts.shared.progress.send_replace(progress);
        self.watch_for_islands(stranded);
    }
}
