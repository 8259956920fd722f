//! Being told of changes in folders. What exactly has changed is found out by looking: events are lost when
//! there are many, and network file systems give none.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// Watches folders, where the system can.
pub(super) struct Watcher {
    watcher: Option<RecommendedWatcher>,
    followed: BTreeSet<PathBuf>,
}

impl Watcher {
    /// Says on `told` that something has changed; one word for all that did.
    pub fn new(told: mpsc::Sender<()>) -> Self {
        let tell = move |event: notify::Result<Event>| {
            // Reading changes nothing, and we read much.
            if !matches!(event, Ok(Event { kind: EventKind::Access(_), .. })) {
                // Full means told already.
                told.try_send(()).ok();
            }
        };
        let watcher = notify::recommended_watcher(tell);
        if let Err(error) = &watcher {
            tracing::info!(%error, "no changes are told by the system; the folders are looked through instead");
        }
        Self { watcher: watcher.ok(), followed: BTreeSet::new() }
    }

    /// Follows these, with all the folders in them. What can't be followed is found by looking.
    pub fn follow(&mut self, roots: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        for root in roots.iter().filter(|root| !self.followed.contains(*root)).collect::<Vec<_>>() {
            let watched = watcher.watch(watched(root), RecursiveMode::Recursive);
            if let Err(error) = watched {
                tracing::info!(%error, folder = %root.display(), "changes here are found by looking, not told");
            }
            self.followed.insert(root.clone());
        }
    }
}

/// A file is replaced by renaming another one over it, which only its folder tells.
fn watched(root: &Path) -> &Path {
    if root.is_dir() { root } else { root.parent().unwrap_or(root) }
}
