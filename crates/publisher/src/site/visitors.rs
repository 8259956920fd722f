//! The pages that visitors go through.

use axum::{
    Router,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use nearcast_protocol::ResourceId;

use super::{
    Publication, Visit, answer, feeds,
    pages::{
        self, catalogue, embed, title,
        trouble::{Trouble, trouble},
    },
    request::{self, parameter},
    search::{LONGEST, Wanted},
    shelf::{Asked, Order, Question, Shelf, Shown},
    storyboard::Strip,
};

pub(super) fn routes() -> Router<Publication> {
    Router::new()
        .route("/", get(index))
        .route("/t/{key}", get(title_page))
        .route("/t/{key}/holders", get(holders))
        .route("/play/{id}", get(request::play_page))
        .route("/embed/{key}", get(embedded))
        .route("/poster/{name}", get(poster))
        .route("/storyboard/{name}", get(storyboard))
        .route("/feed.xml", get(rss))
        .route("/feed.json", get(json_feed))
        .route("/sitemap.xml", get(sitemap))
        .route("/robots.txt", get(robots))
        .route("/site.webmanifest", get(manifest))
        .route("/style.css", get(|| async { answer::part("text/css; charset=utf-8", pages::STYLE) }))
        .route("/site.js", get(|| async { answer::part("text/javascript; charset=utf-8", pages::SCRIPT) }))
        .route("/icon.svg", get(|| async { answer::part("image/svg+xml", pages::ICON) }))
        .route("/favicon.ico", get(|| async { answer::part("image/svg+xml", pages::ICON) }))
        .route("/.well-known/nearcast", get(request::confirm))
        .route("/healthz", get(|| async { "well\n" }))
        .fallback(lost)
}

async fn index(State(shared): State<Publication>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let asked = |name| parameter(query.as_deref(), name);
    let words: String = asked("q").unwrap_or_default().trim().chars().take(LONGEST).collect();
    let order = asked("sort").and_then(|code| Order::named(&code)).unwrap_or_default();
    let page = asked("page").and_then(|page| page.parse().ok()).unwrap_or(1);
    let shelf = shared.shelf().await;
    let category = asked("in").map(|path| path.trim_matches('/').to_owned()).unwrap_or_default();
    if !category.is_empty() && !shelf.has_category(&category) {
        return no(&shared, &headers, query.as_deref(), "", StatusCode::NOT_FOUND, Trouble::NotFound);
    }
    let here = catalogue::address(&words, &category, order, page);
    let question = Question { wanted: Wanted::new(&words), category, order, page };
    let visit = Visit::new(&headers, query.as_deref(), "", here).asking(words);
    let page = catalogue::catalogue(&visit.scene(&shared), &shelf, &question);
    answer::html(&headers, StatusCode::OK, page, visit.language, visit.chosen)
}

/// The title that a key stands for, or the page that says there is none.
fn shown<'a>(
    shared: &Publication,
    shelf: &'a Shelf,
    key: &str,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<&'a Shown, Box<Response>> {
    let missing = |status, trouble| Err(Box::new(no(shared, headers, query, "../", status, trouble)));
    match key.parse::<ResourceId>().map(|key| shelf.asked(&key)) {
        Ok(Asked::Up(_, shown)) => Ok(shown),
        Ok(Asked::Held) => missing(StatusCode::GONE, Trouble::Gone),
        _ => missing(StatusCode::NOT_FOUND, Trouble::NoFilm),
    }
}

async fn title_page(
    State(shared): State<Publication>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let shelf = shared.shelf().await;
    let shown = match shown(&shared, &shelf, &key, &headers, query.as_deref()) {
        Ok(shown) => shown,
        Err(answer) => return *answer,
    };
    let title = &shown.title;
    let counts = title.films.first().and_then(|film| shared.neighbours.known(&film.link.id));
    let protected = title.films.first().is_some_and(|film| shared.access.protects(&film.link.id));
    let direct = shared.direct.offered() && !protected;
    let strip = match &title.storyboard {
        // Whose film is for few has it shown to nobody else.
        Some(board) if !protected => {
            tokio::fs::read_to_string(&board.index).await.ok().and_then(|index| Strip::of(&index))
        }
        _ => None,
    };
    let known = title::Known { counts, direct, strip, protected };
    let visit = Visit::new(&headers, query.as_deref(), "../", format!("t/{}", title.key));
    let page = title::title(&visit.scene(&shared), shown, &known);
    answer::html(&headers, StatusCode::OK, page, visit.language, visit.chosen)
}

/// How many hold a title, in a sentence: what the page fetches once it is shown.
async fn holders(
    State(shared): State<Publication>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let shelf = shared.shelf().await;
    let shown = match shown(&shared, &shelf, &key, &headers, query.as_deref()) {
        Ok(shown) => shown,
        Err(answer) => return *answer,
    };
    let counts = match shown.title.films.first() {
        Some(film) => shared.neighbours.counts(&film.link.id).await,
        None => None,
    };
    let visit = Visit::new(&headers, query.as_deref(), "../../", String::new());
    let said = counts.map(|counts| {
        let all = counts.in_group.saturating_add(counts.outside);
        visit.language.holders(all, counts.complete_terminals)
    });
    ([(header::CACHE_CONTROL, "no-store")], said.unwrap_or_default()).into_response()
}

async fn embedded(
    State(shared): State<Publication>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let shelf = shared.shelf().await;
    match shown(&shared, &shelf, &key, &headers, query.as_deref()) {
        Ok(shown) => {
            let visit = Visit::new(&headers, query.as_deref(), "../", format!("embed/{}", shown.title.key));
            let page = embed::embed(&visit.scene(&shared), shown);
            answer::html(&headers, StatusCode::OK, page, visit.language, false)
        }
        Err(answer) => *answer,
    }
}

/// The still of a film. Pictures lie in the publisher's own folder and are a few kB.
async fn poster(State(shared): State<Publication>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let shelf = shared.shelf().await;
    let key = name.strip_suffix(".jpg").unwrap_or_default();
    let shown = match shown(&shared, &shelf, key, &headers, None) {
        Ok(shown) => shown,
        Err(answer) => return *answer,
    };
    match &shown.title.poster {
        Some(path) => picture(path).await,
        None => pictureless(),
    }
}

/// The small pictures of a film: one sheet, and which picture of it is of which time.
async fn storyboard(
    State(shared): State<Publication>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let shelf = shared.shelf().await;
    let (key, kind) = name.rsplit_once('.').unwrap_or_default();
    let shown = match shown(&shared, &shelf, key, &headers, None) {
        Ok(shown) => shown,
        Err(answer) => return *answer,
    };
    let protected = shown.title.films.iter().any(|film| shared.access.protects(&film.link.id));
    match (kind, shown.title.storyboard.as_ref().filter(|_| !protected)) {
        ("jpg", Some(board)) => picture(&board.sheet).await,
        ("vtt", Some(board)) => match tokio::fs::read_to_string(&board.index).await {
            Ok(index) => {
                // Here the sheet has the name of its title.
                let index = index.replace("storyboard.jpg#", &format!("{key}.jpg#"));
                answer::tagged(&headers, StatusCode::OK, "text/vtt; charset=utf-8", index)
            }
            Err(error) => unread(&board.index, &error),
        },
        _ => pictureless(),
    }
}

async fn picture(path: &std::path::Path) -> Response {
    match tokio::fs::read(path).await {
        Ok(picture) => {
            let kind = (header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
            let keep = (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400"));
            ([kind, keep], picture).into_response()
        }
        Err(error) => unread(path, &error),
    }
}

fn unread(path: &std::path::Path, error: &std::io::Error) -> Response {
    tracing::warn!(%error, path = %path.display(), "a picture can't be read");
    pictureless()
}

fn pictureless() -> Response {
    (StatusCode::NOT_FOUND, "this film has no picture yet\n").into_response()
}

async fn rss(State(shared): State<Publication>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let (shelf, visit) =
        (shared.shelf().await, Visit::new(&headers, query.as_deref(), "", "feed.xml".into()));
    let feed = feeds::rss(&visit.scene(&shared), &shelf);
    answer::tagged(&headers, StatusCode::OK, "application/rss+xml; charset=utf-8", feed)
}

async fn json_feed(
    State(shared): State<Publication>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let (shelf, visit) =
        (shared.shelf().await, Visit::new(&headers, query.as_deref(), "", "feed.json".into()));
    let feed = feeds::json_feed(&visit.scene(&shared), &shelf).to_string();
    answer::tagged(&headers, StatusCode::OK, "application/feed+json", feed)
}

async fn sitemap(State(shared): State<Publication>, headers: HeaderMap) -> Response {
    let (shelf, visit) = (shared.shelf().await, Visit::new(&headers, None, "", String::new()));
    let map = feeds::sitemap(&visit.scene(&shared), &shelf);
    answer::tagged(&headers, StatusCode::OK, "application/xml; charset=utf-8", map)
}

async fn robots(State(shared): State<Publication>, headers: HeaderMap) -> Response {
    let visit = Visit::new(&headers, None, "", String::new());
    answer::tagged(
        &headers,
        StatusCode::OK,
        "text/plain; charset=utf-8",
        feeds::robots(&visit.scene(&shared)),
    )
}

async fn manifest(State(shared): State<Publication>, headers: HeaderMap) -> Response {
    let visit = Visit::new(&headers, None, "", String::new());
    let manifest = feeds::manifest(&visit.scene(&shared)).to_string();
    answer::tagged(&headers, StatusCode::OK, "application/manifest+json", manifest)
}

async fn lost(State(shared): State<Publication>, uri: Uri, headers: HeaderMap) -> Response {
    // How deep the visitor is lost decides where the top is.
    let up = match uri.path().matches('/').count() {
        0 | 1 => "",
        2 => "../",
        3 => "../../",
        _ => return (StatusCode::NOT_FOUND, "there is no such page\n").into_response(),
    };
    no(&shared, &headers, uri.query(), up, StatusCode::NOT_FOUND, Trouble::NotFound)
}

fn no(
    shared: &Publication,
    headers: &HeaderMap,
    query: Option<&str>,
    up: &'static str,
    status: StatusCode,
    what: Trouble,
) -> Response {
    let visit = Visit::new(headers, query, up, String::new());
    let page = trouble(&visit.scene(shared), what, None);
    answer::html(headers, status, page, visit.language, false)
}
