//! Why the picture waits, as a code that the screen has words for.

use nearcast_protocol::pieces::Reason;
use nearcast_transfer::{Progress, Wait as Why, progress::Trouble};

use crate::screen::Wait;

/// The cause to tell a viewer of: what keeps the whole transfer from moving first, then what the schedule says.
/// `needed` is what the film takes in bytes/s, where known.
pub fn wait(progress: &Progress, needed: Option<u64>) -> Wait {
    if progress.peers.all() == 0 {
        return match &progress.trouble {
            Some(Trouble::NoTracker) => Wait::NoTracker,
            Some(Trouble::Tracker { tracker, .. }) => Wait::TrackerSilent { tracker: tracker.to_string() },
            Some(Trouble::Denied { why, .. }) => match why {
                Reason::NotAllowed => Wait::LinkNeeded,
                Reason::TokenExpired | Reason::KeyRetired => Wait::LinkExpired,
                Reason::TokenEarly => Wait::LinkEarly,
                _ => Wait::LinkWrong,
            },
            Some(Trouble::NobodyHolds) => Wait::NobodyHolds,
            Some(Trouble::NobodyReached { listed, .. }) => Wait::NobodyReached { listed: *listed },
            Some(Trouble::Busy) | None => Wait::FindingPeers,
        };
    }
    let slow = Wait::Slow { rate: progress.rate, needed };
    match progress.waiting {
        None | Some(Why::OnItsWay { .. } | Why::SizeUnproved { .. } | Why::Paused) => Wait::Buffering,
        Some(Why::NoNeighbours) => Wait::FindingPeers,
        Some(Why::NobodyHasIt { neighbours }) => Wait::PartMissing { peers: neighbours },
        Some(Why::Refused { .. } | Why::Silent { .. } | Why::SlowNeighbours { .. }) => slow,
    }
}
