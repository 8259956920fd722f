//! The state, and what each event does to it.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    time::Duration,
};

use nearcast_protocol::{Blocks, Geometry, Group, Role};

use crate::{
    action::{Action, Because},
    assign::{LAST_RESORT, Pick, Unmet},
    budget::Budget,
    demand::{Rank, missing},
    event::{Event, Failure},
    film::{Fetch, Film, Peer, Reader, RequestId},
    import::OwnImports,
    log::{Entry, Log},
    neighbour::{InFlight, Neighbour},
    rate::GUESS,
    reader::Place,
    room,
    statistics::Received,
};

/// While a reader waits, late requests are looked for this often.
const ATTENTIVE: Duration = Duration::from_millis(50);
/// While anything is in flight, everything is derived anew this often, so that no lost event stalls.
const WATCHDOG: Duration = Duration::from_millis(250);
/// So much later than its wake a caller may come before it counts as having been away.
const OVERSLEPT: Duration = Duration::from_millis(100);
/// Refused without a time, and at least this long after any refusal.
const REFUSED_FOR_EVER: Duration = Duration::from_secs(60);
const SHORTEST_REFUSAL: Duration = Duration::from_millis(100);
const SPEEDS: std::ops::RangeInclusive<f64> = 0.25..=16.0;

/// What to fetch next, from whom, and by when. See the [crate] for how it decides.
///
/// Feed it with [`handle`](Self::handle); then, and at each [`Action::WakeAt`], call [`poll`](Self::poll)
/// until it gives nothing more. Several events may be handled before a poll.
#[derive(Debug)]
pub struct Schedule {
    pub(crate) fetch: Fetch,
    pub(crate) geometry: Geometry,
    pub(crate) bit_rate: Option<u64>,
    pub(crate) proved: bool,
    pub(crate) own_group: Group,
    pub(crate) held: Blocks,
    /// What is held or in flight.
    pub(crate) taken: Blocks,
    pub(crate) peers: BTreeMap<Peer, Neighbour>,
    pub(crate) readers: BTreeMap<Reader, Place>,
    pub(crate) paused: bool,
    pub(crate) tail_wanted: bool,
    pub(crate) received: Received,
    pub(crate) budget: Budget,
    /// What this node fetches into the group.
    pub(crate) own_imports: OwnImports,
    /// When the group, or this node itself, last got something that was missing here.
    pub(crate) group_moved: Duration,
    pub(crate) own_name: u64,
    /// How many blocks may be held at once, if that is bounded.
    pub(crate) room: Option<u64>,
    seed: u64,
    next_request: u32,
    /// Whether anything has happened that a plan should answer.
    due: bool,
    /// Whether a reader waits somewhere new.
    jumped: bool,
    /// When late requests are looked for next.
    check_at: Duration,
    wake_at: Option<Duration>,
    outbox: VecDeque<Action>,
    log: Log,
}

impl Schedule {
    /// A schedule for one film, beginning now, at time zero. The `seed` breaks ties, and tells where a whole
    /// film that nobody watches is begun.
    pub fn new(film: Film, fetch: Fetch, seed: u64) -> Self {
        let log = Log::new(Entry::Began { film: film.clone(), fetch, seed });
        let mut held = film.held;
        held.remove(film.geometry.count()..u64::MAX);
        Self {
            fetch,
            geometry: film.geometry,
            bit_rate: film.bit_rate,
            proved: film.size_proved || held.contains(film.geometry.last()),
            own_group: film.own_group,
            taken: held.clone(),
            held,
            peers: BTreeMap::new(),
            readers: BTreeMap::new(),
            paused: false,
            tail_wanted: true,
            received: Received::default(),
            budget: Budget::default(),
            own_imports: OwnImports::default(),
            group_moved: Duration::ZERO,
            own_name: film.own_name,
            room: None,
            seed,
            next_request: 0,
            due: true,
            jumped: false,
            check_at: Duration::ZERO,
            wake_at: None,
            outbox: VecDeque::new(),
            log,
        }
    }

    /// Takes in what happened at `now`, the time since the schedule began. Time that runs backwards is
    /// harmless.
    pub fn handle(&mut self, now: Duration, event: Event) {
        let now = to_grain(now);
        self.log.push(Entry::Event { at: now, event: event.clone() });
        self.excuse_oversleeping(now);
        match event {
            Event::PeerJoined { peer, group, role, local, name } => {
                let (guess, tie) = (self.guess(now), mix(self.seed ^ u64::from(peer.0)));
                let neighbour = self
                    .peers
                    .entry(peer)
                    .or_insert_with(|| Neighbour::new(group, role, local, name, guess, tie, now));
                (neighbour.group, neighbour.role, neighbour.local) = (group, role, local);
                self.own_imports.tell_again();
                self.due = true;
            }
            Event::SourceJoined { peer } => {
                let (guess, tie) = (self.guess(now), mix(self.seed ^ u64::from(peer.0)));
                let mut source = Neighbour::new(Group::UNKNOWN, Role::Publisher, false, 0, guess, tie, now);
                (source.web, source.blocks) = (true, self.geometry.all());
                self.peers.entry(peer).or_insert(source);
                self.due = true;
            }
            Event::PeerHas { peer, mut blocks } => {
                blocks.remove(self.geometry.count()..u64::MAX);
                if let Some(neighbour) = self.peers.get_mut(&peer) {
                    let news = !neighbour.blocks.is_empty();
                    neighbour.imports.delivered(now, &blocks, news);
                    if neighbour.tier(self.own_group) == 0 && !blocks.difference(&self.held).is_empty() {
                        self.group_moved = now;
                    }
                    neighbour.blocks = neighbour.blocks.union(&blocks);
                    self.due = true;
                    self.check_at = now;
                }
            }
            Event::PeerLost { peer, blocks } => {
                if let Some(neighbour) = self.peers.get_mut(&peer) {
                    neighbour.blocks = neighbour.blocks.difference(&blocks);
                }
            }
            Event::PeerImports { peer, blocks } => {
                let end = blocks.end.min(self.geometry.count());
                if let Some(neighbour) = self.peers.get_mut(&peer) {
                    neighbour.imports.claimed(now, blocks.start..end);
                    self.due = true;
                }
            }
            Event::PeerLeft { peer } => {
                if let Some(neighbour) = self.peers.remove(&peer) {
                    neighbour.requests.into_values().for_each(|request| self.release(request.blocks));
                    self.due = true;
                }
            }
            Event::Progress { peer, request, bytes } => {
                if let Some(neighbour) = self.peers.get_mut(&peer) {
                    neighbour.receive(now, request, bytes);
                    self.received.payload = self.received.payload.saturating_add(bytes);
                    self.budget.came(now, bytes);
                    self.due = true;
                }
            }
            Event::Verified { peer, request, blocks } => self.verified(now, peer, request, blocks),
            Event::Failed { peer, request, verified, failure } => {
                self.failed(now, peer, request, verified, failure);
            }
            Event::Held(blocks) => self.gain(now, &blocks),
            Event::Lost(blocks) => {
                self.held = self.held.difference(&blocks);
                self.taken = self.taken.difference(&blocks);
                let in_flight: Vec<_> =
                    self.in_flight().map(|(.., request)| request.blocks.clone()).collect();
                in_flight.into_iter().for_each(|run| self.taken.insert(run));
                self.due = true;
            }
            Event::SizeProved => {
                let last = self.geometry.last();
                self.peers.values_mut().for_each(|neighbour| neighbour.excuse_kept_aside(now, last));
                self.proved = true;
                self.due = true;
            }
            Event::ReaderOpened { reader } => {
                self.readers.entry(reader).or_insert_with(Place::new);
                self.due = true;
            }
            Event::Reading { reader, bytes, waiting } => self.reading(now, reader, bytes, waiting),
            Event::ReaderClosed { reader } => {
                self.readers.remove(&reader);
                self.due = true;
            }
            Event::Playback { reader, rate } => {
                let place = self.readers.entry(reader).or_insert_with(Place::new);
                // Paused, it may go on at any moment: as if it played.
                let rate = if rate.is_finite() && rate != 0.0 { rate.abs() } else { 1.0 };
                place.speed = (rate.clamp(*SPEEDS.start(), *SPEEDS.end()) * 1000.0).round() as u64;
                self.due = true;
            }
            Event::BitRate(bit_rate) => {
                self.bit_rate = Some(bit_rate);
                self.due = true;
            }
            Event::Group(group) => {
                self.own_group = group;
                self.due = true;
            }
            Event::Room(bytes) => {
                self.room = bytes.map(room::in_blocks);
                self.due = true;
            }
            Event::Pause(paused) => {
                self.paused = paused;
                self.due = true;
            }
        }
    }

    /// What to do next, or nothing until the next event or wake.
    pub fn poll(&mut self, now: Duration) -> Option<Action> {
        let now = to_grain(now);
        if (self.due || self.wake_at.is_some_and(|at| at <= now)) && self.outbox.is_empty() {
            self.due = false;
            self.log.push(Entry::Planned { at: now });
            self.excuse_oversleeping(now);
            self.wake_at = self.wake_at.filter(|at| *at > now);
            self.plan(now);
        }
        self.outbox.pop_front()
    }

    /// What is held.
    pub fn held(&self) -> &Blocks {
        &self.held
    }

    /// Whether all is held.
    pub fn complete(&self) -> bool {
        self.held.contains_run(0..self.geometry.count())
    }

    /// Takes the log's entries since the last call. Nobody has to: it is a ring, and begins to forget its
    /// oldest entries (and says so) when it is full.
    pub fn log(&mut self) -> Vec<Entry> {
        self.log.drain()
    }

    /// A caller that comes much later than its wake was away, and so was everybody's answer: that time
    /// doesn't count as anybody's silence. (A laptop's lid was closed, or the machine was busy.)
    fn excuse_oversleeping(&mut self, now: Duration) {
        if let Some(at) = self.wake_at
            && now > at + OVERSLEPT
        {
            self.peers.values_mut().for_each(|neighbour| neighbour.excuse(now, now - at));
            self.wake_at = Some(now);
        }
    }

    fn plan(&mut self, now: Duration) {
        if self.paused {
            let all: Vec<_> = self.in_flight().map(|(peer, id, _)| (peer, id)).collect();
            all.into_iter().for_each(|(peer, id)| self.cancel(now, peer, id, Because::Paused));
            return;
        }
        if !self.proved {
            let last = self.geometry.last();
            self.peers.values_mut().for_each(|neighbour| neighbour.excuse_kept_aside(now, last));
        }
        let lanes = self.demand(now);
        let attentive = lanes.iter().any(|lane| lane.rank == Rank::Waiting);
        if std::mem::take(&mut self.jumped) {
            self.refocus(now, &lanes);
            self.check_at = now;
        }
        if now >= self.check_at {
            self.give_up(now);
            self.rescue(now, &lanes);
            self.check_at = now + if attentive { ATTENTIVE } else { WATCHDOG };
        } else if attentive {
            self.check_at = self.check_at.min(now + ATTENTIVE);
        }
        self.make_room(now, &lanes);
        self.judge_imports(now);
        let (picks, unmet) = self.assign(now, &lanes);
        for pick in picks {
            if let Some(pick) = self.fit(pick) {
                self.request(now, pick);
            }
        }
        let heard = self.imports_are_heard();
        for blocks in self.own_imports.news(now, &self.held, heard) {
            self.act(now, Action::Import { blocks }, Because::ForTheGroup);
        }
        self.wake(now, unmet, attentive);
    }

    fn wake(&mut self, now: Duration, unmet: Unmet, attentive: bool) {
        let in_flight = self.peers.values().any(Neighbour::is_busy);
        let watchdog = in_flight.then_some(self.check_at);
        let asked_again = self.peers.values().filter_map(|neighbour| neighbour.bench).filter_map(|bench| {
            let last_resort = bench.since + LAST_RESORT;
            let at = if bench.at_its_word || last_resort <= now {
                bench.until
            } else {
                bench.until.min(last_resort)
            };
            (at > now).then_some(at)
        });
        let asked_again = if unmet.any { asked_again.min() } else { None };
        // What is left to others of the group is looked at again: they may not bring it.
        let left = unmet.left_to_others.then_some(now + if attentive { ATTENTIVE } else { WATCHDOG });
        let Some(at) = watchdog.into_iter().chain(asked_again).chain(left).min() else { return };
        if self.wake_at.is_none_or(|earlier| at < earlier) {
            self.wake_at = Some(at);
            self.act(now, Action::WakeAt(at), Because::Watchdog);
        }
    }

    pub(crate) fn act(&mut self, now: Duration, action: Action, because: Because) {
        self.log.push(Entry::Action { at: now, action: action.clone(), because });
        self.outbox.push_back(action);
    }

    fn request(&mut self, now: Duration, pick: Pick) {
        let Pick { peer, blocks, class, deadline, because, import } = pick;
        if import {
            self.own_imports.begin(now, blocks.clone());
        }
        let bytes = self.bytes_of(blocks.clone());
        let Some(neighbour) = self.peers.get_mut(&peer) else { return };
        let request = RequestId(self.next_request);
        self.next_request = self.next_request.wrapping_add(1);
        neighbour.ask(now, request, blocks.clone(), bytes);
        self.taken.insert(blocks.clone());
        self.act(now, Action::Request { peer, request, blocks, class, deadline }, because);
    }

    pub(crate) fn cancel(&mut self, now: Duration, peer: Peer, request: RequestId, because: Because) {
        if let Some(closed) = self.close(now, peer, request) {
            if let Some(neighbour) = self.peers.get_mut(&peer) {
                neighbour.take_back(now, &closed);
            }
            self.act(now, Action::Cancel { peer, request }, because);
        }
    }

    /// Takes a request off the books; what of it isn't held is wanted again.
    fn close(&mut self, now: Duration, peer: Peer, request: RequestId) -> Option<InFlight> {
        let closed = self.peers.get_mut(&peer)?.close(now, request)?;
        self.release(closed.blocks.clone());
        Some(closed)
    }

    fn release(&mut self, run: Range<u64>) {
        let mut start = run.start;
        while start < run.end {
            let held = self.held.next_run(start).unwrap_or(u64::MAX..u64::MAX);
            self.taken.remove(start..held.start.min(run.end));
            start = held.end;
        }
    }

    /// Whether nobody who is connected has anything of what is missing; web sources aside.
    pub fn is_stranded(&self) -> bool {
        !self.complete()
            && self
                .peers
                .values()
                .filter(|peer| !peer.web)
                .all(|peer| peer.blocks.difference(&self.held).is_empty())
    }

    /// All requests on their way.
    pub(crate) fn in_flight(&self) -> impl Iterator<Item = (Peer, RequestId, &InFlight)> {
        self.peers.iter().flat_map(|(peer, neighbour)| {
            neighbour.requests.iter().map(|(id, request)| (*peer, *id, request))
        })
    }

    fn verified(&mut self, now: Duration, peer: Peer, request: RequestId, blocks: Blocks) {
        self.credit(peer, &blocks);
        self.close(now, peer, request);
        if let Some(neighbour) = self.peers.get_mut(&peer) {
            (neighbour.strikes, neighbour.bench) = (0, None);
        }
        self.gain(now, &blocks);
    }

    fn failed(&mut self, now: Duration, peer: Peer, request: RequestId, verified: Blocks, failure: Failure) {
        self.credit(peer, &verified);
        let closed = self.close(now, peer, request);
        self.gain(now, &verified);
        let Some(neighbour) = self.peers.get_mut(&peer) else { return };
        match failure {
            Failure::Refused { retry_after } => {
                let time = retry_after.unwrap_or(REFUSED_FOR_EVER).max(SHORTEST_REFUSAL);
                neighbour.rest(now, time, true);
            }
            Failure::NotHeld => closed.into_iter().for_each(|closed| neighbour.blocks.remove(closed.blocks)),
            Failure::Wrong | Failure::Incomplete if closed.is_some() => neighbour.strike(now),
            Failure::Wrong | Failure::Incomplete => {}
        }
    }

    /// Blocks are held that weren't.
    fn gain(&mut self, now: Duration, blocks: &Blocks) {
        if !blocks.is_empty() {
            self.group_moved = now;
        }
        for run in blocks.runs() {
            let run = run.start..run.end.min(self.geometry.count());
            self.held.insert(run.clone());
            self.taken.insert(run);
        }
        self.proved |= self.held.contains(self.geometry.last());
        self.tail_wanted &= !self.held.contains_run(self.tail());
        let useless: Vec<_> = self
            .in_flight()
            .filter(|(.., request)| !request.has_come() && self.held.contains_run(request.blocks.clone()))
            .map(|(peer, id, _)| (peer, id))
            .collect();
        for (peer, request) in useless {
            self.cancel(now, peer, request, Because::HeldAlready);
        }
        self.due = true;
    }

    fn credit(&mut self, peer: Peer, blocks: &Blocks) {
        let bytes = self.geometry.bytes_in(&blocks.difference(&self.held));
        if let Some(neighbour) = self.peers.get_mut(&peer) {
            neighbour.given += bytes;
            self.received.verified(neighbour.tier(self.own_group), bytes);
        }
    }

    fn reading(&mut self, now: Duration, reader: Reader, bytes: Range<u64>, waiting: bool) {
        let geometry = self.geometry;
        let run = geometry.covering(bytes.clone());
        let waiting = waiting && missing(&self.held, run.start) < run.end;
        let mut place = self.readers.remove(&reader).unwrap_or_else(Place::new);
        let pace = self.pace(&place);
        self.due |= place.read(now, geometry, pace, bytes, waiting);
        self.jumped |= waiting;
        self.readers.insert(reader, place);
    }

    /// What a newcomer is believed to give: as much as the others do.
    fn guess(&self, now: Duration) -> u64 {
        let mut rates: Vec<_> = self
            .peers
            .values()
            .filter(|neighbour| neighbour.rate.is_proved())
            .map(|neighbour| neighbour.rate(now))
            .collect();
        rates.sort_unstable();
        rates.get(rates.len() / 2).copied().unwrap_or(GUESS)
    }
}

/// Microseconds: finer than any decision, and exact in a log.
fn to_grain(now: Duration) -> Duration {
    Duration::from_micros(u64::try_from(now.as_micros()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4))
}

impl Schedule {
    /// Where this schedule begins a film that nobody watches.
    pub(crate) fn own_start(&self) -> u64 {
        mix(self.seed) % self.geometry.count()
    }
}

/// SplitMix64's finaliser: the same on every machine and in every version, as a log needs.
pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
