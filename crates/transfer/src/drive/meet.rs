//! Meeting peers: dialling, hellos, and who stays when both dial at once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use nearcast_network::{Network, PieceStream};
use nearcast_protocol::{
    Blocks, Group, PeerAddress, PeerId, Role,
    pieces::{self, Frame, Hello, Reason, Refuse},
};
use nearcast_schedule::{Event, Peer};

use super::{Connected, Done, Drive};
use crate::{
    controller::HELLO_PATIENCE,
    session::{self, Order, Session},
};

/// Why a peer couldn't be met.
pub(super) struct DialFailure {
    pub reason: String,
    pub retry_after: Option<Duration>,
}

impl Drive {
    pub(super) fn dial(&mut self, address: PeerAddress) {
        let peer = address.peer;
        if peer == self.parts.network.peer_id() || self.parts.network.is_banned(&peer) {
            self.contacts.ban(peer);
            return;
        }
        let network = Arc::clone(&self.parts.network);
        let hello = self.hello();
        let have = self.parts.shared.store.held();
        self.jobs.spawn(async move {
            let greeted = greet(&network, &address, hello, &have).await;
            Done::Dialled(peer, greeted)
        });
    }

    pub(super) fn hello(&self) -> Hello {
        let link = &self.parts.shared.link;
        Hello {
            version: pieces::VERSION,
            resource: link.id,
            size: link.size,
            token: link.token.clone(),
            role: self.parts.role,
        }
    }

    pub(super) fn incoming(&mut self, stream: PieceStream, hello: &Hello) {
        let served = self.peers.values().filter(|peer| !peer.outgoing).count();
        let known = self.contacts.handle(stream.peer);
        // Both may have dialled at once: the stream that the smaller id opened stays, on either side.
        let ours_stays = known
            .and_then(|peer| self.peers.get(&peer))
            .is_some_and(|kept| kept.outgoing && self.parts.network.peer_id() < stream.peer);
        let refuse = if ours_stays {
            Some((Reason::Busy, 0))
        } else if known.is_none() && served >= self.parts.streams {
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
                let PieceStream { mut send, .. } = stream;
                // The peer may be gone; a refusal that can't be told is no loss.
                send.send(frame).await.ok();
                Done::Session
            });
            return;
        }
        let mut first = vec![Frame::Hello(self.hello())];
        first.extend(Frame::have(&self.parts.shared.store.held()));
        let peer = self.join(stream, hello.role, false, first);
        tracing::debug!(?peer, "a peer came in");
    }

    /// A stream is open and both sides have said hello.
    pub(super) fn join(
        &mut self,
        stream: PieceStream,
        role: Role,
        outgoing: bool,
        first: Vec<Frame>,
    ) -> Peer {
        if let Some(old) = self.contacts.handle(stream.peer) {
            self.leave(old, None);
        }
        self.next_peer += 1;
        let peer = Peer(self.next_peer);
        let contact = self.contacts.connected(stream.peer, peer);
        let (session, orders) = Session::new();
        let (id, address) = (stream.peer, stream.remote.clone());
        let store = Arc::clone(&self.parts.shared.store);
        let reports = self.reports.0.clone();
        let task = self.jobs.spawn(async move {
            session::run(peer, stream, store, orders, reports).await;
            Done::Session
        });
        for frame in first {
            session.order(Order::Say(frame));
        }
        let role = if contact.role == Role::Publisher { Role::Publisher } else { role };
        let group = contact.group;
        let connected =
            Connected { id, address, session, group, role, outgoing, asked_for_something: false, task };
        self.peers.insert(peer, connected);
        self.handle(Event::PeerJoined { peer, group, role, local: contact.neighbour });
        if group == Group::UNKNOWN && !contact.neighbour {
            self.finding.ask_soon(Instant::now());
        }
        peer
    }

    /// The session is over; the peer rests unless it is banned.
    pub(super) fn leave(&mut self, peer: Peer, rest: Option<Duration>) {
        if let Some(gone) = self.peers.remove(&peer) {
            gone.task.abort();
            self.contacts.rest(gone.id, rest, Instant::now());
            self.unproved.retain(|(from, ..)| *from != peer);
            self.handle(Event::PeerLeft { peer });
        }
    }

    pub(super) fn dialled(&mut self, peer: PeerId, stream: PieceStream, hello: &Hello) {
        let link = &self.parts.shared.link;
        if hello.size != link.size && !self.parts.shared.store.size_proved() {
            self.doubt_by(peer, Some(hello.size));
            self.contacts.rest(peer, Some(Duration::from_secs(30)), Instant::now());
            return;
        }
        // See `incoming`: of two streams, the one that the smaller id opened stays.
        let theirs_stays = self.contacts.handle(peer).is_some() && peer < self.parts.network.peer_id();
        if !theirs_stays {
            self.join(stream, hello.role, true, Vec::new());
        }
    }

    /// Peers that came in before a list named their group are told to the schedule anew.
    pub(super) fn regroup(&mut self) {
        let mut news = Vec::new();
        for (peer, connected) in &mut self.peers {
            let Some(contact) = self.contacts.get(connected.id) else { continue };
            if contact.group != connected.group || contact.role != connected.role {
                connected.group = contact.group;
                connected.role = contact.role;
                news.push((*peer, contact.group, contact.role, contact.neighbour));
            }
        }
        for (peer, group, role, local) in news {
            self.handle(Event::PeerJoined { peer, group, role, local });
        }
    }
}

/// Opens a stream and exchanges hellos.
async fn greet(
    network: &Network,
    address: &PeerAddress,
    hello: Hello,
    have: &Blocks,
) -> Result<Box<(PieceStream, Hello)>, DialFailure> {
    let failed = |reason: String| DialFailure { reason, retry_after: None };
    let mut stream = network.open_pieces(address).await.map_err(|error| failed(error.to_string()))?;
    let resource = hello.resource;
    let talk = async {
        stream.send.send(Frame::Hello(hello)).await?;
        for frame in Frame::have(have) {
            stream.send.send(frame).await?;
        }
        stream.receive.next().await
    };
    match tokio::time::timeout(HELLO_PATIENCE, talk).await {
        Ok(Ok(Some(Frame::Hello(answer)))) if answer.resource == resource => Ok(Box::new((stream, answer))),
        Ok(Ok(Some(Frame::Refuse(refuse)))) => Err(DialFailure {
            reason: format!("it refuses: {:?}", refuse.reason),
            retry_after: if session::may_pass(refuse.reason) {
                retry_after(&refuse)
            } else {
                Some(Duration::from_secs(300))
            },
        }),
        Ok(Ok(Some(_))) => Err(failed("it didn't say hello".into())),
        Ok(Ok(None)) => Err(failed("it closed the stream".into())),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed("it doesn't answer".into())),
    }
}

/// When a refused peer may be asked again, as it says.
pub(super) fn retry_after(refuse: &Refuse) -> Option<Duration> {
    (refuse.retry_after_ms > 0).then(|| Duration::from_millis(refuse.retry_after_ms.into()))
}
