//! What sessions report is taken in, and what is new is told to everyone.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use nearcast_protocol::{
    Blocks, Role,
    pieces::{Frame, Reason},
};
use nearcast_schedule::{Event, Failure, Peer};

use super::{ANNOUNCE, Done, Drive, meet::retry_after, permille};
use crate::{
    progress::Stopped,
    session::{Order, Report},
};

impl Drive {
    pub(super) fn take(&mut self, peer: Peer, report: Report) {
        // A verdict counts even if whoever earned it has left.
        let known = self.peers.contains_key(&peer) || self.sources.knows(peer);
        if !known && !matches!(report, Report::Answered { .. }) {
            return;
        }
        match report {
            Report::Has(blocks) => self.peer_has(peer, blocks),
            Report::Lost(blocks) => self.peer_lost(peer, blocks),
            Report::Imports(blocks) => self.handle(Event::PeerImports { peer, blocks }),
            Report::Progress { request, bytes } => self.handle(Event::Progress { peer, request, bytes }),
            Report::Unproved { request, blocks, encoded } => self.park(peer, request, blocks, encoded),
            Report::Answered { request, result } => self.answered(peer, request, result),
            Report::Refused { request, refuse } => {
                let failure = match refuse.reason {
                    Reason::Busy | Reason::EnoughHolders | Reason::Paused => {
                        Failure::Refused { retry_after: retry_after(&refuse) }
                    }
                    _ => Failure::NotHeld,
                };
                self.handle(Event::Failed { peer, request, verified: Blocks::new(), failure });
            }
            Report::Uploaded(bytes) => {
                self.uploaded += bytes;
                self.gave(peer, bytes);
                if let Some(connected) = self.peers.get_mut(&peer) {
                    connected.last_upload = Instant::now();
                }
            }
            Report::Damaged(blocks) => self.damaged(&blocks),
            Report::Ended(ending) => self.ended(peer, ending),
        }
    }

    fn peer_has(&mut self, peer: Peer, blocks: Blocks) {
        let Some(connected) = self.peers.get_mut(&peer) else { return };
        connected.has = connected.has.union(&blocks);
        let done = self.parts.shared.store.complete()
            && connected.has.contains_run(0..self.parts.shared.store.geometry().count());
        if done {
            // Neither has anything to give the other.
            self.leave(peer, None);
        } else {
            self.handle(Event::PeerHas { peer, blocks });
        }
    }

    fn peer_lost(&mut self, peer: Peer, blocks: Blocks) {
        if let Some(connected) = self.peers.get_mut(&peer) {
            connected.has = connected.has.difference(&blocks);
        }
        self.handle(Event::PeerLost { peer, blocks });
    }

    pub(super) fn verified(&mut self, blocks: &Blocks) {
        if blocks.is_empty() {
            return;
        }
        self.look_for_length();
        self.announce.0 = self.announce.0.union(blocks);
        self.announce.1.get_or_insert_with(|| Instant::now() + ANNOUNCE);
        self.parts.shared.arrivals.send_modify(|count| *count += 1);
        if self.parts.shared.store.complete() {
            self.completed();
        }
    }

    /// What the disk has lost is taken back from everyone, and fetched anew if the film is wanted.
    pub(super) fn damaged(&mut self, blocks: &Blocks) {
        // Some of it may have come again by now.
        let lost = blocks.difference(&self.parts.shared.store.held());
        if lost.is_empty() {
            return;
        }
        self.withdraw(&lost);
        if self.schedule.is_none()
            && let Some(fetch) = self.wanted
        {
            self.begin(fetch);
        } else {
            self.handle(Event::Lost(lost));
        }
        self.show();
    }

    /// Takes back from everyone what is held no longer.
    pub(super) fn withdraw(&mut self, blocks: &Blocks) {
        self.announce.0 = self.announce.0.difference(blocks);
        self.say(Frame::gone(blocks));
    }

    fn completed(&mut self) {
        self.tell_peers();
        self.show();
        let store = Arc::clone(&self.parts.shared.store);
        self.jobs.spawn_blocking(move || {
            if let Err(error) = store.sync() {
                tracing::warn!(%error, "what is held could not be synced");
            }
            Done::Synced
        });
        // Who has it all wants nothing of us: streams are for those who still fetch (R7 a).
        let all = self.parts.shared.store.geometry().count();
        let idle = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.role == Role::Publisher || peer.has.contains_run(0..all));
        let idle: Vec<_> = idle.map(|(peer, _)| *peer).collect();
        idle.into_iter().for_each(|peer| self.leave(peer, None));
    }

    /// Says what is new to everyone who is connected, and to the trackers.
    pub(super) fn tell_peers(&mut self) {
        let (blocks, _) = std::mem::take(&mut self.announce);
        self.say(Frame::have(&blocks));
    }

    /// Says what is held, or no longer is, to everyone who is connected, and how much of it to the trackers.
    fn say(&mut self, frames: Vec<Frame>) {
        let mut lost = BTreeSet::new();
        for frame in frames {
            for (peer, connected) in &self.peers {
                if !connected.session.order(Order::Say(frame.clone())) {
                    lost.insert(*peer);
                }
            }
        }
        lost.into_iter().for_each(|peer| self.leave(peer, None));
        let permille = permille(&*self.parts.shared.store);
        self.parts.tracking.hold(self.parts.shared.link.id, permille, &self.parts.trackers);
    }

    pub(super) fn end(&mut self, why: Stopped) {
        if self.stopped.is_none() {
            tracing::debug!(%why, "a transfer has ended");
            self.stopped = Some(why);
            self.handle(Event::Pause(true));
            self.show();
            self.parts.shared.arrivals.send_modify(|count| *count += 1);
        }
    }
}
