//! How a page goes out: with a tag, so that what hasn't changed isn't sent twice.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use maud::Markup;

use super::language::Language;

/// A page in a language; `chosen` is kept for the next visit.
pub(crate) fn html(
    headers: &HeaderMap,
    status: StatusCode,
    page: Markup,
    language: Language,
    chosen: bool,
) -> Response {
    let mut response = tagged(headers, status, "text/html; charset=utf-8", page.into_string());
    let out = response.headers_mut();
    out.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
    out.insert(header::VARY, HeaderValue::from_static("accept-language, cookie"));
    if chosen {
        out.insert(header::SET_COOKIE, language.cookie());
    }
    response
}

/// A text that is asked about before it is sent again.
pub(crate) fn tagged(headers: &HeaderMap, status: StatusCode, kind: &'static str, text: String) -> Response {
    let hash = blake3::hash(text.as_bytes()).to_hex();
    // Weak: what is compressed on the way out has other bytes (RFC 9110 §8.8.1).
    let tag = format!("W/\"{}\"", &hash[..24]);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let same = status == StatusCode::OK
        && known.is_some_and(|tags| tags.split(',').map(str::trim).any(|known| known == "*" || known == tag));
    let mut response = if same {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        (status, Body::from(text)).into_response()
    };
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if status == StatusCode::OK
        && let Ok(tag) = HeaderValue::from_str(&tag)
    {
        out.insert(header::ETAG, tag);
    }
    response
}

/// A part of the program, which changes only with it: it is asked for under a name that does too.
pub(crate) fn part(kind: &'static str, text: &'static str) -> Response {
    let forever = HeaderValue::from_static("public, max-age=86400");
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind)), (header::CACHE_CONTROL, forever)], text)
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_not_sent_again() {
        let first = tagged(&HeaderMap::new(), StatusCode::OK, "text/html", "page".into());
        let tag = first.headers()[header::ETAG].clone();
        let again = |tag: HeaderValue, text: &str| {
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, tag)]);
            tagged(&headers, StatusCode::OK, "text/html", text.into()).status()
        };
        assert_eq!(again(tag.clone(), "page"), StatusCode::NOT_MODIFIED);
        assert_eq!(again(tag, "another page"), StatusCode::OK);
        assert_eq!(again(HeaderValue::from_static("\"a\", *"), "page"), StatusCode::NOT_MODIFIED);
    }
}
