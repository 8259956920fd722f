//! The task of one transfer: feeds the schedule with what happens and does what it decides.

mod act;
mod follow;
mod gate;
mod judge;
mod meet;
mod room;
mod show;
mod sources;
mod take;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use nearcast_content::{AcceptError, StoreError};
use nearcast_network::Network;
use nearcast_protocol::{
    Blocks, Group, Multiaddr, PeerAddress, PeerId, Role,
    pieces::Reason,
    tracker::{PeerList, Received},
};
use nearcast_schedule::{Event, Fetch, Peer, RequestId, Schedule};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

pub(crate) use self::meet::refuse_stream;
use self::{
    gate::{Gate, Newcomer},
    judge::SIZE_DOUBT,
    meet::{DialFailure, Greeted},
    sources::Sources,
};
use crate::{
    acquaintances::Acquaintances,
    bounds::Bounds,
    dialling::Contacts,
    finding::{Finding, Found, NotFound},
    length::Unknown,
    load::LoadRules,
    meter::Meter,
    progress::Stopped,
    served::Accounts,
    session::{Report, Session},
    trace::Trace,
    trackers::Trackers,
    tracking::Tracking,
    transfer::{Command, Shared},
};

/// Who has been stranded for so long asks for somebody outside the group.
const STRANDED: Duration = Duration::from_secs(3);
/// How long verified blocks are gathered before peers are told: a message a block would be as costly as
/// small blocks, and half a second would make a neighbour ask elsewhere.
const ANNOUNCE: Duration = Duration::from_millis(100);
/// How often the outside sees progress.
const SHOW: Duration = Duration::from_millis(100);
/// Reports of all sessions on their way: a few per peer, so that one fast peer doesn't hold up the others.
const REPORTS: usize = 512;

/// What a drive is made of.
pub(crate) struct Parts {
    pub shared: Arc<Shared>,
    pub network: Arc<Network>,
    pub tracking: Arc<Tracking>,
    pub trackers: Trackers,
    pub role: Role,
    /// How many streams are served at once (R7 a).
    pub bounds: Arc<Bounds>,
    /// What a publisher's load is kept to (R7); a terminal only counts streams.
    pub load: Option<LoadRules>,
    pub accounts: Arc<Accounts>,
    pub acquaintances: Arc<Acquaintances>,
    /// Which of the link's sources may lie in a private network.
    pub private_sources: crate::web::PrivateSources,
    /// Where the schedule's log is written.
    pub trace: Option<std::path::PathBuf>,
}

/// Both ends of the channel on which sessions report.
type Reports = (mpsc::Sender<(Peer, Report)>, mpsc::Receiver<(Peer, Report)>);

pub(crate) struct Drive {
    parts: Parts,
    commands: mpsc::Receiver<Command>,
    reports: Reports,
    jobs: JoinSet<Done>,
    schedule: Option<Schedule>,
    /// How it is wanted, if it is not only served.
    wanted: Option<Fetch>,
    began: Instant,
    wake: Option<Duration>,
    peers: BTreeMap<Peer, Connected>,
    next_peer: u32,
    contacts: Contacts,
    finding: Finding,
    /// Whether a search without trackers is under way.
    searching: bool,
    readers: BTreeSet<u32>,
    bit_rate: Option<u64>,
    /// From where on bytes have to be held before the film's header tells more of its length, and how often it may be
    /// looked at yet; none while it is looked at, and once it is known or can't be.
    length: Option<(u64, u32)>,
    announce: (Blocks, Option<Instant>),
    proved: bool,
    unproved: Vec<(Peer, RequestId, Range<u64>, BytesMut)>,
    /// Peers that know another size than the link does; what they say, if they say it.
    doubts: (BTreeMap<PeerId, Option<u64>>, Option<Instant>),
    group: Group,
    gate: Option<Gate>,
    /// Streams that the bounds know of.
    counted: usize,
    uploaded: u64,
    meter: Meter,
    /// The rate that was shown last.
    rate: u64,
    /// What the trackers were told to have been received.
    told: Received,
    shown: Instant,
    paused: bool,
    stopped: Option<Stopped>,
    /// What happened with the last peer that was dialled, and the code if it wants a better token.
    last_failure: Option<(String, Option<Reason>)>,
    /// Since when nobody who is connected has had anything that is missing.
    stranded: Option<Instant>,
    /// Who wants a better token.
    denied: BTreeSet<PeerId>,
    trace: Option<Trace>,
    sources: Sources,
    /// How many bytes may be held at once, and since when less than was allowed, for want of room on the disk.
    room: (Option<u64>, Option<Instant>),
}

struct Connected {
    id: PeerId,
    address: Option<Multiaddr>,
    session: Session,
    group: Group,
    role: Role,
    outgoing: bool,
    /// What it says it has.
    has: Blocks,
    since: Instant,
    last_upload: Instant,
    /// The network it is in by a tracker's word, for a publisher's account.
    network: Option<Group>,
    /// Uploaded while that wasn't known.
    unbooked: u64,
    task: tokio::task::AbortHandle,
}

/// What a job of the drive has brought.
enum Done {
    Found(usize, Result<Found, NotFound>),
    /// Who holds it, as a search without trackers says.
    Searched(Vec<PeerAddress>),
    Dialled(PeerId, Result<Box<Greeted>, DialFailure>),
    Accepted(Peer, RequestId, Result<Blocks, AcceptError>),
    Forgotten(Result<Blocks, StoreError>),
    /// What the film's header says, and how often it may be looked at yet.
    Lasts(Result<Duration, Unknown>, u32),
    /// What a tracker says of somebody's network, and who waits for it.
    Placed(Option<std::net::IpAddr>, Option<Newcomer>, Option<Box<PeerList>>),
    Session,
    Synced,
}

impl Drive {
    pub fn new(parts: Parts, commands: mpsc::Receiver<Command>) -> Self {
        let finding = Finding::new(&parts.shared.link.id, &parts.trackers);
        let gate = parts.load.map(Gate::new);
        let now = Instant::now();
        Self {
            gate,
            counted: 0,
            parts,
            commands,
            reports: mpsc::channel(REPORTS),
            jobs: JoinSet::new(),
            schedule: None,
            wanted: None,
            began: now,
            wake: None,
            peers: BTreeMap::new(),
            next_peer: 0,
            contacts: Contacts::default(),
            finding,
            searching: false,
            readers: BTreeSet::new(),
            bit_rate: None,
            length: Some((0, follow::LOOKS)),
            announce: (Blocks::new(), None),
            proved: false,
            unproved: Vec::new(),
            doubts: (BTreeMap::new(), None),
            group: Group::UNKNOWN,
            uploaded: 0,
            meter: Meter::default(),
            rate: 0,
            told: Received::default(),
            shown: now,
            paused: false,
            stopped: None,
            last_failure: None,
            stranded: None,
            denied: BTreeSet::new(),
            trace: None,
            sources: Sources::default(),
            room: (None, None),
        }
    }

    /// Runs until stopped; then syncs what is held.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut neighbours = self.parts.network.neighbours();
        let shared = Arc::clone(&self.parts.shared);
        self.show();
        loop {
            let sleep = self.next_wake().map(tokio::time::Instant::from_std);
            tokio::select! {
                () = stop.cancelled() => break,
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => break,
                },
                Some((peer, report)) = self.reports.1.recv() => {
                    self.take(peer, report);
                    // What else has arrived is taken before anything is decided.
                    for _ in 0..REPORTS {
                        let Ok((peer, report)) = self.reports.1.try_recv() else { break };
                        self.take(peer, report);
                    }
                }
                // A session that was aborted ends here too, with nothing to tell.
                Some(done) = self.jobs.join_next() => if let Ok(done) = done { self.done(done) },
                () = shared.readers.changed.notified() => self.follow_readers(),
                Ok(()) = neighbours.changed(), if self.fetching() => {
                    let found = neighbours.borrow_and_update().clone();
                    self.contacts.learn_neighbours(&found);
                }
                () = sleep_until(sleep) => {}
            }
            self.go_on();
        }
        let unbooked = self.peers.values().map(|peer| peer.unbooked).sum();
        self.book(Group::UNKNOWN, unbooked);
        self.parts.bounds.count(self.counted, 0);
        if self.gate.is_some() {
            self.note(|served| served.streams = 0);
        }
        self.stopped.get_or_insert(Stopped::Closed);
        self.show();
        self.parts.shared.arrivals.send_modify(|count| *count += 1);
        self.jobs.abort_all();
        let store = Arc::clone(&shared.store);
        let synced = tokio::task::spawn_blocking(move || store.sync()).await;
        if let Ok(Err(error)) = synced {
            tracing::warn!(%error, "what is held could not be synced");
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn fetching(&self) -> bool {
        self.schedule.is_some() && self.stopped.is_none() && !self.parts.shared.store.complete()
    }

    fn handle(&mut self, event: Event) {
        let now = self.now();
        if let Some(schedule) = &mut self.schedule {
            schedule.handle(now, event);
        }
    }

    /// Everything that follows from what has just happened.
    fn go_on(&mut self) {
        let now = Instant::now();
        if self.fetching() && !self.paused {
            self.join_sources(now);
            self.find(now);
            while let Some(address) = self.contacts.next(now, self.group) {
                self.dial(address);
            }
        }
        self.act();
        self.leave_sources_at_the_end();
        if self.announce.1.is_some_and(|due| due <= now) {
            self.tell_peers();
        }
        self.judge_size(now);
        self.count(now);
        if now.duration_since(self.shown) >= SHOW {
            self.show();
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        let now = Instant::now();
        let schedule = self.wake.map(|wake| self.began + wake);
        let mut wakes = vec![schedule, self.announce.1, self.doubts.1.map(|since| since + SIZE_DOUBT)];
        if self.fetching() && !self.paused {
            let finding = self.finding.wake_at(self.peers.is_empty() || self.is_stranded(now));
            wakes.extend([self.contacts.wake_at(), finding, Some(self.shown + SHOW)]);
            wakes.push(self.contacts.head_start_ends(now, self.group));
            wakes.push(self.sources.wake_at());
        } else if self.rate > 0 || self.serves_unseen() {
            wakes.push(Some(self.shown + SHOW));
        }
        wakes.push(self.count_at(now));
        wakes.into_iter().flatten().min()
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Fetch(fetch, trackers) => self.fetch(fetch, &trackers),
            Command::FreshToken(other_guard) => {
                let now = Instant::now();
                if other_guard {
                    // Who came in before was never asked for this guard's token.
                    let all: Vec<_> = self.peers.keys().copied().collect();
                    all.into_iter().for_each(|peer| self.leave(peer, None));
                }
                self.denied.clear();
                self.finding.ask_deniers(now);
                self.contacts.pardon(now);
            }
            Command::Pause(_) if self.stopped.is_some() => {}
            Command::Pause(on) => {
                self.paused = on;
                self.handle(Event::Pause(on));
            }
            Command::Room(bytes) => self.set_room(bytes),
            Command::Damaged(blocks) => self.damaged(&blocks),
            Command::Incoming(stream, hello) => self.incoming(*stream, hello),
        }
    }

    /// Whether nobody who is connected has had anything that is missing for a while.
    fn is_stranded(&self, now: Instant) -> bool {
        self.stranded.is_some_and(|since| now.duration_since(since) >= STRANDED)
    }

    fn find(&mut self, now: Instant) {
        let stranded = self.is_stranded(now);
        let alone = self.peers.is_empty();
        let due = self.finding.due(now, alone || stranded);
        let missed = if due.is_empty() { Vec::new() } else { self.contacts.take_missed() };
        for (index, tracker) in due {
            let network = Arc::clone(&self.parts.network);
            let shared = &self.parts.shared;
            let stalled = stranded || (alone && self.contacts.count() > 0);
            let request = crate::finding::request(shared.link.id, shared.access.shown(), stalled);
            let missed = missed.clone();
            self.jobs.spawn(async move {
                Done::Found(index, crate::finding::find(&network, &tracker, &request, missed).await)
            });
        }
    }

    /// Looks for holders without a tracker, if none answers and nobody is there. What is protected is told of to
    /// nobody, and so isn't looked for.
    fn search(&mut self) {
        let alone = self.peers.is_empty() && self.fetching();
        if !alone || self.searching || !self.finding.fails() || self.parts.shared.access.guard().is_some() {
            return;
        }
        self.searching = true;
        let (network, resource) = (Arc::clone(&self.parts.network), self.parts.shared.link.id);
        self.jobs.spawn(async move { Done::Searched(network.providers(resource).await) });
    }

    fn done(&mut self, done: Done) {
        let now = Instant::now();
        match done {
            Done::Found(index, Ok(Found { list, place })) => {
                if list.group != self.group {
                    self.group = list.group;
                    self.handle(Event::Group(list.group));
                }
                let place = place.as_ref();
                let news =
                    self.contacts.learn(&list.peers, place) | self.contacts.learn(&list.bridges, place);
                self.finding.found(index, &list, news, now);
                self.regroup();
            }
            Done::Found(index, Err(why)) => {
                self.finding.failed(index, why, now);
                self.search();
            }
            Done::Searched(peers) => {
                self.searching = false;
                tracing::debug!(found = peers.len(), "searched without a tracker");
                self.contacts.learn_strangers(peers);
            }
            Done::Dialled(peer, Ok(greeted)) => self.dialled(peer, *greeted),
            Done::Dialled(peer, Err(failure)) => {
                if self.contacts.handle(peer).is_none() {
                    if failure.denied.is_some() {
                        self.denied.insert(peer);
                    }
                    if failure.unreached {
                        self.contacts.missed(peer);
                    }
                    self.last_failure = Some((failure.reason, failure.denied));
                    self.contacts.rest(peer, failure.retry_after, now);
                }
                self.hinted(&failure.hints, now);
            }
            Done::Accepted(peer, request, result) => self.answered(peer, request, result),
            Done::Forgotten(result) => self.forgotten(result),
            Done::Lasts(lasts, looks) => self.lasts(lasts, looks),
            Done::Placed(address, newcomer, list) => self.placed(address, newcomer, list),
            Done::Session | Done::Synced => {}
        }
    }
}

/// How much of a resource is held, in thousandths; 1000 only if it is complete, 1 at least if anything is.
pub(crate) fn permille(store: &dyn nearcast_content::Store) -> u16 {
    let geometry = store.geometry();
    if store.complete() {
        return 1000;
    }
    let held = store.held().count();
    let share = held.saturating_mul(1000) / geometry.count();
    u16::try_from(share).unwrap_or(999).clamp(u16::from(held > 0), 999)
}

/// The number that stands for a node in its group's turns: the end of its public key.
pub(crate) fn name_of(peer: PeerId) -> u64 {
    let bytes = peer.to_bytes();
    bytes.last_chunk::<8>().map_or(0, |end| u64::from_le_bytes(*end))
}

async fn sleep_until(when: Option<tokio::time::Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
