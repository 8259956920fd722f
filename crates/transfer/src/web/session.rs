//! A web source in a peer's place: takes the schedule's orders, reports what comes of them.

use std::{collections::HashMap, ops::Range, sync::Arc, time::Duration};

use bytes::BytesMut;
use nearcast_content::{AcceptError, Store, assemble};
use nearcast_network::Network;
use nearcast_protocol::pieces::{Reason, Refuse};
use nearcast_schedule::{Peer, RequestId};
use tokio::{
    sync::{Semaphore, mpsc},
    task::{AbortHandle, JoinSet},
};
use url::Url;

use super::{
    Reach,
    proofs::Proofs,
    remote::{Pass, RemoteFile, SourceError, Told},
};
use crate::session::{Ending, Order, Report};

/// As many requests at a time as browsers make of one server; the others wait in their order.
const CONNECTIONS: usize = 4;
/// So many failures in a row are enough.
const MOST_FAILURES: u32 = 5;
const FIRST_REST: Duration = Duration::from_secs(1);

/// One source of one film.
pub(crate) struct Source {
    peer: Peer,
    store: Arc<dyn Store>,
    network: Arc<Network>,
    film: RemoteFile,
    proofs: Proofs,
    connections: Semaphore,
    reports: mpsc::Sender<(Peer, Report)>,
}

impl Source {
    pub(crate) fn new(
        peer: Peer,
        url: Url,
        reach: Reach,
        store: Arc<dyn Store>,
        network: Arc<Network>,
        reports: mpsc::Sender<(Peer, Report)>,
    ) -> Result<Self, SourceError> {
        let web = reach.client()?;
        let geometry = store.geometry();
        Ok(Self {
            proofs: Proofs::beside(&url, geometry, reach, web.clone()),
            film: RemoteFile::new(url, geometry.size(), reach, web),
            connections: Semaphore::new(CONNECTIONS),
            peer,
            store,
            network,
            reports,
        })
    }

    /// Serves orders until the drive has no more, or the source is of no use.
    pub(crate) async fn run(self, mut orders: mpsc::Receiver<Order>) {
        let source = Arc::new(self);
        let mut jobs: JoinSet<(RequestId, Result<(), SourceError>)> = JoinSet::new();
        let mut running: HashMap<RequestId, AbortHandle> = HashMap::new();
        let mut failures = 0;
        let ending = loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Request(piece, blocks)) => {
                        let (request, source) = (RequestId(piece.id), Arc::clone(&source));
                        let job = jobs.spawn(async move { (request, source.fetch(request, blocks).await) });
                        running.insert(request, job);
                    }
                    Some(Order::Cancel(request, _)) => {
                        if let Some(job) = running.remove(&request) {
                            job.abort();
                        }
                    }
                    // There is nobody to talk to.
                    Some(Order::Say(_)) => {}
                    None => return,
                },
                Some(done) = jobs.join_next() => {
                    let Ok((request, outcome)) = done else { continue };
                    running.remove(&request);
                    let Err(error) = outcome else {
                        failures = 0;
                        continue;
                    };
                    failures += 1;
                    if error.is_lasting() || failures >= MOST_FAILURES {
                        break Ending::Dropped(error.to_string());
                    }
                    tracing::debug!(url = %source.film.url(), %error, "a web source failed");
                    let rest = error.retry_after().unwrap_or(FIRST_REST * (1 << failures.min(6)));
                    let retry_after_ms = u32::try_from(rest.as_millis()).unwrap_or(u32::MAX);
                    let refuse = Refuse { id: Some(request.0), reason: Reason::Busy, retry_after_ms, peers: Vec::new() };
                    if !source.report(Report::Refused { request, refuse }).await {
                        return;
                    }
                }
            }
        };
        source.report(Report::Ended(ending)).await;
    }

    async fn fetch(&self, request: RequestId, blocks: Range<u64>) -> Result<(), SourceError> {
        // It is never closed.
        let _turn = self.connections.acquire().await;
        let geometry = self.store.geometry();
        let pass = |told| Pass { network: Arc::clone(&self.network), told };
        let (limited, counted) =
            (pass(None), pass(Some(Told { reports: self.reports.clone(), peer: self.peer, request })));
        let range = geometry.bytes(blocks.clone());
        let (pages, bytes) =
            tokio::try_join!(self.proofs.of(&blocks, &limited), self.film.read(range, &counted))?;
        let encoded = assemble(geometry, &blocks, &bytes, |at| pages.pair(at)).ok_or(SourceError::Wrong)?;
        if !self.store.size_proved() && !blocks.contains(&geometry.last()) {
            let encoded = BytesMut::from(encoded.as_slice());
            self.report(Report::Unproved { request, blocks, encoded }).await;
            return Ok(());
        }
        let (store, reports, peer) = (Arc::clone(&self.store), self.reports.clone(), self.peer);
        // Told from where it is found, as for a peer: what is stored must be known.
        let verdict = tokio::task::spawn_blocking(move || {
            let result = store.accept(blocks, &encoded);
            let wrong = result.as_ref().is_err_and(is_wrong);
            reports.blocking_send((peer, Report::Answered { request, result })).ok();
            wrong
        });
        if verdict.await.unwrap_or(false) { Err(SourceError::Wrong) } else { Ok(()) }
    }

    async fn report(&self, report: Report) -> bool {
        self.reports.send((self.peer, report)).await.is_ok()
    }
}

/// Whether the bytes, or their proofs, are at fault.
pub(crate) fn is_wrong(error: &AcceptError) -> bool {
    error.fault.blames_sender() || matches!(error.fault, nearcast_content::Fault::WrongSize { .. })
}
