//! Meeting peers: dialling, hellos, and who stays when both dial at once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use nearcast_network::{Network, PieceStream};
use nearcast_protocol::{
    Blocks, Group, Multiaddr, PeerAddress, PeerId, Role,
    pieces::{self, Frame, Hello, Reason, Refuse},
};
use nearcast_schedule::{Event, Peer};

use super::{Connected, Done, Drive, name_of};
use crate::{
    controller::HELLO_PATIENCE,
    meeting::{self, NotMet},
    session::{self, Order, Session},
};

/// For so long two streams with one peer count as opened at once.
const TWINS: Duration = Duration::from_secs(20);
/// A stream that asked for nothing this long makes room when others wait.
const IDLE: Duration = Duration::from_secs(30);

/// A peer that was dialled and has said hello.
pub(super) struct Greeted {
    pub stream: PieceStream,
    pub hello: Hello,
    /// What it was told that we have.
    pub told: Blocks,
    /// How long its hello took to come back.
    pub round_trip: Duration,
}

/// Why a peer couldn't be met.
pub(super) struct DialFailure {
    pub reason: String,
    pub retry_after: Option<Duration>,
    /// Whether nobody answers where it was said to be.
    pub unreached: bool,
    /// The code, if it wants a better token.
    pub denied: Option<Reason>,
    /// Others it was told to ask.
    pub hints: Vec<PeerAddress>,
}

impl Drive {
    pub(super) fn dial(&mut self, address: PeerAddress) {
        let peer = address.peer;
        if peer == self.parts.network.peer_id() || self.parts.network.is_banned(&peer) {
            self.contacts.ban(peer);
            return;
        }
        let network = Arc::clone(&self.parts.network);
        let awaits = self.contacts.get(peer).and_then(|contact| contact.awaits.clone());
        let hello = self.hello();
        let have = self.parts.shared.store.held();
        self.jobs.spawn(async move {
            let greeted = greet(&network, (&address, awaits.as_ref()), hello, have).await;
            Done::Dialled(peer, greeted)
        });
    }

    pub(super) fn hello(&self) -> Hello {
        let link = &self.parts.shared.link;
        Hello {
            version: pieces::VERSION,
            resource: link.id,
            size: link.size,
            token: self.parts.shared.access.shown(),
            role: self.parts.role,
            group: self.group,
        }
    }

    pub(super) fn incoming(&mut self, stream: PieceStream, hello: Hello) {
        if !self.parts.bounds.room(self.served()) {
            self.make_room();
        }
        if let Some(newcomer) = self.admit(Box::new((stream, hello)), false) {
            self.welcome(*newcomer);
        }
    }

    /// Takes somebody in, unless the two have nothing to say to one another.
    pub(super) fn welcome(&mut self, (stream, hello): (PieceStream, Hello)) {
        let hello = &hello;
        let served = self.served();
        let known = self.contacts.handle(stream.peer);
        // Both may have dialled at once: the stream that the smaller id opened stays, on either side.
        let ours_stays = known.and_then(|peer| self.peers.get(&peer)).is_some_and(|kept| {
            let ours_first = kept.outgoing && self.parts.network.peer_id() < stream.peer;
            // An older one may be dead without our knowing; whoever dials again knows better.
            ours_first && kept.since.elapsed() < TWINS
        });
        let refuse = if ours_stays {
            Some((Reason::Busy, 0))
        } else if known.is_none() && !self.parts.bounds.room(served) {
            Some((Reason::Busy, 5_000))
        } else if hello.size != self.parts.shared.link.size && !self.parts.shared.store.size_proved() {
            // Neither size is proved: nothing to be had from one another.
            Some((Reason::NotHeld, 10_000))
        } else {
            None
        };
        if let Some((reason, retry_after_ms)) = refuse {
            let peers = Vec::new();
            let frame = Frame::Refuse(Refuse { id: None, reason, retry_after_ms, peers });
            self.jobs.spawn(async move {
                refuse_stream(stream, frame).await;
                Done::Session
            });
            return;
        }
        let mut first = vec![Frame::Hello(self.hello())];
        first.extend(Frame::have(&self.parts.shared.store.held()));
        let peer = self.join(stream, hello, false, first);
        tracing::debug!(?peer, "a peer came in");
    }

    /// Somebody who refuses says who else may have it. That is only a hint: who isn't on a tracker's list isn't
    /// dialled, so the trackers are asked again soon.
    pub(super) fn hinted(&mut self, peers: &[PeerAddress], now: Instant) {
        let own = self.parts.network.peer_id();
        let hints = peers.iter().map(|address| address.peer).filter(|peer| *peer != own);
        if self.contacts.hint(hints) {
            self.finding.ask_soon(now);
        }
    }

    fn count_streams(&mut self) {
        let streams = self.served();
        self.parts.bounds.count(self.counted, streams);
        self.counted = streams;
        if self.gate.is_some() {
            self.note(|served| served.streams = streams);
        }
    }

    /// Streams that others opened.
    pub(super) fn served(&self) -> usize {
        self.peers.values().filter(|peer| !peer.outgoing).count()
    }

    /// Lets the one go that has asked for nothing for longest.
    fn make_room(&mut self) {
        let idle = self.peers.iter().filter(|(_, peer)| !peer.outgoing && peer.last_upload.elapsed() > IDLE);
        let longest = idle.min_by_key(|(_, peer)| peer.last_upload).map(|(peer, _)| *peer);
        if let Some(peer) = longest {
            self.leave(peer, None);
        }
    }

    /// A number that nobody has had.
    pub(super) fn number_peer(&mut self) -> Peer {
        self.next_peer += 1;
        Peer(self.next_peer)
    }

    /// A stream is open and both sides have said hello.
    pub(super) fn join(
        &mut self,
        stream: PieceStream,
        hello: &Hello,
        outgoing: bool,
        first: Vec<Frame>,
    ) -> Peer {
        if let Some(old) = self.contacts.handle(stream.peer) {
            self.leave(old, None);
        }
        let peer = self.number_peer();
        let contact = self.contacts.connected(stream.peer, peer);
        let (session, orders) = Session::new();
        let (id, address) = (stream.peer, stream.remote.clone());
        let store = Arc::clone(&self.parts.shared.store);
        let reports = self.reports.0.clone();
        let sharing = self.parts.tracking.sharing();
        // Whoever was dialled may give without a good token of its own, but isn't given anything.
        let denied = self.parts.shared.access.check(hello.token.as_ref(), &stream.peer).err();
        let denied = denied.map(|error| error.reason());
        let (limit, version) = (Arc::clone(&self.parts.shared.limit), hello.version);
        let task = self.jobs.spawn(async move {
            let leave = session::Leave { sharing, denied, limit };
            session::run(peer, stream, store, orders, reports, leave, version).await;
            Done::Session
        });
        for frame in first {
            session.order(Order::Say(frame));
        }
        let role = if contact.role == Role::Publisher { Role::Publisher } else { hello.role };
        // What it says of its group counts until a list knows better.
        let group = if contact.group == Group::UNKNOWN { hello.group } else { contact.group };
        let (has, now) = (Blocks::new(), Instant::now());
        let (since, last_upload) = (now, now);
        let connected = Connected {
            id,
            address,
            session,
            group,
            role,
            outgoing,
            has,
            since,
            last_upload,
            network: None,
            unbooked: 0,
            task,
        };
        self.peers.insert(peer, connected);
        self.count_streams();
        let (local, name) = (contact.neighbour, name_of(id));
        self.handle(Event::PeerJoined { peer, group, role, local, name });
        if contact.group == Group::UNKNOWN && !contact.neighbour {
            self.finding.ask_soon(Instant::now());
        }
        peer
    }

    /// The session is over; the peer rests unless it is banned.
    pub(super) fn leave(&mut self, peer: Peer, rest: Option<Duration>) {
        if let Some(gone) = self.peers.remove(&peer) {
            gone.task.abort();
            self.book(gone.network.unwrap_or(Group::UNKNOWN), gone.unbooked);
            self.count_streams();
            self.contacts.rest(gone.id, rest, Instant::now());
            self.unproved.retain(|(from, ..)| *from != peer);
            self.handle(Event::PeerLeft { peer });
        }
    }

    pub(super) fn dialled(&mut self, peer: PeerId, greeted: Greeted) {
        let Greeted { stream, hello, told, round_trip } = greeted;
        let group = self.contacts.get(peer).map_or(Group::UNKNOWN, |contact| contact.group);
        if group != Group::UNKNOWN && !group.same_network(self.group) {
            self.parts.tracking.answered(&self.parts.trackers, group, round_trip);
        }
        let link = &self.parts.shared.link;
        if hello.size != link.size && !self.parts.shared.store.size_proved() {
            self.doubt_by(peer, Some(hello.size));
            self.contacts.rest(peer, Some(Duration::from_secs(30)), Instant::now());
            return;
        }
        // See `incoming`: of two streams, the one that the smaller id opened stays.
        let theirs_stays = self.contacts.handle(peer).is_some() && peer < self.parts.network.peer_id();
        if !theirs_stays {
            if let Some(at) = stream.remote.clone()
                && self.contacts.get(peer).is_none_or(|contact| contact.awaits.is_none())
            {
                self.parts.acquaintances.met(&self.parts.network, peer, at);
            }
            // What was verified during the dial was announced without this peer.
            let news = self.parts.shared.store.held().difference(&told);
            self.join(stream, &hello, true, Frame::have(&news));
        }
    }

    /// Peers that came in before a list named their group are told to the schedule anew.
    pub(super) fn regroup(&mut self) {
        let mut news = Vec::new();
        for (peer, connected) in &mut self.peers {
            let known = self.contacts.get(connected.id);
            let Some(contact) = known.filter(|contact| contact.group != Group::UNKNOWN) else { continue };
            if contact.group != connected.group || contact.role != connected.role {
                connected.group = contact.group;
                connected.role = contact.role;
                let (local, name) = (contact.neighbour, name_of(connected.id));
                news.push(Event::PeerJoined {
                    peer: *peer,
                    group: contact.group,
                    role: contact.role,
                    local,
                    name,
                });
            }
        }
        news.into_iter().for_each(|event| self.handle(event));
    }
}

/// Opens a stream and exchanges hellos.
async fn greet(
    network: &Network,
    (address, awaits): (&PeerAddress, Option<&Multiaddr>),
    hello: Hello,
    have: Blocks,
) -> Result<Box<Greeted>, DialFailure> {
    let not_met = |NotMet { reason, unreached }| DialFailure {
        reason,
        unreached,
        retry_after: None,
        denied: None,
        hints: Vec::new(),
    };
    let failed = |reason: String| not_met(NotMet { reason, unreached: false });
    let mut stream = meeting::open(network, address, awaits).await.map_err(not_met)?;
    let resource = hello.resource;
    let began = Instant::now();
    let talk = async {
        stream.send.send(Frame::Hello(hello)).await?;
        for frame in Frame::have(&have) {
            stream.send.send(frame).await?;
        }
        stream.receive.next().await
    };
    match tokio::time::timeout(HELLO_PATIENCE, talk).await {
        Ok(Ok(Some(Frame::Hello(answer)))) if answer.resource == resource => {
            Ok(Box::new(Greeted { stream, hello: answer, told: have, round_trip: began.elapsed() }))
        }
        Ok(Ok(Some(Frame::Refuse(refuse)))) => Err(DialFailure {
            reason: said(refuse.reason).into(),
            unreached: false,
            denied: refuse.reason.denies().then_some(refuse.reason),
            retry_after: if session::may_pass(refuse.reason) {
                retry_after(&refuse)
            } else {
                Some(Duration::from_secs(300))
            },
            hints: refuse.peers,
        }),
        Ok(Ok(Some(_))) => Err(failed("it didn't say hello".into())),
        Ok(Ok(None)) => Err(failed("it closed the stream".into())),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed("it doesn't answer".into())),
    }
}

/// Tells a peer that it isn't served; one that doesn't read it holds nobody up.
pub(crate) async fn refuse_stream(mut stream: PieceStream, refusal: Frame) {
    let tell = async {
        stream.send.send(refusal).await?;
        stream.send.finish().await
    };
    // The peer may be gone; a refusal that can't be told is no loss.
    tokio::time::timeout(HELLO_PATIENCE, tell).await.ok();
}

/// A refusal in words.
fn said(reason: Reason) -> &'static str {
    match reason {
        Reason::NotHeld => "it doesn't hold this any more",
        Reason::Busy => "it serves as many as it can at the moment",
        Reason::EnoughHolders => "enough others hold this",
        Reason::NotAllowed => "this film is protected: open it by its publisher's link",
        Reason::TokenWrong => "the link's token is damaged: copy the link again where you got it",
        Reason::TokenExpired => "the link has expired: ask its publisher for a new one",
        Reason::TokenEarly => "the link isn't good yet: try again later, or set this computer's clock",
        Reason::TokenOfOther => "the link's token is for another film: copy the link again where you got it",
        Reason::TokenOfTerminal => "the token is bound to another terminal: open the publisher's link itself",
        Reason::KeyRetired => "the key that signed this link is retired: ask its publisher for a new link",
        Reason::UnknownGuard => "the link is of a publisher that doesn't protect this film here",
        Reason::Invalid => "it doesn't understand what is asked",
        Reason::Paused => "it has paused sharing",
    }
}

/// When a refused peer may be asked again, as it says.
pub(super) fn retry_after(refuse: &Refuse) -> Option<Duration> {
    (refuse.retry_after_ms > 0).then(|| Duration::from_millis(refuse.retry_after_ms.into()))
}
