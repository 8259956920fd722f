//! Web sources of a link: a real node, and web servers of which most are wrong in one way each.

use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use nearcast_content::hash_with_pairs;
use nearcast_protocol::Link;
use nearcast_transfer::{Controller, Fetch, Keep, PrivateSources, Progress, Settings};
use tokio::task::JoinHandle;

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(120);
const FILM: usize = 3_000_000;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    NoProofs,
    NoRanges,
    Longer,
    Encoded,
    Wrong,
    OtherRange,
    Away,
}

struct Film {
    bytes: Vec<u8>,
    pairs: Vec<u8>,
    link: Link,
}

fn film(folder: &Path) -> Arc<Film> {
    let words = (0..FILM as u64 / 8 + 1).map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).take(FILM).collect();
    let (path, pairs) = (folder.join("film.mp4"), folder.join("film.mp4.obao4"));
    fs::write(&path, &bytes).unwrap();
    let (id, size) = hash_with_pairs(&path, &pairs, &|_| ()).unwrap();
    let link = format!("nearcast://{id}/film.mp4?size={size}").parse().unwrap();
    Arc::new(Film { bytes, pairs: fs::read(pairs).unwrap(), link })
}

fn answer(film: &Film, fault: Fault, path: &str, headers: &HeaderMap) -> Response {
    let proofs = path.ends_with(".obao4");
    let file = if proofs { &film.pairs } else { &film.bytes };
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok()).unwrap_or_default();
    let range = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')).unwrap();
    let (first, last): (usize, usize) = (range.0.parse().unwrap(), range.1.parse().unwrap());
    let mut part = file[first..=last].to_vec();
    let mut all = file.len();
    let mut said = first;
    let mut encoding = "identity";
    match fault {
        Fault::NoProofs if proofs => return StatusCode::NOT_FOUND.into_response(),
        Fault::Away => return StatusCode::FORBIDDEN.into_response(),
        Fault::NoRanges => return file.clone().into_response(),
        Fault::Longer => all += 1,
        Fault::Encoded => encoding = "gzip",
        Fault::Wrong if !proofs => part[0] ^= 1,
        Fault::OtherRange => said += 1,
        _ => {}
    }
    let range = format!("bytes {said}-{}/{all}", last + said - first);
    let headers = [(header::CONTENT_RANGE, range), (header::CONTENT_ENCODING, encoding.to_owned())];
    (StatusCode::PARTIAL_CONTENT, headers, Body::from(part)).into_response()
}

async fn server(film: &Arc<Film>, fault: Fault) -> (SocketAddr, JoinHandle<()>) {
    let film = Arc::clone(film);
    let app = Router::new().fallback(async move |uri: axum::http::Uri, headers: HeaderMap| {
        if uri.path().starts_with("/moved") {
            return (StatusCode::FOUND, [(header::LOCATION, uri.path().replace("/moved", ""))])
                .into_response();
        }
        answer(&film, fault, uri.path(), &headers)
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }))
}

async fn node(folder: &Path, allowed: PrivateSources) -> Controller {
    let mut settings = Settings::new(folder);
    settings.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
    (settings.neighbours, settings.private_sources) = (false, allowed);
    Controller::start(settings).await.unwrap()
}

async fn fetched(
    link: &Link,
    allowed: PrivateSources,
    done: impl Fn(&Progress) -> bool,
) -> (Progress, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path(), allowed).await;
    let transfer = node.open(link, Keep::Memory, Fetch::Whole).await.unwrap();
    let mut progress = transfer.watch();
    let last = tokio::time::timeout(PATIENCE, progress.wait_for(|now| done(now))).await;
    let last = last.unwrap_or_else(|_| panic!("{:?}", transfer.progress())).unwrap().clone();
    let mut bytes = vec![0; FILM];
    let mut read = 0;
    while last.complete() && read < FILM {
        read += transfer.store().read_at(read as u64, &mut bytes[read..]).unwrap();
    }
    node.stop().await;
    (last, bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_nobody_shares_comes_from_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let film = film(folder.path());
    let (address, server) = server(&film, Fault::None).await;
    for path in ["film.mp4", "moved/film.mp4"] {
        let mut link = film.link.clone();
        link.sources = vec![format!("http://{address}/{path}").parse().unwrap()];
        // The last verdicts may be told after the film is complete.
        let all = |now: &Progress| now.complete() && now.web >= now.size;
        let (progress, bytes) = fetched(&link, PrivateSources::Named, all).await;
        assert!(bytes == film.bytes);
        assert!(progress.web == progress.size && progress.received.all() == 0, "{progress:?}");
    }
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_wrong_is_dropped_and_the_next_one_gives() {
    let folder = tempfile::tempdir().unwrap();
    let film = film(folder.path());
    let (good, serving) = server(&film, Fault::None).await;
    for (fault, sentence) in [
        (Fault::NoProofs, "no proofs of its bytes"),
        (Fault::NoRanges, "needs byte ranges"),
        (Fault::Longer, "says that the file has"),
        (Fault::Encoded, "\"gzip\""),
        (Fault::Wrong, "its bytes aren't the film's"),
        (Fault::OtherRange, "another part"),
        (Fault::Away, "403"),
    ] {
        let (address, bad) = server(&film, fault).await;
        let mut link = film.link.clone();
        link.sources = vec![format!("http://{address}/film.mp4").parse().unwrap()];
        let dropped = |now: &Progress| now.sources.iter().any(|source| source.dropped.is_some());
        let (progress, _) = fetched(&link, PrivateSources::Any, dropped).await;
        let why = progress.sources[0].dropped.clone().unwrap();
        assert!(why.contains(sentence), "{fault:?}: {why}");
        link.sources.push(format!("http://{good}/film.mp4").parse().unwrap());
        let (_, bytes) = fetched(&link, PrivateSources::Any, Progress::complete).await;
        assert!(bytes == film.bytes, "{fault:?}");
        bad.abort();
    }
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_source_needs_a_yes() {
    let folder = tempfile::tempdir().unwrap();
    let film = film(folder.path());
    let (address, server) = server(&film, Fault::None).await;
    let mut link = film.link.clone();
    link.sources = vec![format!("http://{address}/film.mp4").parse().unwrap()];
    let dropped = |now: &Progress| now.sources.iter().any(|source| source.dropped.is_some());
    let (progress, _) = fetched(&link, PrivateSources::Never, dropped).await;
    let why = progress.sources[0].dropped.clone().unwrap();
    assert!(why.contains("private network"), "{why}");
    assert_eq!((progress.web, progress.held_bytes), (0, 0));
    server.abort();
}
