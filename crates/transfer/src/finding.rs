//! Asking the trackers who holds a resource, and when to ask again.
//!
//! Of each list of trackers the first that answers is asked, in the resource's own order (R8); its second home
//! too while nobody is connected, since the first may just have started and know nobody yet.

use std::time::{Duration, Instant};

use nearcast_network::Network;
use nearcast_protocol::{
    Multiaddr, PeerId, ResourceId, Token,
    pieces::Reason,
    tracker::{Answer, Find, Named, PeerList, Request},
};

use crate::{meeting, trackers::Trackers, tracking::PATIENCE};

/// With nobody connected, a tracker is asked this soon again, then ever later.
const SOONEST: Duration = Duration::from_secs(2);
const LATEST: Duration = Duration::from_secs(60);
/// A young transfer asks this often before it keeps to the tracker's pace: whoever opened the same film in
/// the same minute has nothing to give yet when the first list is made, and soon after has.
const EAGER: [Duration; 4] = [
    Duration::from_millis(600),
    Duration::from_millis(1500),
    Duration::from_secs(4),
    Duration::from_secs(10),
];
/// While lists name somebody new and nobody of them can be reached, it is asked this often in a row as soon as may be:
/// of a swarm that many have just left, most names are of those.
const HOPES: u32 = 12;
/// Whatever a tracker says, it is asked again within this.
const LONGEST_REST: Duration = Duration::from_secs(600);

/// The state of finding, one entry a tracker.
pub(crate) struct Finding {
    trackers: Vec<Asked>,
}

struct Asked {
    tracker: Multiaddr,
    /// Which list it is in, and its place in the resource's order there.
    list: usize,
    rank: usize,
    due: Instant,
    under_way: bool,
    failures: u32,
    /// Whether nobody was connected when it was asked.
    alone: bool,
    /// How many times in a row that was so, without and with somebody new in the list.
    lonely: u32,
    hopes: u32,
    answers: usize,
    outcome: Option<Result<usize, NotFound>>,
}

/// Why a tracker has given no list.
#[derive(Debug, Clone)]
pub(crate) struct NotFound {
    /// In words.
    pub reason: String,
    /// The code, if a token is what is missing or wrong.
    pub denied: Option<Reason>,
}

impl From<String> for NotFound {
    fn from(reason: String) -> Self {
        Self { reason, denied: None }
    }
}

impl Asked {
    fn new(tracker: Multiaddr, list: usize, rank: usize) -> Self {
        let due = Instant::now();
        let (under_way, failures, alone, lonely, hopes, answers, outcome) = (false, 0, true, 0, 0, 0, None);
        Self { tracker, list, rank, due, under_way, failures, alone, lonely, hopes, answers, outcome }
    }
}

/// A tracker's list, and where that tracker introduces nodes, if it does.
pub(crate) struct Found {
    pub list: PeerList,
    pub place: Option<Multiaddr>,
}

/// What finding has come to while nobody is connected.
pub(crate) enum FoundNobody {
    NoTracker,
    /// The link's token is missing or isn't good.
    Denied(Reason, String),
    Failed(Multiaddr, String, Duration),
    Listed(usize),
}

impl Finding {
    pub fn new(resource: &ResourceId, trackers: &Trackers) -> Self {
        let mut finding = Self { trackers: Vec::new() };
        finding.add(resource, trackers);
        finding
    }

    /// Asks these trackers too.
    pub fn add(&mut self, resource: &ResourceId, trackers: &Trackers) {
        let first = self.trackers.iter().map(|asked| asked.list + 1).max().unwrap_or(0);
        for (list, ordered) in (first..).zip(trackers.ordered(resource)) {
            for (rank, tracker) in ordered.into_iter().enumerate() {
                if self.trackers.iter().all(|asked| asked.tracker != tracker) {
                    self.trackers.push(Asked::new(tracker, list, rank));
                }
            }
        }
    }

    /// Whether a tracker's turn has come: those before it that answer are fewer than are asked at a time. One
    /// that fails is tried as if it didn't.
    fn has_turn(&self, asked: &Asked, alone: bool) -> bool {
        let before = |other: &&Asked| other.list == asked.list && other.rank < asked.rank;
        let answering = self.trackers.iter().filter(before).filter(|other| other.failures == 0).count();
        answering < if alone { 2 } else { 1 }
    }

    /// Which trackers are to be asked now; they count as being asked from here on.
    pub fn due(&mut self, now: Instant, alone: bool) -> Vec<(usize, Multiaddr)> {
        let turns: Vec<_> = self.trackers.iter().map(|asked| self.has_turn(asked, alone)).collect();
        let mut due = Vec::new();
        for (index, (asked, has_turn)) in self.trackers.iter_mut().zip(turns).enumerate() {
            if has_turn && !asked.under_way && asked.due <= now {
                asked.alone = alone;
                asked.under_way = true;
                due.push((index, asked.tracker.clone()));
            }
        }
        due
    }

    /// When the next is due.
    pub fn wake_at(&self, alone: bool) -> Option<Instant> {
        let waiting = self.trackers.iter().filter(|asked| !asked.under_way && self.has_turn(asked, alone));
        waiting.map(|asked| asked.due).min()
    }

    /// A tracker has answered, and named `news`: somebody who wasn't known.
    pub fn found(&mut self, index: usize, list: &PeerList, news: bool, now: Instant) {
        let Some(asked) = self.trackers.get_mut(index) else { return };
        asked.under_way = false;
        asked.failures = 0;
        asked.outcome = Some(Ok(list.peers.len()));
        let usual = Duration::from_millis(list.ask_again_ms.into()).clamp(SOONEST, LONGEST_REST);
        let lonely = match asked.alone {
            true => (SOONEST * 2_u32.saturating_pow(asked.lonely)).min(LATEST),
            false => LONGEST_REST,
        };
        if !asked.alone {
            (asked.lonely, asked.hopes) = (0, 0);
        } else if news && asked.hopes < HOPES {
            asked.hopes += 1;
        } else {
            asked.lonely = (asked.lonely + 1).min(6);
        }
        let eager = EAGER.get(asked.answers).copied().unwrap_or(LONGEST_REST);
        asked.answers += 1;
        asked.due = now + usual.min(lonely).min(eager);
    }

    /// A tracker hasn't answered, or not sensibly.
    pub fn failed(&mut self, index: usize, why: impl Into<NotFound>, now: Instant) {
        let Some(asked) = self.trackers.get_mut(index) else { return };
        asked.under_way = false;
        asked.due = now + (SOONEST / 2 * 2_u32.saturating_pow(asked.failures)).min(LATEST);
        asked.failures = (asked.failures + 1).min(8);
        asked.outcome = Some(Err(why.into()));
    }

    /// Whether no tracker has answered the last time it was asked.
    pub fn fails(&self) -> bool {
        let failed = |asked: &Asked| matches!(&asked.outcome, Some(Err(not)) if not.denied.is_none());
        !self.trackers.is_empty() && self.trackers.iter().all(failed)
    }

    /// There is another token: who didn't like the last one is asked at once.
    pub fn ask_deniers(&mut self, now: Instant) {
        for asked in &mut self.trackers {
            if matches!(&asked.outcome, Some(Err(not)) if not.denied.is_some()) {
                (asked.due, asked.failures, asked.outcome) = (now, 0, None);
            }
        }
    }

    /// Something has changed that a list would tell: ask within a moment.
    pub fn ask_soon(&mut self, now: Instant) {
        self.ask_by(now + SOONEST);
    }

    /// Asks no later than this.
    pub fn ask_by(&mut self, when: Instant) {
        for asked in self.trackers.iter_mut().filter(|asked| asked.failures == 0) {
            asked.due = asked.due.min(when);
        }
    }

    /// Why nobody is there, judged by the tracker that said most.
    pub fn nobody(&self) -> Option<FoundNobody> {
        if self.trackers.is_empty() {
            return Some(FoundNobody::NoTracker);
        }
        let listed = self.trackers.iter().filter_map(|asked| asked.outcome.as_ref()?.as_ref().ok().copied());
        let most = listed.max();
        let denied = self.trackers.iter().find_map(|asked| {
            let not = asked.outcome.as_ref()?.as_ref().err()?;
            Some(FoundNobody::Denied(not.denied?, not.reason.clone()))
        });
        // A word of denial counts once nobody else may know better.
        let all_asked = self.trackers.iter().all(|asked| asked.outcome.is_some());
        if most.unwrap_or_default() == 0 && all_asked && denied.is_some() {
            return denied;
        }
        if let Some(most) = most {
            return Some(FoundNobody::Listed(most));
        }
        let failed = self.trackers.iter().find_map(|asked| Some((asked, asked.outcome.clone()?.err()?)));
        failed.map(|(asked, NotFound { reason, .. })| {
            let again = asked.due.saturating_duration_since(Instant::now());
            FoundNobody::Failed(asked.tracker.clone(), reason, again)
        })
    }
}

/// What is asked about a resource, with a token that is bound to this node.
pub(crate) fn request(resource: ResourceId, token: Option<Token>, stalled: bool) -> Request {
    Request::Find(Find { resource, token, stalled })
}

/// Asks one tracker, and tells it whom of its lists this node couldn't dial.
pub(crate) async fn find(
    network: &Network,
    tracker: &Multiaddr,
    request: &Request,
    missed: Vec<PeerId>,
) -> Result<Found, NotFound> {
    let tell = async {
        if missed.is_empty() {
            return;
        }
        let unreached = Request::Unreached(missed.into_iter().map(Named).collect());
        if let Err(error) = network.ask(tracker, &unreached, PATIENCE).await {
            tracing::debug!(%tracker, %error, "it isn't told whom nobody can dial");
        }
    };
    let (answer, ()) = tokio::join!(network.ask(tracker, request, PATIENCE), tell);
    match answer {
        Ok(Answer::Found(list)) => {
            let place = meeting::place(network, tracker, list.introduces);
            Ok(Found { list, place })
        }
        Ok(Answer::Refused { reason, .. }) => Err(format!("it refuses: {reason}").into()),
        Ok(Answer::Denied { why, reason }) => Err(NotFound { reason, denied: Some(why) }),
        Ok(_) => Err("it answered something else than a peer list".to_owned().into()),
        Err(error) => Err(error.to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    use nearcast_protocol::{
        Group,
        tracker::{Counts, Rule},
    };

    use super::*;

    fn list() -> PeerList {
        let (counts, peers) = (Counts::default(), Vec::new());
        PeerList {
            rule: Rule::ToppedUp,
            group: Group(1),
            counts,
            peers,
            ask_again_ms: 45_000,
            bridges: Vec::new(),
            introduces: 0,
        }
    }

    fn finding(trackers: u16) -> Finding {
        let list = (1..=trackers).map(|n| format!("/ip4/127.0.0.1/tcp/{n}").parse().unwrap());
        Finding::new(&ResourceId::from_bytes([1; 32]), &Trackers::new([list.collect::<Vec<_>>()]))
    }

    #[test]
    fn of_several_the_first_that_answers_is_asked() {
        let mut finding = finding(4);
        let now = Instant::now();
        let due = |finding: &mut Finding, alone: bool, seconds: u64| -> Vec<usize> {
            let when = now + Duration::from_secs(seconds);
            finding.due(when, alone).into_iter().map(|(index, _)| index).collect()
        };
        assert_eq!(due(&mut finding, true, 0), [0, 1], "both homes, while nobody is there");
        finding.found(0, &list(), false, now);
        finding.found(1, &list(), false, now);
        assert_eq!(due(&mut finding, false, 100), [0]);
        finding.failed(0, "gone".to_owned(), now + Duration::from_secs(100));
        assert_eq!(due(&mut finding, false, 100), [1], "at once");
        finding.failed(1, "gone too".to_owned(), now + Duration::from_secs(100));
        assert_eq!(due(&mut finding, false, 100), [2]);
        finding.found(2, &list(), false, now + Duration::from_secs(101));
        assert_eq!(due(&mut finding, false, 103), [0, 1, 2], "those that failed are tried, one stands in");
        finding.found(0, &list(), false, now + Duration::from_secs(103));
        finding.failed(1, "gone".to_owned(), now + Duration::from_secs(103));
        finding.found(2, &list(), false, now + Duration::from_secs(103));
        assert_eq!(due(&mut finding, false, 300), [0], "the first is back");
    }

    /// The pauses between questions while `alone` or not.
    fn pauses(alone: bool) -> Vec<u64> {
        let mut finding = finding(1);
        let mut now = Instant::now();
        let pause = |_| {
            assert_eq!(finding.due(now, alone).len(), 1);
            finding.found(0, &list(), false, now);
            let due = finding.wake_at(alone).unwrap();
            let pause = due - now;
            now = due;
            u64::try_from(pause.as_millis()).unwrap()
        };
        (0..7).map(pause).collect()
    }

    #[test]
    fn eager_at_first_then_at_the_tracker_s_pace() {
        assert_eq!(pauses(false), [600, 1500, 4000, 10_000, 45_000, 45_000, 45_000]);
    }

    #[test]
    fn alone_ever_later_but_never_later_than_the_tracker_says() {
        assert_eq!(pauses(true), [600, 1500, 4000, 10_000, 32_000, 45_000, 45_000]);
    }

    #[test]
    fn alone_it_is_asked_as_soon_as_may_be_while_it_names_somebody_new() {
        let (mut finding, mut now) = (finding(1), Instant::now());
        let pauses: Vec<_> = (0..20)
            .map(|_| {
                finding.due(now, true);
                finding.found(0, &list(), true, now);
                let due = finding.wake_at(true).unwrap();
                (std::mem::replace(&mut now, due), due)
            })
            .map(|(asked, due)| (due - asked).as_secs())
            .collect();
        // Not for ever: names may be made up.
        assert_eq!(pauses, [0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 4, 8, 16, 32, 45, 45, 45]);
    }

    #[test]
    fn a_tracker_that_fails_is_asked_ever_later() {
        let mut finding = finding(1);
        let mut now = Instant::now();
        let pauses = (0..8).map(|_| {
            assert_eq!(finding.due(now, true).len(), 1);
            finding.failed(0, "gone".to_owned(), now);
            let pause = finding.wake_at(true).unwrap() - now;
            now += pause;
            pause.as_secs()
        });
        assert_eq!(pauses.collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_denial_counts_once_all_were_asked_and_a_fresh_token_asks_anew() {
        let (mut finding, now) = (finding(2), Instant::now());
        assert_eq!(finding.due(now, true).len(), 2);
        let denied = NotFound { reason: "expired".into(), denied: Some(Reason::TokenExpired) };
        finding.failed(0, denied, now);
        assert!(!matches!(finding.nobody(), Some(FoundNobody::Denied(..))), "the other may know better");
        finding.found(1, &list(), false, now);
        assert!(matches!(finding.nobody(), Some(FoundNobody::Denied(Reason::TokenExpired, _))));
        assert!(finding.due(now, true).is_empty());
        finding.ask_deniers(now);
        assert_eq!(finding.due(now, true).len(), 1);
    }
}
