//! Which language a visitor reads: what they chose, else what their browser asks for.

use axum::http::{HeaderMap, HeaderValue, header};

/// A language the pages are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Language {
    /// English.
    #[default]
    English,
    /// Chinese, in simplified letters.
    Chinese,
}

/// What the choice is kept in: two letters, nothing about the visitor.
const COOKIE: &str = "lang";
/// More than this of a header isn't read.
const READ: usize = 512;

impl Language {
    pub(crate) const ALL: [Self; 2] = [Self::English, Self::Chinese];

    /// Its name in URLs.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }

    /// Its name in the page's `lang`.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-Hans",
        }
    }

    /// Its name for people who read it.
    pub(crate) fn own_name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Chinese => "中文",
        }
    }

    /// The language of a code or a tag such as `zh-CN`.
    pub(crate) fn named(tag: &str) -> Option<Self> {
        let first = tag.trim().split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        match first.as_str() {
            "en" => Some(Self::English),
            "zh" => Some(Self::Chinese),
            _ => None,
        }
    }

    /// The visitor's: chosen in the URL, chosen before, or asked for by the browser.
    pub(crate) fn of(headers: &HeaderMap, chosen: Option<&str>) -> Self {
        chosen
            .and_then(Self::named)
            .or_else(|| from_cookie(headers))
            .or_else(|| from_browser(headers))
            .unwrap_or_default()
    }

    /// The header that keeps a choice for a year.
    pub(crate) fn cookie(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::English => "lang=en; Path=/; Max-Age=31536000; SameSite=Lax",
            Self::Chinese => "lang=zh; Path=/; Max-Age=31536000; SameSite=Lax",
        })
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().filter(|text| text.len() <= READ)
}

fn from_cookie(headers: &HeaderMap) -> Option<Language> {
    let cookies = text(headers, header::COOKIE)?;
    cookies.split(';').find_map(|cookie| {
        let (name, value) = cookie.trim().split_once('=')?;
        if name == COOKIE { Language::named(value) } else { None }
    })
}

/// The best of `Accept-Language` (RFC 9110 §12.5.4) that there is.
fn from_browser(headers: &HeaderMap) -> Option<Language> {
    let wishes = text(headers, header::ACCEPT_LANGUAGE)?;
    let mut best: Option<(f32, Language)> = None;
    for wish in wishes.split(',') {
        let (tag, weight) = wish.split_once(';').unwrap_or((wish, ""));
        let weight = weight.trim().strip_prefix("q=").map_or(1.0, |q| q.trim().parse().unwrap_or(0.0));
        let Some(language) = Language::named(tag).filter(|_| weight > 0.0) else { continue };
        if best.is_none_or(|(known, _)| weight > known) {
            best = Some((weight, language));
        }
    }
    best.map(|(_, language)| language)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn the_browser_s_best_is_taken() {
        for (asked, expected) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", Language::Chinese),
            ("en;q=0.3, zh-TW;q=0.7", Language::Chinese),
            ("de, fr;q=0.9, en;q=0.1", Language::English),
            ("de", Language::English),
            ("zh;q=0", Language::English),
            ("zh;q=nonsense, en", Language::English),
            ("", Language::English),
        ] {
            assert_eq!(
                Language::of(&headers(&[(header::ACCEPT_LANGUAGE, asked)]), None),
                expected,
                "{asked}"
            );
        }
    }

    #[test]
    fn a_choice_outweighs_the_browser_and_the_url_outweighs_all() {
        let both = headers(&[(header::ACCEPT_LANGUAGE, "en"), (header::COOKIE, "a=b; lang=zh")]);
        assert_eq!(Language::of(&both, None), Language::Chinese);
        assert_eq!(Language::of(&both, Some("en")), Language::English);
        assert_eq!(Language::of(&both, Some("klingon")), Language::Chinese);
    }
}
