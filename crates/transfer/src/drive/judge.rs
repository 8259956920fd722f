//! Judging answers: what was verified, whom to ban, and whether the link itself is wrong.

use std::{
    collections::HashMap,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use nearcast_content::{AcceptError, Fault};
use nearcast_protocol::{Blocks, PeerId, peer::ip_of};
use nearcast_schedule::{Event, Failure, Peer, RequestId};

use super::{Done, Drive, meet::retry_after, room::FULL};
use crate::{
    progress::Stopped,
    session::{self, Ending},
    web::SourceError,
};

/// Answers that wait for the size to be proved, in bytes: more than any start needs.
const UNPROVED: usize = 8 << 20;
/// How long others have to prove a size that somebody doubts.
pub(super) const SIZE_DOUBT: Duration = Duration::from_secs(3);

impl Drive {
    pub(super) fn ended(&mut self, peer: Peer, ending: Ending) {
        match ending {
            Ending::Closed => self.leave(peer, None),
            Ending::Dropped(why) => self.leave_source(peer, Some(why)),
            Ending::Refused(refuse) => {
                let rest = if session::may_pass(refuse.reason) {
                    retry_after(&refuse)
                } else {
                    Some(Duration::from_secs(300))
                };
                self.leave(peer, rest);
                self.hinted(&refuse.peers, Instant::now());
            }
            Ending::Violation(what) => {
                tracing::warn!(peer = ?self.peers.get(&peer).map(|c| c.id), what, "a peer broke the protocol");
                self.ban(peer);
            }
        }
    }

    pub(super) fn park(&mut self, peer: Peer, request: RequestId, blocks: Range<u64>, encoded: BytesMut) {
        if self.parts.shared.store.size_proved() {
            self.accept(peer, request, blocks, encoded);
            return;
        }
        let parked: usize = self.unproved.iter().map(|(.., encoded)| encoded.len()).sum();
        if parked + encoded.len() > UNPROVED {
            let failure = Failure::Incomplete;
            self.handle(Event::Failed { peer, request, verified: Blocks::new(), failure });
        } else {
            self.unproved.push((peer, request, blocks, encoded));
        }
    }

    pub(super) fn accept(&mut self, peer: Peer, request: RequestId, blocks: Range<u64>, encoded: BytesMut) {
        let store = Arc::clone(&self.parts.shared.store);
        self.jobs.spawn_blocking(move || Done::Accepted(peer, request, store.accept(blocks, &encoded)));
    }

    pub(super) fn answered(&mut self, peer: Peer, request: RequestId, result: Result<Blocks, AcceptError>) {
        match result {
            Ok(blocks) => {
                let arrived = blocks.clone();
                self.handle(Event::Verified { peer, request, blocks });
                self.verified(&arrived);
                if !self.proved && self.parts.shared.store.size_proved() {
                    self.proved = true;
                    self.size_proved();
                }
            }
            Err(error) => {
                let arrived = error.verified.clone();
                self.fault(peer, request, error);
                self.verified(&arrived);
            }
        }
    }

    pub(super) fn size_proved(&mut self) {
        self.handle(Event::SizeProved);
        // The size was right all along: who sent something else under it was wrong, not the link.
        let wrong = self.doubts.0.iter().filter(|(_, says)| says.is_none());
        let wrong: Vec<_> = wrong.map(|(peer, _)| *peer).collect();
        for peer in wrong {
            tracing::warn!(%peer, "a peer sent wrong bytes");
            self.parts
                .network
                .ban(peer, self.parts.network.connected_address(&peer).as_ref().and_then(ip_of));
            self.contacts.ban(peer);
        }
        self.doubts.0.clear();
        for (peer, request, blocks, encoded) in std::mem::take(&mut self.unproved) {
            self.accept(peer, request, blocks, encoded);
        }
    }

    pub(super) fn fault(&mut self, peer: Peer, request: RequestId, error: AcceptError) {
        let failed = |failure| Event::Failed { peer, request, verified: error.verified.clone(), failure };
        let proved = self.parts.shared.store.size_proved();
        match &error.fault {
            Fault::WrongSize { .. } => {
                self.handle(failed(Failure::Incomplete));
                self.doubt(peer, None);
            }
            Fault::Store(broken) if self.make_do(broken) => {
                self.handle(failed(Failure::Refused { retry_after: Some(FULL) }));
            }
            Fault::Store(broken) => {
                let sentence = broken.to_string();
                self.handle(failed(Failure::Incomplete));
                self.end(Stopped::Store(sentence));
            }
            // Until the size is proved the link may be to blame for anything, so nobody is banned.
            fault if fault.blames_sender() && proved => {
                self.handle(failed(Failure::Wrong));
                tracing::warn!(peer = ?self.peers.get(&peer).map(|c| c.id), %error, "a peer sent wrong bytes");
                self.ban(peer);
            }
            _ => self.handle(failed(Failure::Incomplete)),
        }
    }

    pub(super) fn ban(&mut self, peer: Peer) {
        self.leave_source(peer, Some(SourceError::Wrong.to_string()));
        if let Some(connected) = self.peers.get(&peer) {
            let (id, address) = (connected.id, connected.address.as_ref().and_then(ip_of));
            self.parts.network.ban(id, address);
            self.leave(peer, None);
            self.contacts.ban(id);
        }
    }

    pub(super) fn doubt(&mut self, peer: Peer, says: Option<u64>) {
        if let Some(connected) = self.peers.get(&peer) {
            let id = connected.id;
            self.doubt_by(id, says);
            self.leave(peer, Some(Duration::from_secs(30)));
        }
    }

    pub(super) fn doubt_by(&mut self, peer: PeerId, says: Option<u64>) {
        self.doubts.0.insert(peer, says);
        self.doubts.1.get_or_insert_with(Instant::now);
    }

    /// The link is given up only when nobody is left who might prove its size.
    pub(super) fn judge_size(&mut self, now: Instant) {
        let Some(since) = self.doubts.1 else { return };
        if self.parts.shared.store.size_proved() || self.stopped.is_some() {
            self.doubts.1 = None;
            return;
        }
        let others = !self.peers.is_empty()
            || self.sources.are_left()
            || self.contacts.hopeful(|peer| self.doubts.0.contains_key(peer));
        if now.duration_since(since) < SIZE_DOUBT {
            return;
        }
        if others {
            self.doubts.1 = Some(now);
            return;
        }
        let claimed = self.parts.shared.link.size;
        let mut said: HashMap<u64, usize> = HashMap::new();
        self.doubts.0.values().flatten().for_each(|size| *said.entry(*size).or_default() += 1);
        self.end(match said.into_iter().max_by_key(|(_, peers)| *peers) {
            Some((held, peers)) => Stopped::WrongSize { claimed, held, peers },
            None => Stopped::SizeUnproved { claimed, peers: self.doubts.0.len() },
        });
    }
}
