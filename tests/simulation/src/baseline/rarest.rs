//! In order within a window of bytes, the rarest first beyond it: libtorrent's way of streaming, as its
//! users set it up.
//!
//! As the dossier has it (`p2p-anchors` §2.2; libtorrent 069017e33 `torrent.cpp` and `docs/streaming.rst`):
//! the pieces of a window ahead of the read position are given, in order, each to the peer with the shortest
//! queue; one that takes much longer than pieces take on average is asked of another peer instead. Beyond
//! the window, each peer with room is asked for the rarest piece that it has. The window is counted in bytes,
//! whatever the film's rate. A peer's queue is three seconds of its rate. Where the reader jumps, what isn't
//! in its new window is cancelled. Peers are those of a tracker that lists at random.
//!
//! Kinder than the original: a window piece is thought of at every event, not once a second, and the
//! arithmetic of queue times is right. And what lies beyond the window fills no more than one second of a
//! peer's queue, so that window pieces never wait behind it for long.

use std::{ops::Range, time::Duration};

use nearcast_protocol::Blocks;
use nearcast_schedule::{Action, Event, Film, Peer};
use rand::Rng;

use super::ledger::{Ledger, Piece, Source, State};
use crate::brain::Scheduler;

/// How far ahead of the read position pieces are fetched in order.
const WINDOW: u64 = 8 * 1024 * 1024;
/// A peer's queue, in seconds of its rate and in requests.
const QUEUE_SECONDS: f64 = 3.0;
const QUEUE_REQUESTS: Range<usize> = 2..32;
/// And how much of it what lies beyond the window may fill.
const BEYOND_SECONDS: f64 = 1.0;
/// So many times the average time, and a window piece is asked of another.
const LATE: u32 = 3;

pub(crate) struct RarestFirst {
    ledger: Ledger,
}

fn has_room(source: &Source, seconds: f64, now: Duration) -> bool {
    let by_rate = (source.queued as f64) < source.rate * seconds;
    let requests = source.open < QUEUE_REQUESTS.start || by_rate && source.open < QUEUE_REQUESTS.end;
    requests && !source.rests(now)
}

fn queue_time(source: &Source) -> f64 {
    source.queued as f64 / source.rate.max(1.0)
}

impl RarestFirst {
    pub fn new(film: Film, seed: u64) -> Self {
        Self { ledger: Ledger::new(film, seed) }
    }

    /// Who would deliver a piece of the window first.
    fn soonest(&self, now: Duration, piece: Piece, without: Option<Peer>) -> Option<(f64, Peer)> {
        let having = self.ledger.peers.iter().filter(|(peer, source)| {
            Some(**peer) != without && source.has(piece) && has_room(source, QUEUE_SECONDS, now)
        });
        having
            .map(|(peer, source)| (queue_time(source), *peer))
            .min_by(|(one, _), (other, _)| one.total_cmp(other))
    }

    fn window(&self) -> Range<Piece> {
        let end = self.ledger.piece_at(self.ledger.cursor() + WINDOW) + 1;
        self.ledger.head()..end.min(self.ledger.states.len())
    }

    fn pick(&mut self, now: Duration) {
        let window = self.window();
        if self.ledger.has_jumped() {
            let requests = self.ledger.requests.iter();
            let beyond = requests.filter(|(_, asked)| !window.contains(&asked.piece));
            let beyond: Vec<_> = beyond.map(|(request, _)| *request).collect();
            beyond.into_iter().for_each(|request| self.ledger.cancel(request));
        }
        self.take_from_the_late(now);
        for piece in window {
            if self.ledger.states.get(piece) != Some(&State::Missing) {
                continue;
            }
            if let Some((_, peer)) = self.soonest(now, piece, None) {
                self.ledger.ask(now, peer, piece);
            }
        }
        self.pick_rarest(now);
    }

    /// A window piece that is late is taken from its peer, if another has an empty queue.
    fn take_from_the_late(&mut self, now: Duration) {
        let window = self.window();
        let late = self.ledger.piece_time * LATE;
        let overdue = self
            .ledger
            .requests
            .iter()
            .filter(|(_, asked)| window.contains(&asked.piece) && now.saturating_sub(asked.at) > late);
        let overdue: Vec<_> = overdue.map(|(request, asked)| (*request, *asked)).collect();
        for (request, asked) in overdue {
            let other = self.soonest(now, asked.piece, Some(asked.peer));
            if let Some((_, peer)) = other.filter(|(queue, _)| *queue == 0.0) {
                self.ledger.cancel(request);
                self.ledger.ask(now, peer, asked.piece);
            }
        }
    }

    fn pick_rarest(&mut self, now: Duration) {
        let ledger = &mut self.ledger;
        let free: Vec<_> = ledger
            .peers
            .iter()
            .filter(|(_, source)| has_room(source, BEYOND_SECONDS, now))
            .map(|(peer, _)| *peer)
            .collect();
        let mut missing: Vec<_> = (0..ledger.states.len())
            .filter(|piece| ledger.states.get(*piece) == Some(&State::Missing))
            .map(|piece| (ledger.rarity.get(piece).copied().unwrap_or(0), ledger.dice.random::<u32>(), piece))
            .collect();
        if free.is_empty() || missing.is_empty() {
            return;
        }
        missing.sort_unstable();
        for peer in free {
            while let Some(source) =
                ledger.peers.get(&peer).filter(|source| has_room(source, BEYOND_SECONDS, now))
            {
                let rarest = missing.iter().position(|(.., piece)| source.has(*piece));
                let Some(at) = rarest else { break };
                let (.., piece) = missing.remove(at);
                ledger.ask(now, peer, piece);
            }
        }
    }
}

impl Scheduler for RarestFirst {
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
