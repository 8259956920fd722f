//! Whatever a person types, pastes or clicks (R6).

use std::str::FromStr;

use url::Url;

use crate::{
    Link, LinkError,
    link::{MAX_LINK, SCHEME, shortened},
};

/// What is to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// A link that names the resource: straight to the tracker.
    Link(Box<Link>),
    /// An `http(s)` URL, to be resolved by the controller.
    Url(Url),
    /// `nearcast:?request=<publisher URL>`: the controller, not the browser, makes the HTTP request.
    Request(Url),
}

/// Why a text can't be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpeningError {
    /// It starts like nothing that can be opened.
    #[error("{0:?} is neither a nearcast: link nor an http:// or https:// address")]
    Unknown(String),
    /// It looks like a link and is none.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// It looks like a web address and is none.
    #[error("{address:?} is not a web address: {reason}")]
    Url {
        /// What was given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `nearcast:?…` without a request.
    #[error("the link has neither a resource nor request=<publisher URL>")]
    NoRequest,
}

impl FromStr for Opening {
    type Err = OpeningError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.len() > MAX_LINK {
            return Err(LinkError::TooLong(text.len()).into());
        }
        let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some(SCHEME) => {
                let rest = &text[SCHEME.len() + 1..];
                // Some launchers turn `nearcast:?…` into `nearcast://?…` or `nearcast:///?…`.
                match rest.trim_start_matches('/').strip_prefix('?') {
                    Some(query) => request(query).map(Self::Request),
                    None => Ok(Self::Link(Box::new(text.parse()?))),
                }
            }
            Some("http" | "https") => web_address(text).map(Self::Url),
            _ => Err(OpeningError::Unknown(shortened(text))),
        }
    }
}

fn request(query: &str) -> Result<Url, OpeningError> {
    let query = query.split('#').next().unwrap_or_default();
    let mut fields = url::form_urlencoded::parse(query.as_bytes());
    let (_, target) = fields.find(|(key, _)| key == "request").ok_or(OpeningError::NoRequest)?;
    web_address(&target)
}

fn web_address(text: &str) -> Result<Url, OpeningError> {
    let wrong = |reason: String| OpeningError::Url { address: shortened(text), reason };
    let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("only http and https are fetched".into()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn what_people_open() {
        let film = "https://films.example/v/1?a=b";
        assert_eq!(film.parse(), Ok(Opening::Url(url(film))));
        let request = "nearcast:?request=https%3A%2F%2Ffilms.example%2Fv%2F1%3Fa%3Db";
        assert_eq!(request.parse(), Ok(Opening::Request(url(film))));
        let launched = request.replace("nearcast:?", "nearcast:///?");
        assert_eq!(launched.parse(), Ok(Opening::Request(url(film))));
        assert!(matches!("film.mp4".parse::<Opening>(), Err(OpeningError::Unknown(_))));
        assert!(matches!("nearcast:?x=y".parse::<Opening>(), Err(OpeningError::NoRequest)));
        assert!(matches!("http://".parse::<Opening>(), Err(OpeningError::Url { .. })));
        let file = "nearcast:?request=file%3A%2F%2F%2Fetc%2Fpasswd";
        assert!(matches!(file.parse::<Opening>(), Err(OpeningError::Url { .. })));
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer(text in "(nearcast:|https?:)?.{0,80}") {
            let _ = text.parse::<Opening>();
        }
    }
}
