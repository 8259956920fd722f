//! A request for a film (R6): the app gets a link, a browser a page, a player bytes; nobody nothing.

use std::net::SocketAddr;

use axum::{
    body::Bytes,
    extract::{ConnectInfo, Path, RawQuery, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Json, Redirect, Response},
};
use nearcast_protocol::{Link, ResourceId};
use nearcast_transfer::{Fetch, Keep, local, resolve::LINK_TYPE};
use url::{Url, form_urlencoded};

use crate::access::answers;

use super::{
    Publication, Visit, answer,
    pages::{
        encoded, play,
        trouble::{Trouble, trouble},
    },
    shelf::{Asked, Shelf, Shown},
};

/// When to come back for a place without the app, s.
const RETRY: &str = "10";

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    /// A controller: it follows a redirect to a link.
    App,
    /// A person's browser that shows a page.
    Browser,
    /// Something that plays bytes.
    Player,
    /// A program that doesn't say.
    Program,
}

impl Asker {
    fn of(headers: &HeaderMap) -> Self {
        let text =
            |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
        let accept = text(header::ACCEPT);
        let range = headers.contains_key(header::RANGE);
        if accept.contains(LINK_TYPE) || text(header::USER_AGENT).starts_with("nearcast/") {
            return Self::App;
        }
        let into = headers.get("sec-fetch-dest").and_then(|into| into.to_str().ok());
        match into {
            Some("document" | "iframe" | "frame") if !range => Self::Browser,
            Some("video" | "audio" | "track") => Self::Player,
            _ if range => Self::Player,
            _ if accept.contains("text/html") => Self::Browser,
            _ => Self::Program,
        }
    }
}

/// `GET /v/<id>`: the address of a film, for everyone.
pub(super) async fn film(
    State(shared): State<Publication>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let asker = Asker::of(&headers);
    let shelf = shared.shelf().await;
    let (link, _) = match found(&shared, &shelf, &id, query.as_deref(), &headers, asker, "../").await {
        Ok(found) => found,
        Err(answer) => return *answer,
    };
    match asker {
        Asker::App | Asker::Program => redirect(&link, here(&shared, &link)),
        Asker::Browser => {
            let query = query.map(|query| format!("?{query}")).unwrap_or_default();
            Redirect::to(&format!("../play/{}{query}", link.id)).into_response()
        }
        Asker::Player => bytes(&shared, &link, &method, &headers).await,
    }
}

/// `POST /v/<id>`: the password for a protected film.
pub(super) async fn enter(
    State(shared): State<Publication>,
    Path(id): Path<String>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    form: Bytes,
) -> Response {
    let shelf = shared.shelf().await;
    match id.parse().map(|id| shelf.asked(&id)) {
        Ok(Asked::Up(link, _)) => answers::post(&shared.access, link, &form, Some(from.ip()), &headers),
        _ => (StatusCode::NOT_FOUND, "no such film here; it may have been taken down\n").into_response(),
    }
}

/// `GET /v/<id>/<name>`: its bytes, whoever asks.
pub(super) async fn file(
    State(shared): State<Publication>,
    Path((id, _name)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let shelf = shared.shelf().await;
    let asker = if headers.contains_key(header::RANGE) { Asker::Player } else { Asker::of(&headers) };
    match found(&shared, &shelf, &id, query.as_deref(), &headers, asker, "../../").await {
        Ok((link, _)) => bytes(&shared, &link, &method, &headers).await,
        Err(answer) => *answer,
    }
}

/// `GET /play/<id>`: the page that opens the app.
pub(super) async fn play_page(
    State(shared): State<Publication>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let shelf = shared.shelf().await;
    let (link, shown) =
        match found(&shared, &shelf, &id, query.as_deref(), &headers, Asker::Browser, "../").await {
            Ok(found) => found,
            Err(answer) => return *answer,
        };
    let visit =
        Visit::new(&headers, query.as_deref(), "../", format!("play/{id}{}", carried(query.as_deref())));
    let direct = shared.direct.offered();
    let download = shared.settings.download.as_ref();
    let carried = carried(query.as_deref());
    let ways = play::Ways { link: &link, download, direct, carried: &carried };
    let page = play::play(&visit.scene(&shared), shown, &ways);
    answer::html(&headers, StatusCode::OK, page, visit.language, visit.chosen)
}

/// Confirms which link an address of this site stands for, so that a tracker's word can be believed.
pub(super) async fn confirm(State(shared): State<Publication>, RawQuery(query): RawQuery) -> Response {
    let asked = parameter(query.as_deref(), "url").and_then(|url| Url::parse(&url).ok());
    let shelf = shared.shelf().await;
    let id = asked.and_then(|url| shared.id_at(&url));
    match id.map(|id| (id, shelf.asked(&id))) {
        Some((_, Asked::Up(link, _))) if shared.access.protects(&link.id) => {
            (StatusCode::FORBIDDEN, "this film is protected; ask for it at its own address\n").into_response()
        }
        Some((_, Asked::Up(link, _))) => {
            Json(serde_json::json!({ "link": link.to_string() })).into_response()
        }
        Some((_, Asked::Held)) => (StatusCode::GONE, "this film was taken down\n").into_response(),
        _ => (StatusCode::NOT_FOUND, "this address stands for no film here\n").into_response(),
    }
}

/// The link that an id stands for, if whoever asks may have it; else what to answer.
async fn found<'a>(
    shared: &Publication,
    shelf: &'a Shelf,
    id: &str,
    query: Option<&str>,
    headers: &HeaderMap,
    asker: Asker,
    up: &'static str,
) -> Result<(Link, &'a Shown), Box<Response>> {
    let visit = || Visit::new(headers, query, up, String::new());
    let say = |status, what, link: Option<&Link>| {
        let visit = visit();
        let scene = visit.scene(shared);
        Box::new(match asker {
            Asker::Browser => {
                let page = trouble(&scene, what, link);
                answer::html(headers, status, page, visit.language, visit.chosen)
            }
            _ => (status, what.line(&scene)).into_response(),
        })
    };
    let Ok(id) = id.parse::<ResourceId>() else {
        return Err(say(StatusCode::NOT_FOUND, Trouble::NoFilm, None));
    };
    match shelf.asked(&id) {
        Asked::Up(link, shown) => {
            let token = parameter(query, "token");
            let admitted = shared.access.admit(link, token.as_deref());
            admitted.map(|link| (link, shown)).map_err(|why| {
                Box::new(answers::refused(&shared.access, link, &why, token.is_some(), headers, up))
            })
        }
        Asked::Held => Err(say(StatusCode::GONE, Trouble::Gone, None)),
        Asked::Unknown => {
            let Some(address) = shared.address_of(&id) else {
                return Err(say(StatusCode::NOT_FOUND, Trouble::NoFilm, None));
            };
            let size = parameter(query, "size").and_then(|size| size.parse().ok());
            let name = parameter(query, "name").filter(|name| nearcast_protocol::link::is_file_name(name));
            let said = size.map(|size| (size, name.unwrap_or_else(|| "film".into())));
            let elsewhere = shared.neighbours.elsewhere(&id, &address, said).await;
            Err(match elsewhere.link {
                Some(link) if asker != Asker::Browser => Box::new(redirect(&link, None)),
                link @ Some(_) => say(
                    StatusCode::NOT_FOUND,
                    Trouble::Elsewhere { holders: elsewhere.holders },
                    link.as_ref(),
                ),
                None if elsewhere.holders > 0 => {
                    say(StatusCode::NOT_FOUND, Trouble::Elsewhere { holders: elsewhere.holders }, None)
                }
                None => say(StatusCode::NOT_FOUND, Trouble::NoFilm, None),
            })
        }
    }
}

/// Where the bytes of a film that is here are had without the app.
fn here(shared: &Publication, link: &Link) -> Option<Url> {
    let path = format!("v/{}/{}", link.id, encoded(&link.name));
    shared.settings.public.join(&path).ok().filter(|_| shared.direct.offered())
}

/// The redirect that a controller follows; its body is for those who can't.
fn redirect(link: &Link, here: Option<Url>) -> Response {
    let target = link.to_string();
    let hint =
        here.map(|url| format!("The file without the app, for few at a time: {url}\n")).unwrap_or_default();
    let said = format!("Open this in Nearcast:\n{target}\n{hint}");
    let headers = [(header::LOCATION, target), (header::CACHE_CONTROL, "no-store".into())];
    (StatusCode::FOUND, headers, said).into_response()
}

/// The bytes, or why there is no place.
async fn bytes(shared: &Publication, link: &Link, method: &Method, headers: &HeaderMap) -> Response {
    let opened = match shared.controller.transfer(&link.id) {
        Some(transfer) => Ok(transfer),
        // It is whole in the library: nothing has to be fetched.
        None => shared.controller.open(link, Keep::Disk, Fetch::AroundPlayhead).await,
    };
    let transfer = match opened {
        Ok(transfer) => transfer,
        Err(error) => {
            tracing::warn!(%error, id = %link.id, "can't be given");
            return (StatusCode::INTERNAL_SERVER_ERROR, "this film can't be read just now\n").into_response();
        }
    };
    // The resource id is the content: no better validator exists.
    let mut answer = local::answer(move || transfer.reader(), &format!("\"{}\"", link.id), method, headers);
    let disposition = format!("inline; filename*=UTF-8''{}", encoded(&link.name));
    let out = answer.headers_mut();
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        out.insert(header::CONTENT_DISPOSITION, disposition);
    }
    // Pages of other origins may play it, as with any film on the web.
    out.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    out.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    let carries =
        matches!(answer.status(), StatusCode::OK | StatusCode::PARTIAL_CONTENT) && *method == Method::GET;
    if !carries {
        return answer;
    }
    match shared.direct.admit(answer) {
        Some(answer) => answer,
        None => {
            let visit = Visit::new(headers, None, "../../", String::new());
            let page = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
            let mut answer = if page.is_some_and(|accept| accept.contains("text/html")) {
                let page = trouble(&visit.scene(shared), Trouble::Busy, Some(link));
                answer::html(headers, StatusCode::SERVICE_UNAVAILABLE, page, visit.language, false)
            } else {
                let line = format!("{}{link}\n", Trouble::Busy.line(&visit.scene(shared)));
                (StatusCode::SERVICE_UNAVAILABLE, line).into_response()
            };
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY));
            answer
        }
    }
}

/// One parameter of a question, decoded.
pub(crate) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let pairs = form_urlencoded::parse(query?.as_bytes());
    pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// What of a question has to be carried on to the film's other addresses.
fn carried(query: Option<&str>) -> String {
    parameter(query, "token").map(|token| format!("?token={}", encoded(&token))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let named = |name: &str| header::HeaderName::from_bytes(name.as_bytes()).unwrap();
        pairs.iter().map(|(name, value)| (named(name), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn who_asks_is_told_by_what_they_say() {
        let html = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        let cases: [(&[(&str, &str)], Asker); 10] = [
            (&[("user-agent", "nearcast/0.1.0"), ("range", "bytes=0-0"), ("accept", "*/*")], Asker::App),
            (&[("accept", "application/vnd.nearcast.link, */*;q=0.1"), ("range", "bytes=0-0")], Asker::App),
            (&[("accept", html), ("sec-fetch-dest", "document")], Asker::Browser),
            (&[("accept", html)], Asker::Browser),
            (&[("accept", "*/*"), ("sec-fetch-dest", "video"), ("range", "bytes=0-")], Asker::Player),
            (&[("accept", "*/*"), ("range", "bytes=0-")], Asker::Player),
            (&[("accept", html), ("range", "bytes=5-"), ("sec-fetch-dest", "document")], Asker::Player),
            (&[("user-agent", "curl/8.5.0"), ("accept", "*/*")], Asker::Program),
            (&[("user-agent", "not nearcast/")], Asker::Program),
            (&[], Asker::Program),
        ];
        for (said, asker) in cases {
            assert_eq!(Asker::of(&headers(said)), asker, "{said:?}");
        }
    }

    #[test]
    fn a_token_is_carried_on_and_nothing_else() {
        assert_eq!(carried(Some("lang=zh&token=a%2Bb&x=1")), "?token=a%2Bb");
        assert_eq!(carried(Some("lang=zh")), "");
        assert_eq!(parameter(Some("a=%ff&b=%E4%B8%AD"), "b").as_deref(), Some("中"));
    }
}
