//! What is answered to who asks for a protected film: the link, a form for the password, or why not.

use std::net::IpAddr;

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use maud::{DOCTYPE, html};
use nearcast_protocol::Link;

use super::{Access, NotAdmitted};
use crate::site::{language::Language, pages::TRIANGLE};

/// Forms longer than this aren't read, in bytes.
pub const MAX_FORM: usize = 8 * 1024;

/// A browser that has sent the form follows to the app.
const POLICY: &str = "default-src 'none'; img-src 'self'; style-src 'self'; base-uri 'none'; form-action 'self' nearcast:; \
                      frame-ancestors 'none'";

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
        Ok(link) => entered(&link, headers),
        Err(why) => refused(access, link, &why, true, headers, "../"),
    }
}

fn field(form: &[u8], name: &str) -> Option<String> {
    url::form_urlencoded::parse(form).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// A person's browser goes on to the page that opens the app, any other program to the link.
fn entered(link: &Link, headers: &HeaderMap) -> Response {
    let token = link.token.as_ref().filter(|_| accepts(headers, header::ACCEPT).contains("text/html"));
    let target = token.map(|token| {
        let token: String = url::form_urlencoded::byte_serialize(token.as_str().as_bytes()).collect();
        format!("../play/{}?token={token}", link.id)
    });
    let target = target.unwrap_or_else(|| link.to_string());
    let headers = [(header::LOCATION, target), (header::CACHE_CONTROL, "no-store".into())];
    // The answer to a form that is to be fetched with GET.
    (StatusCode::SEE_OTHER, headers).into_response()
}

fn accepts(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Why not, for a person in a browser with a form if a password helps, for a program in a line.
/// `up` leads from the asked address to the site's top.
pub(crate) fn refused(
    access: &Access,
    link: &Link,
    why: &NotAdmitted,
    tried: bool,
    headers: &HeaderMap,
    up: &str,
) -> Response {
    let status = match why {
        NotAdmitted::Token(_) if access.takes_passwords() => StatusCode::UNAUTHORIZED,
        NotAdmitted::Token(_) | NotAdmitted::Password => StatusCode::FORBIDDEN,
        NotAdmitted::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        NotAdmitted::Keys(error) => {
            tracing::error!(%error, "no link can be signed");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    let mut answer = if accepts(headers, header::ACCEPT).contains("text/html") {
        let chinese = Language::of(headers, None) == Language::Chinese;
        (status, Html(page(access, link, why, tried, chinese, up))).into_response()
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

fn page(access: &Access, link: &Link, why: &NotAdmitted, tried: bool, chinese: bool, up: &str) -> String {
    let words = |english, other| if chinese { other } else { english };
    let why_in_chinese = match why {
        NotAdmitted::Token(_) => {
            "链接不适用于此影片，可能已过期或不完整。请向发布者索取新的链接。".to_owned()
        }
        NotAdmitted::Password => "密码不正确。".to_owned(),
        NotAdmitted::TooMany(wait) => format!("密码错误次数过多，请在 {} 秒后重试。", wait.as_secs().max(1)),
        NotAdmitted::Keys(_) => "暂时无法签发链接。".to_owned(),
    };
    let heading = words("This film is protected", "此影片受保护");
    let page = html! {
        (DOCTYPE)
        html lang=(words("en", "zh-Hans")) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (heading) " · " (link.name) }
                link rel="icon" type="image/svg+xml" href={ (up) "icon.svg" };
                link rel="stylesheet" href={ (up) "style.css" };
            }
            body {
                main class="door" {
                    div class="panel" {
                        a class="brand" href={ (if up.is_empty() { "./" } else { up }) } {
                            img src={ (up) "icon.svg" } alt=(words("To the catalogue", "返回目录")) width="48" height="48";
                        }
                        h1 { (heading) }
                        p class="soft" { (link.name) }
                        @if tried {
                            p class="alert" role="alert" id="why" { @if chinese { (why_in_chinese) } @else { (sentence(why)) } }
                        }
                        @if access.takes_passwords() {
                            form class="password" method="post" action={ (up) "v/" (link.id) } {
                                label for="password" { (words("Password", "密码")) }
                                input id="password" type="password" name="password" required autofocus
                                    autocomplete="current-password" maxlength="1024"
                                    aria-invalid=[tried.then_some("true")] aria-describedby=[tried.then_some("why")];
                                button class="button" type="submit" { (TRIANGLE) (words("Play", "播放")) }
                            }
                            p class="soft hint" { (words("Its publisher has given it to those who may watch.", "密码由发布者提供给有权观看的人。")) }
                        } @else if !tried {
                            p { (words("Open it by the link that its publisher gave you.", "请通过发布者提供的链接打开。")) }
                        }
                    }
                }
            }
        }
    };
    page.into_string()
}

/// An error as a sentence of its own.
fn sentence(why: &NotAdmitted) -> String {
    let said = why.to_string();
    let mut letters = said.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).chain(['.']).collect()).unwrap_or_default()
}
