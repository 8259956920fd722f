//! The bytes of a film over HTTP.

use std::{ops::Range, sync::Arc};

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};

use super::{
    Shared, named, not_open,
    range::{Wanted, wanted},
};
use crate::reader::{ReadError, Reader};

/// How much is read for one part of a body: several blocks, little enough to stay in a cache.
const PART: usize = 128 * 1024;
const BOUNDARY: &str = "nearcast-byteranges";

pub(super) async fn serve(
    State(shared): State<Shared>,
    Path((id, _name)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let Some((id, transfer)) = named(&id).and_then(|id| Some((id, shared.controller.transfer(&id)?))) else {
        return not_open();
    };
    // The resource id is the content: no better validator exists.
    answer(move || transfer.reader(), &format!("\"{id}\""), &method, &headers)
}

pub(super) async fn serve_plain(
    State(shared): State<Shared>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    match shared.plain {
        Some(file) => answer(move || Reader::plain(Arc::clone(&file)), "W/\"plain\"", &method, &headers),
        None => (StatusCode::NOT_FOUND, "no plain file is open\n").into_response(),
    }
}

/// The answer to a `GET` or `HEAD` for the bytes that `open` reads, with ranges and conditions as RFC 9110 has them; `tag`
/// is their validator, quotes included.
pub fn answer(open: impl Fn() -> Reader, tag: &str, method: &Method, headers: &HeaderMap) -> Response {
    let reader = open();
    let size = reader.size();
    let kind = mime_guess::from_path(reader.name()).first_or_octet_stream();
    if text(headers, header::IF_NONE_MATCH).is_some_and(|tags| lists(tags, tag)) {
        return with_tag(StatusCode::NOT_MODIFIED.into_response(), tag);
    }
    // A range of another version than the one asked for is worth nothing (RFC 9110 §13.1.5).
    let same = text(headers, header::IF_RANGE).is_none_or(|known| known == tag && !tag.starts_with("W/"));
    let ranges = text(headers, header::RANGE).filter(|_| same && method == Method::GET);
    let head = method == Method::HEAD;
    let (status, length, kind, range, body) = match wanted(ranges, size) {
        Wanted::Unsatisfiable => {
            let range = format!("bytes */{size}");
            (StatusCode::RANGE_NOT_SATISFIABLE, 0, kind.to_string(), Some(range), Body::empty())
        }
        Wanted::Whole => {
            (StatusCode::OK, size, kind.to_string(), None, Body::from_stream(bytes(reader, 0..size)))
        }
        Wanted::Parts(parts) => match <[Range<u64>; 1]>::try_from(parts) {
            Ok([part]) => {
                let range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
                let length = part.end - part.start;
                let body = Body::from_stream(bytes(reader, part));
                (StatusCode::PARTIAL_CONTENT, length, kind.to_string(), Some(range), body)
            }
            Err(parts) => {
                let heads: Vec<_> = parts.iter().map(|part| part_head(kind.as_ref(), part, size)).collect();
                let tail = format!("\r\n--{BOUNDARY}--\r\n");
                let length = parts.iter().map(|part| part.end - part.start).sum::<u64>()
                    + heads.iter().map(|head| head.len() as u64).sum::<u64>()
                    + tail.len() as u64;
                let parts: Vec<_> =
                    heads.into_iter().zip(parts).map(|(head, part)| (head, open(), part)).collect();
                let body = stream::iter(parts)
                    .flat_map(|(head, reader, part)| said(head).chain(bytes(reader, part)))
                    .chain(said(tail));
                let kind = format!("multipart/byteranges; boundary={BOUNDARY}");
                (StatusCode::PARTIAL_CONTENT, length, kind, None, Body::from_stream(body))
            }
        },
    };
    let body = if head { Body::empty() } else { body };
    let mut response = (status, body).into_response();
    let out = response.headers_mut();
    out.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    out.insert(header::CONTENT_LENGTH, length.into());
    insert(out, header::CONTENT_TYPE, &kind);
    if let Some(range) = range {
        insert(out, header::CONTENT_RANGE, &range);
    }
    with_tag(response, tag)
}

fn part_head(kind: &str, part: &Range<u64>, size: u64) -> String {
    let (first, last) = (part.start, part.end - 1);
    format!("\r\n--{BOUNDARY}\r\ncontent-type: {kind}\r\ncontent-range: bytes {first}-{last}/{size}\r\n\r\n")
}

fn said(text: String) -> stream::BoxStream<'static, Result<Bytes, ReadError>> {
    stream::iter([Ok(Bytes::from(text))]).boxed()
}

/// The bytes of a range as they arrive. The client's pace is the pace: nothing is read ahead of it, and a
/// client that goes away takes its reader with it.
fn bytes(reader: Reader, range: Range<u64>) -> impl Stream<Item = Result<Bytes, ReadError>> + Send {
    stream::try_unfold((reader, range), |(reader, range)| async move {
        if range.is_empty() {
            return Ok(None);
        }
        let left = usize::try_from(range.end - range.start).unwrap_or(PART).min(PART);
        let mut part = vec![0; left];
        let read = reader.read_at(range.start, &mut part).await.inspect_err(|error| {
            tracing::warn!(%error, "a player can't be served any further");
        })?;
        if read == 0 {
            return Ok(None);
        }
        part.truncate(read);
        let rest = range.start + read as u64..range.end;
        Ok(Some((Bytes::from(part), (reader, rest))))
    })
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn lists(tags: &str, tag: &str) -> bool {
    tags.split(',').map(str::trim).any(|known| known == "*" || known == tag)
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn with_tag(mut response: Response, tag: &str) -> Response {
    insert(response.headers_mut(), header::ETAG, tag);
    response
}
