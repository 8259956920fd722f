//! The task of one transfer: feeds the schedule with what happens and does what it decides.

mod gate;
mod judge;
mod meet;
mod show;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use nearcast_content::AcceptError;
use nearcast_network::Network;
use nearcast_protocol::{
    Blocks, Group, Multiaddr, PeerId, Role,
    pieces::{Frame, Importing, PieceRequest, Reason},
    tracker::{PeerList, Received},
};
use nearcast_schedule::{Action, Event, Failure, Fetch, Film, LEASE, Peer, Reader, RequestId, Schedule};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

pub(crate) use self::meet::refuse_stream;
use self::{
    gate::{Gate, Newcomer},
    judge::SIZE_DOUBT,
    meet::{DialFailure, Greeted, retry_after},
};
use crate::{
    bounds::Bounds,
    dialling::Contacts,
    finding::{Finding, NotFound},
    load::LoadRules,
    meter::Meter,
    progress::Stopped,
    served::Accounts,
    session::{Order, Report, Session},
    trace::Trace,
    trackers::Trackers,
    tracking::Tracking,
    transfer::{Command, Shared},
};

/// How long verified blocks are gathered before peers are told: a message a block would be as costly as
/// Who has been stranded for so long asks for somebody outside the group.
const STRANDED: Duration = Duration::from_secs(3);
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
    began: Instant,
    wake: Option<Duration>,
    peers: BTreeMap<Peer, Connected>,
    next_peer: u32,
    contacts: Contacts,
    finding: Finding,
    readers: BTreeSet<u32>,
    bit_rate: Option<u64>,
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
    Found(usize, Result<PeerList, NotFound>),
    Dialled(PeerId, Result<Box<Greeted>, DialFailure>),
    Accepted(Peer, RequestId, Result<Blocks, AcceptError>),
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
            began: now,
            wake: None,
            peers: BTreeMap::new(),
            next_peer: 0,
            contacts: Contacts::default(),
            finding,
            readers: BTreeSet::new(),
            bit_rate: None,
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
            self.find(now);
            while let Some(address) = self.contacts.next(now, self.group) {
                self.dial(address);
            }
        }
        self.act();
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
        } else if self.rate > 0 {
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
            Command::Incoming(stream, hello) => self.incoming(*stream, hello),
        }
    }

    fn fetch(&mut self, fetch: Fetch, trackers: &Trackers) {
        self.finding.add(&self.parts.shared.link.id, trackers);
        let store = &self.parts.shared.store;
        if self.schedule.is_some() || store.complete() {
            return;
        }
        self.began = Instant::now();
        let film = Film {
            geometry: store.geometry(),
            bit_rate: self.bit_rate,
            size_proved: store.size_proved(),
            held: store.held(),
            own_group: self.group,
            own_name: name_of(self.parts.network.peer_id()),
        };
        self.proved = film.size_proved;
        let seed = rand::random();
        self.schedule = Some(Schedule::new(film, fetch, seed));
        // Whoever is connected already may have what is wanted now.
        let joined: Vec<_> =
            self.peers.iter().map(|(peer, c)| (*peer, c.id, c.group, c.role, c.has.clone())).collect();
        for (peer, id, group, role, blocks) in joined {
            self.handle(Event::PeerJoined { peer, group, role, local: false, name: name_of(id) });
            self.handle(Event::PeerHas { peer, blocks });
        }
        self.open_trace();
        let found = self.parts.network.neighbours().borrow().clone();
        self.contacts.learn_neighbours(&found);
        self.follow_readers();
    }

    fn open_trace(&mut self) {
        let Some(path) = &self.parts.trace else { return };
        match Trace::create(path) {
            Ok(trace) => self.trace = Some(trace),
            Err(error) => tracing::warn!(path = %path.display(), %error, "the trace can't be written"),
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

    /// Whether nobody who is connected has had anything that is missing for a while.
    fn is_stranded(&self, now: Instant) -> bool {
        self.stranded.is_some_and(|since| now.duration_since(since) >= STRANDED)
    }

    fn find(&mut self, now: Instant) {
        let stranded = self.is_stranded(now);
        let alone = self.peers.is_empty();
        for (index, tracker) in self.finding.due(now, alone || stranded) {
            let network = Arc::clone(&self.parts.network);
            let shared = &self.parts.shared;
            let stalled = stranded || (alone && self.contacts.count() > 0);
            let request = crate::finding::request(shared.link.id, shared.access.shown(), stalled);
            self.jobs.spawn(async move {
                Done::Found(index, crate::finding::find(&network, &tracker, &request).await)
            });
        }
    }

    fn take(&mut self, peer: Peer, report: Report) {
        // A verdict counts even if whoever earned it has left.
        if !self.peers.contains_key(&peer) && !matches!(report, Report::Answered { .. }) {
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
            Report::Ended(ending) => self.ended(peer, ending),
        }
    }

    fn end(&mut self, why: Stopped) {
        if self.stopped.is_none() {
            tracing::debug!(%why, "a transfer has ended");
            self.stopped = Some(why);
            self.handle(Event::Pause(true));
            self.show();
            self.parts.shared.arrivals.send_modify(|count| *count += 1);
        }
    }

    fn verified(&mut self, blocks: &Blocks) {
        if blocks.is_empty() {
            return;
        }
        self.announce.0 = self.announce.0.union(blocks);
        self.announce.1.get_or_insert_with(|| Instant::now() + ANNOUNCE);
        self.parts.shared.arrivals.send_modify(|count| *count += 1);
        if self.parts.shared.store.complete() {
            self.completed();
        }
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
    fn tell_peers(&mut self) {
        let (blocks, _) = std::mem::take(&mut self.announce);
        let mut lost = BTreeSet::new();
        for frame in Frame::have(&blocks) {
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

    fn follow_readers(&mut self) {
        let positions = self.parts.shared.readers.take();
        let bit_rate = *self.parts.shared.readers.bit_rate.borrow();
        if bit_rate != self.bit_rate {
            self.bit_rate = bit_rate;
            if let Some(bits) = bit_rate {
                self.handle(Event::BitRate(bits));
            }
        }
        if self.schedule.is_none() {
            return;
        }
        let gone: Vec<_> =
            self.readers.iter().filter(|number| !positions.contains_key(number)).copied().collect();
        for number in gone {
            self.readers.remove(&number);
            self.handle(Event::ReaderClosed { reader: Reader(number) });
        }
        for (number, position) in positions {
            let reader = Reader(number);
            let opened = self.readers.insert(number);
            if opened {
                self.handle(Event::ReaderOpened { reader });
            }
            if opened || position.news {
                self.handle(Event::Playback { reader, rate: position.rate });
                let waiting = position.waiting.is_some();
                if !position.bytes.is_empty() {
                    self.handle(Event::Reading { reader, bytes: position.bytes, waiting });
                }
            }
        }
    }

    fn act(&mut self) {
        let now = self.now();
        let Some(schedule) = &mut self.schedule else { return };
        // One that is still to come stands: the schedule tells of a wake only once.
        if self.wake.is_some_and(|wake| wake <= now) {
            self.wake = None;
        }
        let mut lost = Vec::new();
        while let Some(action) = schedule.poll(now) {
            match action {
                Action::Request { peer, request, blocks, class, deadline } => {
                    let left = deadline.saturating_sub(now).as_millis();
                    let piece = PieceRequest {
                        id: request.0,
                        first: blocks.start,
                        count: blocks.end - blocks.start,
                        class,
                        deadline_ms: u32::try_from(left).unwrap_or(u32::MAX),
                    };
                    let session = self.peers.get(&peer).map(|connected| &connected.session);
                    if !session.is_some_and(|session| session.order(Order::Request(piece, blocks))) {
                        lost.push(peer);
                    }
                }
                Action::Cancel { peer, request } => {
                    let session = self.peers.get(&peer).map(|connected| &connected.session);
                    if session.is_some_and(|session| !session.order(Order::Cancel(request))) {
                        lost.push(peer);
                    }
                }
                Action::Import { blocks } => {
                    let frame = Frame::Importing(Importing {
                        first: blocks.start,
                        count: blocks.end - blocks.start,
                        lease_ms: u32::try_from(LEASE.as_millis()).unwrap_or(u32::MAX),
                    });
                    // Whose group isn't known yet may well be a member.
                    let member = |group: Group| group.same_network(self.group) || group == Group::UNKNOWN;
                    for (peer, connected) in &self.peers {
                        let told = connected.role == Role::Terminal && member(connected.group);
                        if told && !connected.session.order(Order::Say(frame.clone())) {
                            lost.push(*peer);
                        }
                    }
                }
                Action::WakeAt(wake) => self.wake = Some(self.wake.map_or(wake, |known| known.min(wake))),
            }
        }
        if let Some(trace) = &mut self.trace {
            trace.write(schedule);
        }
        if !lost.is_empty() {
            lost.into_iter().for_each(|peer| self.leave(peer, None));
            self.act();
        }
    }

    fn done(&mut self, done: Done) {
        let now = Instant::now();
        match done {
            Done::Found(index, Ok(list)) => {
                if list.group != self.group {
                    self.group = list.group;
                    self.handle(Event::Group(list.group));
                }
                self.finding.found(index, &list, now);
                self.contacts.learn(&list.peers);
                self.contacts.learn(&list.bridges);
                self.regroup();
            }
            Done::Found(index, Err(why)) => self.finding.failed(index, why, now),
            Done::Dialled(peer, Ok(greeted)) => self.dialled(peer, *greeted),
            Done::Dialled(peer, Err(failure)) => {
                if self.contacts.handle(peer).is_none() {
                    if failure.denied.is_some() {
                        self.denied.insert(peer);
                    }
                    self.last_failure = Some((failure.reason, failure.denied));
                    self.contacts.rest(peer, failure.retry_after, now);
                }
                self.hinted(&failure.hints, now);
            }
            Done::Accepted(peer, request, result) => self.answered(peer, request, result),
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
