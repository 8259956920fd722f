//! What both baselines note down: pieces, peers, requests.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use nearcast_protocol::{BLOCK_BYTES, Blocks, Geometry, pieces::Class};
use nearcast_schedule::{Action, Event, Failure, Film, Peer, RequestId};
use rand::{SeedableRng, rngs::StdRng};

/// A piece of 256 KiB, as films of this size are commonly cut.
const PIECE_BLOCKS: u64 = 16;
/// A request of which nothing has come so long is taken back; rqbit's read timeout.
const SILENCE: Duration = Duration::from_secs(10);
/// And its peer, like one that refused or broke off, is left alone so long.
const SNUBBED: Duration = Duration::from_secs(30);
const FAILED: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(500);
/// Believed of a peer until it has delivered a piece, in bytes/s.
const GUESS: f64 = 100_000.0;

pub(crate) type Piece = usize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Missing,
    Asked,
    Held,
}

/// A peer that is connected.
#[derive(Debug)]
pub(crate) struct Source {
    has: Vec<bool>,
    /// Requests it has to answer, and their bytes that haven't come.
    pub open: usize,
    pub queued: u64,
    /// Bytes/s, over its last pieces.
    pub rate: f64,
    rests_until: Duration,
    heard: Duration,
}

impl Source {
    pub fn has(&self, piece: Piece) -> bool {
        self.has.get(piece).copied().unwrap_or(false)
    }

    pub fn rests(&self, now: Duration) -> bool {
        self.rests_until > now
    }
}

/// A request on its way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub peer: Peer,
    pub piece: Piece,
    pub at: Duration,
    came: u64,
    heard: Duration,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    film: Geometry,
    held: Blocks,
    pub states: Vec<State>,
    /// How many connected peers have each piece.
    pub rarity: Vec<u32>,
    pub peers: BTreeMap<Peer, Source>,
    pub requests: BTreeMap<RequestId, Asked>,
    /// The byte that is read next.
    cursor: u64,
    jumped: bool,
    /// How long a piece takes, on average.
    pub piece_time: Duration,
    pub dice: StdRng,
    next_request: u32,
    due: bool,
    tick_at: Duration,
    actions: VecDeque<Action>,
}

impl Ledger {
    pub fn new(film: Film, seed: u64) -> Self {
        let pieces = film.geometry.count().div_ceil(PIECE_BLOCKS) as usize;
        Self {
            film: film.geometry,
            held: film.held,
            states: vec![State::Missing; pieces],
            rarity: vec![0; pieces],
            peers: BTreeMap::new(),
            requests: BTreeMap::new(),
            cursor: 0,
            jumped: false,
            piece_time: Duration::from_secs(1),
            dice: StdRng::seed_from_u64(seed),
            next_request: 0,
            due: true,
            tick_at: Duration::ZERO,
            actions: VecDeque::new(),
        }
    }

    pub fn held(&self) -> &Blocks {
        &self.held
    }

    /// The piece that is read next.
    pub fn head(&self) -> Piece {
        self.piece_at(self.cursor)
    }

    pub fn piece_at(&self, byte: u64) -> Piece {
        (self.film.block_at(byte) / PIECE_BLOCKS) as usize
    }

    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Whether the reader went elsewhere since this was last asked.
    pub fn has_jumped(&mut self) -> bool {
        std::mem::take(&mut self.jumped)
    }

    fn blocks(&self, piece: Piece) -> std::ops::Range<u64> {
        let first = piece as u64 * PIECE_BLOCKS;
        first..(first + PIECE_BLOCKS).min(self.film.count())
    }

    pub fn handle(&mut self, now: Duration, event: Event) {
        self.due = true;
        match event {
            Event::PeerJoined { peer, .. } => {
                let has = vec![false; self.states.len()];
                let source = Source { has, open: 0, queued: 0, rate: GUESS, rests_until: now, heard: now };
                self.peers.entry(peer).or_insert(source);
            }
            Event::PeerHas { peer, blocks } => self.has(peer, &blocks),
            Event::PeerLeft { peer } => self.left(peer),
            Event::Progress { peer, request, bytes } => {
                if let Some(asked) = self.requests.get_mut(&request) {
                    asked.heard = now;
                    asked.came += bytes;
                }
                if let Some(source) = self.peers.get_mut(&peer) {
                    source.queued = source.queued.saturating_sub(bytes);
                    source.rests_until = source.rests_until.min(now);
                }
            }
            Event::Verified { peer, request, blocks } => self.verified(now, peer, request, &blocks),
            Event::Failed { peer, request, failure, .. } => {
                self.close(request);
                if let Some(source) = self.peers.get_mut(&peer) {
                    let rest = match failure {
                        Failure::Refused { retry_after } => retry_after.unwrap_or(SNUBBED),
                        _ => FAILED,
                    };
                    source.rests_until = now + rest;
                }
            }
            Event::Reading { bytes, .. } => {
                // A read follows the one before, or nearly.
                self.jumped |= bytes.start.abs_diff(self.cursor) > 4 * PIECE_BLOCKS * BLOCK_BYTES;
                self.cursor = bytes.start;
            }
            Event::ReaderClosed { .. } => self.cursor = 0,
            _ => {}
        }
    }

    fn has(&mut self, peer: Peer, blocks: &Blocks) {
        let Some(source) = self.peers.get_mut(&peer) else { return };
        let count = self.film.count();
        for run in blocks.runs() {
            let first = run.start.div_ceil(PIECE_BLOCKS);
            let end = if run.end >= count { count.div_ceil(PIECE_BLOCKS) } else { run.end / PIECE_BLOCKS };
            for piece in first as usize..end as usize {
                if let (Some(has), Some(rarity)) = (source.has.get_mut(piece), self.rarity.get_mut(piece))
                    && !std::mem::replace(has, true)
                {
                    *rarity += 1;
                }
            }
        }
    }

    fn left(&mut self, peer: Peer) {
        let gone: Vec<_> =
            self.requests.iter().filter(|(_, asked)| asked.peer == peer).map(|(id, _)| *id).collect();
        gone.into_iter().for_each(|request| self.close(request));
        if let Some(source) = self.peers.remove(&peer) {
            let counts = self.rarity.iter_mut().zip(source.has);
            counts.filter(|(_, has)| *has).for_each(|(rarity, _)| *rarity -= 1);
        }
    }

    fn verified(&mut self, now: Duration, peer: Peer, request: RequestId, blocks: &Blocks) {
        self.held = self.held.union(blocks);
        if let Some(asked) = self.requests.get(&request).copied() {
            let time = now.saturating_sub(asked.at);
            self.piece_time = (self.piece_time * 9 + time) / 10;
            self.close(request);
            if let Some(source) = self.peers.get_mut(&peer) {
                // Pieces queue at a peer: this one's time began when the one before had come.
                let alone = now.saturating_sub(asked.at.max(source.heard)).as_secs_f64().max(0.001);
                let bytes = self.film.bytes_in(blocks) as f64;
                source.rate = source.rate * 0.7 + bytes / alone * 0.3;
                source.heard = now;
            }
            if let Some(state) = self.states.get_mut(asked.piece) {
                *state = State::Held;
            }
        }
    }

    /// Takes a request off the books; its piece is wanted again unless another asks for it.
    fn close(&mut self, request: RequestId) {
        let Some(asked) = self.requests.remove(&request) else { return };
        let bytes = self.film.bytes(self.blocks(asked.piece));
        if let Some(source) = self.peers.get_mut(&asked.peer) {
            source.open -= 1;
            source.queued =
                source.queued.saturating_sub((bytes.end - bytes.start).saturating_sub(asked.came));
        }
        if let Some(state) = self.states.get_mut(asked.piece).filter(|state| **state == State::Asked) {
            *state = State::Missing;
        }
    }

    /// Whether what is asked of whom is to be thought over now.
    pub fn is_due(&mut self, now: Duration) -> bool {
        let due = std::mem::take(&mut self.due) || self.tick_at <= now;
        if due {
            self.take_back_silent(now);
        }
        due
    }

    fn take_back_silent(&mut self, now: Duration) {
        let silent = self.requests.iter().filter(|(_, asked)| now.saturating_sub(asked.heard) > SILENCE);
        // Who is busy with an earlier request isn't silent.
        let silent: Vec<_> = silent
            .filter(|(_, asked)| {
                let of_it = self.requests.values().filter(|other| other.peer == asked.peer);
                of_it.map(|other| other.heard).max().is_none_or(|heard| now.saturating_sub(heard) > SILENCE)
            })
            .map(|(request, asked)| (*request, asked.peer))
            .collect();
        for (request, peer) in silent {
            self.cancel(request);
            if let Some(source) = self.peers.get_mut(&peer) {
                source.rests_until = now + SNUBBED;
            }
        }
    }

    pub fn cancel(&mut self, request: RequestId) {
        if let Some(asked) = self.requests.get(&request).copied() {
            self.close(request);
            self.actions.push_back(Action::Cancel { peer: asked.peer, request });
        }
    }

    pub fn ask(&mut self, now: Duration, peer: Peer, piece: Piece) {
        let blocks = self.blocks(piece);
        let bytes = self.film.bytes(blocks.clone());
        let Some(source) = self.peers.get_mut(&peer) else { return };
        source.open += 1;
        source.queued += bytes.end - bytes.start;
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.requests.insert(request, Asked { peer, piece, at: now, came: 0, heard: now });
        if let Some(state) = self.states.get_mut(piece) {
            *state = State::Asked;
        }
        // Other clients' peers serve in the order of arrival: one class, and no deadline but that.
        self.actions.push_back(Action::Request { peer, request, blocks, class: Class::Ready, deadline: now });
    }

    /// What has been decided, one at a time; then when to think again.
    pub fn next_action(&mut self, now: Duration) -> Option<Action> {
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        let busy = !self.requests.is_empty() || self.states.contains(&State::Missing);
        (busy && self.tick_at <= now).then(|| {
            self.tick_at = now + TICK;
            Action::WakeAt(self.tick_at)
        })
    }
}
