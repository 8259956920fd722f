//! Calls by which nodes are introduced to one another.

use std::time::Duration;

use multiaddr::Protocol;
use nearcast_network::TrackerCall;
use nearcast_protocol::{
    Multiaddr, PeerAddress, PeerId,
    peer::ip_of,
    tracker::{Answer, Request},
    wire,
};

use super::{
    Server, State,
    answers::{Refused, admit},
};
use crate::{
    introductions::{Answered, Introductions},
    metrics::Refusal,
};

/// When to ask again at a tracker at which as many as may be await introductions.
const AGAIN: Duration = Duration::from_secs(300);

impl Server {
    /// Introduces nodes from now on, as many at a time as `most`, to those who ask at this node's QUIC port; 0 of
    /// either for none.
    pub fn introduce(&self, most: usize, quic_port: u16) {
        let mut state = self.state();
        state.introductions = Introductions::new(most);
        state.swarm.introduces = if most == 0 { 0 } else { quic_port };
    }

    /// Answers a call, now or once there is something to answer.
    pub(super) fn take(&self, call: TrackerCall) {
        if let [Request::Await] = call.requests[..] {
            return self.listen(call);
        }
        let (peer, observed, remote) = (call.peer, call.observed, call.remote.clone());
        call.answer(|request, bytes| match request {
            Request::Introduce(whom) => {
                self.metrics.request(request);
                let answer = self.introduced(peer, &remote, whom);
                wire::encode_to(&answer.unwrap_or_else(|refused| self.refuse(refused)), bytes);
            }
            _ => self.answer_to(peer, observed, request, bytes),
        });
    }

    /// A node asks who wants to meet it.
    fn listen(&self, call: TrackerCall) {
        self.metrics.request(&Request::Await);
        let (peer, observed, at) = (call.peer, call.observed, call.remote.clone());
        let mut state = self.state();
        let now = self.now(&state);
        let State { access, pace, introductions, swarm, .. } = &mut *state;
        let admitted = admit(access, pace, now, &peer, observed).and_then(|()| by_quic(&at));
        let listening = match admitted {
            Ok(()) => introductions.listen(now, peer, at, call).map_err(|call| (call, full())),
            Err(refused) => Err((call, refused)),
        };
        match listening {
            Ok(at_once) => {
                swarm.set_awaits(&peer, true);
                drop(state);
                at_once.into_iter().for_each(answer);
            }
            Err((call, refused)) => {
                drop(state);
                let refusal = self.refuse(refused);
                call.answer(|_, bytes| wire::encode_to(&refusal, bytes));
            }
        }
    }

    /// A node wants to meet another.
    fn introduced(&self, peer: PeerId, at: &Multiaddr, whom: &PeerId) -> Result<Answer, Refused> {
        by_quic(at)?;
        let observed = ip_of(at).ok_or_else(by_quic_alone)?;
        let mut state = self.state();
        let now = self.now(&state);
        let State { access, pace, introductions, .. } = &mut *state;
        admit(access, pace, now, &peer, observed.to_canonical())?;
        let asker = PeerAddress::new(peer, [at.clone()]);
        let introduced = introductions.introduce(now, asker, whom);
        drop(state);
        let (there, told) =
            introduced.map_err(|why| Refused::for_good(Refusal::Introduction, why.sentence()))?;
        told.into_iter().for_each(answer);
        Ok(Answer::Introduced(vec![there]))
    }

    fn refuse(&self, refused: Refused) -> Answer {
        self.metrics.refusal(refused.why(), 1);
        refused.answer()
    }

    /// A node that registers anew awaits introductions as before.
    pub(super) fn note_awaiting(&self, peer: &PeerId) {
        let mut state = self.state();
        if state.introductions.awaits(peer) {
            state.swarm.set_awaits(peer, true);
        }
    }

    /// Ends what has been open for too long, and forgets who has gone.
    pub(super) fn tidy_introductions(&self) {
        let mut state = self.state();
        let now = self.now(&state);
        let (over, left) = state.introductions.tidy(now, TrackerCall::is_unheard);
        for peer in left {
            state.swarm.set_awaits(&peer, false);
        }
        drop(state);
        over.into_iter().for_each(answer);
    }
}

fn answer((call, wanted): Answered<TrackerCall>) {
    let answer = Answer::Introductions(wanted);
    call.answer(|_, bytes| wire::encode_to(&answer, bytes));
}

/// Only over QUIC does a connection tell the address at which others find the socket that the node listens on.
fn by_quic(at: &Multiaddr) -> Result<(), Refused> {
    let mut parts = at.iter().skip(1);
    let quic = matches!((parts.next(), parts.next()), (Some(Protocol::Udp(_)), Some(Protocol::QuicV1)));
    if quic { Ok(()) } else { Err(by_quic_alone()) }
}

fn by_quic_alone() -> Refused {
    Refused::for_good(Refusal::Introduction, "introductions are made over QUIC alone")
}

fn full() -> Refused {
    let reason = "as many nodes as may be await introductions here already";
    Refused::for_now(Refusal::Introduction, reason, AGAIN)
}
