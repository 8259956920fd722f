//! What is answered to whom.

use std::{borrow::Cow, net::IpAddr, time::Duration};

use nearcast_protocol::{
    Guard, PeerId, ResourceId, TokenError,
    tracker::{Answer, Find, Holding, Lease, Named, PeerList, Registration, Renewal, Request},
    wire,
};
use rand::rngs::StdRng;

use super::{Server, State};
use crate::{
    access::{Access, NotTracked},
    listing::sent::Told,
    metrics::Refusal,
    pace::Pace,
    swarm::{Caller, Swarm},
};

/// When to try again at a tracker that is full: leases run out all the time.
const FULL: Duration = Duration::from_secs(600);

/// Why a request isn't answered as asked.
pub(super) struct Refused {
    why: Refusal,
    reason: &'static str,
    retry_after: Duration,
}

/// A list that may be made.
struct Wanted<'a> {
    now: Duration,
    caller: &'a Caller,
    resource: &'a ResourceId,
    stalled: bool,
}

/// An answer, or a list in the form that was wanted.
enum Decided<L> {
    Answer(Answer),
    List(L),
}

/// A list, in whatever form.
trait Tells {
    fn told(&self) -> Told;
}

impl Tells for Told {
    fn told(&self) -> Told {
        *self
    }
}

impl Tells for PeerList {
    fn told(&self) -> Told {
        Told::of(self)
    }
}

impl Server {
    /// Answers one request.
    pub fn answer(&self, peer: PeerId, observed: IpAddr, request: &Request) -> Answer {
        let decided = self.counted(peer, observed, request, |swarm, wanted, dice| {
            let Wanted { now, caller, resource, stalled } = wanted;
            swarm.find(now, caller, resource, stalled, dice)
        });
        match decided {
            Decided::Answer(answer) => answer,
            Decided::List(list) => Answer::Found(list),
        }
    }

    /// Appends the answer to one request as it goes out. Lists are written straight out of the memory.
    pub fn answer_to(&self, peer: PeerId, observed: IpAddr, request: &Request, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        let decided = self.counted(peer, observed, request, |swarm, wanted, dice| {
            let Wanted { now, caller, resource, stalled } = wanted;
            swarm.find_to(now, caller, resource, stalled, dice, bytes)
        });
        if let Decided::Answer(answer) = decided {
            // A list may have been written that the asker isn't to see.
            bytes.truncate(start);
            wire::encode_to(&answer, bytes);
        }
    }

    /// Answers, and counts it.
    fn counted<L: Tells>(
        &self,
        peer: PeerId,
        observed: IpAddr,
        request: &Request,
        list: impl FnOnce(&mut Swarm, Wanted<'_>, &mut StdRng) -> L,
    ) -> Decided<L> {
        let began = std::time::Instant::now();
        self.metrics.request(request);
        let decided = self.decide(peer, observed, request, list).unwrap_or_else(|refused| {
            self.metrics.refusal(refused.why, 1);
            Decided::Answer(refused.answer())
        });
        match &decided {
            Decided::List(list) => self.metrics.list(&list.told()),
            Decided::Answer(Answer::Found(list)) => self.metrics.list(&list.told()),
            Decided::Answer(Answer::Leased(_)) => {
                let registering = matches!(request, Request::Register(_));
                self.dial_if_due(&peer, registering);
                if registering {
                    self.note_awaiting(&peer);
                }
            }
            Decided::Answer(Answer::Denied { .. }) => self.metrics.refusal(Refusal::Token, 1),
            Decided::Answer(_) => {}
        }
        self.metrics.took(began.elapsed());
        decided
    }

    /// What is answered; `list` makes the list that is asked for, in whatever form.
    fn decide<L: Tells>(
        &self,
        peer: PeerId,
        observed: IpAddr,
        request: &Request,
        list: impl FnOnce(&mut Swarm, Wanted<'_>, &mut StdRng) -> L,
    ) -> Result<Decided<L>, Refused> {
        let observed = observed.to_canonical();
        let mut state = self.state();
        let now = self.now(&state);
        let State {
            swarm, table, access, pace, dice, crowded, changes, tickets, guarding, dial_back, ..
        } = &mut *state;
        admit(access, pace, now, &peer, observed)?;
        let caller = Caller { peer, observed, place: table.place_of(observed) };
        if let Request::Find(Find { resource, .. })
        | Request::CountProtected(Find { resource, .. })
        | Request::FindFor { resource, .. }
        | Request::Count(resource) = request
        {
            if let Some(why) = access.denies_film(resource) {
                return Err(Refused::not_tracked(why));
            }
            // What it holds itself it may ask about as often as it likes: a publisher has many films.
            let own = || Guard::of(&peer).map(|guard| guard.swarm_of(resource));
            let held = swarm.holds(&peer, resource) || own().is_some_and(|own| swarm.holds(&peer, &own));
            if !held && let Err(wait) = pace.ask(now, &peer, observed, resource) {
                let reason = "too many different films are asked for";
                return Err(Refused::for_now(Refusal::Distinct, reason, wait));
            }
        }
        match request {
            Request::Renew(renewal) if renewal.held.is_empty() && renewal.dropped.is_empty() => {
                changes.leases += 1;
            }
            Request::Register(_) | Request::Renew(_) | Request::Withdraw | Request::Claim(_) => {
                changes.known += 1
            }
            _ => {}
        }
        let ticketed = |swarm: &Swarm, lease: Lease| {
            let ticket = tickets.zip(swarm.mark(&peer));
            let ticket = ticket.and_then(|(tickets, mark)| tickets.ticket(&peer, observed, mark));
            Answer::Leased(Lease { ticket, ..lease })
        };
        Ok(Decided::Answer(match request {
            Request::Register(registration) => {
                let registration = self.tracked(access, registration)?;
                if swarm.prefix_is_full(&caller) {
                    let reason = "this tracker remembers as many nodes of your network as it may";
                    return Err(Refused::for_now(Refusal::Prefix, reason, FULL));
                }
                let registration = match guarding.held(&registration.holdings) {
                    Cow::Borrowed(_) => registration,
                    Cow::Owned(holdings) => {
                        Cow::Owned(Registration { holdings, ..registration.into_owned() })
                    }
                };
                match swarm.register(now, &caller, &registration, dice) {
                    Some(lease) => ticketed(swarm, lease),
                    None if *crowded => {
                        let reason = "this tracker has no memory left for more nodes";
                        return Err(Refused::for_now(Refusal::Memory, reason, FULL));
                    }
                    None => {
                        let reason = "this tracker remembers as many nodes as it may";
                        return Err(Refused::for_now(Refusal::Full, reason, FULL));
                    }
                }
            }
            Request::Renew(renewal) => {
                if swarm.disbelieves(now, &peer, renewal.received) {
                    self.metrics.refusal(Refusal::Report, 1);
                }
                let renewal = self.tracked_of(access, renewal);
                let renewal = match guarding.held(&renewal.held) {
                    Cow::Borrowed(_) => renewal,
                    Cow::Owned(held) => Cow::Owned(Renewal { held, ..renewal.into_owned() }),
                };
                let lease = swarm.renew(now, &caller, &renewal, dice);
                lease.map_or(Answer::Unknown, |lease| ticketed(swarm, lease))
            }
            Request::Withdraw => {
                swarm.withdraw(now, &peer);
                Answer::Withdrawn
            }
            Request::Find(find) => match guarding.find(find, &peer, |id| swarm.is_held(id)) {
                Ok(resource) => {
                    let wanted = Wanted { now, caller: &caller, resource: &resource, stalled: find.stalled };
                    let list = list(swarm, wanted, dice);
                    // A film that nobody holds in public may be a protected one.
                    let hidden = if list.told().anybody { None } else { guarding.hidden(find) };
                    match hidden {
                        Some(denied) => denied,
                        None => return Ok(Decided::List(list)),
                    }
                }
                Err(denied) => denied,
            },
            Request::Count(resource) => match guarding.named(resource, &peer, |id| swarm.is_held(id)) {
                Ok(resource) => Answer::Counted(swarm.count(now, &caller, &resource)),
                Err(denied) => denied,
            },
            Request::CountProtected(find) if find.token.is_none() => guarding.deny(TokenError::Missing),
            Request::CountProtected(find) => match guarding.find(find, &peer, |id| swarm.is_held(id)) {
                Ok(resource) => Answer::Counted(swarm.count(now, &caller, &resource)),
                Err(denied) => denied,
            },
            Request::FindFor { resource, address } => {
                let resource = match guarding.named(resource, &peer, |id| swarm.is_held(id)) {
                    Ok(resource) => resource,
                    Err(denied) => return Ok(Decided::Answer(denied)),
                };
                let there = address.parse::<IpAddr>().ok().map(|address| {
                    let observed = address.to_canonical();
                    Caller { peer, observed, place: table.place_of(observed) }
                });
                let list = there.and_then(|there| swarm.find_for(now, &caller, &there, &resource, dice));
                match list {
                    Some(list) => Answer::Found(list),
                    None => {
                        let reason = "only a publisher of the film asks on another's behalf";
                        return Err(Refused::for_good(Refusal::NoPublisher, reason));
                    }
                }
            }
            Request::Unreached(peers) => {
                if let Some(dial_back) = dial_back {
                    peers.iter().for_each(|Named(peer)| dial_back.look_again(swarm, now, peer));
                }
                Answer::Noted
            }
            Request::Await | Request::Introduce(_) => {
                let reason = "introductions are made over QUIC, one question at a time";
                return Err(Refused::for_good(Refusal::Introduction, reason));
            }
            Request::Resolve { url } => Answer::Resolved(swarm.resolve(now, url)),
            Request::Claim(_) if *crowded => {
                let reason = "this tracker has no memory left for more URLs";
                return Err(Refused::for_now(Refusal::Memory, reason, FULL));
            }
            Request::Claim(claims) if swarm.claim(now, &peer, claims) => Answer::Claimed,
            Request::Claim(_) => {
                let reason = "only a registered publisher claims URLs";
                return Err(Refused::for_good(Refusal::NoPublisher, reason));
            }
        }))
    }

    /// A registration with what is tracked alone.
    fn tracked<'a>(
        &self,
        access: &Access,
        registration: &'a Registration,
    ) -> Result<Cow<'a, Registration>, Refused> {
        let Some(holdings) = self.tracked_among(access, &registration.holdings) else {
            return Ok(Cow::Borrowed(registration));
        };
        // Who offers nothing that is tracked is told so; others stay, with what is.
        if holdings.is_empty() {
            return Err(Refused::not_tracked(NotTracked::NotListed));
        }
        Ok(Cow::Owned(Registration { holdings, ..registration.clone() }))
    }

    /// A renewal with what is tracked alone.
    fn tracked_of<'a>(&self, access: &Access, renewal: &'a Renewal) -> Cow<'a, Renewal> {
        match self.tracked_among(access, &renewal.held) {
            Some(held) => Cow::Owned(Renewal { held, ..renewal.clone() }),
            None => Cow::Borrowed(renewal),
        }
    }

    /// Those of the holdings that are tracked; `None` if all are.
    fn tracked_among(&self, access: &Access, holdings: &[Holding]) -> Option<Vec<Holding>> {
        let mut left_out = false;
        for why in holdings.iter().filter_map(|holding| access.denies_film(&holding.resource)) {
            self.metrics.refusal(Refused::not_tracked(why).why, 1);
            left_out = true;
        }
        let tracked = |holding: &&Holding| access.denies_film(&holding.resource).is_none();
        left_out.then(|| holdings.iter().filter(tracked).copied().collect())
    }
}

/// Whether a node may ask anything now.
pub(super) fn admit(
    access: &Access,
    pace: &mut Pace,
    now: Duration,
    peer: &PeerId,
    observed: IpAddr,
) -> Result<(), Refused> {
    if access.denies_node(peer, observed) {
        return Err(Refused::for_good(Refusal::Denied, "this tracker doesn't serve you"));
    }
    pace.take(now, observed)
        .map_err(|wait| Refused::for_now(Refusal::Pace, "too many requests come from your address", wait))
}

impl Refused {
    /// Asking again makes sense after a wait.
    pub(super) fn for_now(why: Refusal, reason: &'static str, retry_after: Duration) -> Self {
        Self { why, reason, retry_after }
    }

    /// Asking again makes no sense.
    pub(super) fn for_good(why: Refusal, reason: &'static str) -> Self {
        Self { why, reason, retry_after: Duration::ZERO }
    }

    fn not_tracked(why: NotTracked) -> Self {
        match why {
            NotTracked::NotListed => Self::for_good(
                Refusal::NotListed,
                "this tracker tracks other films only; yours isn't on its list",
            ),
            NotTracked::Denied => Self::for_good(Refusal::DeniedFilm, "this tracker doesn't track that film"),
        }
    }

    /// Why, as it is counted.
    pub(super) fn why(&self) -> Refusal {
        self.why
    }

    pub(super) fn answer(self) -> Answer {
        // Rounded up: whoever waits as long as told is let in.
        let retry_after_ms = u32::try_from(self.retry_after.as_micros().div_ceil(1000)).unwrap_or(u32::MAX);
        Answer::Refused { reason: self.reason.into(), retry_after_ms }
    }
}
