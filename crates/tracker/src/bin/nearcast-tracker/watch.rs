//! The group table, read anew when its files change or when the system says so.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use nearcast_tracker::Server;
use tokio::time::{MissedTickBehavior, interval};

use crate::{print, settings::Settings};

/// How often the files are looked at. A table is a matter of days; a look is one call of the system.
const LOOK: Duration = Duration::from_secs(1);

/// What is seen of the files from outside: when each was written, and how long it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State(Vec<Option<(Option<SystemTime>, u64)>>);

impl State {
    pub fn of(files: &[PathBuf]) -> Self {
        let seen = |file: &PathBuf| std::fs::metadata(file).ok();
        Self(files.iter().map(seen).map(|seen| seen.map(|file| (file.modified().ok(), file.len()))).collect())
    }
}

/// Keeps the table as its files are, for ever. `asked` is done when the system asks for a reading.
pub async fn keep(server: &Server, settings: &Settings, mut read: State, mut asked: impl AsyncFnMut()) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = read.clone();
    loop {
        let asked = tokio::select! {
            () = asked() => true,
            _ = look.tick() => false,
        };
        let now = State::of(&settings.groups);
        // A file that differs from the last look is still being written.
        let changed = now != read && now == before;
        before = now.clone();
        if asked || changed {
            read = now;
            reload(server, settings).await;
        }
    }
}

/// Reads the group table anew; a bad one is told and changes nothing.
async fn reload(server: &Server, settings: &Settings) {
    if settings.groups.is_empty() {
        tracing::warn!("there is no group table to read anew; give --groups FILE");
        return;
    }
    let (server, settings) = (server.clone(), settings.clone());
    // A table may have hundreds of thousands of lines; calls are answered meanwhile.
    let reading = tokio::task::spawn_blocking(move || {
        let table = settings.table()?;
        let prefixes = table.len();
        server.set_table(table);
        Ok::<_, anyhow::Error>(prefixes)
    });
    match reading.await.map_err(anyhow::Error::from).flatten() {
        Ok(prefixes) => tracing::info!(prefixes, "the group table was read anew"),
        Err(error) => tracing::error!("the group table stays as it was: {}", print::sentence(&error)),
    }
}

/// The signal HUP, where there is one: a daemon's custom for reading its settings anew.
pub struct Hangups {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Hangups {
    pub fn listen() -> std::io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self { signal: signal(SignalKind::hangup())? })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    pub async fn next(&mut self) {
        #[cfg(unix)]
        if self.signal.recv().await.is_some() {
            return;
        }
        std::future::pending().await
    }
}
