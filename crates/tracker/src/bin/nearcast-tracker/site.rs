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
    extract::{Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use maud::Markup;
use nearcast_tracker::Server;
use serde::Deserialize;
use tokio::{net::TcpListener, sync::watch};

use crate::{
    page,
    wall::{Look, Wall},
};

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
    wall: Wall,
    unheard: Arc<AtomicU64>,
    stopping: watch::Receiver<bool>,
}

#[derive(Deserialize)]
struct Asked {
    lang: Option<String>,
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
        let wall = Wall::new(server.clone());
        let router = Router::new()
            .route("/", get(whole))
            .route("/part", get(part))
            .route("/page.css", get(|| async { of_kind("text/css; charset=utf-8", page::STYLE) }))
            .route("/page.js", get(|| async { of_kind("text/javascript; charset=utf-8", page::SCRIPT) }))
            .route("/metrics", get(metrics))
            .route("/healthz", get(health))
            .layer(middleware::map_response(protected))
            .with_state(Shared { server, wall: wall.clone(), unheard, stopping });
        tokio::select! {
            served = axum::serve(self.listener, router) => served,
            () = wall.keep() => Ok(()),
        }
    }
}

async fn protected(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
                  base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn of_kind(kind: &'static str, text: impl IntoResponse) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

async fn whole(State(shared): State<Shared>, Query(asked): Query<Asked>, headers: HeaderMap) -> Response {
    told(&shared, &asked, &headers, page::page).await
}

/// What changes, for the page's script.
async fn part(State(shared): State<Shared>, Query(asked): Query<Asked>, headers: HeaderMap) -> Response {
    told(&shared, &asked, &headers, page::part).await
}

async fn told(
    shared: &Shared,
    asked: &Asked,
    headers: &HeaderMap,
    tell: fn(&page::Words, &Look) -> Markup,
) -> Response {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|accepted| accepted.to_str().ok());
    let words = page::words(asked.lang.as_deref(), accepted.unwrap_or_default());
    match shared.wall.look().await {
        Ok(look) => of_kind("text/html; charset=utf-8", tell(words, &look).into_string()),
        Err(error) => {
            tracing::error!("the status page can't be made: {error:#}");
            (StatusCode::INTERNAL_SERVER_ERROR, "the page can't be made\n").into_response()
        }
    }
}

async fn metrics(State(shared): State<Shared>) -> Response {
    shared.server.metrics().bad_messages(shared.unheard.load(Ordering::Relaxed));
    of_kind("application/openmetrics-text; version=1.0.0; charset=utf-8", shared.server.prometheus())
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
