//! The web site: the catalogue, a page for each title, and the answer to a request for a film (R6).
//!
//! ```text
//! /                        the catalogue: ?q= words, ?in= folder, ?sort= order, ?page=, ?lang=
//! /t/<key>                 one title; /t/<key>/holders how many hold it
//! /play/<id>               opens the app, and says what to do without it
//! /embed/<key>             a small button for a frame on another site
//! /v/<id>                  a film: the app gets its link, a browser /play, a player bytes
//! /v/<id>/<name>           its bytes, for few at a time
//! /poster/<key>.jpg        its picture
//! /storyboard/<key>.vtt    small pictures of all of it, for players: WebVTT, and the sheet beside it (.jpg)
//! /.well-known/nearcast    which link an address of this site stands for
//! /feed.xml, /feed.json, /sitemap.xml, /robots.txt, /site.webmanifest, /healthz
//! ```
//!
//! Pages are made of a moment of the library that is in memory; no page waits for a tracker or a hash, and for a disk
//! only where a title has small pictures, whose index is a few kB. They
//! need no script, load nothing from elsewhere, and keep nothing about a visitor but a chosen language.

pub(crate) mod answer;
pub(crate) mod direct;
mod feeds;
pub(crate) mod figures;
pub(crate) mod language;
mod neighbours;
pub(crate) mod pages;
mod poster;
pub(crate) mod request;
pub(crate) mod search;
pub(crate) mod serve;
pub(crate) mod shelf;
mod storyboard;
mod visitors;
pub(crate) mod words;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderMap, HeaderValue, header},
    middleware,
    response::Response,
    routing::get,
};
use nearcast_protocol::ResourceId;
use nearcast_transfer::Controller;
use tokio::{
    net::TcpListener,
    sync::{Mutex, watch},
};
use tokio_util::sync::CancellationToken;
use tower_http::compression::{CompressionLayer, predicate::Predicate};
use url::Url;

use self::{
    direct::Direct, language::Language, neighbours::Neighbours, pages::Scene, request::parameter,
    shelf::Shelf,
};
use crate::{
    access::{Access, answers::MAX_FORM},
    library::Snapshot,
};

/// Connections at a time, if nothing else is said.
pub const CONNECTIONS: usize = 2048;
/// Streams at a time to those without the app, if nothing else is said.
pub const DIRECT: usize = 8;
/// Texts shorter than this go out as they are.
const WORTH_COMPRESSING: u64 = 860;

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

/// How the site is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The site's name.
    pub name: String,
    /// The address under which viewers reach it, with a slash at the end.
    pub public: Url,
    /// Where the app is had.
    pub download: Option<Url>,
    /// Streams at a time to those without the app; 0 for none.
    pub direct: usize,
    /// What those get together, in bytes/s.
    pub direct_rate: Option<u64>,
    /// Connections at a time.
    pub connections: usize,
    /// How long answers under way may go on after a stop.
    pub drain: Duration,
}

impl Settings {
    /// The usual settings of a site that is reached at `public`.
    pub fn new(name: impl Into<String>, public: Url) -> Self {
        Self {
            name: name.into(),
            public,
            download: None,
            direct: DIRECT,
            direct_rate: None,
            connections: CONNECTIONS,
            drain: Duration::from_secs(10),
        }
    }
}

/// The site, listening and not yet serving.
pub struct Site {
    listener: TcpListener,
    address: SocketAddr,
}

/// What is published, for the site and for whoever runs it; a clone is the same.
#[derive(Clone)]
pub struct Publication {
    pub(crate) settings: Arc<Settings>,
    pub(crate) controller: Controller,
    pub(crate) access: Access,
    pub(crate) direct: Direct,
    pub(crate) neighbours: Neighbours,
    /// The upload limit that was set by hand, in bytes/s.
    pub(crate) upload_set: watch::Sender<Option<u64>>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    /// The shelf as it was last made. Made by who asks first after a change.
    made: Arc<Mutex<Arc<Shelf>>>,
}

/// One visit: in which language, and to which page.
pub(crate) struct Visit {
    pub language: Language,
    /// Whether the language was chosen with this very visit.
    pub chosen: bool,
    up: &'static str,
    here: String,
    question: String,
}

impl Visit {
    pub(crate) fn new(headers: &HeaderMap, query: Option<&str>, up: &'static str, here: String) -> Self {
        let chosen = parameter(query, "lang").filter(|code| Language::named(code).is_some());
        let language = Language::of(headers, chosen.as_deref());
        Self { language, chosen: chosen.is_some(), up, here, question: String::new() }
    }

    pub(crate) fn asking(self, question: String) -> Self {
        Self { question, ..self }
    }

    pub(crate) fn scene<'a>(&'a self, shared: &'a Publication) -> Scene<'a> {
        Scene {
            site: &shared.settings.name,
            public: &shared.settings.public,
            language: self.language,
            up: self.up,
            here: self.here.clone(),
            question: &self.question,
        }
    }
}

impl Publication {
    /// What `snapshots` show, under the settings, for whom `access` lets have it.
    pub fn new(
        settings: Settings,
        controller: Controller,
        snapshots: watch::Receiver<Arc<Snapshot>>,
        access: Access,
    ) -> Self {
        Self {
            direct: Direct::new(settings.direct, settings.direct_rate),
            neighbours: Neighbours::new(controller.clone()),
            settings: Arc::new(settings),
            controller,
            access,
            snapshots,
            upload_set: watch::Sender::default(),
            made: Arc::default(),
        }
    }

    /// The upload limit that was set by hand in place of the configured one, at every moment.
    pub fn upload_set(&self) -> watch::Receiver<Option<u64>> {
        self.upload_set.subscribe()
    }

    /// Gives no new places to those without the app: the end is near.
    pub fn close(&self) {
        self.direct.close();
    }

    /// Streams to those without the app.
    pub fn direct_streams(&self) -> usize {
        self.direct.streams()
    }

    /// What is shown at this moment.
    pub(crate) async fn shelf(&self) -> Arc<Shelf> {
        let snapshot = self.snapshots.borrow().clone();
        let mut made = self.made.lock().await;
        if !Arc::ptr_eq(&made.snapshot, &snapshot) {
            let known = Arc::clone(&made);
            // Ten thousand titles take a while to sort; other answers go on meanwhile.
            match tokio::task::spawn_blocking(move || known.later(snapshot)).await {
                Ok(shelf) => *made = Arc::new(shelf),
                Err(error) => tracing::error!(%error, "the catalogue can't be brought up to date"),
            }
        }
        Arc::clone(&made)
    }

    /// The address under which a film is asked for.
    pub(crate) fn address_of(&self, id: &ResourceId) -> Option<Url> {
        self.settings.public.join(&format!("v/{id}")).ok()
    }

    /// The film that an address of this site asks for.
    pub(crate) fn id_at(&self, address: &Url) -> Option<ResourceId> {
        let public = &self.settings.public;
        let path = address.path().strip_prefix(public.path())?;
        let same = address.origin() == public.origin();
        path.strip_prefix("v/")?.parse().ok().filter(|_| same)
    }
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

    /// Serves what is published until stopped; answers under way are finished, for as long as the settings say.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, publication: Publication, stop: CancellationToken) -> Result<(), SiteError> {
        let (connections, drain) = (publication.settings.connections, publication.settings.drain);
        let serving = serve::serve(self.listener, router(publication), connections, stop, drain);
        serving.await.map_err(SiteError::Serve)
    }
}

fn router(shared: Publication) -> Router {
    let texts = |_: axum::http::StatusCode,
                 _: axum::http::Version,
                 headers: &HeaderMap,
                 _: &axum::http::Extensions| {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        [
            "text/",
            "application/json",
            "application/feed+json",
            "application/rss",
            "application/xml",
            "image/svg",
            "application/manifest",
        ]
        .iter()
        .any(|text| kind.starts_with(text))
    };
    let compressed = CompressionLayer::new()
        .quality(tower_http::CompressionLevel::Fastest)
        .compress_when(texts.and(LongEnough));
    let pages = visitors::routes().layer(compressed);
    let films = Router::new()
        .route("/v/{id}", get(request::film).post(request::enter))
        .route("/v/{id}/{name}", get(request::file))
        .layer(DefaultBodyLimit::max(MAX_FORM));
    pages.merge(films).layer(middleware::from_fn(protected)).with_state(shared)
}

/// Texts that are worth it; one of unknown length is.
#[derive(Clone, Copy)]
struct LongEnough;

impl Predicate for LongEnough {
    fn should_compress<B: axum::body::HttpBody>(&self, response: &axum::http::Response<B>) -> bool {
        response.body().size_hint().exact().is_none_or(|length| length >= WORTH_COMPRESSING)
    }
}

/// Nothing from elsewhere, nothing inline; framed only where that is what a page is for.
async fn protected(request: Request, next: middleware::Next) -> Response {
    let framed = request.uri().path().starts_with("/embed/");
    let film = request.uri().path().starts_with("/v/");
    let mut response = next.run(request).await;
    let policy = if framed {
        "default-src 'none'; img-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors *"
    } else {
        "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; \
         manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    };
    let html = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let headers = response.headers_mut();
    // A browser that shows a bare film makes a page of its own around it, which a policy would empty.
    if html || !film {
        // The page that asks for a password has one of its own.
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(policy));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("permissions-policy", HeaderValue::from_static("interest-cohort=()"));
    response
}
