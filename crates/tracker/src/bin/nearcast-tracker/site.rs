//! The operator's web address: the status page, the numbers for Prometheus, and whether all is well.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use axum::{
    Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use nearcast_tracker::Server;
use tokio::{net::TcpListener, sync::watch};

/// How long the tracker may take to come round to answering before it counts as unwell.
const PATIENCE: Duration = Duration::from_secs(2);

/// The address, listening and not yet serving.
pub struct Site {
    listener: TcpListener,
    address: SocketAddr,
}

#[derive(Clone)]
struct Shared {
    server: Server,
    unheard: Arc<AtomicU64>,
    stopping: watch::Receiver<bool>,
}

impl Site {
    /// Listens; port 0 takes any free one.
    pub async fn listen(address: SocketAddr) -> anyhow::Result<Self> {
        let failed =
            || format!("can't serve the status page on {address}; is another program there? (--status)");
        let listener = TcpListener::bind(address).await.with_context(failed)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is dropped; from when `stopping` says so, /healthz says so too.
    pub async fn serve(
        self,
        server: Server,
        unheard: Arc<AtomicU64>,
        stopping: watch::Receiver<bool>,
    ) -> io::Result<()> {
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(health))
            .layer(middleware::map_response(protected))
            .with_state(Shared { server, unheard, stopping });
        axum::serve(self.listener, router).await
    }
}

async fn protected(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                  base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn metrics(State(shared): State<Shared>) -> Response {
    shared.server.metrics().bad_messages(shared.unheard.load(Ordering::Relaxed));
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], shared.server.prometheus()).into_response()
}

async fn health(State(shared): State<Shared>) -> Response {
    if *shared.stopping.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    if shared.server.responds(PATIENCE).await {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "the tracker doesn't come round to answering\n").into_response()
}
