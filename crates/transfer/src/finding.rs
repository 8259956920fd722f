//! Asking the trackers who holds a resource, and when to ask again.

use std::time::{Duration, Instant};

use nearcast_network::Network;
use nearcast_protocol::{
    Link, Multiaddr,
    tracker::{Answer, Find, PeerList, Request},
};

use crate::tracking::PATIENCE;

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
/// Whatever a tracker says, it is asked again within this.
const LONGEST_REST: Duration = Duration::from_secs(600);

/// The state of finding, one entry a tracker.
pub(crate) struct Finding {
    trackers: Vec<Asked>,
}

struct Asked {
    tracker: Multiaddr,
    due: Instant,
    under_way: bool,
    failures: u32,
    /// Whether nobody was connected when it was asked.
    alone: bool,
    /// How many times in a row that was so.
    lonely: u32,
    answers: usize,
    outcome: Option<Result<usize, String>>,
}

/// What finding has come to while nobody is connected.
pub(crate) enum FoundNobody {
    NoTracker,
    Failed(Multiaddr, String, Duration),
    Listed(usize),
}

impl Finding {
    pub fn new(trackers: Vec<Multiaddr>) -> Self {
        let asked = |tracker| Asked {
            tracker,
            due: Instant::now(),
            under_way: false,
            failures: 0,
            alone: true,
            lonely: 0,
            answers: 0,
            outcome: None,
        };
        Self { trackers: trackers.into_iter().map(asked).collect() }
    }

    /// Asks these trackers too.
    pub fn add(&mut self, trackers: &[Multiaddr]) {
        let new: Vec<_> = trackers
            .iter()
            .filter(|new| self.trackers.iter().all(|asked| asked.tracker != **new))
            .cloned()
            .collect();
        self.trackers.extend(Self::new(new).trackers);
    }

    /// Which trackers are to be asked now; they count as being asked from here on.
    pub fn due(&mut self, now: Instant, alone: bool) -> Vec<(usize, Multiaddr)> {
        let mut due = Vec::new();
        for (index, asked) in self.trackers.iter_mut().enumerate() {
            if !asked.under_way && asked.due <= now {
                asked.alone = alone;
                asked.under_way = true;
                due.push((index, asked.tracker.clone()));
            }
        }
        due
    }

    /// When the next is due.
    pub fn wake_at(&self) -> Option<Instant> {
        self.trackers.iter().filter(|asked| !asked.under_way).map(|asked| asked.due).min()
    }

    /// A tracker has answered.
    pub fn found(&mut self, index: usize, list: &PeerList, now: Instant) {
        let Some(asked) = self.trackers.get_mut(index) else { return };
        asked.under_way = false;
        asked.failures = 0;
        asked.outcome = Some(Ok(list.peers.len()));
        let usual = Duration::from_millis(list.ask_again_ms.into()).clamp(SOONEST, LONGEST_REST);
        let lonely = match asked.alone {
            true => (SOONEST * 2_u32.saturating_pow(asked.lonely)).min(LATEST),
            false => LONGEST_REST,
        };
        asked.lonely = if asked.alone { (asked.lonely + 1).min(6) } else { 0 };
        let eager = EAGER.get(asked.answers).copied().unwrap_or(LONGEST_REST);
        asked.answers += 1;
        asked.due = now + usual.min(lonely).min(eager);
    }

    /// A tracker hasn't answered, or not sensibly.
    pub fn failed(&mut self, index: usize, reason: String, now: Instant) {
        let Some(asked) = self.trackers.get_mut(index) else { return };
        asked.under_way = false;
        asked.due = now + (SOONEST / 2 * 2_u32.saturating_pow(asked.failures)).min(LATEST);
        asked.failures = (asked.failures + 1).min(8);
        asked.outcome = Some(Err(reason));
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
        if let Some(most) = listed.max() {
            return Some(FoundNobody::Listed(most));
        }
        let failed = self.trackers.iter().find_map(|asked| Some((asked, asked.outcome.clone()?.err()?)));
        failed.map(|(asked, reason)| {
            let again = asked.due.saturating_duration_since(Instant::now());
            FoundNobody::Failed(asked.tracker.clone(), reason, again)
        })
    }
}

/// What is asked about a link.
pub(crate) fn request(link: &Link, stalled: bool) -> Request {
    Request::Find(Find { resource: link.id, token: link.token.clone(), stalled })
}

/// Asks one tracker.
pub(crate) async fn find(
    network: &Network,
    tracker: &Multiaddr,
    request: &Request,
) -> Result<PeerList, String> {
    match network.ask(tracker, request, PATIENCE).await {
        Ok(Answer::Found(list)) => Ok(list),
        Ok(Answer::Refused { reason, .. }) => Err(format!("it refuses: {reason}")),
        Ok(_) => Err("it answered something else than a peer list".into()),
        Err(error) => Err(error.to_string()),
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
        }
    }

    /// The pauses between questions while `alone` or not.
    fn pauses(alone: bool) -> Vec<u64> {
        let mut finding = Finding::new(vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()]);
        let mut now = Instant::now();
        let pause = |_| {
            assert_eq!(finding.due(now, alone).len(), 1);
            finding.found(0, &list(), now);
            let due = finding.wake_at().unwrap();
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
    fn a_tracker_that_fails_is_asked_ever_later() {
        let mut finding = Finding::new(vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()]);
        let mut now = Instant::now();
        let pauses = (0..8).map(|_| {
            assert_eq!(finding.due(now, true).len(), 1);
            finding.failed(0, "gone".into(), now);
            let pause = finding.wake_at().unwrap() - now;
            now += pause;
            pause.as_secs()
        });
        assert_eq!(pauses.collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
