//! What the service manager is told (sd_notify(3)). Without one, nothing is.

use std::time::Duration;

use nearcast_tracker::Server;
use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

/// The tracker answers, by what it last read.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// It reads its settings, tables and lists anew. The time tells the answers to two signals apart.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// It is about to end.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says that the tracker is alive for as long as it answers, if the service manager wants to hear it. Never
/// returns.
pub async fn alive(server: &Server) {
    let mut microseconds = 0;
    if !sd_notify::watchdog_enabled(false, &mut microseconds) || microseconds == 0 {
        std::future::pending::<()>().await;
    }
    // Twice in each stretch, as the manual says.
    let half = Duration::from_micros(microseconds) / 2;
    let mut beat = interval(half);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        if server.responds(half).await {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::error!("the tracker doesn't come round to answering");
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, state) {
        tracing::warn!(%error, "the service manager can't be told");
    }
}
