//! What is remembered, saved now and then and taken in again at the start.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use nearcast_tracker::{Server, SnapshotError, snapshot};
use tokio::time::{Instant, sleep};

/// Who has come is saved within this time, where saving is quick: whoever isn't saved is lost by a crash until its
/// next renewal, minutes later.
const SOON: Duration = Duration::from_secs(2);
/// Saving takes at most one part in so many of the time.
const SHARE: u32 = 50;

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

    /// Saves for ever: what isn't saved yet of who is known soon, all else in a while.
    pub async fn keep(&self, server: &Server) {
        let mut saved = server.changes();
        let mut due = Instant::now() + self.every;
        let mut soon = SOON.min(self.every);
        loop {
            sleep(soon).await;
            let (began, changes) = (Instant::now(), server.changes());
            if changes == saved || (changes.known == saved.known && began < due) {
                continue;
            }
            if self.save(server).await {
                saved = changes;
            }
            due = began + self.every;
            soon = (began.elapsed() * SHARE).max(SOON).min(self.every);
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
