//! A world in virtual time: neighbours that serve one request after another at their rate, and a schedule
//! that runs as it is shipped. Whatever it asks for is checked against the rules on the spot.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    ops::Range,
    time::Duration,
};

use nearcast_protocol::{
    Blocks, Geometry, Group, Role,
    pieces::{Class, MAX_FRAGMENT, MAX_REQUEST_BLOCKS, MAX_REQUESTS_IN_FLIGHT},
};
use nearcast_schedule::{Action, Entry, Event, Failure, Fetch, Film, Peer, RequestId, Schedule};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::player::Player;

pub const OWN: Group = Group(1);
pub const OTHER: Group = Group(2);

/// Bytes/s of so many Mbit/s.
pub const fn mbit(megabits: u64) -> u64 {
    megabits * 125_000
}

pub fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A neighbour's line and manners.
#[derive(Clone)]
pub struct Node {
    pub group: Group,
    pub role: Role,
    pub rate: u64,
    pub round_trip: Duration,
    /// Nothing means all.
    pub has: Option<Blocks>,
    pub frozen: bool,
    /// Refuses everything, with this advice.
    pub refuses: Option<Option<Duration>>,
    /// Of a thousand fragments so many break an answer off.
    pub breaks_off: u32,
    /// Its bytes are wrong.
    pub lies: bool,
    /// A web source and no peer.
    pub web: bool,
}

impl Node {
    pub fn at(rate: u64) -> Self {
        Self {
            group: OWN,
            role: Role::Terminal,
            rate,
            round_trip: Duration::from_millis(20),
            has: None,
            frozen: false,
            refuses: None,
            breaks_off: 0,
            lies: false,
            web: false,
        }
    }

    pub fn of(self, group: Group) -> Self {
        Self { group, ..self }
    }

    pub fn publisher(self) -> Self {
        Self { role: Role::Publisher, ..self }
    }

    pub fn web(self) -> Self {
        Self { web: true, ..self.of(OTHER) }
    }

    pub fn having(self, blocks: Range<u64>) -> Self {
        Self { has: Some(blocks.into()), ..self }
    }
}

struct Serving {
    node: Node,
    has: Blocks,
    /// Served by class, then as they came: as `transfer` does.
    queue: VecDeque<(RequestId, Class, u64)>,
    sending: bool,
    refused_until: Duration,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Asked(Peer, RequestId, Class, u64),
    Cancelled(Peer, RequestId),
    Send(Peer),
    Arrived { peer: Peer, request: RequestId, bytes: u64, last: bool },
    Refused(Peer, RequestId),
    Verdict(RequestId),
    Tick,
    Wake,
    Twist(usize),
}

type Twist = Box<dyn FnOnce(&mut World)>;

pub struct World {
    pub schedule: Schedule,
    pub now: Duration,
    pub geometry: Geometry,
    pub entries: Vec<Entry>,
    pub player: Option<Player>,
    /// Blocks asked for, again and again, and of them those cancelled or failed.
    pub asked: u64,
    pub broken: u64,
    /// Bytes that came, and of them those that nothing came of.
    pub came: u64,
    pub thrown: u64,
    /// Bytes that came for what is open.
    coming: BTreeMap<RequestId, u64>,
    /// Given up, since there was no room.
    pub forgotten: Blocks,
    /// How long verifying takes.
    pub verdict: Duration,
    /// Of a thousand answers and parts of answers so many are never told to the schedule.
    pub lost: u32,
    peers: BTreeMap<Peer, Serving>,
    open: BTreeMap<RequestId, (Peer, Range<u64>)>,
    kept_aside: Vec<RequestId>,
    proved: bool,
    paused: bool,
    happenings: BinaryHeap<Reverse<(Duration, u64, Happening)>>,
    twists: Vec<Option<Twist>>,
    happened: u64,
    dice: StdRng,
}

impl World {
    pub fn new(seed: u64, size: u64, bit_rate: u64, fetch: Fetch) -> Self {
        let geometry = Geometry::new(size);
        let film = Film {
            geometry,
            bit_rate: Some(bit_rate * 8),
            size_proved: false,
            held: Blocks::new(),
            own_group: OWN,
            own_name: seed,
        };
        Self {
            schedule: Schedule::new(film, fetch, seed),
            now: Duration::ZERO,
            geometry,
            entries: Vec::new(),
            player: None,
            asked: 0,
            broken: 0,
            came: 0,
            thrown: 0,
            coming: BTreeMap::new(),
            forgotten: Blocks::new(),
            verdict: Duration::ZERO,
            lost: 0,
            peers: BTreeMap::new(),
            open: BTreeMap::new(),
            kept_aside: Vec::new(),
            proved: false,
            paused: false,
            happenings: BinaryHeap::new(),
            twists: Vec::new(),
            happened: 0,
            dice: StdRng::seed_from_u64(seed),
        }
    }

    /// A film of so many seconds at 6 Mbit/s, watched from the start by a player.
    pub fn cinema(seed: u64, seconds: u64) -> Self {
        let mut world = Self::new(seed, seconds * mbit(6), mbit(6), Fetch::WholeInBackground);
        world.watch(false);
        world
    }

    pub fn watch(&mut self, index_at_the_end: bool) {
        self.player = Some(Player::new(self.geometry, mbit(6), index_at_the_end));
        self.soon(Duration::ZERO, Happening::Tick);
    }

    pub fn neighbours(&mut self, count: u32, rate: u64) -> Vec<Peer> {
        (0..count).map(|_| self.join(Node::at(rate))).collect()
    }

    pub fn join(&mut self, node: Node) -> Peer {
        let peer = Peer(self.peers.keys().next_back().map_or(0, |peer| peer.0 + 1));
        let has = node.has.clone().unwrap_or_else(|| self.geometry.all());
        let (group, role, blocks, web) = (node.group, node.role, has.clone(), node.web);
        self.peers.insert(
            peer,
            Serving { node, has, queue: VecDeque::new(), sending: false, refused_until: Duration::ZERO },
        );
        if web {
            self.schedule.handle(self.now, Event::SourceJoined { peer });
            self.poll();
            return peer;
        }
        self.schedule.handle(
            self.now,
            Event::PeerJoined { peer, group, role, local: false, name: u64::from(peer.0) + 1000 },
        );
        self.schedule.handle(self.now, Event::PeerHas { peer, blocks });
        self.poll();
        peer
    }

    pub fn leave(&mut self, peer: Peer) {
        self.peers.remove(&peer);
        for (_, (_, blocks)) in self.open.extract_if(.., |_, (of, _)| *of == peer) {
            self.broken += blocks.end - blocks.start;
        }
        self.tell(Event::PeerLeft { peer });
    }

    pub fn change(&mut self, peer: Peer, change: impl FnOnce(&mut Node)) {
        let serving = self.peers.get_mut(&peer).unwrap();
        change(&mut serving.node);
        if !serving.sending {
            serving.sending = true;
            self.soon(Duration::ZERO, Happening::Send(peer));
        }
    }

    /// A peer has more than it had.
    pub fn gain(&mut self, peer: Peer, run: Range<u64>) {
        self.peers.get_mut(&peer).unwrap().has.insert(run.clone());
        self.tell(Event::PeerHas { peer, blocks: run.into() });
    }

    /// Whom was asked for what.
    pub fn requests(&self) -> Vec<(Peer, Range<u64>)> {
        let request = |entry: &Entry| match entry {
            Entry::Action { action: Action::Request { peer, blocks, .. }, .. } => {
                Some((*peer, blocks.clone()))
            }
            _ => None,
        };
        self.entries.iter().filter_map(request).collect()
    }

    /// Does something at a time to come.
    pub fn at(&mut self, time: Duration, twist: impl FnOnce(&mut Self) + 'static) {
        self.twists.push(Some(Box::new(twist)));
        self.soon(time - self.now, Happening::Twist(self.twists.len() - 1));
    }

    pub fn tell(&mut self, event: Event) {
        if let Event::Pause(paused) = event {
            self.paused = paused;
        }
        let may_be_lost =
            matches!(event, Event::Progress { .. } | Event::Verified { .. } | Event::Failed { .. });
        if !(may_be_lost && self.lost > 0 && self.chance(self.lost)) {
            self.schedule.handle(self.now, event);
        }
        self.poll();
    }

    /// What is asked for and not answered.
    pub fn on_the_way(&self) -> impl Iterator<Item = &Range<u64>> {
        self.open.values().map(|(_, blocks)| blocks)
    }

    /// Who is asked for a block.
    pub fn asked_of(&self, block: u64) -> Option<Peer> {
        self.open.values().find(|(_, blocks)| blocks.contains(&block)).map(|(peer, _)| *peer)
    }

    /// Those who have a block and are asked for nothing.
    pub fn idle_with(&self, block: u64) -> impl Iterator<Item = (Peer, &Node)> {
        let idle = move |peer: &Peer| self.open.values().all(|(of, _)| of != peer);
        let has = self.peers.iter().filter(move |(_, serving)| serving.has.contains(block));
        has.filter(move |(peer, _)| idle(peer)).map(|(peer, serving)| (*peer, &serving.node))
    }

    pub fn node(&self, peer: Peer) -> &Node {
        &self.peers[&peer].node
    }

    pub fn chance(&mut self, of_a_thousand: u32) -> bool {
        self.dice.random_ratio(of_a_thousand.min(1000), 1000)
    }

    pub fn run(&mut self, until: Duration) {
        self.run_while(until, |_| true);
    }

    /// Runs until nothing happens any more, the time is over, or the condition is.
    pub fn run_while(&mut self, until: Duration, go_on: impl Fn(&Self) -> bool) {
        self.poll();
        while go_on(self)
            && let Some(Reverse((at, ..))) = self.happenings.peek()
            && *at <= until
            && let Some(Reverse((at, _, happening))) = self.happenings.pop()
        {
            self.now = at;
            self.happen(happening);
        }
        if go_on(self) {
            self.now = self.now.max(until);
        }
    }

    /// The machine is away for a while, and so is the whole world.
    pub fn sleep(&mut self, time: Duration) {
        self.now += time;
        let later = |Reverse((at, number, happening))| Reverse((at + time, number, happening));
        self.happenings = std::mem::take(&mut self.happenings).into_iter().map(later).collect();
    }

    /// The share of the payload that was thrown away.
    pub fn waste(&self) -> f64 {
        let statistics = self.schedule.statistics(self.now);
        let used = statistics.own_group + statistics.other_groups + statistics.publishers;
        (statistics.payload - used) as f64 / statistics.payload as f64
    }

    fn soon(&mut self, delay: Duration, happening: Happening) {
        self.happened += 1;
        self.happenings.push(Reverse((self.now + delay, self.happened, happening)));
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Tick => {
                self.step_player();
                self.soon(Duration::from_millis(10), Happening::Tick);
            }
            Happening::Wake => self.poll(),
            Happening::Twist(index) => self.twists[index].take().unwrap()(self),
            Happening::Verdict(request) => {
                self.verify(request);
                self.step_player();
            }
            Happening::Asked(peer, request, class, bytes) => {
                if let Some(serving) = self.peers.get_mut(&peer) {
                    let at = serving.queue.partition_point(|(_, queued, _)| *queued <= class);
                    serving.queue.insert(at, (request, class, bytes));
                    if !serving.sending {
                        serving.sending = true;
                        self.soon(Duration::ZERO, Happening::Send(peer));
                    }
                }
            }
            Happening::Cancelled(peer, request) => {
                if let Some(serving) = self.peers.get_mut(&peer) {
                    serving.queue.retain(|(queued, ..)| *queued != request);
                }
            }
            Happening::Send(peer) => self.send(peer),
            Happening::Refused(peer, request) => {
                let Some(retry_after) = self.peers.get(&peer).and_then(|serving| serving.node.refuses) else {
                    return;
                };
                // The refusal of what was cancelled meanwhile isn't told, as in `transfer`.
                if self.open.contains_key(&request)
                    && let Some(serving) = self.peers.get_mut(&peer)
                {
                    serving.refused_until = self.now + retry_after.unwrap_or_default();
                }
                self.fail(peer, request, Failure::Refused { retry_after });
            }
            Happening::Arrived { peer, request, bytes, last } => self.arrived(peer, request, bytes, last),
        }
    }

    fn send(&mut self, peer: Peer) {
        let Some(serving) = self.peers.get_mut(&peer) else { return };
        let (frozen, round_trip) = (serving.node.frozen, serving.node.round_trip);
        let Some((request, _, left)) = serving.queue.front_mut().filter(|_| !frozen) else {
            serving.sending = false;
            return;
        };
        let (request, bytes) = (*request, (*left).min(MAX_FRAGMENT as u64));
        *left -= bytes;
        let last = *left == 0;
        if last {
            serving.queue.pop_front();
        }
        let time = Duration::from_micros(bytes * 1_000_000 / serving.node.rate);
        self.soon(time, Happening::Send(peer));
        self.soon(time + round_trip / 2, Happening::Arrived { peer, request, bytes, last });
    }

    fn arrived(&mut self, peer: Peer, request: RequestId, bytes: u64, last: bool) {
        let Some(node) = self.peers.get(&peer).map(|serving| &serving.node) else { return };
        let (breaks_off, lies) = (node.breaks_off, node.lies);
        self.came += bytes;
        if self.open.contains_key(&request) {
            *self.coming.entry(request).or_default() += bytes;
        } else {
            self.thrown += bytes;
        }
        self.tell(Event::Progress { peer, request, bytes });
        if self.open.contains_key(&request) && breaks_off > 0 && self.chance(breaks_off) {
            self.peers.get_mut(&peer).unwrap().queue.retain(|(queued, ..)| *queued != request);
            self.fail(peer, request, Failure::Incomplete);
        } else if last && lies {
            self.fail(peer, request, Failure::Wrong);
        } else if last && let Some((_, blocks)) = self.open.get(&request) {
            if blocks.contains(&self.geometry.last()) && !self.proved {
                self.proved = true;
                self.tell(Event::SizeProved);
                self.verify(request);
                for request in std::mem::take(&mut self.kept_aside) {
                    self.verify(request);
                }
            } else if self.proved {
                self.soon(self.verdict, Happening::Verdict(request));
            } else {
                self.kept_aside.push(request);
            }
            self.step_player();
        }
    }

    fn verify(&mut self, request: RequestId) {
        if let Some((peer, blocks)) = self.open.remove(&request) {
            self.coming.remove(&request);
            self.tell(Event::Verified { peer, request, blocks: blocks.into() });
        }
    }

    fn fail(&mut self, peer: Peer, request: RequestId, failure: Failure) {
        if let Some((_, blocks)) = self.open.remove(&request) {
            self.broken += blocks.end - blocks.start;
            self.thrown += self.coming.remove(&request).unwrap_or_default();
            self.tell(Event::Failed { peer, request, verified: Blocks::new(), failure });
        }
    }

    pub fn step_player(&mut self) {
        if let Some(mut player) = self.player.take() {
            for event in player.step(self.now, self.schedule.held()) {
                self.tell(event);
            }
            self.player = Some(player);
        }
    }

    fn poll(&mut self) {
        while let Some(action) = self.schedule.poll(self.now) {
            match action {
                Action::WakeAt(at) => {
                    assert!(at > self.now, "a wake in the past would spin");
                    self.soon(at - self.now, Happening::Wake);
                }
                // One viewer's world: nobody is there to be told.
                Action::Import { .. } => {}
                Action::Forget { blocks } => self.forgotten = self.forgotten.union(&blocks),
                Action::Cancel { peer, request } => {
                    let Some((of, blocks)) = self.open.remove(&request) else {
                        assert!(self.lost > 0, "only what is open is cancelled");
                        continue;
                    };
                    assert_eq!(of, peer);
                    self.broken += blocks.end - blocks.start;
                    self.thrown += self.coming.remove(&request).unwrap_or_default();
                    let delay = self.peers[&peer].node.round_trip / 2;
                    self.soon(delay, Happening::Cancelled(peer, request));
                }
                Action::Request { peer, request, blocks, class, deadline: _ } => {
                    self.check(peer, &blocks);
                    self.asked += blocks.end - blocks.start;
                    let bytes = self.geometry.bytes(blocks.clone());
                    self.open.insert(request, (peer, blocks));
                    let node = &self.peers[&peer].node;
                    let half = node.round_trip / 2;
                    if node.refuses.is_some() {
                        self.soon(half * 2, Happening::Refused(peer, request));
                    } else {
                        self.soon(half, Happening::Asked(peer, request, class, bytes.end - bytes.start));
                    }
                }
            }
        }
        self.entries.extend(self.schedule.log());
    }

    /// The rules that hold for every request, whatever happens.
    fn check(&self, peer: Peer, blocks: &Range<u64>) {
        let serving = self.peers.get(&peer).expect("only who is connected is asked");
        assert!(!blocks.is_empty() && blocks.end - blocks.start <= MAX_REQUEST_BLOCKS);
        assert!(serving.has.contains_run(blocks.clone()), "{peer:?} doesn't have {blocks:?}");
        assert!(!self.schedule.held().intersects(blocks.clone()), "{blocks:?} is held");
        assert!(!self.paused, "nothing is asked while paused");
        assert!(self.now >= serving.refused_until, "{peer:?} asked to be left alone");
        let others = self.open.values().filter(|(of, _)| *of == peer).count();
        assert!(others < MAX_REQUESTS_IN_FLIGHT);
        for (of, open) in self.open.values() {
            let apart = open.end <= blocks.start || blocks.end <= open.start;
            assert!(apart, "{blocks:?} of {peer:?} is already asked of {of:?}");
        }
    }
}
