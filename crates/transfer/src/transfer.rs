//! One resource in use: fetched, read and served.

use std::sync::Arc;

use nearcast_content::Store;
use nearcast_network::{Limit, PieceStream};
use nearcast_protocol::{Blocks, Link, ResourceId, pieces::Hello};
use tokio::sync::{mpsc, watch};

use crate::{
    access::Access,
    progress::{Progress, Stopped},
    reader::{Reader, Readers},
    trackers::Trackers,
};

/// What the task of a transfer is told from outside.
pub(crate) enum Command {
    /// A peer has opened a stream about this resource.
    Incoming(Box<PieceStream>, Hello),
    /// Fetch it, if it was only served so far, and ask these trackers too.
    Fetch(nearcast_schedule::Fetch, Trackers),
    /// Its token is another than before, and so is its guard if this is so.
    FreshToken(bool),
    /// Hold fetching, or go on.
    Pause(bool),
    /// No more than so many bytes of it may be held.
    Room(Option<u64>),
    /// The store has found these blocks damaged and given them up.
    Damaged(Blocks),
}

/// A handle on a resource in use; cheap to clone. The transfer itself lives until its controller closes it.
#[derive(Clone)]
pub struct Transfer {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub link: Link,
    pub access: Access,
    pub store: Arc<dyn Store>,
    pub readers: Readers,
    /// Counts what was verified: readers wait on it.
    pub arrivals: watch::Sender<u64>,
    pub progress: watch::Sender<Progress>,
    pub commands: mpsc::Sender<Command>,
    /// How fast this resource may be uploaded, beside the limit of all.
    pub limit: Arc<Limit>,
}

impl Transfer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(crate) fn limit(&self) -> &Limit {
        &self.shared.limit
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.shared.readers
    }

    pub(crate) fn arrivals(&self) -> watch::Receiver<u64> {
        self.shared.arrivals.subscribe()
    }

    pub(crate) fn access(&self) -> &Access {
        &self.shared.access
    }

    pub(crate) fn stopped(&self) -> Option<Stopped> {
        self.shared.progress.borrow().stopped.clone()
    }

    /// What is transferred.
    pub fn id(&self) -> ResourceId {
        self.shared.link.id
    }

    /// The link it was opened with.
    pub fn link(&self) -> &Link {
        &self.shared.link
    }

    /// Where the bytes are kept.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.shared.store
    }

    /// A new reader; several may be at different places. Must be called within a Tokio runtime.
    pub fn reader(&self) -> Reader {
        Reader::verified(self.clone(), tokio::runtime::Handle::current())
    }

    /// The state now and from now on.
    pub fn watch(&self) -> watch::Receiver<Progress> {
        self.shared.progress.subscribe()
    }

    /// The state now.
    pub fn progress(&self) -> Progress {
        self.shared.progress.borrow().clone()
    }

    /// Holds fetching, or goes on with it. Serving goes on either way.
    pub async fn pause(&self, on: bool) {
        self.tell(Command::Pause(on)).await;
    }

    /// No more than `bytes` of it are held from now on, 16 MiB at least: what was played goes to make room for what
    /// comes. What needs no fetching any more is left as it is.
    pub async fn set_room(&self, bytes: Option<u64>) {
        self.tell(Command::Room(bytes)).await;
    }

    /// Waits until every byte is held.
    ///
    /// # Errors
    /// When the transfer ends before that.
    pub async fn finished(&self) -> Result<(), Stopped> {
        let mut progress = self.watch();
        let last = progress.wait_for(|now| now.complete() || now.stopped.is_some()).await;
        match last {
            Ok(now) => now.stopped.clone().map_or(Ok(()), Err),
            Err(_) => Err(Stopped::Closed),
        }
    }

    pub(crate) async fn tell(&self, command: Command) -> bool {
        self.shared.commands.send(command).await.is_ok()
    }
}
