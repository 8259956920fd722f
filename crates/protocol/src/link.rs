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

const IN_NAME: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'&')
    .add(b'|')
    .add(b'^')
    .add(b'\'');
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
    #[error(
        "the file name {0:?} can't be used: it must be up to 255 bytes of text without / and \\, and . and .. are no names"
    )]
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

fn is_dialable(address: &Multiaddr) -> bool {
    // The empty text parses as an address of no parts.
    !address.is_empty() && address.len() <= MAX_ADDRESS
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
        let mut link = Self { id, name, size: 0, trackers: Vec::new(), sources: Vec::new(), token: None };
        let mut size = None;
        for field in query.split('&').filter(|field| !field.is_empty()) {
            let (key, value) = field.split_once('=').unwrap_or((field, ""));
            match key {
                "size" => {
                    let value = decoded(value, "size")?;
                    // A plus sign would parse, but no program writes one.
                    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
                    let bytes = value.parse().ok().filter(|bytes| digits && *bytes <= MAX_SIZE);
                    let bytes = bytes.ok_or_else(|| LinkError::Size(shortened(&value)))?;
                    once(&mut size, bytes, "size")?;
                }
                "tracker" => {
                    let value = decoded(value, "tracker")?;
                    let address = value.parse().ok().filter(is_dialable);
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;
    use crate::arbitrary::links;

    const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn film(rest: &str) -> Result<Link, LinkError> {
        format!("nearcast://{ID}/{rest}").parse()
    }

    #[test]
    fn a_link_as_people_see_it() {
        let text = format!(
            "nearcast://{ID}/Big%20Buck%20Bunny.mp4?size=454346195\
             &tracker=/ip4/203.0.113.5/tcp/4401&source=https://films.example/bunny.mp4&token=a.b-c"
        );
        let link: Link = text.parse().unwrap();
        assert_eq!(link.id, ResourceId::from_bytes([0; 32]));
        assert_eq!(link.name, "Big Buck Bunny.mp4");
        assert_eq!(link.size, 454_346_195);
        assert_eq!(link.geometry().size(), link.size);
        assert_eq!(link.trackers, ["/ip4/203.0.113.5/tcp/4401".parse().unwrap()]);
        assert_eq!(link.sources, [Url::parse("https://films.example/bunny.mp4").unwrap()]);
        assert_eq!(link.token.as_ref().map(Token::as_str), Some("a.b-c"));
        let source = "source=https:%2F%2F";
        assert_eq!(link.to_string().replace(source, "source=https://").parse(), Ok(link));
    }

    #[test]
    fn each_way_of_being_wrong_has_its_own_sentence() {
        // The match has no default arm: a new way of being wrong won't compile without a case below.
        fn kind(error: &LinkError) -> &'static str {
            match error {
                LinkError::Scheme { .. } => "scheme",
                LinkError::TooLong(_) => "too long",
                LinkError::NoResource { .. } => "no resource",
                LinkError::Id(ResourceIdError::Length(_)) => "id length",
                LinkError::Id(ResourceIdError::Character { .. }) => "id character",
                LinkError::Id(ResourceIdError::Trailing(_)) => "id trailing",
                LinkError::NoName => "no name",
                LinkError::Name(_) => "name",
                LinkError::NoSize => "no size",
                LinkError::Size(_) => "size",
                LinkError::Tracker(_) => "tracker",
                LinkError::Source(_) => "source",
                LinkError::Token(_) => "token",
                LinkError::Repeated(_) => "repeated",
                LinkError::Encoding(_) => "encoding",
            }
        }
        let id = |id: &str| format!("nearcast://{id}/a.mp4?size=1");
        let film = |rest: &str| format!("nearcast://{ID}/{rest}");
        let long_name = film(&format!("{}?size=1", "a".repeat(256)));
        let long_token = film(&format!("a?size=1&token={}", "t".repeat(MAX_TOKEN + 1)));
        let many_trackers = "&tracker=/dns/a/tcp/1".repeat(MAX_REPEATS + 1);
        let many_sources = "&source=http://a.example".repeat(MAX_REPEATS + 1);
        let long_source = film(&format!("a?size=1&source=http://a/{}", "b".repeat(MAX_TEXT)));
        let wrong: &[(&str, &str)] = &[
            ("scheme", "magnet:?xt=urn:btih:0"),
            ("scheme", ""),
            ("scheme", ID),
            ("scheme", " nearcast://"),
            ("too long", &film(&"a".repeat(MAX_LINK))),
            ("no resource", "nearcast:"),
            ("no resource", "nearcast://"),
            ("no resource", "nearcast:///a.mp4?size=1"),
            ("no resource", "nearcast://?size=1"),
            ("no resource", &format!("nearcast:{ID}/a.mp4?size=1")),
            ("no resource", &format!("nearcast:/{ID}/a.mp4?size=1")),
            ("id length", &id("abc")),
            ("id length", &id(&format!("{ID}:80"))),
            ("id length", &id(&format!("someone@{ID}"))),
            ("id character", &id(&ID.replacen('a', "1", 1))),
            ("id trailing", &id(&format!("{}b", &ID[1..]))),
            ("no name", &format!("nearcast://{ID}?size=1")),
            ("no name", &film("?size=1")),
            ("no name", &film("/?size=1")),
            ("name", &film("..?size=1")),
            ("name", &film("%2e%2E?size=1")),
            ("name", &film("a/b?size=1")),
            ("name", &film("..%2Fa?size=1")),
            ("name", &film("C:%5Ca?size=1")),
            ("name", &film("a%00.mp4?size=1")),
            ("name", &film("a%0A.mp4?size=1")),
            ("name", &long_name),
            ("no size", &film("a.mp4")),
            ("no size", &film("a.mp4?")),
            ("no size", &film("a.mp4?SIZE=1")),
            ("no size", &film("a.mp4#?size=1")),
            ("size", &film("a.mp4?size")),
            ("size", &film("a.mp4?size=")),
            ("size", &film("a.mp4?size=-1")),
            ("size", &film("a.mp4?size=+1")),
            ("size", &film("a.mp4?size=1e9")),
            ("size", &film("a.mp4?size=1125899906842625")),
            ("size", &film("a.mp4?size=99999999999999999999999")),
            ("tracker", &film("a?size=1&tracker=")),
            ("tracker", &film("a?size=1&tracker=films.example:4401")),
            ("tracker", &film("a?size=1&tracker=/ip4/300.0.0.1/tcp/1")),
            ("tracker", &film(&format!("a?size=1&tracker=/dns/{}/tcp/1", "d".repeat(MAX_ADDRESS)))),
            ("source", &film("a?size=1&source=films.example")),
            ("source", &film("a?size=1&source=file:///etc/passwd")),
            ("source", &film("a?size=1&source=")),
            ("source", &long_source),
            ("token", &long_token),
            ("repeated", &film("a?size=1&size=1")),
            ("repeated", &film("a?size=1&token=a&token=a")),
            ("repeated", &film(&format!("a?size=1{many_trackers}"))),
            ("repeated", &film(&format!("a?size=1{many_sources}"))),
            ("encoding", &film("%FF.mp4?size=1")),
            ("encoding", &film("a?size=%FF")),
            ("encoding", &film("a?size=1&token=%C3")),
        ];
        let mut sentences = BTreeSet::new();
        let mut kinds = BTreeSet::new();
        for (expected, text) in wrong {
            let error = text.parse::<Link>().expect_err(text);
            assert_eq!(kind(&error), *expected, "{text:.200}: {error}");
            let sentence = error.to_string();
            assert!(!sentence.ends_with('.') && sentence.starts_with(char::is_lowercase), "{sentence}");
            assert!(sentence.len() < 400, "a stranger's text is cut: {sentence}");
            if kinds.insert(*expected) {
                assert!(sentences.insert(sentence.clone()), "said twice: {sentence}");
            }
        }
        assert_eq!(kinds.len(), 15);
    }

    #[test]
    fn what_a_browser_or_a_chat_makes_of_a_link_still_opens() {
        let link = film("a.mp4?size=7").unwrap();
        let upper = format!("nearcast://{}/a.mp4?size=7", ID.to_uppercase());
        assert_eq!(upper.parse(), Ok(link.clone()));
        assert_eq!(format!("NearCast://{ID}/a.mp4?size=7").parse(), Ok(link.clone()));
        assert_eq!(film("a.mp4/?size=7"), Ok(link.clone()));
        assert_eq!(film("a.mp4?size=7#t=60"), Ok(link.clone()));
        assert_eq!(film("a.mp4?&&size=7&"), Ok(link.clone()));
        assert_eq!(film("%61%2e%6Dp4?size=%37"), Ok(link));
    }

    #[test]
    fn fields_of_a_later_version_are_passed_over() {
        assert_eq!(film("a.mp4?size=7&codec=av1&poster=%FF"), film("a.mp4?size=7"));
    }

    #[test]
    fn an_escape_is_decoded_once_and_a_plus_is_a_plus() {
        assert_eq!(film("100%25.mp4?size=1").unwrap().name, "100%.mp4");
        assert_eq!(film("%2541?size=1").unwrap().name, "%41");
        assert_eq!(film("a+b?size=1").unwrap().name, "a+b");
        // A per cent sign that escapes nothing stands for itself.
        assert_eq!(film("100%?size=1").unwrap().name, "100%");
        assert_eq!(film("%zz?size=1").unwrap().name, "%zz");
        assert_eq!(film("%E8%BF%91.mkv?size=1").unwrap().name, "近.mkv");
        let source = film("a?size=1&source=https://a.example/?x=1%26y=2").unwrap().sources;
        assert_eq!(source, [Url::parse("https://a.example/?x=1&y=2").unwrap()]);
    }

    #[test]
    fn the_size_may_be_anything_up_to_its_limit() {
        assert_eq!(film("a?size=0").unwrap().size, 0);
        assert_eq!(film(&format!("a?size={MAX_SIZE}")).unwrap().size, MAX_SIZE);
    }

    #[test]
    fn a_token_stays_out_of_logs() {
        let link = film("a?size=1&token=secret").unwrap();
        assert!(!format!("{link:?}").contains("secret"));
        assert!(link.to_string().contains("secret"));
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(link in links()) {
            let text = link.to_string();
            prop_assert_eq!(text.parse::<Link>(), Ok(link), "{}", text);
        }

        #[test]
        fn a_written_link_is_plain_ascii_without_blanks(link in links()) {
            let text = link.to_string();
            // What ends a link in running text, in HTML and in a shell must be escaped.
            let unsafe_in_text = text.find(|c: char| !c.is_ascii_graphic() || "\"'<>`{}|\\^#".contains(c));
            prop_assert_eq!(unsafe_in_text, None, "{}", text);
        }

        #[test]
        fn any_text_gives_an_answer(rest in "\\PC{0,200}") {
            let _ = film(&rest);
            let _ = rest.parse::<Link>();
        }

        #[test]
        fn a_damaged_link_gives_an_answer(link in links(), at in any::<usize>(), byte in any::<char>()) {
            let mut text: Vec<char> = link.to_string().chars().collect();
            let at = at % text.len();
            text[at] = byte;
            let _ = text.iter().collect::<String>().parse::<Link>();
            let _ = text[..at].iter().collect::<String>().parse::<Link>();
        }
    }
}
