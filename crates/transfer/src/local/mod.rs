//! The local HTTP address: any player on this machine reads what is fetched (R4, *pull*), and any program
//! learns where the bytes lie and how far they are (*location + progress*).
//!
//! ```text
//! GET /<token>/<resource id>/<name>   the film, with ranges
//! GET /<token>/<resource id>          location, verified ranges and progress, as JSON
//! GET /<token>                        all resources in use, as JSON
//! ```
//!
//! It listens on loopback only. The token can't be guessed, and requests whose `Host` isn't this machine
//! or whose `Origin` is a web page are refused: a page that rebinds its name to 127.0.0.1 gets nothing.

mod film;
pub mod range;
mod report;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use data_encoding::BASE32_NOPAD;
use nearcast_protocol::{Link, ResourceId};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC as ALL_BUT_ALPHANUMERIC, utf8_percent_encode};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub use self::film::answer;
pub use self::report::{Report, Source};
use crate::{Controller, plain::PlainFile};

/// Players guess a format from the ending, so that dots and dashes stay readable.
const NON_ALPHANUMERIC: &AsciiSet = &ALL_BUT_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_');

/// Why the local address can't be opened.
#[derive(Debug, thiserror::Error)]
#[error("the local address can't be opened on port {port} of 127.0.0.1: {source}")]
pub struct LocalError {
    port: u16,
    source: io::Error,
}

/// The local HTTP server; dropping it closes it.
pub struct Local {
    address: SocketAddr,
    token: String,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Shared {
    controller: Controller,
    plain: Option<Arc<PlainFile>>,
    port: u16,
}

impl Local {
    /// Listens on 127.0.0.1; port 0 takes any free one. A plain file, if there is one, is served too.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn start(
        controller: Controller,
        port: u16,
        plain: Option<Arc<PlainFile>>,
    ) -> Result<Self, LocalError> {
        let listening = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listening.map_err(|source| LocalError { port, source })?;
        let address = listener.local_addr().map_err(|source| LocalError { port, source })?;
        let token = BASE32_NOPAD.encode(&rand::random::<[u8; 20]>()).to_ascii_lowercase();
        let shared = Shared { controller, plain, port: address.port() };
        let inside = Router::new()
            .route("/", get(report::all))
            .route("/{id}", get(report::one))
            .route("/{id}/{name}", get(film::serve))
            .route("/plain/{name}", get(film::serve_plain));
        let router = Router::new()
            .nest(&format!("/{token}"), inside)
            .layer(middleware::from_fn_with_state(shared.clone(), guard))
            .with_state(shared);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let serving = axum::serve(listener, router);
            // A player's connection may last for hours; a stop doesn't wait for it.
            if let Some(Err(error)) = stopped.run_until_cancelled(serving.into_future()).await {
                tracing::error!(%error, "the local address is gone");
            }
        });
        Ok(Self { address, token, stop, task: Some(task) })
    }

    /// Where a resource is played from.
    pub fn url_of(&self, link: &Link) -> String {
        self.url(&link.id.to_string(), &link.name)
    }

    /// Where the plain file is played from.
    pub fn url_of_plain(&self, file: &PlainFile) -> String {
        self.url("plain", file.name())
    }

    /// The address of the reports, token included.
    pub fn base(&self) -> String {
        format!("http://{}/{}", self.address, self.token)
    }

    fn url(&self, first: &str, name: &str) -> String {
        let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
        format!("{}/{first}/{name}", self.base())
    }

    /// Closes it.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            task.await.ok();
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Refuses what comes from a web page or under a foreign name.
async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if !host_is_local(headers, shared.port) {
        return (StatusCode::MISDIRECTED_REQUEST, "this address answers to 127.0.0.1 only\n").into_response();
    }
    if !origin_is_local(headers, shared.port) {
        return (StatusCode::FORBIDDEN, "web pages may not read this address\n").into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    response
}

fn host_is_local(headers: &HeaderMap, port: u16) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    [format!("127.0.0.1:{port}"), format!("localhost:{port}")].contains(&host.to_ascii_lowercase())
        || (port == 80 && ["127.0.0.1", "localhost"].contains(&host))
}

fn origin_is_local(headers: &HeaderMap, port: u16) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let own = [format!("http://127.0.0.1:{port}"), format!("http://localhost:{port}")];
    origin.to_str().is_ok_and(|origin| own.contains(&origin.to_ascii_lowercase()))
}

/// The resource that a path names.
fn named(text: &str) -> Option<ResourceId> {
    text.parse().ok()
}

fn not_open() -> Response {
    (StatusCode::NOT_FOUND, "this resource is not open\n").into_response()
}
