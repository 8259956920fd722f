//! Introducing two nodes to one another, of which strangers can't dial the one.
//!
//! A node behind address translation keeps a question open ([`Request::Await`]) over QUIC, from the very socket it
//! listens on. Whoever wants to meet it asks for an introduction ([`Request::Introduce`]) in the same way. Each is
//! told where the other's datagrams come from, and both dial at once: what each sends opens its own translator for
//! what the other sends (Ford, Srisuresh, Kegel: Peer-to-Peer Communication Across Network Address Translators,
//! USENIX 2005). Word goes from here to both at the same moment, so the way by which the dial of the one arrives,
//! over its own translator, is never shorter than the one by which the other hears of it.
//!
//! Nothing else passes through the tracker: two nodes whose translators don't let them meet don't. And nobody can have
//! strangers dial a third: an address is told only as the one that its owner's own connection comes from.
//!
//! [`Request::Await`]: nearcast_protocol::tracker::Request::Await
//! [`Request::Introduce`]: nearcast_protocol::tracker::Request::Introduce

use std::{collections::HashMap, time::Duration};

use nearcast_protocol::{Multiaddr, PeerAddress, PeerId, peer::ip_of, tracker::MAX_INTRODUCTIONS};

/// How long a question stays open; then it is answered with nobody, and asked anew.
const OPEN: Duration = Duration::from_secs(120);
/// A node that was answered has so long to ask anew.
const BETWEEN: Duration = Duration::from_secs(10);

/// Who awaits introductions. Pure: `C` stands for an open question, and the clock is passed in.
pub(crate) struct Introductions<C> {
    awaiting: HashMap<PeerId, Awaiting<C>>,
    most: usize,
}

struct Awaiting<C> {
    /// Where its datagrams come from.
    at: Multiaddr,
    /// The open question, unless it has just been answered.
    call: Option<C>,
    since: Duration,
    /// Who asked for it since it was last answered.
    wanted: Vec<PeerAddress>,
}

/// An open question, and what it is to be answered with.
pub(crate) type Answered<C> = (C, Vec<PeerAddress>);

/// Why two aren't introduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotIntroduced {
    Absent,
    OtherFamily,
    TooMany,
}

impl NotIntroduced {
    /// In words, for who wanted to meet somebody.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Absent => "it awaits no introductions at its tracker",
            Self::OtherFamily => "it speaks another version of the Internet Protocol than you",
            Self::TooMany => "too many want to meet it at this moment",
        }
    }
}

impl<C> Introductions<C> {
    pub fn new(most: usize) -> Self {
        Self { awaiting: HashMap::new(), most }
    }

    /// How many nodes await introductions.
    pub fn len(&self) -> usize {
        self.awaiting.len()
    }

    pub fn awaits(&self, peer: &PeerId) -> bool {
        self.awaiting.contains_key(peer)
    }

    /// A node asks who wants to meet it; a question that it has open already is dropped. Returns what can be answered
    /// at once.
    ///
    /// # Errors
    /// When as many nodes as may be await introductions already.
    pub fn listen(
        &mut self,
        now: Duration,
        peer: PeerId,
        at: Multiaddr,
        call: C,
    ) -> Result<Option<Answered<C>>, C> {
        if self.awaiting.len() >= self.most && !self.awaits(&peer) {
            return Err(call);
        }
        let before = self.awaiting.remove(&peer);
        let wanted = before.map(|before| before.wanted).unwrap_or_default();
        let mut awaiting = Awaiting { at, call: Some(call), since: now, wanted };
        let answered = if awaiting.wanted.is_empty() { None } else { awaiting.answer(now) };
        self.awaiting.insert(peer, awaiting);
        Ok(answered)
    }

    /// Somebody wants to meet a node: where that is, and the question that is answered by it.
    ///
    /// # Errors
    /// When the two can't be introduced.
    pub fn introduce(
        &mut self,
        now: Duration,
        asker: PeerAddress,
        whom: &PeerId,
    ) -> Result<(Multiaddr, Option<Answered<C>>), NotIntroduced> {
        let awaiting = self.awaiting.get_mut(whom).ok_or(NotIntroduced::Absent)?;
        let family = |address: &Multiaddr| ip_of(address).map(|ip| ip.to_canonical().is_ipv4());
        if asker.addresses.first().and_then(family) != family(&awaiting.at) {
            return Err(NotIntroduced::OtherFamily);
        }
        awaiting.wanted.retain(|wanted| wanted.peer != asker.peer);
        if awaiting.wanted.len() >= MAX_INTRODUCTIONS {
            return Err(NotIntroduced::TooMany);
        }
        awaiting.wanted.push(asker);
        Ok((awaiting.at.clone(), awaiting.answer(now)))
    }

    /// Returns the questions that have been open for long enough, to be answered with nobody, and the nodes that no
    /// longer await anybody. `gone` tells whether nobody hears a question's answer any more.
    pub fn tidy(&mut self, now: Duration, gone: impl Fn(&C) -> bool) -> (Vec<Answered<C>>, Vec<PeerId>) {
        let (mut answered, mut left) = (Vec::new(), Vec::new());
        self.awaiting.retain(|peer, awaiting| {
            if awaiting.call.as_ref().is_some_and(&gone) {
                (awaiting.call, awaiting.since) = (None, now);
            } else if awaiting.call.is_some() && now >= awaiting.since + OPEN {
                answered.extend(awaiting.answer(now));
            }
            let stays = awaiting.call.is_some() || now < awaiting.since + BETWEEN;
            if !stays {
                left.push(*peer);
            }
            stays
        });
        (answered, left)
    }
}

impl<C> Awaiting<C> {
    fn answer(&mut self, now: Duration) -> Option<Answered<C>> {
        let call = self.call.take()?;
        self.since = now;
        Some((call, std::mem::take(&mut self.wanted)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> Multiaddr {
        format!("/ip4/203.0.113.{last}/udp/4400/quic-v1").parse().unwrap()
    }

    fn asker(last: u8) -> PeerAddress {
        PeerAddress::new(PeerId::random(), [at(last)])
    }

    const NOW: Duration = Duration::from_secs(50);

    #[test]
    fn each_is_told_of_the_other_at_once() {
        let (mut introductions, node) = (Introductions::new(9), PeerId::random());
        assert_eq!(introductions.introduce(NOW, asker(1), &node).unwrap_err(), NotIntroduced::Absent);
        assert!(introductions.listen(NOW, node, at(9), "first").unwrap().is_none());
        let (one, other) = (asker(1), asker(2));
        let (there, answered) = introductions.introduce(NOW, one.clone(), &node).unwrap();
        assert_eq!((there, answered), (at(9), Some(("first", vec![one]))));
        // Until it asks anew, others wait for it; then they are told of together.
        let (_, answered) = introductions.introduce(NOW, other.clone(), &node).unwrap();
        assert!(answered.is_none());
        introductions.introduce(NOW, other.clone(), &node).unwrap();
        let answered = introductions.listen(NOW, node, at(9), "second").unwrap();
        assert_eq!(answered, Some(("second", vec![other])));
    }

    #[test]
    fn who_has_gone_awaits_nobody() {
        let (mut introductions, node) = (Introductions::new(9), PeerId::random());
        introductions.listen(NOW, node, at(9), "call").unwrap();
        let nobody = (Vec::new(), Vec::new());
        assert_eq!(introductions.tidy(NOW, |_| false), nobody);
        assert_eq!(introductions.tidy(NOW, |call| *call == "call"), nobody, "its connection may come again");
        assert!(introductions.awaits(&node));
        assert_eq!(introductions.tidy(NOW + BETWEEN, |_| true), (Vec::new(), vec![node]));
        assert_eq!(introductions.len(), 0);
    }

    #[test]
    fn a_question_isn_t_open_for_ever() {
        let (mut introductions, node) = (Introductions::new(9), PeerId::random());
        introductions.listen(NOW, node, at(9), "call").unwrap();
        let (answered, left) = introductions.tidy(NOW + OPEN, |_| false);
        assert_eq!((answered, left), (vec![("call", Vec::new())], Vec::new()));
        introductions.listen(NOW + OPEN, node, at(9), "again").unwrap();
        assert_eq!(introductions.tidy(NOW + OPEN + BETWEEN, |_| false).1, Vec::new());
    }

    #[test]
    fn all_of_it_is_bounded() {
        let mut introductions = Introductions::new(2);
        let [one, other, third] = [(); 3].map(|()| PeerId::random());
        assert!(introductions.listen(NOW, one, at(1), ()).is_ok());
        assert!(introductions.listen(NOW, other, at(2), ()).is_ok());
        assert!(introductions.listen(NOW, third, at(3), ()).is_err());
        assert!(introductions.listen(NOW, one, at(4), ()).is_ok(), "it moved");
        introductions.introduce(NOW, asker(1), &one).unwrap();
        for last in 0..MAX_INTRODUCTIONS as u8 {
            introductions.introduce(NOW, asker(last), &one).unwrap();
        }
        assert_eq!(introductions.introduce(NOW, asker(99), &one).unwrap_err(), NotIntroduced::TooMany);
        let six = PeerAddress::new(third, ["/ip6/2001:db8::1/udp/1/quic-v1".parse().unwrap()]);
        assert_eq!(introductions.introduce(NOW, six, &other).unwrap_err(), NotIntroduced::OtherFamily);
    }
}
