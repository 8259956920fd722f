//! Calls in, answers out: the tracker's acquisition and sending parts.

mod upkeep;

use std::{
    borrow::Cow,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use nearcast_network::TrackerCall;
use nearcast_protocol::{
    Guard, PeerId, TokenError,
    tracker::{Answer, Find, Holding, Lease, Registration, Renewal, Request},
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use crate::{
    access::{Access, NotTracked},
    datagrams::Tickets,
    dial_back::DialBack,
    group_table::GroupTable,
    guarding::Guarding,
    limits::Limits,
    metrics::{Metrics, Refusal, resident},
    pace::Pace,
    rules::Rules,
    swarm::{Caller, Swarm},
};

pub(crate) use upkeep::BREATH;

/// When to try again at a tracker that is full: leases run out all the time.
const FULL: Duration = Duration::from_secs(600);

/// How often leases that have run out are looked for, if nobody calls.
const TIDY: Duration = Duration::from_millis(100);
/// How often the process's memory is looked at.
const WEIGH: Duration = Duration::from_secs(1);
/// Questions whether the server still answers that may wait: the page's and the system's.
const PROBES: usize = 8;

/// A tracker at work; a clone is the same tracker.
#[derive(Clone)]
pub struct Server {
    state: Arc<Mutex<State>>,
    began: Instant,
    metrics: Arc<Metrics>,
    probes: mpsc::Sender<oneshot::Sender<()>>,
    probed: Arc<Mutex<Option<mpsc::Receiver<oneshot::Sender<()>>>>>,
    /// Held by whoever saves.
    pub(crate) saving: Arc<Mutex<()>>,
    /// Whether whoever saves waits for nobody.
    pub(crate) hurried: Arc<AtomicBool>,
}

pub(crate) struct State {
    pub(crate) swarm: Swarm,
    pub(crate) table: Arc<GroupTable>,
    pub(crate) access: Arc<Access>,
    pace: Pace,
    pub(crate) dice: StdRng,
    /// As the operator set them; the swarm's are narrower while the memory is full.
    pub(crate) rules: Rules,
    limits: Limits,
    crowded: bool,
    /// What the clock showed at the start: after a restart it goes on.
    pub(crate) clock: Duration,
    /// Words that changed what is remembered.
    pub(crate) changes: u64,
    /// If renewals are taken by datagram.
    pub(crate) tickets: Option<Tickets>,
    /// If nodes are dialled.
    pub(crate) dial_back: Option<DialBack>,
    guarding: Guarding,
}

/// Why a request isn't answered as asked.
struct Refused {
    why: Refusal,
    reason: &'static str,
    retry_after: Duration,
}

impl Server {
    /// A tracker with this memory and this table.
    pub fn new(mut swarm: Swarm, table: GroupTable) -> Self {
        swarm.set_distances(table.said().clone());
        let rules = swarm.rules;
        let state = State {
            swarm,
            table: Arc::new(table),
            access: Arc::default(),
            pace: Pace::default(),
            dice: StdRng::from_os_rng(),
            rules,
            limits: Limits::default(),
            crowded: false,
            clock: Duration::ZERO,
            changes: 0,
            tickets: None,
            dial_back: None,
            guarding: Guarding::default(),
        };
        let (probes, probed) = mpsc::channel(PROBES);
        Self {
            state: Arc::new(Mutex::new(state)),
            began: Instant::now(),
            metrics: Arc::default(),
            probes,
            probed: Arc::new(Mutex::new(Some(probed))),
            saving: Arc::default(),
            hurried: Arc::default(),
        }
    }

    /// Answers calls until there are no more.
    pub async fn run(self, mut calls: mpsc::Receiver<TrackerCall>) {
        let mut tidy = interval(TIDY);
        tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut weigh = interval(WEIGH);
        weigh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let probed = self.probed.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A second run of the same tracker isn't probed.
        let mut probed = probed.unwrap_or_else(|| mpsc::channel(1).1);
        loop {
            tokio::select! {
                call = calls.recv() => {
                    let Some(call) = call else { break };
                    let answer = self.answer(call.peer, call.observed, &call.request);
                    call.answer(answer);
                }
                // So that whoever calls after a silence doesn't wait until all the dead are forgotten.
                _ = tidy.tick() => self.expire(),
                _ = weigh.tick() => self.weigh(resident()),
                Some(probe) = probed.recv() => drop(probe.send(())),
            }
        }
    }

    /// Whether the task that answers calls is there and comes round to it in time.
    pub async fn responds(&self, within: Duration) -> bool {
        let (probe, heard) = oneshot::channel();
        let heard = async { self.probes.send(probe).await.is_ok() && heard.await.is_ok() };
        timeout(within, heard).await.unwrap_or(false)
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// How often somebody was refused a protected resource, for want of a good token.
    pub fn denied(&self) -> u64 {
        self.state().guarding.denied()
    }

    /// Answers one request.
    pub fn answer(&self, peer: PeerId, observed: IpAddr, request: &Request) -> Answer {
        let began = std::time::Instant::now();
        self.metrics.request(request);
        let answer = self.decide(peer, observed, request).unwrap_or_else(|refused| {
            self.metrics.refusal(refused.why, 1);
            refused.answer()
        });
        match &answer {
            Answer::Leased(_) => self.dial_if_due(&peer, matches!(request, Request::Register(_))),
            Answer::Found(list) => self.metrics.list(list),
            Answer::Denied { .. } => self.metrics.refusal(Refusal::Token, 1),
            _ => {}
        }
        self.metrics.took(began.elapsed());
        answer
    }

    fn decide(&self, peer: PeerId, observed: IpAddr, request: &Request) -> Result<Answer, Refused> {
        let observed = observed.to_canonical();
        let mut state = self.state();
        let now = self.now(&state);
        let State { swarm, table, access, pace, dice, crowded, changes, tickets, guarding, .. } = &mut *state;
        if access.denies_node(&peer, observed) {
            return Err(Refused::for_good(Refusal::Denied, "this tracker doesn't serve you"));
        }
        if let Err(wait) = pace.take(now, observed) {
            return Err(Refused::for_now(Refusal::Pace, "too many requests come from your address", wait));
        }
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
            let own = Guard::of(&peer).map(|guard| guard.swarm_of(resource));
            let held = swarm.holds(&peer, resource) || own.is_some_and(|own| swarm.holds(&peer, &own));
            if !held && let Err(wait) = pace.ask(now, &peer, observed, resource) {
                let reason = "too many different films are asked for";
                return Err(Refused::for_now(Refusal::Distinct, reason, wait));
            }
        }
        *changes += 1;
        let ticketed = |swarm: &Swarm, lease: Lease| {
            let ticket = tickets.zip(swarm.mark(&peer));
            let ticket = ticket.and_then(|(tickets, mark)| tickets.ticket(&peer, observed, mark));
            Answer::Leased(Lease { ticket, ..lease })
        };
        Ok(match request {
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
                    Err(denied) => return Ok(denied),
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
        })
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

    pub(crate) fn now(&self, state: &State) -> Duration {
        state.clock + self.began.elapsed()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refused {
    /// Asking again makes sense after a wait.
    fn for_now(why: Refusal, reason: &'static str, retry_after: Duration) -> Self {
        Self { why, reason, retry_after }
    }

    /// Asking again makes no sense.
    fn for_good(why: Refusal, reason: &'static str) -> Self {
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

    fn answer(self) -> Answer {
        // Rounded up: whoever waits as long as told is let in.
        let retry_after_ms = u32::try_from(self.retry_after.as_micros().div_ceil(1000)).unwrap_or(u32::MAX);
        Answer::Refused { reason: self.reason.into(), retry_after_ms }
    }
}

#[cfg(test)]
mod tests {
    use nearcast_protocol::{
        ResourceId, Role,
        tracker::{Claim, Medium, Reach, Received},
    };

    use super::*;

    fn register(films: &[ResourceId]) -> Request {
        let holding = |film: &ResourceId| Holding { resource: *film, permille: 1000, guard: None };
        Request::Register(Registration {
            version: String::new(),
            role: Role::Terminal,
            tcp_port: 1,
            quic_port: 0,
            reach: Reach::Unknown,
            medium: Medium::Unknown,
            local: Vec::new(),
            holdings: films.iter().map(holding).collect(),
            spare_upload: 0,
        })
    }

    fn film(byte: u8) -> ResourceId {
        ResourceId::from_bytes([byte; 32])
    }

    fn find(film: ResourceId) -> Request {
        Request::Find(Find { resource: film, token: None, stalled: false })
    }

    fn counted(server: &Server, line: &str) {
        let text = server.prometheus();
        assert!(text.lines().any(|there| there == format!("nearcast_tracker_{line}")), "{line}:\n{text}");
    }

    #[track_caller]
    fn refused(answer: Answer, told: &str) {
        match answer {
            Answer::Refused { reason, .. } => assert!(reason.contains(told), "{reason}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_isn_t_tracked_is_refused_and_not_remembered() {
        let server = Server::new(Swarm::new(Rules::default()), GroupTable::default());
        let mut access = Access::default();
        access.list(&format!("{}\n{}\n", film(1), film(2))).unwrap();
        access.deny(&film(2).to_string()).unwrap();
        server.set_access(access);
        let (peer, address) = (PeerId::random(), "203.0.113.1".parse().unwrap());
        refused(server.answer(peer, address, &register(&[film(3)])), "isn't on its list");
        refused(server.answer(peer, address, &find(film(3))), "isn't on its list");
        refused(server.answer(peer, address, &Request::Count(film(2))), "doesn't track that film");
        let answer = server.answer(peer, address, &register(&[film(1), film(2), film(3)]));
        assert!(matches!(answer, Answer::Leased(_)));
        assert_eq!(server.extent().holdings, 1);
        let more = Holding { resource: film(3), permille: 5, guard: None };
        let renewal = Request::Renew(Renewal { held: vec![more], ..Renewal::default() });
        assert!(matches!(server.answer(peer, address, &renewal), Answer::Leased(_)));
        assert_eq!(server.extent().holdings, 1);
        counted(&server, "refusals_total{reason=\"not_listed\"} 5");
        counted(&server, "refusals_total{reason=\"denied_film\"} 2");
    }

    #[test]
    fn whoever_is_denied_while_registered_is_forgotten() {
        let server = Server::new(Swarm::new(Rules::default()), GroupTable::default());
        let (by_peer, by_address, stays) = (PeerId::random(), PeerId::random(), PeerId::random());
        let (one, other): (IpAddr, IpAddr) =
            ("203.0.113.1".parse().unwrap(), "198.51.100.1".parse().unwrap());
        for (peer, address) in [(by_peer, other), (by_address, one), (stays, other)] {
            let answer = server.answer(peer, address, &register(&[film(1), film(2)]));
            assert!(matches!(answer, Answer::Leased(_)));
        }
        let mut access = Access::default();
        access.deny(&format!("{by_peer}\n203.0.113.0/24\n{}\n", film(2))).unwrap();
        server.set_access(access);
        let extent = server.extent();
        assert_eq!((extent.nodes, extent.holdings, extent.resources), (1, 1, 1));
        refused(server.answer(by_peer, other, &Request::Withdraw), "doesn't serve you");
        refused(server.answer(stays, one, &Request::Withdraw), "doesn't serve you");
        counted(&server, "refusals_total{reason=\"denied\"} 2");
        let renewal = Request::Renew(Renewal::default());
        assert!(matches!(server.answer(stays, other, &renewal), Answer::Leased(_)));
    }

    #[test]
    fn above_the_memory_bound_questions_are_answered_and_nothing_is_added() {
        let server = Server::new(Swarm::new(Rules::default()), GroupTable::default());
        server.set_limits(Limits { memory: 1_000, ..Limits::default() });
        let (peer, address) = (PeerId::random(), "203.0.113.1".parse().unwrap());
        assert!(matches!(server.answer(peer, address, &register(&[film(1)])), Answer::Leased(_)));
        server.weigh(1_001);
        let other = PeerId::random();
        refused(server.answer(other, address, &register(&[film(1)])), "no memory left for more nodes");
        let Answer::Found(list) = server.answer(other, address, &find(film(1))) else { panic!() };
        assert_eq!(list.peers.len(), 1);
        // Who is known may stay, but holds no more than it did.
        assert!(matches!(server.answer(peer, address, &register(&[film(1), film(2)])), Answer::Leased(_)));
        assert_eq!(server.extent().holdings, 1);
        refused(server.answer(peer, address, &Request::Claim(Vec::<Claim>::new())), "no memory left");
        assert!(server.extent().crowded);
        // Its place is another's when it goes, whatever the process gives back to the system.
        server.answer(peer, address, &Request::Withdraw);
        assert!(matches!(server.answer(other, address, &register(&[film(1)])), Answer::Leased(_)));
        // Other rules don't lift it; less memory does.
        server.set_rules(Rules::default());
        refused(server.answer(peer, address, &register(&[film(1)])), "no memory left for more nodes");
        server.weigh(940);
        assert!(matches!(server.answer(peer, address, &register(&[film(1)])), Answer::Leased(_)));
        counted(&server, "refusals_total{reason=\"memory\"} 3");
    }

    #[test]
    fn a_network_has_so_many_nodes_and_no_more() {
        let rules = Rules { per_prefix: 3, ..Rules::default() };
        let server = Server::new(Swarm::new(rules), GroupTable::default());
        let address = |last: u8| IpAddr::from([203, 0, 113, last]);
        let peers: Vec<_> = (0..4).map(|_| PeerId::random()).collect();
        for (last, peer) in peers.iter().take(3).enumerate() {
            let answer = server.answer(*peer, address(last as u8), &register(&[film(1)]));
            assert!(matches!(answer, Answer::Leased(_)));
        }
        refused(server.answer(peers[3], address(9), &register(&[film(1)])), "nodes of your network");
        // One that is known may come again, from another address of the network too.
        assert!(matches!(server.answer(peers[0], address(7), &register(&[film(1)])), Answer::Leased(_)));
        let elsewhere = IpAddr::from([203, 0, 114, 1]);
        assert!(matches!(server.answer(peers[3], elsewhere, &register(&[film(1)])), Answer::Leased(_)));
        server.answer(peers[1], address(1), &Request::Withdraw);
        assert!(matches!(server.answer(peers[3], address(9), &register(&[film(1)])), Answer::Leased(_)));
        counted(&server, "refusals_total{reason=\"prefix\"} 1");
    }

    #[test]
    fn absurd_reports_count_as_such_alone() {
        let table = GroupTable::parse("203.0.113.0/24,7\n").unwrap();
        let server = Server::new(Swarm::new(Rules::default()), table);
        let (peer, address) = (PeerId::random(), "203.0.113.1".parse().unwrap());
        server.answer(peer, address, &register(&[film(1)]));
        for own_group in [u64::MAX, 2_000_000_000, 5] {
            let received =
                Received { own_group, other_groups: u64::MAX * (own_group / u64::MAX), publishers: 0 };
            let renewal = Request::Renew(Renewal { received, ..Renewal::default() });
            assert!(matches!(server.answer(peer, address, &renewal), Answer::Leased(_)));
        }
        counted(&server, "refusals_total{reason=\"report\"} 2");
        counted(&server, "received_bytes_total{from=\"own_group\"} 5");
        counted(&server, "network_received_bytes_total{group=\"7\",name=\"\",from=\"own_group\"} 5");
    }

    #[tokio::test]
    async fn it_says_whether_it_still_answers() {
        let server = Server::new(Swarm::new(Rules::default()), GroupTable::default());
        let (calls, taken) = mpsc::channel(1);
        assert!(!server.responds(Duration::from_millis(1)).await);
        let running = tokio::spawn(server.clone().run(taken));
        assert!(server.responds(Duration::from_secs(60)).await);
        drop(calls);
        running.await.unwrap();
        assert!(!server.responds(Duration::from_secs(60)).await);
    }

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
        let register = register(&[film]);
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
