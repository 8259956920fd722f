//! For whoever runs the publisher, on an address of its own: what goes on, and orders.
//!
//! ```text
//! GET    /                        the status page
//! GET    /healthz                 200 while it serves, 503 while it ends
//! GET    /metrics                 for Prometheus
//! GET    /api/status              what goes on, as JSON           from here on with the token
//! GET    /api/titles[?q=]         what is up, and what is held back
//! GET    /api/titles/<key>        one title
//! POST   /api/titles              {"path": "/srv/more"}: puts up one more file or folder
//! PATCH  /api/titles/<key>        {"name": "…"}, or null for the name its files say
//! DELETE /api/titles/<key>        takes it out for good; its files stay
//! PUT    /api/titles/<key>/held   takes it down at once: trackers are told, its address answers 410
//! DELETE /api/titles/<key>/held   puts it up again
//! PUT    /api/files/<path>        a film, streamed into the folder
//! POST   /api/rescan              looks through the folders now
//! GET    /api/limits, PATCH       {"upload": "20Mbit", "streams": 20, "streams_in_all": 400, "direct": 4,
//!                                  "direct_rate": null}; null goes back to the configuration
//! ```
//!
//! It is meant for this machine. A request has to name the address by a number, `localhost` or the site's own name, and
//! must not come from another site's page: a page that rebinds its name gets nothing.

mod api;
mod limits;
mod meter;
mod metrics;
mod status;
mod token;
mod upload;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use nearcast_transfer::Controller;
use serde_json::json;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

pub use self::{limits::Limits, token::TokenError};
use self::{meter::Load, token::Gate};
use crate::{
    library::Library,
    site::{Publication, answer, pages, serve},
};

/// Connections at a time: a few people and programs.
const CONNECTIONS: usize = 64;

/// How the administration is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The publisher's own folder: the token and the limits are kept there.
    pub state: PathBuf,
    /// Where films that are sent in go.
    pub folder: PathBuf,
    /// The largest film that may be sent in, in bytes.
    pub largest: u64,
    /// The limits as the command line and the configuration have them.
    pub limits: Limits,
}

/// Why there is no administration.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address can't be listened on.
    #[error(
        "can't serve the administration on {address}: {source}; is another program there? (--admin ADDRESS)"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The token can't be kept.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// What was set before can't be read.
    #[error(transparent)]
    Limits(#[from] limits::LimitsError),
    /// Serving has ended.
    #[error("the administration can't be served any longer: {0}")]
    Serve(io::Error),
}

/// The administration, listening and not yet serving.
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

/// What all answers are made of; a clone is the same.
#[derive(Clone)]
pub(crate) struct Desk {
    publication: Publication,
    library: Library,
    controller: Controller,
    settings: Arc<Settings>,
    limits: Arc<tokio::sync::Mutex<Limits>>,
    load: watch::Receiver<Load>,
    gate: Arc<Gate>,
    ending: CancellationToken,
}

impl Admin {
    /// Listens; port 0 takes any free one.
    ///
    /// # Errors
    /// When the address is taken or not ours.
    pub async fn listen(address: SocketAddr) -> Result<Self, AdminError> {
        let failed = |source| AdminError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until stopped. What was set by the API before holds again. `ending` says that the publisher is about to
    /// end: it is well no longer, and can be watched to its end.
    ///
    /// # Errors
    /// When the token or the limits can't be read or kept, or the listener fails.
    pub async fn serve(
        self,
        settings: Settings,
        publication: Publication,
        library: Library,
        ending: CancellationToken,
        stop: CancellationToken,
    ) -> Result<(), AdminError> {
        let gate = Arc::new(Gate::open(&settings.state)?);
        let limits = Limits::read(&settings.state)?;
        limits.apply(settings.limits, &publication);
        upload::clear(&settings.folder).await;
        let (sender, load) = watch::channel(Load::default());
        let controller = publication.controller.clone();
        let measuring = meter::measure(publication.clone(), sender);
        let settings = Arc::new(settings);
        let limits = Arc::new(tokio::sync::Mutex::new(limits));
        let desk = Desk { publication, library, controller, settings, limits, load, gate, ending };
        let serving =
            serve::serve(self.listener, router(desk), CONNECTIONS, stop.clone(), Duration::from_secs(1));
        let (served, _) = tokio::join!(serving, stop.run_until_cancelled(measuring));
        served.map_err(AdminError::Serve)
    }
}

fn router(desk: Desk) -> Router {
    Router::new()
        .route("/", get(status::page))
        .route("/healthz", get(health))
        .route("/metrics", get(metrics::metrics))
        .route("/style.css", get(|| async { answer::part("text/css; charset=utf-8", pages::STYLE) }))
        .route("/icon.svg", get(|| async { answer::part("image/svg+xml", pages::ICON) }))
        .route("/status.js", get(|| async { answer::part("text/javascript; charset=utf-8", status::SCRIPT) }))
        .nest("/api", api::routes().layer(middleware::from_fn_with_state(desk.clone(), token::checked)))
        .fallback(|| async {
            wrong(StatusCode::NOT_FOUND, "there is nothing at this address; the API begins with /api/")
        })
        .layer(middleware::from_fn_with_state(desk.clone(), guard))
        .with_state(desk)
}

/// An error as JSON, with a sentence.
fn wrong(status: StatusCode, sentence: impl Into<String>) -> Response {
    (status, Json(json!({ "error": sentence.into() }))).into_response()
}

async fn health(State(desk): State<Desk>) -> Response {
    if desk.ending.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "ending\n").into_response();
    }
    "well\n".into_response()
}

/// Refuses what comes from a web page of others, or under a foreign name.
async fn guard(State(desk): State<Desk>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    if !is_own(&host, desk.publication.settings.public.host_str()) {
        return wrong(
            StatusCode::MISDIRECTED_REQUEST,
            "this address answers under a number or localhost only",
        );
    }
    if !same_origin(headers, &host) {
        return wrong(StatusCode::FORBIDDEN, "pages of other sites may not give orders here");
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let policy = "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                  base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A name can be rebound to this machine by whoever owns it; a number can't.
fn is_own(host: &str, public: Option<&str>) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    let number = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>().is_ok();
    number
        || name.eq_ignore_ascii_case("localhost")
        || public.is_some_and(|public| name.eq_ignore_ascii_case(public))
}

fn same_origin(headers: &HeaderMap, host: &str) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, name)| name.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_cannot_be_rebound_are_answered() {
        for host in
            ["127.0.0.1:8401", "localhost:8401", "LOCALHOST", "[::1]:8401", "10.0.0.7", "films.example:8401"]
        {
            assert!(is_own(host, Some("films.example")), "{host}");
        }
        for host in [
            "evil.example:8401",
            "",
            "127.0.0.1.evil.example",
            "localhost.evil.example:1",
            "films.example.evil",
        ] {
            assert!(!is_own(host, Some("films.example")), "{host}");
        }
    }

    #[test]
    fn another_site_s_page_gives_no_orders() {
        let from =
            |origin: &str| HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_str(origin).unwrap())]);
        assert!(same_origin(&HeaderMap::new(), "127.0.0.1:1"));
        assert!(same_origin(&from("http://127.0.0.1:1"), "127.0.0.1:1"));
        for origin in ["null", "http://evil.example", "http://127.0.0.1:2", ""] {
            assert!(!same_origin(&from(origin), "127.0.0.1:1"), "{origin}");
        }
    }
}
