//! Calls in, answers out: the tracker's acquisition and sending parts.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nearcast_network::TrackerCall;
use nearcast_protocol::{
    Group, PeerId, TokenError,
    renewal::{self, Outcome},
    tracker::{Answer, Lease, Received, Registration, Renewal, Request},
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    datagrams::{Renewing, Tally, Tickets},
    dial_back::DialBack,
    group_table::GroupTable,
    guarding::Guarding,
    identity::Identity,
    pace::Pace,
    regroup::Regrouping,
    swarm::{Caller, Swarm},
};

/// When to try again at a tracker that is full: leases run out all the time.
const FULL: Duration = Duration::from_secs(600);

/// How often leases that have run out are looked for, if nobody calls.
const TIDY: Duration = Duration::from_millis(100);
/// Nodes looked at and holdings moved while calls wait: some 0.3 ms.
const REGROUPED: usize = 500;
/// How long calls have the memory to themselves in between.
const BREATH: Duration = Duration::from_micros(200);

/// A tracker at work; a clone is the same tracker.
#[derive(Clone)]
pub struct Server {
    state: Arc<Mutex<State>>,
    began: Instant,
}

pub(crate) struct State {
    pub(crate) swarm: Swarm,
    table: Arc<GroupTable>,
    pace: Pace,
    dice: StdRng,
    /// If renewals are taken by datagram.
    tickets: Option<Tickets>,
    datagrams: Tally,
    guarding: Guarding,
    /// If nodes are dialled.
    pub(crate) dial_back: Option<DialBack>,
}

impl Server {
    /// A tracker with this memory and this table.
    pub fn new(mut swarm: Swarm, table: GroupTable) -> Self {
        swarm.set_distances(table.said().clone());
        let table = Arc::new(table);
        let state = State {
            swarm,
            table,
            pace: Pace::default(),
            dice: StdRng::from_os_rng(),
            tickets: None,
            datagrams: Tally::default(),
            guarding: Guarding::default(),
            dial_back: None,
        };
        Self { state: Arc::new(Mutex::new(state)), began: Instant::now() }
    }

    /// Answers calls until there are no more.
    pub async fn run(self, mut calls: mpsc::Receiver<TrackerCall>) {
        let mut tidy = interval(TIDY);
        tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                call = calls.recv() => {
                    let Some(call) = call else { break };
                    let answer = self.answer(call.peer, call.observed, &call.request);
                    call.answer(answer);
                }
                // So that whoever calls after a silence doesn't wait until all the dead are forgotten.
                _ = tidy.tick() => self.state().swarm.expire(self.began.elapsed()),
            }
        }
    }

    /// Puts another table in place and gives every node its new group, a few at a time: calls are answered
    /// in between. Who calls from then on has the place that the new table says; another node may be counted
    /// where it was for as long as this takes. It blocks the thread; two at once make no sense.
    pub fn set_table(&self, table: GroupTable) {
        let table = Arc::new(table);
        // The old table is taken apart after the others may go on.
        let said = table.said().clone();
        let mut state = self.state();
        state.swarm.set_distances(said);
        let old = std::mem::replace(&mut state.table, table.clone());
        drop(state);
        drop(old);
        let mut regrouping = Regrouping::default();
        while !self.state().swarm.regroup_some(&table, &mut regrouping, REGROUPED) {
            std::thread::sleep(BREATH);
        }
    }

    /// What the nodes of each group have reported to have received, with the group's name: the operator's
    /// proof.
    pub fn received(&self) -> BTreeMap<Group, (String, Received)> {
        let state = self.state();
        let name = |group| state.table.name_of(group).unwrap_or_default().to_owned();
        state.swarm.received().iter().map(|(group, sum)| (*group, (name(*group), *sum))).collect()
    }

    /// How often somebody was refused a protected resource, for want of a good token.
    pub fn denied(&self) -> u64 {
        self.state().guarding.denied()
    }

    /// Answers one request.
    pub fn answer(&self, peer: PeerId, observed: IpAddr, request: &Request) -> Answer {
        let answer = self.decide(peer, observed, request);
        if matches!(answer, Answer::Leased(_)) {
            self.dial_if_due(&peer, matches!(request, Request::Register(_)));
        }
        answer
    }

    fn decide(&self, peer: PeerId, observed: IpAddr, request: &Request) -> Answer {
        let now = self.began.elapsed();
        let observed = observed.to_canonical();
        let mut state = self.state();
        let State { swarm, table, pace, dice, tickets, guarding, .. } = &mut *state;
        if let Err(wait) = pace.take(now, observed) {
            return refused("too many requests come from your address", wait);
        }
        let caller = Caller { peer, observed, place: table.place_of(observed) };
        let ticketed = |swarm: &Swarm, lease: Lease| {
            let ticket = tickets.zip(swarm.mark(&peer));
            let ticket = ticket.and_then(|(tickets, mark)| tickets.ticket(&peer, observed, mark));
            Answer::Leased(Lease { ticket, ..lease })
        };
        match request {
            Request::Register(registration) => {
                let registration = match guarding.held(&registration.holdings) {
                    Cow::Borrowed(_) => Cow::Borrowed(registration),
                    Cow::Owned(holdings) => Cow::Owned(Registration { holdings, ..registration.clone() }),
                };
                match swarm.register(now, &caller, &registration, dice) {
                    Some(lease) => ticketed(swarm, lease),
                    None => refused("this tracker remembers as many nodes as it may", FULL),
                }
            }
            Request::Renew(renewal) => {
                let renewal = match guarding.held(&renewal.held) {
                    Cow::Borrowed(_) => Cow::Borrowed(renewal),
                    Cow::Owned(held) => Cow::Owned(Renewal { held, ..renewal.clone() }),
                };
                let lease = swarm.renew(now, &caller, &renewal, dice);
                lease.map_or(Answer::Unknown, |lease| ticketed(swarm, lease))
            }
            Request::Withdraw => {
                swarm.withdraw(now, &peer);
                Answer::Withdrawn
            }
            Request::Find(find) => match guarding.find(find, &peer, |id| swarm.is_held(id)) {
                Ok(resource) => guarding.found(find, swarm.find(now, &caller, &resource, find.stalled, dice)),
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
                    Err(denied) => return denied,
                };
                let there = address.parse::<IpAddr>().ok().map(|address| {
                    let observed = address.to_canonical();
                    Caller { peer, observed, place: table.place_of(observed) }
                });
                let list = there.and_then(|there| swarm.find_for(now, &caller, &there, &resource, dice));
                match list {
                    Some(list) => Answer::Found(list),
                    None => refused("only a publisher of the film asks on another's behalf", Duration::ZERO),
                }
            }
            Request::Resolve { url } => Answer::Resolved(swarm.resolve(now, url)),
            Request::Claim(claims) => match swarm.claim(now, &peer, claims) {
                true => Answer::Claimed,
                false => refused("only a registered publisher claims URLs", Duration::ZERO),
            },
        }
    }

    /// From now on leases come with a ticket for renewals by datagram at these sockets, each of which has
    /// to be served by [`Server::renew_by_datagram`] with the same secret. Whoever knows the secret can renew
    /// in anyone's name; kept from one start to the next, it spares everyone a new ticket.
    pub fn give_tickets(&self, secret: [u8; 32], sockets: &[UdpSocket]) {
        self.state().tickets = Some(Tickets::new(secret, sockets));
    }

    /// Datagrams that came so far.
    pub fn datagrams(&self) -> Tally {
        self.state().datagrams
    }

    pub(crate) fn note_datagrams(&self, more: Tally) {
        let tally = &mut self.state().datagrams;
        tally.answered += more.answered;
        tally.bad += more.bad;
    }

    /// Counts renewals whose senders are proved, all at one time.
    pub(crate) fn renew_all<'a>(
        &self,
        renewals: impl Iterator<Item = Renewing<'a>>,
        answers: &mut Vec<renewal::Answer>,
    ) {
        answers.clear();
        let now = self.began.elapsed();
        let mut state = self.state();
        let State { swarm, dice, dial_back, .. } = &mut *state;
        answers.extend(renewals.map(|(observed, renewal)| {
            let answer = swarm.renew_marked(now, observed, renewal, dice);
            if let Some(dial_back) = dial_back.as_mut().filter(|_| answer.outcome == Outcome::Renewed) {
                dial_back.dial_if_due(swarm, now, &Identity::Ed25519(renewal.node), false);
            }
            answer
        }));
    }

    /// The time that the memory goes by.
    pub(crate) fn now(&self, _: &State) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(reason: &str, retry_after: Duration) -> Answer {
    // Rounded up: whoever waits as long as told is let in.
    let retry_after_ms = u32::try_from(retry_after.as_micros().div_ceil(1000)).unwrap_or(u32::MAX);
    Answer::Refused { reason: reason.into(), retry_after_ms }
}

#[cfg(test)]
mod tests {
    use nearcast_protocol::{
        ResourceId, Role,
        tracker::{Holding, Medium, Reach},
    };

    use super::*;
    use crate::rules::Rules;

    #[test]
    fn a_flood_is_refused_and_told_how_long_to_wait() {
        let server = Server::new(Swarm::new(Rules::default()), GroupTable::default());
        let (peer, address) = (PeerId::random(), "203.0.113.1".parse().unwrap());
        let count = Request::Count(ResourceId::from_bytes([1; 32]));
        let refused = (0..100_000).find_map(|_| match server.answer(peer, address, &count) {
            Answer::Refused { retry_after_ms, .. } => Some(retry_after_ms),
            _ => None,
        });
        assert!(refused.is_some_and(|wait| (1..1_000).contains(&wait)), "{refused:?}");
        let other = "203.0.113.2".parse().unwrap();
        assert!(matches!(server.answer(PeerId::random(), other, &count), Answer::Counted(_)));
    }

    #[test]
    fn calls_are_answered_while_a_new_table_is_taken_in() {
        let server = Server::new(Swarm::new(Rules::default()), GroupTable::default());
        let film = ResourceId::from_bytes([1; 32]);
        let holding = Holding { resource: film, permille: 1000, guard: None };
        let registration = Registration {
            version: String::new(),
            role: Role::Terminal,
            tcp_port: 1,
            quic_port: 0,
            reach: Reach::Unknown,
            medium: Medium::Unknown,
            local: Vec::new(),
            holdings: vec![holding],
            spare_upload: 0,
        };
        let register = Request::Register(registration);
        const NODES: u32 = 20_000;
        for node in 0..NODES {
            let address = IpAddr::V4((0x0a00_0000 + node).into());
            assert!(matches!(server.answer(PeerId::random(), address, &register), Answer::Leased(_)));
        }
        let table = GroupTable::parse("10.0.0.0/8,7\n").unwrap();
        let taking_in = std::thread::spawn({
            let server = server.clone();
            move || server.set_table(table)
        });
        // Addresses vary, so that the pace allows it.
        let counts = |call: u32| {
            let address = IpAddr::V4((0x0a80_0000 + call).into());
            match server.answer(PeerId::random(), address, &Request::Count(film)) {
                Answer::Counted(counts) => (counts.in_group, counts.outside),
                other => panic!("{other:?}"),
            }
        };
        let (mut answered, mut before) = (0, 0);
        while !taking_in.is_finished() {
            let (inside, outside) = counts(answered);
            assert!(inside + outside == NODES && inside >= before, "nobody is lost: {inside} and {outside}");
            (answered, before) = (answered + 1, inside);
        }
        taking_in.join().unwrap();
        assert_eq!(counts(answered), (NODES, 0));
        assert!(answered > 5, "only {answered} calls were answered meanwhile");
    }

    #[test]
    fn strangers_are_told_so() {
        let server = Server::new(Swarm::new(Rules::default()), GroupTable::default());
        let (peer, address) = (PeerId::random(), "203.0.113.1".parse().unwrap());
        assert_eq!(server.answer(peer, address, &Request::Renew(Renewal::default())), Answer::Unknown);
        assert_eq!(server.answer(peer, address, &Request::Withdraw), Answer::Withdrawn);
        let claim = server.answer(peer, address, &Request::Claim(Vec::new()));
        assert!(matches!(claim, Answer::Refused { retry_after_ms: 0, .. }));
        let resolve = Request::Resolve { url: "https://films.example/".into() };
        assert_eq!(server.answer(peer, address, &resolve), Answer::Resolved(Vec::new()));
        assert!(server.received().is_empty());
    }
}
