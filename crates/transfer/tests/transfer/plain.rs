//! A plain file of a real web server, read by several and more than once.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
};
use nearcast_transfer::{Reader, plain::PlainFile};

const FILM: usize = 1_500_000;

async fn read(reader: &Reader, from: usize, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut read = 0;
    while read < length {
        let got = reader.read_at((from + read) as u64, &mut bytes[read..]).await.unwrap();
        assert!(got > 0);
        read += got;
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_is_asked_for_once() {
    let film: Arc<Vec<u8>> = Arc::new((0..FILM).map(|at| (at * at / 7) as u8).collect());
    let asked = Arc::new(AtomicUsize::new(0));
    let (served, counted) = (Arc::clone(&film), Arc::clone(&asked));
    let app = Router::new().fallback(async move |headers: HeaderMap| {
        counted.fetch_add(1, Ordering::Relaxed);
        let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok()).unwrap();
        let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        let first: usize = first.parse().unwrap();
        let last = last.parse().unwrap_or(FILM - 1).min(FILM - 1);
        let range = format!("bytes {first}-{last}/{FILM}");
        let part = served[first..=last].to_vec();
        (StatusCode::PARTIAL_CONTENT, [(header::CONTENT_RANGE, range)], Body::from(part)).into_response()
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/film.mp4", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let folder = tempfile::tempdir().unwrap();
    let file = Arc::new(PlainFile::open(url.parse().unwrap()).await.unwrap().kept_in(folder.path()));
    let first = Reader::plain(Arc::clone(&file));
    assert!(read(&first, 0, 700_000).await == film[..700_000]);
    // As a demuxer does: the index at the end, then on from where it was.
    assert!(read(&first, FILM - 1000, 1000).await == film[FILM - 1000..]);
    assert!(read(&first, 700_000, FILM - 700_000).await == film[700_000..]);
    let so_far = asked.load(Ordering::Relaxed);
    assert!(so_far <= 4, "{so_far}: its length, two jumps, and the start");
    let second = Reader::plain(Arc::clone(&file));
    server.abort();
    for from in [900_000, 3, FILM - 70_000, 0] {
        assert!(read(&second, from, 70_000).await == film[from..from + 70_000]);
    }
    assert_eq!(asked.load(Ordering::Relaxed), so_far, "and with the server gone");
}
