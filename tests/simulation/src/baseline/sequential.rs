//! In order, from whoever has it: rqbit's and torrent-stream's way of streaming.
//!
//! As the dossier has it (`p2p-anchors` §2.1, §2.4 and §2.10; rqbit 9.0.1 `streaming.rs` and
//! `piece_tracker.rs`): pieces are reserved in the order of the file from the read position on, each by the
//! next peer that has room for another request; what lies before the position comes last. Each peer has a
//! fixed number of requests in flight, whatever its rate. A peer that says nothing for ten seconds loses its
//! piece. There is no notion of time, and peers are those of a tracker that lists at random.

use std::time::Duration;

use nearcast_protocol::Blocks;
use nearcast_schedule::{Action, Event, Film, Peer};
use rand::seq::IndexedRandom;

use super::ledger::{Ledger, State};
use crate::brain::Scheduler;

/// Requests in flight per peer, of a piece each: 512 KiB, enough for 4 MB/s over 100 ms.
const PIPELINE: usize = 2;

pub(crate) struct Sequential {
    ledger: Ledger,
}

impl Sequential {
    pub fn new(film: Film, seed: u64) -> Self {
        Self { ledger: Ledger::new(film, seed) }
    }

    fn pick(&mut self, now: Duration) {
        let ledger = &mut self.ledger;
        let mut free: Vec<Peer> = ledger
            .peers
            .iter()
            .filter(|(_, source)| source.open < PIPELINE && !source.rests(now))
            .map(|(peer, _)| *peer)
            .collect();
        let (head, count) = (ledger.head(), ledger.states.len());
        for piece in (head..count).chain(0..head) {
            if free.is_empty() {
                return;
            }
            if ledger.states.get(piece) != Some(&State::Missing) {
                continue;
            }
            let having: Vec<_> = free
                .iter()
                .filter(|peer| ledger.peers.get(peer).is_some_and(|source| source.has(piece)))
                .copied()
                .collect();
            let Some(peer) = having.choose(&mut ledger.dice).copied() else { continue };
            ledger.ask(now, peer, piece);
            if ledger.peers.get(&peer).is_some_and(|source| source.open >= PIPELINE) {
                free.retain(|other| *other != peer);
            }
        }
    }
}

impl Scheduler for Sequential {
    fn handle(&mut self, now: Duration, event: Event) {
        self.ledger.handle(now, event);
    }

    fn poll(&mut self, now: Duration) -> Option<Action> {
        if self.ledger.is_due(now) {
            self.pick(now);
        }
        self.ledger.next_action(now)
    }

    fn held(&self) -> &Blocks {
        self.ledger.held()
    }
}
