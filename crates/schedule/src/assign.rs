//! Who is asked for what.
//!
//! One walk over the lanes, earliest deadline first, gives every run of blocks to the peer that would
//! deliver it soonest (list scheduling). The peer's queue counts with it, in the same unit: what it was
//! asked for, what this walk has given it, its round trip, and how long it isn't to be asked. Where the
//! peer's pipeline has room the run is really requested; where not, it is only charged to the peer, so that
//! a slow peer that is free gets what it can deliver in time and not what a fast one will deliver sooner.
//!
//! libtorrent's time-critical picker (its `request_time_critical_pieces`) is the ancestor. Not taken over:
//! its queue time adds milliseconds to seconds, and it runs once a second.

use std::{ops::Range, time::Duration};

use nearcast_protocol::{
    BLOCK_BYTES, Blocks,
    pieces::{Class, MAX_REQUEST_BLOCKS, MAX_REQUESTS_IN_FLIGHT},
};

use crate::{
    action::Because,
    demand::{GRACE, Lane, Rank},
    film::Peer,
    import::{SEGMENT, Turns, segment_end},
    neighbour::{Neighbour, WEB},
    rate::{bytes_in, time_for},
    schedule::Schedule,
};

/// How much a peer is asked for ahead while somebody watches: what is queued there stands in the way of a
/// seek, and what it has sent already can't be cancelled.
const PIPELINE: Duration = Duration::from_millis(300);
/// While the picture stands still the plan is short: what comes next may be elsewhere.
const PIPELINE_WAITING: Duration = Duration::from_millis(150);
/// And when nobody watches.
const PIPELINE_UNWATCHED: Duration = Duration::from_secs(1);
/// With fewer requests than this it would idle between two answers.
const FEWEST_REQUESTS: usize = 2;
/// No peer needs more in flight: 160 MB/s at a round trip of 100 ms.
const PIPELINE_BYTES: u64 = 16 * 1024 * 1024;
/// All unverified bytes together; anacrolix's bound.
const UNVERIFIED_BYTES: u64 = 64 * 1024 * 1024;
/// And while the size is unproved, when even a good answer must be kept aside.
const UNPROVED_BYTES: u64 = 4 * 1024 * 1024;
/// A peer is not left for a dearer one while it will deliver so much before the deadline.
const SAFETY: Duration = Duration::from_millis(250);
/// What isn't urgent waits this long for a neighbour that is not to be asked now.
const LEISURE: Duration = Duration::from_secs(10);
/// The only peer that has a block is tried again this soon, however often it has failed.
pub(crate) const LAST_RESORT: Duration = Duration::from_secs(2);
/// Runs that are only charged, in one walk: enough for the urgent and the ready window.
const MOST_CHARGES: usize = 256;
/// What the group holds is fetched from outside only if it is due so soon.
const LEAVE: Duration = Duration::from_secs(5);
/// A group member whose rate isn't known yet is hoped to give so many times the film's rate.
const HOPE: u64 = 3;
/// Runs that are left to others of the group, in one walk.
const MOST_LEFT: usize = 96;
const TIERS: usize = WEB + 1;
/// A web source gets what a neighbour has only if that would be late by more than this.
const WEB_GAIN: Duration = Duration::from_millis(250);

/// How long one request should take its peer, and its most bytes.
fn request_size(class: Class, lead: Duration) -> (Duration, u64) {
    match class {
        Class::Urgent if lead < Duration::from_secs(2) => (Duration::from_millis(65), 128 * 1024),
        Class::Urgent | Class::Ready => (Duration::from_millis(130), 256 * 1024),
        Class::Prefetch | Class::Background => (Duration::from_millis(150), MAX_REQUEST_BLOCKS * BLOCK_BYTES),
    }
}

/// A peer as the walk sees it.
pub(crate) struct Candidate<'a> {
    pub(crate) peer: Peer,
    tier: usize,
    rate: u64,
    /// What it was asked for, and what the walk has given it.
    pub(crate) queued: u64,
    requests: usize,
    pipeline: u64,
    /// Round trip, and by how much longer it may take because it has been silent.
    lag: Duration,
    benched: Duration,
    /// Benched, but the last resort.
    spare: bool,
    tie: u64,
    /// Whether its rate is known.
    proved: bool,
    /// What it is hoped to give until its rate is known: the group gets the chance to show it before
    /// anything is fetched from outside.
    hoped: u64,
    blocks: &'a Blocks,
    /// A run around the last block looked at, of which it `holds` all or nothing.
    known: Range<u64>,
    holds: bool,
}

impl<'a> Candidate<'a> {
    fn new(
        peer: Peer,
        neighbour: &'a Neighbour,
        now: Duration,
        depth: Duration,
        tier: usize,
        pace: u64,
    ) -> Self {
        let rate = neighbour.rate(now);
        let hope =
            if neighbour.rate.is_proved() { neighbour.rate.shown() } else { pace.saturating_mul(HOPE) };
        let hoped = rate.max(hope);
        let depth = depth.max(neighbour.latency * 2);
        let spare = neighbour
            .bench
            .is_some_and(|bench| !bench.at_its_word && now.saturating_sub(bench.since) >= LAST_RESORT);
        Self {
            peer,
            tier,
            rate,
            queued: neighbour.outstanding(),
            requests: neighbour.requests.len(),
            pipeline: bytes_in(depth, rate).min(PIPELINE_BYTES),
            lag: neighbour.latency + neighbour.held_up(now) + neighbour.doubt(now),
            benched: neighbour.benched_for(now),
            spare,
            tie: neighbour.tie,
            proved: neighbour.rate.is_proved(),
            hoped,
            blocks: &neighbour.blocks,
            known: 0..0,
            holds: false,
        }
    }

    /// Whether it has the block; remembers the run around it.
    pub(crate) fn holds(&mut self, block: u64) -> bool {
        if !self.known.contains(&block) {
            (self.known, self.holds) = match self.blocks.next_run(block) {
                Some(run) if run.start == block => (run, true),
                Some(run) => (block..run.start, false),
                None => (block..u64::MAX, false),
            };
        }
        self.holds
    }

    /// How long from now until it would have delivered `bytes` more.
    pub(crate) fn eta(&self, bytes: u64) -> Duration {
        self.benched + self.lag + time_for(self.queued.saturating_add(bytes), self.rate)
    }

    /// The same, at the rate it is hoped to have.
    fn hoped_eta(&self, bytes: u64) -> Duration {
        self.benched + self.lag + time_for(self.queued.saturating_add(bytes), self.hoped)
    }

    pub(crate) fn has_room(&self, rank: Rank) -> bool {
        // What the picture waits for is queued behind the pipeline rather than not at all.
        // But not before it has shown its rate: others may be here in a moment, and can't take it off its hands.
        let waiting = rank == Rank::Waiting && self.proved;
        let pipeline = if waiting { self.pipeline * 2 } else { self.pipeline };
        self.benched.is_zero()
            && self.requests < MAX_REQUESTS_IN_FLIGHT
            && (self.requests < FEWEST_REQUESTS || self.queued < pipeline)
    }

    /// Whether it may be asked if nobody else has the block.
    fn is_last_resort(&self) -> bool {
        self.spare && !self.benched.is_zero() && self.requests < FEWEST_REQUESTS
    }
}

/// What the walk found for a block.
enum Choice {
    /// This candidate takes it; `true` if it is really asked.
    Take(usize, bool),
    /// Nobody takes anything before this block.
    SkipTo(u64),
}

/// A request decided on.
pub(crate) struct Pick {
    pub(crate) peer: Peer,
    pub(crate) blocks: Range<u64>,
    pub(crate) class: Class,
    pub(crate) deadline: Duration,
    pub(crate) because: Because,
    /// Whether the group's others are to be told, since it comes from outside.
    pub(crate) import: bool,
}

/// What a walk has left undone.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Unmet {
    /// Anything is wanted that is neither held nor in flight.
    pub(crate) any: bool,
    /// Some of it because others of the group are to fetch it.
    pub(crate) left_to_others: bool,
}

/// A lane and how far the walk has come on it.
struct Walked<'a> {
    lane: &'a Lane,
    gap: Option<Range<u64>>,
}

impl Schedule {
    pub(crate) fn candidates(&self, now: Duration, lanes: &[Lane]) -> Vec<Candidate<'_>> {
        let depth = if lanes.iter().any(|lane| lane.rank == Rank::Waiting) {
            PIPELINE_WAITING
        } else if self.readers.is_empty() {
            PIPELINE_UNWATCHED
        } else {
            PIPELINE
        };
        self.peers
            .iter()
            .filter(|(_, neighbour)| !neighbour.blocks.is_empty())
            .map(|(peer, neighbour)| {
                let tier = neighbour.tier(self.own_group);
                Candidate::new(*peer, neighbour, now, depth, tier, self.bytes_per_second())
            })
            .collect()
    }

    /// Decides all requests that can be made now. Also tells what is left undone.
    pub(crate) fn assign(&self, now: Duration, lanes: &[Lane]) -> (Vec<Pick>, Unmet) {
        let mut candidates = self.candidates(now, lanes);
        let mut budget = if self.proved { UNVERIFIED_BYTES } else { UNPROVED_BYTES }
            .saturating_sub(candidates.iter().map(|candidate| candidate.queued).sum());
        let several_tiers = candidates.iter().any(|candidate| candidate.tier != candidates[0].tier);
        // Given away in this walk, really or not.
        let mut planned = Blocks::new();
        let mut picks = Vec::new();
        let (mut charges, mut left) = (0, 0);
        let mut walked: Vec<_> = lanes
            .iter()
            .map(|lane| Walked { lane, gap: self.gap(&planned, lane.blocks.clone()) })
            .filter(|walked| walked.gap.is_some())
            .collect();
        let mut unmet = Unmet { any: !walked.is_empty(), left_to_others: false };
        let mut turns = Turns::new(self, now);

        while budget > 0 && charges < MOST_CHARGES {
            let next = walked.iter_mut().filter(|walked| walked.gap.is_some()).min_by_key(|walked| {
                let block = walked.gap.as_ref().map_or(0, |gap| gap.start);
                (walked.lane.rank, walked.lane.deadline(block), block)
            });
            let Some(Walked { lane, gap }) = next else { break };
            // Another lane may have come by here since.
            let seen = gap.take().map_or(lane.blocks.end, |run| run.start);
            *gap = self.gap(&planned, seen..lane.blocks.end);
            let Some(run) = gap.clone().filter(|run| run.start == seen) else { continue };
            let block = run.start;
            if !candidates.iter().any(|candidate| candidate.has_room(lane.rank) || candidate.is_last_resort())
            {
                // The lanes are sorted by rank, so nobody has room for the rest either.
                break;
            }
            let (class, deadline) = (lane.class(block), lane.deadline(block));
            let outside = turns.mine(block, deadline, lane.rank);
            let resume = match choose(&mut candidates, now, block, class, lane, outside) {
                Choice::SkipTo(next) if !outside => {
                    unmet.left_to_others = true;
                    left += 1;
                    if left > MOST_LEFT {
                        break;
                    }
                    next.min(segment_end(block))
                }
                Choice::SkipTo(next) => next,
                Choice::Take(at, really) => {
                    let candidate = &mut candidates[at];
                    let (time, most) = request_size(class, deadline.saturating_sub(now));
                    let size = bytes_in(time, candidate.rate).min(most).div_ceil(BLOCK_BYTES);
                    // The farther ahead, the coarser what is only charged may be.
                    let coarse = if really { 0 } else { lane.ahead(block) / (16 * BLOCK_BYTES) };
                    let length = size.clamp(1, MAX_REQUEST_BLOCKS).max(coarse);
                    let mut end = (block + length).min(run.end).min(candidate.known.end);
                    // Whose turn it is changes from segment to segment.
                    let import = candidate.tier > 0;
                    if import && turns.shared() {
                        end = end.min(segment_end(block));
                    }
                    // A web server's cache and its proofs are cut at segments.
                    if candidate.tier == WEB && end > segment_end(block) {
                        end = segment_end(end) - SEGMENT;
                    }
                    let bytes = self.bytes_of(block..end);
                    candidate.queued += bytes;
                    planned.insert(block..end);
                    if really {
                        candidate.requests += 1;
                        budget = budget.saturating_sub(bytes);
                        let because = lane.because;
                        picks.push(Pick {
                            peer: candidate.peer,
                            blocks: block..end,
                            class,
                            deadline,
                            because,
                            import,
                        });
                    } else {
                        charges += 1;
                        if !several_tiers && charges > MOST_CHARGES / 4 {
                            break;
                        }
                    }
                    end
                }
            };
            *gap = self.gap(&planned, resume..lane.blocks.end);
        }
        (picks, unmet)
    }

    /// The first run in `within` that is neither held, nor in flight, nor planned.
    fn gap(&self, planned: &Blocks, within: Range<u64>) -> Option<Range<u64>> {
        let mut start = within.start;
        while start < within.end {
            let ends = [&self.taken, planned].map(|set| set.next_run(start));
            if let Some(run) = ends.iter().flatten().find(|run| run.start == start) {
                start = run.end;
                continue;
            }
            let end = ends.iter().flatten().map(|run| run.start).min().unwrap_or(u64::MAX);
            return Some(start..end.min(within.end));
        }
        None
    }

    pub(crate) fn bytes_of(&self, run: Range<u64>) -> u64 {
        let bytes = self.geometry.bytes(run);
        bytes.end - bytes.start
    }
}

/// Who takes `block`.
fn choose(
    candidates: &mut [Candidate<'_>],
    now: Duration,
    block: u64,
    class: Class,
    lane: &Lane,
    outside: bool,
) -> Choice {
    let (rank, deadline) = (lane.rank, lane.deadline(block));
    let leisure = class >= Class::Prefetch;
    // Of each tier the one who delivers first; if there is time, of those with room.
    let mut best: [Option<(bool, Duration, u64, usize)>; TIERS] = [None; TIERS];
    let mut spare: Option<(Duration, u64, usize)> = None;
    let mut next = u64::MAX;
    for (at, candidate) in candidates.iter_mut().enumerate() {
        if candidate.tier > 0 && !outside {
            continue;
        }
        let holds = candidate.holds(block);
        let room = candidate.has_room(rank);
        let last_resort = candidate.is_last_resort();
        if !holds {
            if room || last_resort {
                next = next.min(candidate.known.end);
            }
            continue;
        }
        if last_resort {
            let eta = candidate.lag + time_for(candidate.queued, candidate.rate);
            spare = spare.into_iter().chain([(eta, candidate.tie, at)]).min();
        }
        if leisure && candidate.benched > LEISURE {
            continue;
        }
        let key = (leisure && !room, candidate.eta(BLOCK_BYTES), candidate.tie, at);
        let best = &mut best[candidate.tier];
        if best.is_none_or(|best| key < best) {
            *best = Some(key);
        }
    }
    let unbenched = |&(.., at): &(bool, Duration, u64, usize)| candidates[at].benched.is_zero();
    if let Some((.., at)) = spare.filter(|_| !best.iter().flatten().any(unbenched)) {
        return Choice::Take(at, true);
    }
    let mut ascending = best.into_iter().flatten();
    let Some(mut pick) = ascending.next() else { return Choice::SkipTo(next.max(block + 1)) };
    if leisure {
        // It stays with the nearest who have it, whether or not they have room now.
        let candidate = &candidates[pick.3];
        return if candidate.has_room(rank) {
            Choice::Take(pick.3, true)
        } else {
            Choice::SkipTo(next.min(candidate.known.end).max(block + 1))
        };
    }
    let in_time = deadline.saturating_sub(SAFETY).saturating_sub(now).max(GRACE);
    let soon = deadline.saturating_sub(now) <= LEAVE;
    for dearer in ascending {
        let nearer = &candidates[pick.3];
        // The group's own may yet be in time for what isn't due soon.
        let may_do = nearer.tier == 0 && nearer.benched.is_zero() && !soon;
        if pick.1 <= in_time || nearer.hoped_eta(BLOCK_BYTES) <= in_time || may_do {
            break;
        }
        // A neighbour that is a moment late costs less than a web server that stays with the viewers for good.
        let at_risk = candidates[dearer.3].tier < WEB || soon && pick.1 > in_time + WEB_GAIN;
        if at_risk && dearer.1 < pick.1 {
            pick = dearer;
        }
    }
    let really = candidates[pick.3].has_room(rank);
    Choice::Take(pick.3, really)
}
