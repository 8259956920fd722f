//! How fast bytes go out, measured second by second.

use std::{collections::VecDeque, time::Duration};

use tokio::{sync::watch, time::Instant};

use crate::site::Publication;

const EVERY: Duration = Duration::from_secs(1);
/// Rates are those of the last few seconds: steady enough to read, quick enough to be true.
const OVER: usize = 5;

/// What goes out now.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Load {
    /// To viewers with the app, bytes/s.
    pub viewers: u64,
    /// To those without, bytes/s.
    pub direct: u64,
}

/// Measures for as long as it is polled.
pub(crate) async fn measure(publication: Publication, told: watch::Sender<Load>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut seen: VecDeque<(Instant, u64, u64)> = VecDeque::new();
    loop {
        let now = ticks.tick().await;
        seen.push_back((now, publication.controller.network().uploaded(), publication.direct.given()));
        if seen.len() > OVER + 1 {
            seen.pop_front();
        }
        if let (Some(first), Some(last)) = (seen.front(), seen.back()) {
            let rate = |from: u64, to: u64| {
                let took = last.0.duration_since(first.0).as_secs_f64();
                if took > 0.0 { (to.saturating_sub(from) as f64 / took) as u64 } else { 0 }
            };
            told.send_replace(Load { viewers: rate(first.1, last.1), direct: rate(first.2, last.2) });
        }
    }
}
