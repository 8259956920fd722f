//! What systemd is told; nothing where there is none.

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

/// The publisher serves.
pub fn ready() {
    tell(NotifyState::Ready);
}

/// It is about to end.
pub fn stopping() {
    tell(NotifyState::Stopping);
}

/// Says twice in the time that systemd allows that the program runs; it is restarted if it doesn't.
pub async fn watchdog(stop: CancellationToken) {
    let mut micros = 0;
    if !sd_notify::watchdog_enabled(false, &mut micros) {
        return;
    }
    let mut ticks = tokio::time::interval(
        std::time::Duration::from_micros(micros / 2).max(std::time::Duration::from_millis(100)),
    );
    let telling = async {
        loop {
            ticks.tick().await;
            tell(NotifyState::Watchdog);
        }
    };
    stop.run_until_cancelled(telling).await;
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(false, &[state]) {
        tracing::warn!(%error, "systemd can't be told");
    }
}
