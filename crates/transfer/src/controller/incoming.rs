//! Who comes: hellos are taken, and streams handed to the transfers they are about.

use std::sync::{Arc, atomic::Ordering};

use nearcast_content::LibraryError;
use nearcast_network::PieceStream;
use nearcast_protocol::pieces::{Frame, Hello, Reason, Refuse};
use tokio::sync::mpsc;

use super::{Controller, GREETING, HELLO_PATIENCE, blocking};
use crate::{
    drive::refuse_stream,
    transfer::{Command, Transfer},
};

impl Controller {
    /// Hands incoming streams to the transfers they are about.
    pub(super) async fn accept(self, mut incoming: mpsc::Receiver<PieceStream>) {
        let greeting = Arc::new(tokio::sync::Semaphore::new(GREETING));
        while let Some(stream) = incoming.recv().await {
            let Ok(permit) = Arc::clone(&greeting).acquire_owned().await else { return };
            let controller = self.clone();
            let stop = self.inner.stop.clone();
            self.inner.tasks.spawn(async move {
                stop.run_until_cancelled(controller.welcome(stream)).await;
                drop(permit);
            });
        }
    }

    async fn welcome(&self, mut stream: PieceStream) {
        let hello = match tokio::time::timeout(HELLO_PATIENCE, stream.receive.next()).await {
            Ok(Ok(Some(Frame::Hello(hello)))) => hello,
            _ => return,
        };
        if self.inner.closed.load(Ordering::Relaxed) {
            let refuse = Refuse { id: None, reason: Reason::Busy, retry_after_ms: 30_000, peers: Vec::new() };
            return refuse_stream(stream, Frame::Refuse(refuse)).await;
        }
        match self.serve(&hello).await {
            Some(transfer) => match transfer.access().check(hello.token.as_ref(), &stream.peer) {
                Ok(()) => {
                    transfer.tell(Command::Incoming(Box::new(stream), hello)).await;
                }
                Err(error) => {
                    tracing::debug!(peer = %stream.peer, %error, "a peer may not have this");
                    let (reason, peers) = (error.reason(), Vec::new());
                    let refuse = Refuse { id: None, reason, retry_after_ms: 0, peers };
                    refuse_stream(stream, Frame::Refuse(refuse)).await;
                }
            },
            None => {
                let refuse =
                    Refuse { id: None, reason: Reason::NotHeld, retry_after_ms: 60_000, peers: Vec::new() };
                refuse_stream(stream, Frame::Refuse(refuse)).await;
            }
        }
    }

    /// The transfer a peer asks about: in use, or in the library.
    async fn serve(&self, hello: &Hello) -> Option<Transfer> {
        if !self.may_serve(&hello.resource) {
            return None;
        }
        if let Some(transfer) = self.transfer(&hello.resource) {
            return Some(transfer);
        }
        let (inner, id) = (Arc::clone(&self.inner), hello.resource);
        let opened = blocking(move || {
            let entry = inner.library.entry(id);
            let store = inner.library.store(id)?;
            Ok::<_, LibraryError>(entry.zip(store))
        });
        match opened.await {
            Ok(Some((entry, store))) => self.use_store(entry.link, entry.guard, store).ok(),
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "a resource can't be served");
                None
            }
        }
    }
}
