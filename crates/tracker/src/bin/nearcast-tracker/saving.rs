//! What is remembered, saved now and then and taken in again at the start.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use nearcast_tracker::{Server, SnapshotError, snapshot};
use tokio::time::{MissedTickBehavior, interval_at};

/// What there is to save with, and when.
pub struct Saving {
    path: PathBuf,
    every: Duration,
}

impl Saving {
    /// Saves in a folder; `None` if nothing is to be saved.
    pub fn new(folder: &Path, every: Option<Duration>) -> Option<Self> {
        every.map(|every| Self { path: folder.join("snapshot"), every })
    }

    /// Takes in what was saved. A file that can't be used is put aside, and the tracker begins with nothing.
    pub fn restore(&self, server: &Server) -> anyhow::Result<()> {
        match server.restore(&self.path) {
            Ok(None) => {}
            Ok(Some(restored)) => tracing::info!(
                nodes = restored.nodes,
                holdings = restored.holdings,
                age_s = restored.age.as_secs(),
                "what was saved is remembered again"
            ),
            Err(SnapshotError::Io { path, source }) => {
                return Err(source).with_context(|| {
                    format!(
                        "the snapshot {} can't be read; move it away to begin with nothing",
                        path.display()
                    )
                });
            }
            Err(error) => {
                let aside = snapshot::put_aside(&self.path).with_context(|| {
                    format!("the snapshot {} can't be used and can't be moved away", self.path.display())
                })?;
                tracing::warn!(
                    "the snapshot {} can't be used: {error}; it is {} now, and the tracker begins with nothing",
                    self.path.display(),
                    aside.display()
                );
            }
        }
        Ok(())
    }

    /// Saves whenever something has changed, for ever.
    pub async fn keep(&self, server: &Server) {
        let mut tick = interval_at(tokio::time::Instant::now() + self.every, self.every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut saved = server.changes();
        loop {
            tick.tick().await;
            let changes = server.changes();
            if changes != saved && self.save(server).await {
                saved = changes;
            }
        }
    }

    /// Saves once.
    pub async fn save(&self, server: &Server) -> bool {
        let (server, path) = (server.clone(), self.path.clone());
        let saving = tokio::task::spawn_blocking(move || server.save(&path));
        match saving.await.map_err(anyhow::Error::from).and_then(|saved| Ok(saved?)) {
            Ok(saved) => {
                tracing::debug!(nodes = saved.nodes, holdings = saved.holdings, "saved");
                true
            }
            Err(error) => {
                tracing::error!("what is remembered can't be saved: {error:#}");
                false
            }
        }
    }
}
