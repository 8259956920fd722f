//! Videos that the owner of this computer shares.

use std::{path::Path, sync::atomic::Ordering, time::Duration};

use nearcast_content::{ImportProgress, Origin};
use nearcast_protocol::{Link, ResourceId};
use nearcast_transfer::{Controller, ControllerError};

use super::State;
use crate::{
    own_tracker::OwnTracker,
    screen::{Code, Message},
    shares::Task,
    terminal::Input,
};

/// A file that keeps a demuxer busy for longer is no video.
const PROBED: Duration = Duration::from_secs(20);

impl State {
    pub(super) async fn share(&mut self, paths: Vec<String>) {
        if self.first_start {
            return;
        }
        for path in paths {
            if let Err(message) = self.shares.add(Path::new(&path)) {
                self.notice(message);
            }
        }
        self.go_on_sharing().await;
    }

    pub(super) async fn stop_sharing(&mut self, number: u32) {
        if let (Some(id), Some(node)) = (self.shares.stop(number), &self.node)
            && only_here_to_be_shared(&node.controller, &id)
            && let Err(error) = node.controller.remove(id, false).await
        {
            self.notice(Message { code: Code::Disk, detail: error.to_string() });
        }
        self.look_at_disk();
        self.go_on_sharing().await;
    }

    pub(super) async fn shared(&mut self, number: u32, outcome: Result<Box<Link>, Message>) {
        if let Ok(link) = &outcome {
            tracing::info!(name = link.name, "shared");
        }
        self.shares.ended(number, outcome.map(|link| *link));
        self.look_at_disk();
        self.go_on_sharing().await;
    }

    /// All that is shared is offered anew: by another node, or with another tracker.
    pub(super) async fn offer_again(&mut self) {
        self.stop_reading().await;
        self.go_on_sharing().await;
    }

    /// What was changed or taken away is offered no longer.
    pub(super) fn look_at_shares(&mut self) {
        for id in self.shares.look() {
            if let Some(node) = &self.node
                && only_here_to_be_shared(&node.controller, &id)
            {
                node.controller.withhold(&id);
            }
        }
    }

    /// Reads the next file, if there is one and none is being read.
    async fn go_on_sharing(&mut self) {
        self.keep_own_tracker().await;
        if let Err(error) = self.shares.save() {
            self.notice(Message { code: Code::Settings, detail: error.to_string() });
        }
        let Some(node) = &self.node else { return };
        let Some(task) = self.shares.begin() else { return };
        if let Some(outdated) = task.outdated
            && broken(&node.controller, &outdated)
            && let Err(error) = node.controller.remove(outdated, false).await
        {
            tracing::warn!(%error, "what a changed file was before can't be forgotten");
        }
        let trackers = match &self.own_tracker {
            Some(tracker) => tracker.addresses().to_vec(),
            None => node.controller.settings().trackers.clone(),
        };
        let (controller, inputs) = (node.controller.clone(), self.inputs.clone());
        self.reading = Some(tokio::spawn(async move {
            let Task { number, path, known, done, called_off, .. } = task;
            let probed = match known {
                Some(_) => Ok(()),
                None => tokio::select! {
                    probed = probe(path.clone()) => probed,
                    () = called_off.token.cancelled() => return,
                },
            };
            let outcome = match probed {
                Ok(()) => {
                    let progress = move |now: ImportProgress| done.store(now.done, Ordering::Relaxed);
                    let offered =
                        controller.offer_by(&path, known, trackers, progress, called_off.flag).await;
                    let failed =
                        |error: ControllerError| Message { code: Code::BadFile, detail: error.to_string() };
                    offered.map(Box::new).map_err(failed)
                }
                Err(message) => Err(message),
            };
            // Whoever has called it off, or has ended, wants to know nothing more.
            if !called_off.token.is_cancelled() {
                let _ = inputs.send(Input::Shared(number, outcome)).await;
            }
        }));
    }

    /// Calls off what is being read, and waits until it has let go of the library.
    pub(super) async fn stop_reading(&mut self) {
        self.shares.again();
        if let Some(reading) = self.reading.take()
            && let Err(error) = reading.await
        {
            tracing::error!(%error, "reading a file ended badly");
        }
    }

    /// There is a tracker here while one is needed and somebody has agreed to be on the network.
    async fn keep_own_tracker(&mut self) {
        let configured = !self.settings.trackers.is_empty();
        let wanted =
            self.node.is_some() && !self.shares.is_empty() && (self.settings.own_tracker || !configured);
        if !wanted {
            if let Some(tracker) = self.own_tracker.take() {
                tracker.stop().await;
            }
            return;
        }
        if self.own_tracker.is_none() {
            match OwnTracker::start(&self.setup.paths.data.join("tracker"), &self.setup.listen).await {
                Ok(tracker) => self.own_tracker = Some(tracker),
                Err(error) => self.notice(Message { code: Code::Network, detail: error.to_string() }),
            }
        }
    }
}

/// Whether the library has it for nothing but the owner's file. What was watched as well has data of its own,
/// which stays when the file is shared no longer.
fn only_here_to_be_shared(controller: &Controller, id: &ResourceId) -> bool {
    controller.library().iter().any(|entry| entry.link.id == *id && entry.origin == Origin::Imported)
}

/// Whether the owner's file is no longer what the library has it for: a twin elsewhere keeps it whole.
fn broken(controller: &Controller, id: &ResourceId) -> bool {
    let mut library = controller.library().into_iter();
    library.any(|entry| entry.link.id == *id && entry.origin == Origin::Imported && entry.broken)
}

/// Whether it is a video at all, before a long file is read for nothing.
async fn probe(path: std::path::PathBuf) -> Result<(), Message> {
    let probed = tokio::task::spawn_blocking(move || nearcast_playback::probe(&path, PROBED)).await;
    match probed {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Message { code: Code::NotAFilm, detail: error.to_string() }),
        Err(error) => Err(Message { code: Code::Other, detail: error.to_string() }),
    }
}
