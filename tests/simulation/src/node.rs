//! A node: its line, what it holds, whom it is connected to.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    time::Duration,
};

use nearcast_protocol::{Blocks, Group, Role};
use nearcast_scenario::{self as scenario, Kind};
use nearcast_schedule::RequestId;

use crate::{
    brain::Scheduler, contacts::Contacts, finding::Finding, line::Pipe, player::Player, upload::Uploads,
    world::Happening,
};

pub(crate) struct Node {
    pub kind: Kind,
    pub network: usize,
    /// Its group, once the tracker has told it.
    pub group: Group,
    /// Nobody can dial it.
    pub behind_nat: bool,
    pub up: Pipe,
    pub down: Pipe,
    pub delay: Duration,
    pub killed: bool,
    pub frozen: bool,
    /// Since when its cable is out.
    pub unplugged: Option<Duration>,
    /// What happens to it while it is frozen, until it thaws.
    pub missed: Vec<Happening>,
    pub held: Blocks,
    pub complete: bool,
    /// What its peers are to be told of.
    pub news: Blocks,
    pub announcing: bool,
    pub links: BTreeMap<u32, Link>,
    /// Peers to be sent something, in turn.
    pub turns: VecDeque<u32>,
    pub sending: bool,
    pub contacts: Contacts,
    pub finding: Finding,
    pub tracking: Tracking,
    pub fetching: Option<Fetching>,
    pub player: Option<Player>,
    pub tally: Tally,
}

/// A connection, as one of its ends sees it.
pub(crate) struct Link {
    /// The same number at both ends.
    pub connection: u64,
    /// Whether this end dialled.
    pub outgoing: bool,
    pub group: Group,
    pub role: Role,
    /// What the peer says it has.
    pub has: Blocks,
    pub uploads: Uploads,
    pub last_upload: Duration,
    /// Whether it stands in `turns`.
    pub in_turn: bool,
}

/// What the tracker was told.
#[derive(Debug, Default)]
pub(crate) struct Tracking {
    pub leased: bool,
    pub permille: u16,
    /// Whether a message is on its way or being gathered.
    pub busy: bool,
    pub renew_at: Duration,
}

/// A film being fetched.
pub(crate) struct Fetching {
    pub scheduler: Box<dyn Scheduler>,
    pub began: Duration,
    pub open: BTreeMap<RequestId, Open>,
    /// Cancelled, but it may come all the same.
    pub late: BTreeMap<RequestId, Open>,
    pub proved: bool,
    /// Answers that wait for the size to be proved.
    pub unproved: Vec<RequestId>,
    /// Whether it will be asked what to do within a moment.
    pub polling: bool,
}

/// A request on its way.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    pub peer: u32,
    pub blocks: Range<u64>,
    pub came: u64,
}

/// Bytes of film.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    /// Verified, from terminals of the own network.
    pub own_group: u64,
    /// Verified, from terminals of others.
    pub other_groups: u64,
    /// Verified, from publishers anywhere.
    pub publishers: u64,
    /// All that came.
    pub came: u64,
    /// Of it, what was of no use: held already, no longer wanted, or wrong.
    pub wasted: u64,
}

impl Node {
    pub fn new(written: &scenario::Node, film: Blocks) -> Self {
        let bytes = |rate: Option<scenario::Rate>| Pipe::new(rate.map(scenario::Rate::bytes));
        let complete = written.kind != Kind::Viewer;
        Self {
            kind: written.kind,
            network: written.network,
            group: Group::UNKNOWN,
            behind_nat: written.nat.is_some(),
            up: bytes(written.line.up),
            down: bytes(written.line.down),
            delay: written.line.delay,
            killed: false,
            frozen: false,
            unplugged: None,
            missed: Vec::new(),
            held: if complete { film } else { Blocks::new() },
            complete,
            news: Blocks::new(),
            announcing: false,
            links: BTreeMap::new(),
            turns: VecDeque::new(),
            sending: false,
            contacts: Contacts::default(),
            finding: Finding::default(),
            tracking: Tracking::default(),
            fetching: None,
            player: None,
            tally: Tally::default(),
        }
    }

    pub fn role(&self) -> Role {
        if self.kind == Kind::Publisher { Role::Publisher } else { Role::Terminal }
    }

    /// Connections that others opened.
    pub fn served(&self) -> usize {
        self.links.values().filter(|link| !link.outgoing).count()
    }
}

impl Tally {
    pub fn verified(&self) -> u64 {
        self.own_group + self.other_groups + self.publishers
    }
}
