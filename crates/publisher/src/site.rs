//! The web site: the catalogue, and the answer to a request for a film (R6).

use std::{io, net::SocketAddr};

use axum::{
    Router,
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit, Path, Query, RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware,
    response::{Html, IntoResponse, Json, Response},
    routing::get,
};
use nearcast_protocol::ResourceId;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    access::{Access, answers},
    catalogue::Catalogue,
    library::Film,
    page,
};

/// Why the site can't be served.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The address can't be listened on.
    #[error("can't serve the site on {address}: {source}; is another program there? (--http ADDRESS)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Serving has ended.
    #[error("the site can't be served any longer: {0}")]
    Serve(io::Error),
}

/// The site, listening and not yet serving.
pub struct Site {
    listener: TcpListener,
    address: SocketAddr,
}

#[derive(Clone)]
struct Shared {
    name: String,
    catalogue: Catalogue,
    access: Access,
}

#[derive(Deserialize)]
struct Asked {
    url: String,
}

impl Site {
    /// Listens; port 0 takes any free one.
    ///
    /// # Errors
    /// When the address is taken or not ours.
    pub async fn listen(address: SocketAddr) -> Result<Self, SiteError> {
        let failed = |source| SiteError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until stopped; answers under way are finished.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        self,
        name: String,
        catalogue: Catalogue,
        access: Access,
        stop: CancellationToken,
    ) -> Result<(), SiteError> {
        let router = Router::new()
            .route("/", get(index))
            .route("/style.css", get(style))
            .route("/v/{id}", get(film).post(enter))
            .layer(DefaultBodyLimit::max(answers::MAX_FORM))
            .route("/.well-known/nearcast", get(confirm))
            .route("/healthz", get(|| async { "well\n" }))
            .layer(middleware::map_response(protected))
            .with_state(Shared { name, catalogue, access })
            .into_make_service_with_connect_info::<SocketAddr>();
        let serving = axum::serve(self.listener, router).with_graceful_shutdown(stop.cancelled_owned());
        serving.await.map_err(SiteError::Serve)
    }
}

async fn protected(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let policy =
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

async fn index(State(shared): State<Shared>) -> Html<String> {
    Html(page::catalogue(&shared.name, &shared.catalogue).into_string())
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], page::STYLE).into_response()
}

/// A request for a film: the redirect takes a browser to the app, and a controller to the tracker.
async fn film(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    match known(&shared, &id) {
        Ok(film) => answers::get(&shared.access, &film.link, query.as_deref(), &headers),
        Err(answer) => *answer,
    }
}

/// The password for a protected film.
async fn enter(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    form: Bytes,
) -> Response {
    match known(&shared, &id) {
        Ok(film) => answers::post(&shared.access, &film.link, &form, Some(from.ip()), &headers),
        Err(answer) => *answer,
    }
}

fn known(shared: &Shared, id: &str) -> Result<Film, Box<Response>> {
    let not_here = |why: String| Box::new((StatusCode::NOT_FOUND, why).into_response());
    let id = id.parse::<ResourceId>().map_err(|error| not_here(format!("no such film: {error}\n")))?;
    let gone = || not_here("no such film here; it may have been taken down\n".into());
    shared.catalogue.film(&id).map(|(_, film)| film).ok_or_else(gone)
}

/// Confirms which link an address of this site stands for, so that a tracker's word can be believed.
async fn confirm(State(shared): State<Shared>, Query(asked): Query<Asked>) -> Response {
    let film = Url::parse(&asked.url).ok().and_then(|url| shared.catalogue.at_address(&url));
    // Who asks for a protected film asks at its own address.
    match film.filter(|film| !shared.access.protects(&film.link.id)) {
        Some(film) => Json(serde_json::json!({ "link": film.link.to_string() })).into_response(),
        None => (StatusCode::NOT_FOUND, "this address stands for no film here\n").into_response(),
    }
}
