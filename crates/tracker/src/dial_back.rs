//! Whether a node can be dialled from outside (R1): the tracker dials the observed address and the registered port.
//!
//! It can't be used to look for open ports or to flood anybody. Only the address that the node's own connection
//! came from is dialled, the one port that it registered, and nothing is sent beyond the handshake. So many nodes
//! are dialled at once, so many of one /24 or /48 in a time, each once in a lease if it is reached and once in half
//! of one if it isn't; who would have to wait for long isn't dialled at all until it renews.
//!
//! Whoever couldn't dial a node that was listed says so, and it is dialled again soon: most nodes that go don't say it.
//! One that refuses connections is gone; one that is silent may be busy, and has to be so twice.
//!
//! The dial comes from a new port, so address translation lets it in only if it lets in everyone: a forwarded port,
//! or a mapping that anyone may use. Others reach such a node just as well. Only one that lets in every port of an
//! address that was once called may let the tracker in alone; that node is listed, as it would be without dialling.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use multiaddr::Protocol;
use nearcast_network::{Dialler, Unreached};
use nearcast_protocol::{Multiaddr, PeerId};
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    dialled::Target,
    identity::Identity,
    prefix::Prefix,
    server::{Server, State},
    swarm::Swarm,
};

/// Nodes dialled at once. Each that says nothing holds its place for [`WITHIN`].
const AT_ONCE: usize = 64;
/// Nodes that wait to be dialled: a minute's worth if none of them answers. The newest are turned away.
const WAITING: usize = 1024;
/// A connection that isn't there after two lost packets, handshake included, isn't one to recommend.
const WITHIN: Duration = Duration::from_secs(4);
/// Nodes of one prefix that may be dialled at one time: a campus that comes back from a power failure.
const BURST: f64 = 64.0;
/// Nodes of one prefix a second in the long run.
const RATE: f64 = 4.0;
/// Prefixes that are remembered. Beyond them no new one is dialled until others are full again.
const REMEMBERED: usize = 100_000;
/// Looking through them all takes milliseconds.
const TIDY: Duration = Duration::from_secs(1);
/// A node that somebody couldn't dial is dialled again no more often than this.
const AGAIN: Duration = Duration::from_secs(15);
/// So long it is remembered that it was silent.
const SILENT: Duration = Duration::from_secs(120);
/// Nodes that were dialled again and are remembered.
const DOUBTED: usize = 10_000;

/// What came of dialling nodes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Nodes that proved their identity.
    pub reachable: u64,
    /// Nodes that didn't.
    pub unreachable: u64,
    /// Nodes that weren't dialled since too many were, or about whom dialling showed nothing.
    pub dropped: u64,
    /// Nodes that wait to be dialled at this moment.
    pub waiting: u64,
}

/// Who waits to be dialled, and how many of each prefix may be.
pub(crate) struct DialBack {
    queue: mpsc::Sender<Target>,
    paces: Paces,
    doubts: HashMap<PeerId, Doubt>,
    pub tally: Tally,
}

/// A node that was dialled again.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    at: Duration,
    silent: bool,
}

impl DialBack {
    fn new(queue: mpsc::Sender<Target>) -> Self {
        Self { queue, paces: Paces::default(), doubts: HashMap::new(), tally: Tally::default() }
    }

    /// Has a node dialled that somebody couldn't dial, if it wasn't just now and there is room.
    pub fn look_again(&mut self, swarm: &mut Swarm, now: Duration, peer: &PeerId) {
        let before = self.doubts.get(peer).filter(|doubt| now < doubt.at + SILENT).copied();
        if before.is_some_and(|doubt| now < doubt.at + AGAIN) {
            return;
        }
        if self.doubts.len() >= DOUBTED && before.is_none() {
            self.doubts.retain(|_, doubt| now < doubt.at + AGAIN);
            if self.doubts.len() >= DOUBTED {
                return;
            }
        }
        if let Some(target) = swarm.doubted(peer).and_then(|target| self.admit(now, target)) {
            swarm.dialling(now, &target.peer);
            let silent = before.is_some_and(|doubt| doubt.silent);
            self.doubts.insert(*peer, Doubt { at: now, silent });
        }
    }

    /// What an outcome says of a node: reached, not reached, or nothing.
    fn verdict(&mut self, target: &Target, outcome: &Result<(), Unreached>) -> Option<bool> {
        match outcome {
            Ok(()) => {
                self.doubts.get_mut(&target.peer).into_iter().for_each(|doubt| doubt.silent = false);
                Some(true)
            }
            Err(Unreached::Here(_)) => None,
            Err(Unreached::Unanswered(_)) if target.again => match self.doubts.get_mut(&target.peer) {
                Some(doubt) if !doubt.silent => {
                    doubt.silent = true;
                    None
                }
                _ => Some(false),
            },
            Err(_) => Some(false),
        }
    }

    /// Has a node dialled that has just been given a lease, if it is time to and there is room.
    pub fn dial_if_due(&mut self, swarm: &mut Swarm, now: Duration, node: &Identity, registering: bool) {
        let due = swarm.due(now, node, registering);
        if let Some(target) = due.and_then(|target| self.admit(now, target)) {
            swarm.dialling(now, &target.peer);
        }
    }

    /// `None` if it can't be dialled now.
    fn admit(&mut self, now: Duration, target: Target) -> Option<Target> {
        // The room comes first: nobody loses his turn for want of it.
        let room = self.queue.try_reserve().ok();
        let room = room.filter(|_| self.paces.take(now, target.observed));
        match room {
            Some(room) => {
                room.send(target);
                Some(target)
            }
            None => {
                self.tally.dropped += 1;
                None
            }
        }
    }
}

/// A token bucket for each prefix.
#[derive(Debug, Default)]
struct Paces {
    buckets: HashMap<Prefix, (f64, Duration)>,
    /// When those that are full again were last forgotten.
    tidied: Duration,
}

impl Paces {
    fn take(&mut self, now: Duration, address: IpAddr) -> bool {
        let prefix = Prefix::of(address);
        let left = |(left, since): (f64, Duration)| {
            (left + now.saturating_sub(since).as_secs_f64() * RATE).min(BURST)
        };
        if self.buckets.len() >= REMEMBERED && !self.buckets.contains_key(&prefix) {
            if now >= self.tidied + TIDY {
                self.tidied = now;
                self.buckets.retain(|_, bucket| left(*bucket) < BURST);
            }
            if self.buckets.len() >= REMEMBERED {
                return false;
            }
        }
        let bucket = self.buckets.entry(prefix).or_insert((BURST, now));
        let filled = left(*bucket);
        let enough = filled >= 1.0;
        *bucket = (if enough { filled - 1.0 } else { filled }, now);
        enough
    }
}

impl Server {
    /// From now on finds out whether the nodes that register and renew can be dialled, as long as what this
    /// returns runs. Until a node is dialled, and if nobody is, it counts as reachable.
    pub fn dial_back(&self, dialler: Dialler) -> impl Future<Output = ()> + Send + use<> {
        let (queue, waiting) = mpsc::channel(WAITING);
        self.state().dial_back = Some(DialBack::new(queue));
        self.clone().dial_all(dialler, waiting)
    }

    async fn dial_all(self, dialler: Dialler, mut waiting: mpsc::Receiver<Target>) {
        let dialler = Arc::new(dialler);
        let mut dialling = JoinSet::new();
        loop {
            tokio::select! {
                target = waiting.recv(), if dialling.len() < AT_ONCE => {
                    // Another task does this from now on.
                    let Some(target) = target else { break };
                    let dialler = dialler.clone();
                    dialling.spawn(async move { (target, dial(&dialler, &target).await) });
                }
                Some(dialled) = dialling.join_next() => {
                    if let Ok((target, outcome)) = dialled {
                        self.note_dialled(&target, outcome);
                    }
                }
            }
        }
    }

    /// What came of dialling nodes so far.
    pub fn dialled_back(&self) -> Tally {
        let state = self.state();
        let Some(DialBack { queue, tally, .. }) = &state.dial_back else { return Tally::default() };
        Tally { waiting: (queue.max_capacity() - queue.capacity()) as u64, ..*tally }
    }

    pub(crate) fn dial_if_due(&self, peer: &PeerId, registering: bool) {
        let mut state = self.state();
        let now = self.now(&state);
        let State { swarm, dial_back, .. } = &mut *state;
        if let Some(dial_back) = dial_back {
            dial_back.dial_if_due(swarm, now, &Identity::of(peer), registering);
        }
    }

    fn note_dialled(&self, target: &Target, outcome: Result<(), Unreached>) {
        let mut state = self.state();
        let now = self.now(&state);
        let reached = state.dial_back.as_mut().and_then(|dial_back| dial_back.verdict(target, &outcome));
        if let Some(reached) = reached {
            state.swarm.set_reached(now, &target.peer, target.observed, target.port, reached);
        }
        if let Some(DialBack { tally, .. }) = &mut state.dial_back {
            match reached {
                Some(true) => tally.reachable += 1,
                Some(false) => tally.unreachable += 1,
                None => tally.dropped += 1,
            }
        }
        drop(state);
        if let Err(unreached) = outcome {
            tracing::debug!(peer = %target.peer, %unreached, "a node can't be dialled");
        }
    }
}

async fn dial(dialler: &Dialler, target: &Target) -> Result<(), Unreached> {
    let address = Multiaddr::from(target.observed);
    let address = match target.quic {
        true => address.with(Protocol::Udp(target.port)).with(Protocol::QuicV1),
        false => address.with(Protocol::Tcp(target.port)),
    };
    dialler.reach(&address, target.peer, WITHIN).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(address: [u8; 4]) -> Target {
        Target { peer: PeerId::random(), observed: address.into(), port: 4400, quic: false, again: false }
    }

    #[test]
    fn a_prefix_has_its_pace_and_its_neighbour_another() {
        let (mut paces, now) = (Paces::default(), Duration::from_secs(9));
        let mut taken = |now, third: u8| {
            (0..1000u32).filter(|at| paces.take(now, [203, 0, third, *at as u8].into())).count()
        };
        assert_eq!(taken(now, 113), BURST as usize);
        assert_eq!(taken(now, 114), BURST as usize);
        assert_eq!(taken(now + Duration::from_secs(2), 113), 2 * RATE as usize);
        let six = |last: u16| IpAddr::from([0x2001, 0xdb8, 1, last, 0, 0, 0, 1]);
        let taken = (0..1000).filter(|last| paces.take(now, six(*last))).count();
        assert_eq!(taken, BURST as usize);
    }

    #[test]
    fn the_prefixes_remembered_are_bounded() {
        let (mut paces, now) = (Paces::default(), Duration::from_secs(9));
        let address = |number: u32| IpAddr::from((number << 8).to_be_bytes());
        let taken = (0..2 * REMEMBERED as u32).filter(|number| paces.take(now, address(*number))).count();
        assert_eq!((taken, paces.buckets.len()), (REMEMBERED, REMEMBERED));
        assert!(paces.take(now + Duration::from_secs(60), address(u32::MAX >> 8)));
        assert_eq!(paces.buckets.len(), 1);
    }

    #[test]
    fn who_is_doubted_has_to_be_silent_twice_or_refuse_once() {
        let (queue, _waiting) = mpsc::channel(2);
        let mut dial_back = DialBack::new(queue);
        let target = Target { again: true, ..target([203, 0, 113, 9]) };
        let doubt = Doubt { at: Duration::ZERO, silent: false };
        let silence = || Err(Unreached::Unanswered("nothing came of it".into()));
        dial_back.doubts.insert(target.peer, doubt);
        let mut verdict = |outcome| dial_back.verdict(&target, &outcome);
        assert_eq!(verdict(silence()), None);
        assert_eq!(verdict(Ok(())), Some(true));
        assert_eq!(verdict(silence()), None, "it was there in between");
        assert_eq!(verdict(silence()), Some(false));
        assert_eq!(verdict(Err(Unreached::Refused)), Some(false));
        assert_eq!(verdict(Err(Unreached::Here("no socket".into()))), None);
        // One that registers is judged at once.
        let first = Target { again: false, ..target };
        assert_eq!(dial_back.verdict(&first, &silence()), Some(false));
    }

    #[test]
    fn the_newest_are_turned_away_and_lose_nothing() {
        let (queue, mut waiting) = mpsc::channel(2);
        let mut dial_back = DialBack::new(queue);
        let now = Duration::from_secs(9);
        let targets: Vec<_> = (0..4).map(|last| target([203, 0, 113, last])).collect();
        let admitted = |dial_back: &mut DialBack| {
            targets.iter().map(|target| dial_back.admit(now, *target).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(admitted(&mut dial_back), [true, true, false, false]);
        assert_eq!(dial_back.tally.dropped, 2);
        assert_eq!(waiting.try_recv().unwrap(), targets[0]);
        assert_eq!(dial_back.admit(now, targets[3]), Some(targets[3]));
    }
}
