//! Who of a group fetches what into it, so that it comes in once (DESIGN §5.5).
//!
//! The film is cut into segments. What no terminal of the own group holds has to come from outside, or from
//! a publisher; then the members of the group that miss it take turns, segment by segment, by rendezvous
//! hashing (Thaler and Ravishankar 1998): each hashes every member's name with the segment, and the highest
//! goes first. Views differ while members come and go, so who begins says so: a claim. The others leave a
//! claimed segment to its importer as long as it makes progress, and the more urgent the segment the less
//! progress is missed before somebody else takes it; an importer that brings nothing loses its turns for a
//! while. Nobody's picture waits for turns: what is due at once is taken when nobody seems to be bringing it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::Duration,
};

use nearcast_protocol::{Blocks, Group, Role};

use crate::{
    demand::Rank,
    neighbour::Neighbour,
    schedule::{Schedule, mix},
};

/// How long a claim counts without progress and without being told again.
pub const LEASE: Duration = Duration::from_secs(2);
/// How long it counts for what somebody's picture waits for.
const SHORT_LEASE: Duration = Duration::from_millis(500);
/// Blocks in a segment: 256 KiB, a third of a second of most films. Large ones would make the group wait for
/// one line; small ones would make more claims than requests.
pub(crate) const SEGMENT: u64 = 16;
/// An importer's claims count for nothing this long after one that it brought nothing of.
const DISTRUST: Duration = Duration::from_secs(30);
/// More segments than this at once nobody can claim.
const MOST_CLAIMS: usize = 32;
/// Whose turn it isn't takes a segment when it is due so soon, the second in turn first, each further one …
const OUT_OF_TURN: Duration = Duration::from_secs(8);
/// … by so much later …
const STEP: Duration = Duration::from_millis(750);
/// … but no later than this.
const LAST_TURN: Duration = Duration::from_secs(3);
/// What is due so soon is fetched even while its importer is at work: it may come too late.
const RISK: Duration = Duration::from_millis(1200);
/// An importer that takes longer than this for a segment is slow: who is at risk doesn't wait for it.
const SLOW: Duration = Duration::from_millis(1500);
/// Who has claimed nothing and got nothing for so long isn't fetching.
const ACTIVE: Duration = Duration::from_secs(5);
/// With nothing new for so long, turns are void: those whose turn it is want something else.
const STUCK: Duration = Duration::from_secs(3);

/// The segment a block lies in.
fn segment_of(block: u64) -> u64 {
    block / SEGMENT
}

/// The first block after the segment that this one lies in.
pub(crate) fn segment_end(block: u64) -> u64 {
    (segment_of(block) + 1).saturating_mul(SEGMENT)
}

/// What one peer says it imports.
#[derive(Debug, Clone, Default)]
pub(crate) struct Imports {
    claims: BTreeMap<u64, Claim>,
    distrusted_until: Duration,
    /// When it last claimed or got something: who holds a part and fetches nothing takes no turns.
    active: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct Claim {
    /// When it was first told.
    since: Duration,
    /// When something of it came last, or else when it was first told: telling it again is no progress.
    progress: Duration,
    /// When it was told last.
    told: Duration,
    delivered: bool,
}

impl Imports {
    /// It says that it imports this run.
    pub(crate) fn claimed(&mut self, now: Duration, run: Range<u64>) {
        if run.is_empty() {
            return;
        }
        self.active = Some(now);
        let segments = segment_of(run.start)..=segment_of(run.end - 1);
        for segment in segments.take(MOST_CLAIMS) {
            if let Some(claim) = self.claims.get_mut(&segment) {
                claim.told = now;
            } else if self.claims.len() < MOST_CLAIMS {
                let claim = Claim { since: now, progress: now, told: now, delivered: false };
                self.claims.insert(segment, claim);
            }
        }
    }

    /// It has these blocks now; `news` if they aren't what it had when it came.
    pub(crate) fn delivered(&mut self, now: Duration, blocks: &Blocks, news: bool) {
        if news {
            self.active = Some(now);
        }
        for (segment, claim) in &mut self.claims {
            if blocks.intersects(segment * SEGMENT..(segment + 1).saturating_mul(SEGMENT)) {
                (claim.progress, claim.delivered) = (now, true);
            }
        }
    }

    /// Lets go of claims that are fulfilled or broken.
    fn judge(&mut self, now: Duration, has: &Blocks, last: u64) {
        let mut broken = false;
        self.claims.retain(|segment, claim| {
            let run = segment * SEGMENT..(segment + 1).saturating_mul(SEGMENT).min(last + 1);
            if has.contains_run(run) {
                return false;
            }
            let quiet = now.saturating_sub(claim.progress) > LEASE;
            broken |= quiet && !claim.delivered && now.saturating_sub(claim.since) > LEASE;
            !quiet && now.saturating_sub(claim.told) <= LEASE
        });
        if broken {
            self.distrusted_until = now + DISTRUST;
        }
    }

    fn trusted(&self, now: Duration) -> bool {
        self.distrusted_until <= now
    }

    fn takes_turns(&self, now: Duration) -> bool {
        self.active.is_some_and(|active| now.saturating_sub(active) <= ACTIVE)
    }
}

/// What this node imports.
#[derive(Debug, Default)]
pub(crate) struct OwnImports {
    /// Segments, and when they were told last.
    begun: BTreeMap<u64, Duration>,
    untold: BTreeSet<u64>,
}

impl OwnImports {
    /// A run of blocks is asked for outside.
    pub(crate) fn begin(&mut self, now: Duration, run: Range<u64>) {
        for segment in segment_of(run.start)..=segment_of(run.end.saturating_sub(1)) {
            let told = self.begun.entry(segment).or_insert_with(|| {
                self.untold.insert(segment);
                now
            });
            if now.saturating_sub(*told) > LEASE / 2 {
                *told = now;
                self.untold.insert(segment);
            }
        }
    }

    /// Somebody has come who hasn't heard.
    pub(crate) fn tell_again(&mut self) {
        self.untold.extend(self.begun.keys());
    }

    /// What is to be told now, as runs of blocks, if anybody hears it.
    pub(crate) fn news(&mut self, now: Duration, held: &Blocks, heard: bool) -> Vec<Range<u64>> {
        self.begun.retain(|segment, told| {
            let whole = held.contains_run(segment * SEGMENT..(segment + 1).saturating_mul(SEGMENT));
            !whole && now.saturating_sub(*told) <= LEASE
        });
        if !heard {
            return Vec::new();
        }
        let segments = std::mem::take(&mut self.untold);
        let mut runs: Vec<Range<u64>> = Vec::new();
        for segment in segments.into_iter().filter(|segment| self.begun.contains_key(segment)) {
            let run = segment * SEGMENT..(segment + 1).saturating_mul(SEGMENT);
            match runs.last_mut() {
                Some(last) if last.end == run.start => last.end = run.end,
                _ => runs.push(run),
            }
        }
        runs
    }
}

impl Schedule {
    /// Whether a peer is a terminal that doesn't hold all of the film.
    fn misses(&self, neighbour: &Neighbour) -> bool {
        neighbour.role == Role::Terminal && !neighbour.blocks.contains_run(0..self.geometry.count())
    }

    /// Whether anybody is connected who may be of the own group and misses something.
    pub(crate) fn imports_are_heard(&self) -> bool {
        let may_be_own =
            |neighbour: &Neighbour| neighbour.tier(self.own_group) == 0 || neighbour.group == Group::UNKNOWN;
        self.peers.values().any(|neighbour| self.misses(neighbour) && may_be_own(neighbour))
    }

    pub(crate) fn judge_imports(&mut self, now: Duration) {
        let last = self.geometry.last();
        for neighbour in self.peers.values_mut() {
            neighbour.imports.judge(now, &neighbour.blocks, last);
        }
    }
}

/// Whose turn it is, for the length of one plan.
pub(crate) struct Turns<'a> {
    schedule: &'a Schedule,
    now: Duration,
    /// Whether anybody is there to take turns with.
    shared: bool,
    stuck: bool,
    known: BTreeMap<u64, Turn>,
}

#[derive(Debug, Clone, Copy)]
struct Turn {
    /// How many come before this node.
    before: u32,
    /// If another imports the segment: when it last brought something of it, and when it began.
    claimed: Option<(Duration, Duration)>,
}

impl<'a> Turns<'a> {
    pub(crate) fn new(schedule: &'a Schedule, now: Duration) -> Self {
        let own = schedule.own_group;
        let shares = |neighbour: &&Neighbour| neighbour.tier(own) == 0 && schedule.misses(neighbour);
        let shared = schedule.peers.values().any(|neighbour| shares(&neighbour));
        let stuck = now.saturating_sub(schedule.group_moved) > STUCK;
        Self { schedule, now, shared, stuck, known: BTreeMap::new() }
    }

    /// Whether there is anybody to tell of imports.
    pub(crate) fn shared(&self) -> bool {
        self.shared
    }

    /// Whether this node may fetch a block from outside the group, if nobody in it holds it.
    pub(crate) fn mine(&mut self, block: u64, deadline: Duration, rank: Rank) -> bool {
        if !self.shared {
            return true;
        }
        let lead = deadline.saturating_sub(self.now);
        let waiting = rank == Rank::Waiting;
        let segment = segment_of(block);
        let turn = match self.known.get(&segment) {
            Some(turn) => *turn,
            None => {
                let turn = self.turn(block);
                self.known.insert(segment, turn);
                turn
            }
        };
        if let Some((progress, since)) = turn.claimed {
            let slow =
                self.now.saturating_sub(progress) > SHORT_LEASE || self.now.saturating_sub(since) > SLOW;
            return (waiting || lead < RISK) && slow || self.stuck;
        }
        if turn.before == 0 || self.stuck {
            return true;
        }
        let patience = OUT_OF_TURN.saturating_sub(STEP * (turn.before - 1).min(20)).max(LAST_TURN);
        rank != Rank::Rest && lead < patience
    }

    fn turn(&self, block: u64) -> Turn {
        let segment = segment_of(block);
        let score = |name: u64| mix(name ^ mix(segment));
        let own = score(self.schedule.own_name);
        let mine = self.schedule.own_imports.begun.contains_key(&segment);
        let mut turn = Turn { before: 0, claimed: None };
        for neighbour in self.schedule.peers.values() {
            let imports = &neighbour.imports;
            if neighbour.tier(self.schedule.own_group) > 0 || !imports.trusted(self.now) {
                continue;
            }
            let theirs = score(neighbour.name);
            if let Some(claim) = imports.claims.get(&segment) {
                // Two that began at once: the one whose turn it is goes on.
                if !mine || theirs > own {
                    turn.claimed = turn.claimed.max(Some((claim.progress, claim.since)));
                }
            } else if theirs > own && imports.takes_turns(self.now) && !neighbour.blocks.contains(block) {
                turn.before += 1;
            }
        }
        turn
    }
}
