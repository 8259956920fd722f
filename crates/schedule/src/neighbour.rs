//! What is known of one connected peer.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use nearcast_protocol::{Blocks, Group, Role, pieces::MAX_FRAGMENT};

use crate::{
    film::RequestId,
    import::Imports,
    rate::{Rate, bytes_in, time_for},
};

/// The tier of what isn't a peer: dearer than all who are.
pub(crate) const WEB: usize = 4;
/// Believed of a peer's round trip until one was seen.
const LATENCY: Duration = Duration::from_millis(50);
/// Nobody is given up for a shorter silence.
const PATIENCE: Duration = Duration::from_secs(2);
/// What verifying and storing an answer may take; a busy disk is no fault of the peer's.
const VERDICT: Duration = Duration::from_millis(500);
/// No more than this lies in the queues between a peer and here, where no cancel reaches it.
const COMMITTED: u64 = 192 * 1024;
const FIRST_BENCH: Duration = Duration::from_secs(1);
const MOST_DOUBT: Duration = Duration::from_secs(10);
const LONGEST_BENCH: Duration = Duration::from_secs(60);

/// A request on its way.
#[derive(Debug, Clone)]
pub(crate) struct InFlight {
    pub(crate) blocks: Range<u64>,
    /// The bytes of its blocks.
    pub(crate) bytes: u64,
    /// The payload bytes that have come: a little more than `bytes` in the end, for the hashes.
    pub(crate) received: u64,
    pub(crate) asked: Duration,
    /// How long it was going to take, with all that was queued before it.
    pub(crate) expected: Duration,
    /// When something of it came last, or else when it was asked for.
    pub(crate) touched: Duration,
}

impl InFlight {
    pub(crate) fn remaining(&self) -> u64 {
        self.bytes.saturating_sub(self.received)
    }

    /// Whether all has come, and only the verdict is missing.
    pub(crate) fn has_come(&self) -> bool {
        self.remaining() == 0
    }

    pub(crate) fn is_nearly_there(&self) -> bool {
        self.received.saturating_mul(5) >= self.bytes.saturating_mul(4)
    }
}

/// Why, and until when, a peer isn't asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bench {
    pub(crate) since: Duration,
    pub(crate) until: Duration,
    /// Whether the peer itself said so: then it is not asked before, even if it is the only one.
    pub(crate) at_its_word: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Neighbour {
    pub(crate) group: Group,
    pub(crate) role: Role,
    pub(crate) local: bool,
    /// Whether it is a web source, which is no peer at all.
    pub(crate) web: bool,
    /// The number that stands for it on every node.
    pub(crate) name: u64,
    /// What it fetches into the group.
    pub(crate) imports: Imports,
    pub(crate) blocks: Blocks,
    pub(crate) requests: BTreeMap<RequestId, InFlight>,
    pub(crate) rate: Rate,
    pub(crate) latency: Duration,
    /// The last sign of life, or when it was last asked after having had nothing to do.
    pub(crate) heard: Duration,
    /// The rate as it was then, in bytes/s: silence must not excuse itself by lowering what is expected.
    rate_when_heard: u64,
    pub(crate) bench: Option<Bench>,
    pub(crate) strikes: u32,
    pub(crate) timeouts: u64,
    /// Verified bytes it gave.
    pub(crate) given: u64,
    /// Breaks ties, differently on every node, so that viewers in the same state don't all ask one peer.
    pub(crate) tie: u64,
    /// When something came last, if work was taken from it since.
    suspect: Option<Duration>,
    /// Set while the next sign of life will tell the round trip.
    asked_when_idle: Option<Duration>,
    /// How many bytes may come yet of what was cancelled, and when the last of it was.
    taken_back: (u64, Duration),
}

impl Neighbour {
    pub(crate) fn new(
        group: Group,
        role: Role,
        local: bool,
        name: u64,
        guess: u64,
        tie: u64,
        now: Duration,
    ) -> Self {
        Self {
            group,
            role,
            local,
            web: false,
            name,
            imports: Imports::default(),
            blocks: Blocks::new(),
            requests: BTreeMap::new(),
            rate: Rate::new(guess, now),
            latency: LATENCY,
            heard: now,
            rate_when_heard: guess,
            bench: None,
            strikes: 0,
            timeouts: 0,
            given: 0,
            tie,
            suspect: None,
            asked_when_idle: None,
            taken_back: (0, now),
        }
    }

    /// How far it is from here: 0 own group's terminals, 1 own group's publishers, 2 other terminals,
    /// 3 other publishers, [`WEB`] for web sources. Leaving the group costs its network; a publisher's upload is dearer than a
    /// terminal's, but not as dear as the border.
    pub(crate) fn tier(&self, own: Group) -> usize {
        if self.web {
            return WEB;
        }
        let outside = !(self.local || self.group.same_network(own));
        2 * usize::from(outside) + usize::from(self.role == Role::Publisher)
    }

    pub(crate) fn is_busy(&self) -> bool {
        !self.requests.is_empty()
    }

    /// Whether anything is to come yet, and not only a verdict on what has.
    fn owes(&self) -> bool {
        self.requests.values().any(|request| !request.has_come())
    }

    pub(crate) fn outstanding(&self) -> u64 {
        self.requests.values().map(InFlight::remaining).sum()
    }

    pub(crate) fn rate(&self, now: Duration) -> u64 {
        self.rate.get(now, self.owes())
    }

    /// How long what was cancelled holds up what is asked for now: the queues on the way are emptied by no cancel.
    pub(crate) fn held_up(&self, now: Duration) -> Duration {
        let (bytes, since) = self.taken_back;
        let rate = self.rate(now);
        time_for(bytes, rate).saturating_sub(now.saturating_sub(since).saturating_sub(self.latency))
    }

    /// A request is cancelled.
    pub(crate) fn take_back(&mut self, now: Duration, request: &InFlight) {
        let before = bytes_in(self.held_up(now), self.rate(now));
        self.taken_back = ((before + request.remaining()).min(COMMITTED), now);
    }

    pub(crate) fn ask(&mut self, now: Duration, request: RequestId, blocks: Range<u64>, bytes: u64) {
        let queue = self.latency + self.held_up(now);
        let expected = queue + time_for(self.outstanding() + bytes, self.rate(now));
        self.rate.pass(now, self.owes(), 0);
        if !self.is_busy() {
            self.hear(now);
            self.asked_when_idle = Some(now + self.held_up(now));
        }
        self.requests
            .insert(request, InFlight { blocks, bytes, received: 0, asked: now, expected, touched: now });
    }

    fn hear(&mut self, now: Duration) {
        self.heard = now;
        self.rate_when_heard = self.rate.get(now, false);
    }

    /// Payload has come, of a request or of what was cancelled and comes all the same.
    pub(crate) fn receive(&mut self, now: Duration, request: RequestId, bytes: u64) {
        let asked = self.asked_when_idle.take_if(|_| self.requests.contains_key(&request));
        if let Some(asked) = asked {
            let rate = self.rate.get(now, false);
            let sample = now.saturating_sub(asked).saturating_sub(time_for(bytes, rate));
            // Down at once, up slowly: a queue somewhere on the way is not the way's length.
            self.latency =
                if sample < self.latency { sample } else { self.latency + (sample - self.latency) / 4 };
        }
        // While nothing is due, nobody knows how long it took.
        let counted = if self.owes() { bytes } else { 0 };
        self.rate.pass(now, self.owes(), counted);
        self.hear(now);
        self.suspect = None;
        if let Some(in_flight) = self.requests.get_mut(&request) {
            // Answers come in their order: it has gone on.
            if in_flight.asked > self.taken_back.1 {
                self.taken_back.0 = 0;
            }
            in_flight.received = in_flight.received.saturating_add(bytes);
            in_flight.touched = now;
        }
    }

    /// Takes a request off the books.
    pub(crate) fn close(&mut self, now: Duration, request: RequestId) -> Option<InFlight> {
        self.rate.pass(now, self.owes(), 0);
        let closed = self.requests.remove(&request);
        if !self.is_busy() {
            self.asked_when_idle = None;
        }
        closed
    }

    /// Excuses a peer from whom all has come while the size is unproved: answers are kept aside until then,
    /// and their verdict isn't late. `last` is the block that proves the size.
    pub(crate) fn excuse_kept_aside(&mut self, now: Duration, last: u64) {
        let kept_aside = |request: &InFlight| request.has_come() && !request.blocks.contains(&last);
        if self.is_busy() && self.requests.values().all(kept_aside) {
            self.excuse(now, Duration::MAX);
        }
    }

    /// Doesn't hold `time` up to now against it.
    pub(crate) fn excuse(&mut self, now: Duration, time: Duration) {
        self.rate.pass(now.saturating_sub(time), self.owes(), 0);
        self.rate.pass(now, false, 0);
        let later = |since: Duration| since.saturating_add(time).min(now);
        self.heard = later(self.heard);
        self.requests.values_mut().for_each(|request| request.touched = later(request.touched));
    }

    /// How long nothing has come although something was due.
    pub(crate) fn silence(&self, now: Duration) -> Duration {
        if self.is_busy() { now.saturating_sub(self.heard) } else { Duration::ZERO }
    }

    /// How long it may take from one sign of life to the next if all is well.
    pub(crate) fn breath(&self) -> Duration {
        let Some(front) = self.requests.values().find(|request| !request.has_come()) else { return VERDICT };
        self.latency + time_for(front.remaining().min(MAX_FRAGMENT as u64), self.rate_when_heard)
    }

    /// Whether it has been silent for suspiciously long.
    pub(crate) fn falters(&self, now: Duration) -> bool {
        self.silence(now) > (self.breath() * 2).max(Duration::from_millis(150))
    }

    /// How much longer than by its rate and queue it may take: as long again as it has been silent. Work that
    /// is due before then goes to others; what is due later shows whether it is back.
    pub(crate) fn doubt(&self, now: Duration) -> Duration {
        let silence = if self.falters(now) { self.silence(now) } else { Duration::ZERO };
        let suspected = self.suspect.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        silence.max(suspected.min(MOST_DOUBT))
    }

    /// Something was taken from it because it was late.
    pub(crate) fn suspect(&mut self, now: Duration) {
        let silent_since = now.saturating_sub(self.silence(now));
        self.suspect.get_or_insert(silent_since);
    }

    /// How long a silence is waited out.
    pub(crate) fn patience(&self) -> Duration {
        PATIENCE.max(self.breath() * 4)
    }

    /// Isn't asked for a while, longer each time until it answers again.
    pub(crate) fn strike(&mut self, now: Duration) {
        let bench = FIRST_BENCH.saturating_mul(1 << self.strikes.min(8)).min(LONGEST_BENCH);
        self.strikes = self.strikes.saturating_add(1);
        self.suspect(now);
        self.rest(now, bench, false);
    }

    /// Isn't asked for this long.
    pub(crate) fn rest(&mut self, now: Duration, time: Duration, at_its_word: bool) {
        let until = now + time;
        // Its word holds even if it gives cause for a longer rest meanwhile.
        let word_holds = self.bench.is_some_and(|bench| bench.at_its_word && bench.until > now);
        if self.bench.is_none_or(|bench| bench.until < until || at_its_word) {
            self.bench = Some(Bench { since: now, until, at_its_word: at_its_word || word_holds });
        }
    }

    /// How long until it may be asked again.
    pub(crate) fn benched_for(&self, now: Duration) -> Duration {
        self.bench.map_or(Duration::ZERO, |bench| bench.until.saturating_sub(now))
    }
}
