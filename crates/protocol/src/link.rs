//! `nearcast://<resource id>/<file name>?size=<bytes>&tracker=<multiaddr>&source=<URL>&token=<capability>`
//!
//! The link alone is enough: every byte is verified against the id, with no metadata to fetch first. The
//! size is a claim until the last block proves it.

use std::{fmt, str::FromStr};

use multiaddr::Multiaddr;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use url::Url;

use crate::{
    Geometry, ResourceId, ResourceIdError, Token,
    wire::{MAX_ADDRESS, MAX_TEXT, MAX_TOKEN},
};

/// The scheme of a link, without the colon.
pub const SCHEME: &str = "nearcast";
/// The longest link that is read, in bytes.
pub const MAX_LINK: usize = 16 * 1024;
/// The most trackers, and the most sources, of a link.
pub const MAX_REPEATS: usize = 16;
/// The largest file a link may name: 1 PiB, far above any film and far below where arithmetic ends.
pub const MAX_SIZE: u64 = 1 << 50;

const IN_NAME: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'/').add(b'<').add(b'>').add(b'?').add(b'\\')
        .add(b'`').add(b'{').add(b'}').add(b'&').add(b'|').add(b'^').add(b'\'');
const IN_QUERY: &AsciiSet = &IN_NAME.remove(b'/').add(b'+').add(b'=');

/// Everything needed to fetch, verify and play one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What is fetched.
    pub id: ResourceId,
    /// The file's name, for people and for guessing its type; never a path.
    pub name: String,
    /// Its size in bytes, as the link claims.
    pub size: u64,
    /// Trackers that know who holds it.
    pub trackers: Vec<Multiaddr>,
    /// Plain web addresses of the same bytes.
    pub sources: Vec<Url>,
    /// What a protected resource asks for.
    pub token: Option<Token>,
}

/// Why a text is no link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Another scheme, or none.
    #[error("a link starts with nearcast://, this one with {found:?}")]
    Scheme {
        /// How it starts.
        found: String,
    },
    /// The text is longer than [`MAX_LINK`].
    #[error("the link has {0} bytes; no link has more than {MAX_LINK}")]
    TooLong(usize),
    /// There is nothing where the id should be.
    #[error("the link names no resource: expected nearcast://<id>/<name>, found {found:?}")]
    NoResource {
        /// What stands there.
        found: String,
    },
    /// The id is no id.
    #[error(transparent)]
    Id(#[from] ResourceIdError),
    /// The name is missing.
    #[error("the link has no file name after the resource id")]
    NoName,
    /// The name isn't text, is too long or would leave its folder.
    #[error("the file name {0:?} can't be used: it must be text without / or \\ and not . or ..")]
    Name(String),
    /// There is no size.
    #[error("the link has no size=<bytes>; part of it may be missing")]
    NoSize,
    /// The size is no number in range.
    #[error("the size {0:?} is not a number of bytes up to {MAX_SIZE}")]
    Size(String),
    /// A tracker's address is no multiaddr.
    #[error("the tracker {0:?} is not an address such as /ip4/203.0.113.5/tcp/4401/p2p/12D3…")]
    Tracker(String),
    /// A source is no web address.
    #[error("the source {0:?} is not an http:// or https:// address")]
    Source(String),
    /// The token is too long.
    #[error("the token has {0} bytes; no token has more than {MAX_TOKEN}")]
    Token(usize),
    /// A field that may occur once, or [`MAX_REPEATS`] times, occurs more often.
    #[error("the link has too many {0}= fields")]
    Repeated(&'static str),
    /// A part isn't UTF-8 when decoded.
    #[error("the {0} of the link is not readable text")]
    Encoding(&'static str),
}

impl Link {
    /// The file as blocks, if the size is true.
    pub fn geometry(&self) -> Geometry {
        Geometry::new(self.size)
    }
}

/// Checks that `name` is a plain file name: no separator, no control character, not `.` or `..`.
pub fn is_file_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && name != "."
        && name != ".."
        && !name.chars().any(|c| c == '/' || c == '\\' || c.is_control())
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = utf8_percent_encode(&self.name, IN_NAME);
        write!(f, "{SCHEME}://{}/{name}?size={}", self.id, self.size)?;
        for tracker in &self.trackers {
            let tracker = tracker.to_string();
            write!(f, "&tracker={}", utf8_percent_encode(&tracker, IN_QUERY))?;
        }
        for source in &self.sources {
            write!(f, "&source={}", utf8_percent_encode(source.as_str(), IN_QUERY))?;
        }
        if let Some(token) = &self.token {
            write!(f, "&token={}", utf8_percent_encode(token.as_str(), IN_QUERY))?;
        }
        Ok(())
    }
}

impl FromStr for Link {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_LINK {
            return Err(LinkError::TooLong(text.len()));
        }
        let rest = strip_scheme(text)?;
        // A fragment is a browser's affair.
        let rest = rest.split('#').next().unwrap_or_default();
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (id, name) = path.split_once('/').unwrap_or((path, ""));
        if id.is_empty() {
            return Err(LinkError::NoResource { found: shortened(text) });
        }
        let id = id.parse()?;
        let name = decoded(name.trim_end_matches('/'), "file name")?;
        if name.is_empty() {
            return Err(LinkError::NoName);
        }
        if !is_file_name(&name) {
            return Err(LinkError::Name(shortened(&name)));
        }
        let mut link =
            Self { id, name, size: 0, trackers: Vec::new(), sources: Vec::new(), token: None };
        let mut size = None;
        for field in query.split('&').filter(|field| !field.is_empty()) {
            let (key, value) = field.split_once('=').unwrap_or((field, ""));
            match key {
                "size" => {
                    let value = decoded(value, "size")?;
                    let bytes = value.parse().ok().filter(|bytes| *bytes <= MAX_SIZE);
                    let bytes = bytes.ok_or_else(|| LinkError::Size(shortened(&value)))?;
                    once(&mut size, bytes, "size")?;
                }
                "tracker" => {
                    let value = decoded(value, "tracker")?;
                    let address = value.parse::<Multiaddr>().ok().filter(|a| a.len() <= MAX_ADDRESS);
                    let address = address.ok_or_else(|| LinkError::Tracker(shortened(&value)))?;
                    repeat(&mut link.trackers, address, "tracker")?;
                }
                "source" => {
                    let value = decoded(value, "source")?;
                    let url = Url::parse(&value).ok().filter(|url| {
                        matches!(url.scheme(), "http" | "https") && url.as_str().len() <= MAX_TEXT
                    });
                    let url = url.ok_or_else(|| LinkError::Source(shortened(&value)))?;
                    repeat(&mut link.sources, url, "source")?;
                }
                "token" => {
                    let value = decoded(value, "token")?;
                    let length = value.len();
                    let token = Token::new(value).ok_or(LinkError::Token(length))?;
                    once(&mut link.token, token, "token")?;
                }
                // A later version may say more; what it adds must not break today's program.
                _ => {}
            }
        }
        link.size = size.ok_or(LinkError::NoSize)?;
        Ok(link)
    }
}

fn strip_scheme(text: &str) -> Result<&str, LinkError> {
    let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(LinkError::Scheme { found: shortened(text) });
    }
    rest.strip_prefix("//").ok_or_else(|| LinkError::NoResource { found: shortened(text) })
}

fn decoded(text: &str, part: &'static str) -> Result<String, LinkError> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| LinkError::Encoding(part))?;
    Ok(text.into_owned())
}

fn once<T>(field: &mut Option<T>, value: T, name: &'static str) -> Result<(), LinkError> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(LinkError::Repeated(name)),
    }
}

fn repeat<T>(fields: &mut Vec<T>, value: T, name: &'static str) -> Result<(), LinkError> {
    if fields.len() == MAX_REPEATS {
        return Err(LinkError::Repeated(name));
    }
    fields.push(value);
    Ok(())
}

/// The first characters of a stranger's text, for an error message.
pub(crate) fn shortened(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut short: String = text.chars().take(SHOWN).collect();
    if text.chars().nth(SHOWN).is_some() {
        short.push('…');
    }
    short
}
