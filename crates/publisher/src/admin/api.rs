//! Orders, and what can be asked, as JSON.

use std::{path::PathBuf, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use nearcast_protocol::ResourceId;
use nearcast_transfer::rate::Rate;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{Desk, limits::Limits, status, upload, wrong};
use crate::{
    library::{OrderError, Snapshot, Title},
    site::{
        figures,
        request::parameter,
        search::{Wanted, folded},
    },
};

/// An order is a few hundred bytes.
const LONGEST: usize = 16 * 1024;
/// How long an order's outcome is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn routes() -> Router<Desk> {
    let orders = Router::new()
        .route("/status", get(going_on))
        .route("/titles", get(titles).post(add))
        .route("/titles/{key}", get(title).patch(rename).delete(remove))
        .route("/titles/{key}/held", put(hold).delete(free))
        .route("/rescan", post(rescan))
        .route("/limits", get(limits).patch(set_limits))
        .layer(DefaultBodyLimit::max(LONGEST));
    Router::new().route("/files/{*path}", put(upload::put)).merge(orders)
}

/// A title as the API says it.
pub(super) fn said(desk: &Desk, title: &Title) -> Value {
    let films: Vec<Value> = title
        .films
        .iter()
        .map(|film| {
            json!({
                "id": film.link.id.to_string(),
                "path": film.path,
                "bytes": film.link.size,
                "duration_ms": film.facts.duration_ms,
                "quality": film.quality,
                "link": film.link.to_string(),
            })
        })
        .collect();
    json!({
        "key": title.key.to_string(),
        "name": title.name,
        "category": title.category,
        "held": title.held,
        "added": figures::moment(title.added).to_string(),
        "page": desk.publication.settings.public.join(&format!("t/{}", title.key)).map(String::from).ok(),
        "films": films,
    })
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Box<Response>> {
    serde_json::from_slice(body).map_err(|error| {
        Box::new(wrong(StatusCode::BAD_REQUEST, format!("the order can't be read: {error}")))
    })
}

fn key(text: &str) -> Result<ResourceId, Box<Response>> {
    text.parse()
        .map_err(|error| Box::new(wrong(StatusCode::NOT_FOUND, format!("there is no such title: {error}"))))
}

fn refused(error: &OrderError) -> Response {
    let status = match error {
        OrderError::NoSuchTitle(_) => StatusCode::NOT_FOUND,
        OrderError::Path { .. } | OrderError::Name => StatusCode::BAD_REQUEST,
        OrderError::NotKept => StatusCode::INSUFFICIENT_STORAGE,
        OrderError::Stopped => StatusCode::SERVICE_UNAVAILABLE,
    };
    wrong(status, error.to_string())
}

/// Gives an order, waits until what is shown is as it wants, and until no crash can undo it.
async fn done(
    desk: &Desk,
    order: impl Future<Output = Result<(), OrderError>>,
    shown: impl Fn(&Snapshot) -> bool,
) -> Result<(), Box<Response>> {
    let mut changes = desk.library.watch();
    order.await.map_err(|error| Box::new(refused(&error)))?;
    let carried_out = async {
        changes.wait_for(|snapshot| shown(snapshot)).await.map_err(|_| OrderError::Stopped)?;
        desk.library.settled().await
    };
    match tokio::time::timeout(PATIENCE, carried_out).await {
        Ok(outcome) => outcome.map_err(|error| Box::new(refused(&error))),
        Err(_) => {
            let later = "the order is taken and not carried out yet; ask for the title in a moment";
            Err(Box::new((StatusCode::ACCEPTED, Json(json!({ "state": later }))).into_response()))
        }
    }
}

async fn going_on(State(desk): State<Desk>) -> Json<Value> {
    Json(status::as_json(&desk).await)
}

async fn titles(State(desk): State<Desk>, RawQuery(query): RawQuery) -> Json<Value> {
    let wanted = Wanted::new(&parameter(query.as_deref(), "q").unwrap_or_default());
    let snapshot = desk.library.snapshot();
    let found = snapshot
        .titles
        .iter()
        .filter(|title| wanted.is_in(&folded(&format!("{}\n{}", title.name, title.category.join("/")))));
    Json(json!({ "titles": found.map(|title| said(&desk, title)).collect::<Vec<_>>() }))
}

async fn title(State(desk): State<Desk>, Path(text): Path<String>) -> Response {
    let key = match key(&text) {
        Ok(key) => key,
        Err(answer) => return *answer,
    };
    match desk.library.snapshot().title(&key) {
        Some(title) => Json(said(&desk, title)).into_response(),
        None => refused(&OrderError::NoSuchTitle(key)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Add {
    path: PathBuf,
}

async fn add(State(desk): State<Desk>, body: Bytes) -> Response {
    let add: Add = match parsed(&body) {
        Ok(add) => add,
        Err(answer) => return *answer,
    };
    tracing::info!(path = %add.path.display(), "told to put up");
    let added = desk.library.add(add.path.clone()).await;
    let kept = if added.is_ok() { desk.library.settled().await } else { added };
    match kept {
        Ok(()) => {
            (StatusCode::ACCEPTED, Json(json!({ "path": add.path, "state": "it is hashed, and then up" })))
                .into_response()
        }
        Err(error) => refused(&error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rename {
    name: Option<String>,
}

async fn rename(State(desk): State<Desk>, Path(text): Path<String>, body: Bytes) -> Response {
    let (key, rename): (_, Rename) = match key(&text).and_then(|key| Ok((key, parsed(&body)?))) {
        Ok(both) => both,
        Err(answer) => return *answer,
    };
    let name = rename.name.as_ref().map(|name| name.trim().to_owned());
    tracing::info!(%key, ?name, "told to rename");
    let shown = |snapshot: &Snapshot| {
        snapshot.title(&key).is_none_or(|title| name.as_ref().is_none_or(|name| title.name == *name))
    };
    match done(&desk, desk.library.rename(key, rename.name.clone()), shown).await {
        Ok(()) => title(State(desk), Path(text)).await,
        Err(answer) => *answer,
    }
}

async fn remove(State(desk): State<Desk>, Path(text): Path<String>) -> Response {
    let key = match key(&text) {
        Ok(key) => key,
        Err(answer) => return *answer,
    };
    tracing::info!(%key, "told to remove");
    match done(&desk, desk.library.remove(key), |snapshot| snapshot.title(&key).is_none()).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(answer) => *answer,
    }
}

async fn hold(State(desk): State<Desk>, Path(key): Path<String>) -> Response {
    held(desk, key, true).await
}

async fn free(State(desk): State<Desk>, Path(key): Path<String>) -> Response {
    held(desk, key, false).await
}

async fn held(desk: Desk, text: String, held: bool) -> Response {
    let key = match key(&text) {
        Ok(key) => key,
        Err(answer) => return *answer,
    };
    tracing::info!(%key, held, "told to take down or put up");
    let shown = |snapshot: &Snapshot| snapshot.title(&key).is_some_and(|title| title.held == held);
    match done(&desk, desk.library.hold(key, held), shown).await {
        Ok(()) => title(State(desk), Path(text)).await,
        Err(answer) => *answer,
    }
}

async fn rescan(State(desk): State<Desk>) -> Response {
    match desk.library.rescan().await {
        Ok(()) => {
            (StatusCode::ACCEPTED, Json(json!({ "state": "the folders are looked through" }))).into_response()
        }
        Err(error) => refused(&error),
    }
}

async fn limits(State(desk): State<Desk>) -> Json<Value> {
    let set = *desk.limits.lock().await;
    Json(json!({ "in_force": set.or(desk.settings.limits).said(), "set_here": set.said() }))
}

/// A field that isn't there is left alone, one that is `null` goes back to the configuration.
fn there<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Set {
    #[serde(deserialize_with = "there")]
    upload: Option<Option<Rate>>,
    #[serde(deserialize_with = "there")]
    streams: Option<Option<usize>>,
    #[serde(deserialize_with = "there")]
    streams_in_all: Option<Option<usize>>,
    #[serde(deserialize_with = "there")]
    direct: Option<Option<usize>>,
    #[serde(deserialize_with = "there")]
    direct_rate: Option<Option<Rate>>,
}

async fn set_limits(State(desk): State<Desk>, body: Bytes) -> Response {
    let set: Set = match parsed(&body) {
        Ok(set) => set,
        Err(answer) => return *answer,
    };
    let mut kept = desk.limits.lock().await;
    let rate = |rate: Option<Rate>| rate.map(|rate| rate.bytes);
    let new = Limits {
        upload: set.upload.map_or(kept.upload, rate),
        streams: set.streams.unwrap_or(kept.streams),
        streams_in_all: set.streams_in_all.unwrap_or(kept.streams_in_all),
        direct: set.direct.unwrap_or(kept.direct),
        direct_rate: set.direct_rate.map_or(kept.direct_rate, rate),
    };
    let state = desk.settings.state.clone();
    let written = tokio::task::spawn_blocking(move || new.write(&state)).await;
    match written {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return wrong(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        Err(error) => return wrong(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
    *kept = new;
    let in_force = new.or(desk.settings.limits);
    new.apply(desk.settings.limits, &desk.publication);
    tracing::info!(?in_force, "limits were set");
    drop(kept);
    limits(State(desk)).await.into_response()
}
