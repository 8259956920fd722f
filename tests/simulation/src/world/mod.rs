//! A world in virtual time: networks, nodes, and everything that happens between them.
//!
//! Fragments go through their sender's uplink, its network's border, the receiver's border and its downlink,
//! one after another. Messages are short and take no place on a line, only its delay.

mod asking;
mod befalling;
mod fetching;
mod meeting;
mod reckoning;
mod sending;
mod watching;

use std::{rc::Rc, time::Duration};

use nearcast_protocol::{Blocks, Geometry, pieces::Class};
use nearcast_scenario::{Kind, Scenario};
use nearcast_schedule::{Event, RequestId};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    agenda::Agenda,
    brain::Brain,
    digest::Digest,
    figures::Figures,
    line::Pipe,
    node::Node,
    tracker::{List, Tracker},
};

/// What a message takes even where there is no distance.
const SHORTEST_WAY: Duration = Duration::from_micros(100);
/// What happens to a node within so short a time is taken in before anything is decided, as a real one's
/// threads do.
const MOMENT: Duration = Duration::from_millis(1);

/// Something that happens.
#[derive(Clone)]
pub(crate) enum Happening {
    /// A viewer clicks.
    Click(u32),
    /// One of the scenario's faults.
    Befall(usize),
    /// A viewer's clock is looked at.
    Look(u32),
    /// A scheduler is asked what to do, because something has happened or because it wished so.
    Decide(u32),
    Wake(u32),
    /// What is new is told to the peers.
    Announce(u32),
    /// An uplink is free.
    Send(u32),
    /// A fragment has come to the beginning of this part of its way.
    Hop(Fragment, Part),
    /// A peer's word arrives.
    Hear {
        to: u32,
        from: u32,
        connection: u64,
        word: Word,
    },
    /// A dial arrives, with what the dialler has.
    Knock {
        to: u32,
        from: u32,
        held: Rc<Blocks>,
    },
    /// A dial has failed; when to try again at the earliest.
    NotReached {
        to: u32,
        from: u32,
        rest: Duration,
    },
    /// Somebody may be dialled again.
    Dial(u32),
    /// It may be time to ask the tracker.
    Find(u32),
    /// The question arrives at the tracker, and the answer at who asked.
    Asked(u32),
    Found(u32, Option<Rc<List>>),
    /// It is time to tell the tracker what is held.
    Offer(u32),
    /// The lease is to be renewed.
    Renew(u32),
    /// A node that was silent for so long that its peers give it up, if it still is.
    GivenUp(u32),
}

/// A part of an answer on its way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fragment {
    from: u32,
    to: u32,
    connection: u64,
    request: RequestId,
    bytes: u32,
    last: bool,
}

/// The parts of a fragment's way after its sender's uplink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    BorderOut,
    BorderIn,
    Downlink,
    There,
}

/// What peers say to one another.
#[derive(Clone)]
pub(crate) enum Word {
    /// The answer to a dial: what the dialled one has.
    Welcome(Rc<Blocks>),
    Have(Rc<Blocks>),
    /// These blocks are being fetched into the speaker's group.
    Importing(std::ops::Range<u64>),
    Request {
        request: RequestId,
        class: Class,
        due: Duration,
        bytes: u64,
    },
    Cancel(RequestId),
    Bye,
}

/// A network's border, seen from inside.
pub(crate) struct Border {
    out: Pipe,
    into: Pipe,
    delay: Duration,
    cut: Option<Duration>,
}

pub(crate) struct World<'a> {
    scenario: &'a Scenario,
    brain: Brain,
    seed: u64,
    film: Geometry,
    now: Duration,
    agenda: Agenda<Happening>,
    nodes: Vec<Node>,
    borders: Vec<Border>,
    tracker: Tracker,
    /// What waits for a way that is cut.
    held_up: Vec<Happening>,
    connections: u64,
    /// Viewers who aren't through.
    watching: usize,
    /// What a player says in one step; kept for its capacity.
    said: Vec<Event>,
    dice: StdRng,
    digest: Digest,
    happened: u64,
}

impl<'a> World<'a> {
    pub fn new(scenario: &'a Scenario, brain: Brain, seed: u64) -> Self {
        let film = Geometry::new(scenario.film.size());
        let mut dice = StdRng::seed_from_u64(seed);
        let networks = scenario.nodes.iter().map(|node| node.network);
        let border = |network: &nearcast_scenario::Network| Border {
            out: Pipe::new(network.border.up.map(nearcast_scenario::Rate::bytes)),
            into: Pipe::new(network.border.down.map(nearcast_scenario::Rate::bytes)),
            delay: network.border.delay,
            cut: None,
        };
        Self {
            scenario,
            brain,
            seed,
            film,
            now: Duration::ZERO,
            agenda: Agenda::new(),
            nodes: scenario.nodes.iter().map(|node| Node::new(node, film.all())).collect(),
            borders: scenario.networks.iter().map(border).collect(),
            tracker: Tracker::new(networks, brain.knows_groups(), dice.random()),
            held_up: Vec::new(),
            connections: 0,
            watching: scenario.viewers().count(),
            said: Vec::new(),
            dice,
            digest: Digest::new(),
            happened: 0,
        }
    }

    /// Runs until every viewer is through, or the scenario gives up. Tells how far it is now and then.
    pub fn run(mut self, mut progress: impl FnMut(Duration, usize)) -> Figures {
        self.set_the_stage();
        while self.watching > 0
            && let Some((at, happening)) = self.agenda.next()
            && at <= self.scenario.give_up
        {
            self.now = at;
            self.happened += 1;
            if self.happened.is_multiple_of(1 << 18) {
                progress(self.now, self.watching);
            }
            self.happen(happening);
        }
        self.reckon()
    }

    /// Sources are known to the tracker when the first viewer clicks.
    fn set_the_stage(&mut self) {
        for node in 0..self.nodes.len() as u32 {
            if self.nodes[node as usize].kind != Kind::Viewer {
                self.tell_tracker(node);
            }
        }
        for (index, node) in self.scenario.viewers() {
            self.agenda.note(node.arrives, Happening::Click(index as u32));
        }
        for (index, fault) in self.scenario.faults.iter().enumerate() {
            self.agenda.note(fault.at, Happening::Befall(index));
        }
    }

    fn happen(&mut self, happening: Happening) {
        if let Some(node) = happening.whom() {
            let node = &mut self.nodes[node as usize];
            if node.killed {
                return;
            }
            if node.frozen {
                node.missed.push(happening);
                return;
            }
        }
        self.note(&happening);
        match happening {
            Happening::Click(node) => self.click(node),
            Happening::Befall(fault) => self.befall(fault),
            Happening::Look(node) => self.look(node),
            Happening::Decide(node) => {
                if let Some(fetching) = &mut self.nodes[node as usize].fetching {
                    fetching.polling = false;
                }
                self.decide(node);
            }
            Happening::Wake(node) => self.decide(node),
            Happening::Announce(node) => self.announce(node),
            Happening::Send(node) => self.send(node),
            Happening::Hop(fragment, part) => self.hop(fragment, part),
            Happening::Hear { to, from, connection, word } => self.hear(to, from, connection, word),
            Happening::Knock { to, from, held } => self.knock(to, from, &held),
            Happening::NotReached { to, from, rest } => self.not_reached(from, to, rest),
            Happening::Dial(node) => self.dial(node),
            Happening::Find(node) => self.find(node),
            Happening::Asked(node) => self.asked(node),
            Happening::Found(node, list) => self.found(node, list.as_deref()),
            Happening::Offer(node) => {
                self.nodes[node as usize].tracking.busy = false;
                self.tell_tracker(node);
            }
            Happening::Renew(node) => {
                if self.nodes[node as usize].tracking.renew_at <= self.now {
                    self.tell_tracker(node);
                }
            }
            Happening::GivenUp(node) => self.give_up(node),
        }
    }

    /// Writes into the digest what happens.
    fn note(&mut self, happening: &Happening) {
        let (tag, one, other) = happening.gist();
        let nanos = u64::try_from(self.now.as_nanos()).unwrap_or(u64::MAX);
        for word in [nanos, tag << 32 | u64::from(one), other] {
            self.digest.take(word);
        }
    }

    fn soon(&mut self, delay: Duration, happening: Happening) {
        self.agenda.note(self.now + delay, happening);
    }

    /// Sends a word over a connection.
    fn say(&mut self, from: u32, to: u32, connection: u64, word: Word) {
        let way = self.way(from, to);
        self.soon(way, Happening::Hear { to, from, connection, word });
    }

    /// How long a message takes.
    fn way(&self, from: u32, to: u32) -> Duration {
        let (one, other) = (&self.nodes[from as usize], &self.nodes[to as usize]);
        let mut way = SHORTEST_WAY + one.delay + other.delay;
        if one.network != other.network {
            way += self.borders[one.network].delay + self.borders[other.network].delay;
        }
        way
    }

    /// Since when nothing gets from one to the other, if that is so.
    fn cut_since(&self, from: u32, to: u32) -> Option<Duration> {
        let (one, other) = (&self.nodes[from as usize], &self.nodes[to as usize]);
        let ends = [one.unplugged, other.unplugged];
        let borders = [one.network, other.network]
            .map(|network| self.borders[network].cut.filter(|_| one.network != other.network));
        ends.into_iter().chain(borders).flatten().min()
    }

    fn is_open(&self, from: u32, to: u32) -> bool {
        self.cut_since(from, to).is_none()
    }
}

impl Happening {
    /// The node whose program has to run for it.
    fn whom(&self) -> Option<u32> {
        match self {
            Self::Click(node)
            | Self::Look(node)
            | Self::Decide(node)
            | Self::Wake(node)
            | Self::Announce(node)
            | Self::Send(node)
            | Self::Dial(node)
            | Self::Find(node)
            | Self::Found(node, _)
            | Self::Offer(node)
            | Self::Renew(node) => Some(*node),
            Self::Hop(fragment, Part::There) => Some(fragment.to),
            Self::Hear { to, .. } => Some(*to),
            Self::NotReached { from, .. } => Some(*from),
            // A knock at a dead door is heard by the one who knocks.
            Self::Hop(..) | Self::Befall(_) | Self::Knock { .. } | Self::Asked(_) | Self::GivenUp(_) => None,
        }
    }

    /// What of it goes into the digest.
    fn gist(&self) -> (u64, u32, u64) {
        match self {
            Self::Click(node) => (1, *node, 0),
            Self::Befall(fault) => (2, 0, *fault as u64),
            Self::Look(node) => (3, *node, 0),
            Self::Decide(node) => (4, *node, 0),
            Self::Wake(node) => (5, *node, 0),
            Self::Announce(node) => (6, *node, 0),
            Self::Send(node) => (7, *node, 0),
            Self::Hop(fragment, part) => {
                let bytes = u64::from(fragment.bytes) << 32 | u64::from(fragment.request.0);
                (8 + *part as u64, fragment.to, bytes ^ u64::from(fragment.from) << 16)
            }
            Self::Hear { to, from, word, .. } => (16 + word.number(), *to, u64::from(*from)),
            Self::Knock { to, from, .. } => (32, *to, u64::from(*from)),
            Self::NotReached { to, from, .. } => (33, *to, u64::from(*from)),
            Self::Dial(node) => (34, *node, 0),
            Self::Find(node) => (35, *node, 0),
            Self::Asked(node) => (36, *node, 0),
            Self::Found(node, list) => (37, *node, list.as_ref().map_or(0, |list| list.peers.len() as u64)),
            Self::Offer(node) => (38, *node, 0),
            Self::Renew(node) => (39, *node, 0),
            Self::GivenUp(node) => (40, *node, 0),
        }
    }
}

impl Word {
    fn number(&self) -> u64 {
        match self {
            Self::Welcome(_) => 0,
            Self::Have(_) => 1,
            Self::Request { .. } => 2,
            Self::Cancel(_) => 3,
            Self::Bye => 4,
            Self::Importing(_) => 5,
        }
    }
}
