//! Taking connections in: as many as there may be, each with a limit on how long a question takes.

use std::{io, sync::Arc, time::Duration};

use axum::{Extension, Router, extract::ConnectInfo};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// The time for the head of a request: a slow line sends one in a fraction of it.
const HEAD: Duration = Duration::from_secs(15);
/// No browser sends a third of these; they are read before anything else is known.
const HEADERS: usize = 100;
const HEAD_BYTES: usize = 64 * 1024;
/// After a failure to accept: the system is out of files, and others give theirs back.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop`; then answers under way may go on for `drain`.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    connections: usize,
    stop: CancellationToken,
    drain: Duration,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(connections));
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let place = tokio::select! {
            () = stop.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place.map_err(io::Error::other)?,
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection can't be taken");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        stream.set_nodelay(true).ok();
        let router = router.clone().layer(Extension(ConnectInfo(from)));
        let (service, stop) = (TowerToHyperService::new(router), stop.clone());
        open.spawn(async move {
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .max_headers(HEADERS)
                .max_buf_size(HEAD_BYTES);
            let mut serving = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
            tokio::select! {
                ended = serving.as_mut() => drop(ended),
                () = stop.cancelled() => {
                    serving.as_mut().graceful_shutdown();
                    // How it ends is the client's affair.
                    serving.await.ok();
                }
            }
            drop(place);
        });
    }
    drop(listener);
    let all = async { while open.join_next().await.is_some() {} };
    // What is dropped here ends with the set.
    tokio::time::timeout(drain, all).await.ok();
    Ok(())
}
