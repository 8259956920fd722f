//! What is answered to who asks for a protected film: the link, a form for the password, or why not.

use std::net::IpAddr;

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use maud::{DOCTYPE, html};
use nearcast_protocol::Link;

use super::{Access, NotAdmitted};

/// Forms longer than this aren't read, in bytes.
pub const MAX_FORM: usize = 8 * 1024;

/// A browser that has sent the form follows to the app.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self' nearcast:; \
                      frame-ancestors 'none'";

/// Answers `GET /v/<id>`: a redirect to the link, or what is missing. `query` is what stands after the question
/// mark.
pub fn get(access: &Access, link: &Link, query: Option<&str>, headers: &HeaderMap) -> Response {
    let token = query.and_then(|query| field(query.as_bytes(), "token"));
    match access.admit(link, token.as_deref()) {
        Ok(link) => redirect(StatusCode::FOUND, &link),
        Err(why) => refused(access, link, &why, token.is_some(), headers),
    }
}

/// Answers `POST /v/<id>`: the password's form, sent from `from`.
pub fn post(
    access: &Access,
    link: &Link,
    form: &[u8],
    from: Option<IpAddr>,
    headers: &HeaderMap,
) -> Response {
    let password = field(form, "password").unwrap_or_default();
    match access.admit_with_password(link, &password, from) {
        // The answer to a form that is to be fetched with GET.
        Ok(link) => redirect(StatusCode::SEE_OTHER, &link),
        Err(why) => refused(access, link, &why, true, headers),
    }
}

fn field(form: &[u8], name: &str) -> Option<String> {
    url::form_urlencoded::parse(form).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn redirect(status: StatusCode, link: &Link) -> Response {
    let headers = [(header::LOCATION, link.to_string()), (header::CACHE_CONTROL, "no-store".into())];
    (status, headers).into_response()
}

/// Why not, for a person in a browser with a form if a password helps, for a program in a line.
fn refused(access: &Access, link: &Link, why: &NotAdmitted, tried: bool, headers: &HeaderMap) -> Response {
    let status = match why {
        NotAdmitted::Token(_) if access.takes_passwords() => StatusCode::UNAUTHORIZED,
        NotAdmitted::Token(_) | NotAdmitted::Password => StatusCode::FORBIDDEN,
        NotAdmitted::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        NotAdmitted::Keys(error) => {
            tracing::error!(%error, "no link can be signed");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    let accepts = |name: header::HeaderName| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let mut answer = if accepts(header::ACCEPT).contains("text/html") {
        let chinese = accepts(header::ACCEPT_LANGUAGE).trim_start().to_ascii_lowercase().starts_with("zh");
        (status, Html(page(access, link, why, tried, chinese))).into_response()
    } else {
        (status, format!("{why}\n")).into_response()
    };
    let out = answer.headers_mut();
    out.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    out.insert(header::CONTENT_SECURITY_POLICY, header::HeaderValue::from_static(POLICY));
    if let NotAdmitted::TooMany(wait) = why {
        out.insert(header::RETRY_AFTER, wait.as_secs().max(1).into());
    }
    answer
}

fn page(access: &Access, link: &Link, why: &NotAdmitted, tried: bool, chinese: bool) -> String {
    let words = |english, other| if chinese { other } else { english };
    let why_in_chinese = match why {
        NotAdmitted::Token(_) => {
            "链接不适用于此影片，可能已过期或不完整。请向发布者索取新的链接。".to_owned()
        }
        NotAdmitted::Password => "密码不正确。".to_owned(),
        NotAdmitted::TooMany(wait) => format!("密码错误次数过多，请在 {} 秒后重试。", wait.as_secs().max(1)),
        NotAdmitted::Keys(_) => "暂时无法签发链接。".to_owned(),
    };
    let page = html! {
        (DOCTYPE)
        html lang=(words("en", "zh")) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (link.name) }
                link rel="stylesheet" href="../style.css";
            }
            body {
                main {
                    h1 { (words("This film is protected", "此影片受保护")) }
                    p { (link.name) }
                    @if tried { p role="alert" { @if chinese { (why_in_chinese) } @else { (why) } } }
                    @if access.takes_passwords() {
                        form method="post" {
                            label for="password" { (words("Password", "密码")) }
                            input id="password" type="password" name="password" required autofocus
                                autocomplete="current-password" maxlength="1024";
                            button class="play" { (words("Play", "播放")) }
                        }
                    } @else if !tried {
                        p { (words("Open it by the link that its publisher gave you.", "请通过发布者提供的链接打开。")) }
                    }
                }
            }
        }
    };
    page.into_string()
}
