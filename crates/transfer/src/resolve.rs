//! From whatever a person opened to a link, or to a plain file (R6).
//!
//! A `nearcast:` link is one already. For an `http(s)` URL the trackers are asked first; what they say is
//! believed only if the URL's own origin confirms it, over HTTPS or on a private network. Else the URL is
//! fetched, and a redirect to a `nearcast:` link followed; and if there is none, it is a plain file.

use std::{net::IpAddr, time::Duration};

use nearcast_network::Network;
use nearcast_protocol::{
    Link, LinkError, Multiaddr, Opening,
    link::{MAX_LINK, SCHEME},
    tracker::{Answer, Request},
};
use reqwest::{
    StatusCode,
    header::{CONTENT_LENGTH, LOCATION, RANGE},
    redirect::Policy,
};
use serde::Deserialize;
use url::{Host, Url};

use crate::tracking::PATIENCE;

const REDIRECTS: usize = 10;
/// The longest confirmation that is read.
const CONFIRMATION: usize = MAX_LINK + 1024;
const WEB_PATIENCE: Duration = Duration::from_secs(15);

/// What an opening stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// A resource of the network.
    Link(Box<Link>),
    /// A plain file, at the URL where redirects ended.
    Plain(Url),
}

/// Why an opening stands for nothing.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The web server can't be reached.
    #[error("{url} can't be fetched: {}", innermost(source))]
    Web {
        /// What was fetched.
        url: Box<Url>,
        /// Why it failed.
        source: reqwest::Error,
    },
    /// The web server refuses.
    #[error("{url} answers {status}{}", hint(*status))]
    Status {
        /// What was fetched.
        url: Box<Url>,
        /// The answer.
        status: StatusCode,
    },
    /// The server redirects without end or to nowhere.
    #[error("{url} leads nowhere: {reason}")]
    Redirect {
        /// Where it began.
        url: Box<Url>,
        /// What is wrong.
        reason: &'static str,
    },
    /// The server redirects to a broken link.
    #[error("{url} leads to a broken link: {source}")]
    Link {
        /// Where it began.
        url: Box<Url>,
        /// What is wrong with the link.
        source: LinkError,
    },
    /// A public server points into the private network of the person who asks.
    #[error(
        "{url} redirects to {target}, an address inside your own network; open that yourself if you trust it"
    )]
    Private {
        /// Where it began.
        url: Box<Url>,
        /// Where it points.
        target: Box<Url>,
    },
    /// The page isn't a film and leads to none.
    #[error("{url} is a web page, not a video, and leads to no nearcast: link")]
    Page {
        /// What was fetched.
        url: Box<Url>,
    },
    /// The web client can't be set up.
    #[error("the web client can't be started: {0}")]
    Client(reqwest::Error),
}

/// Resolves openings.
pub struct Resolver<'a> {
    network: &'a Network,
    trackers: &'a [Multiaddr],
    web: reqwest::Client,
}

#[derive(Deserialize)]
struct Confirmation {
    link: String,
}

impl<'a> Resolver<'a> {
    /// A resolver that asks these trackers.
    ///
    /// # Errors
    /// When no web client can be set up.
    pub fn new(network: &'a Network, trackers: &'a [Multiaddr]) -> Result<Self, ResolveError> {
        let web = web_client().map_err(ResolveError::Client)?;
        Ok(Self { network, trackers, web })
    }

    /// What `opening` stands for.
    ///
    /// # Errors
    /// With a sentence for the person who opened it.
    pub async fn resolve(&self, opening: &Opening) -> Result<Resolved, ResolveError> {
        match opening {
            Opening::Link(link) => Ok(Resolved::Link(link.clone())),
            Opening::Request(url) => self.fetch(url).await,
            Opening::Url(url) => match self.ask_trackers(url).await {
                Some(link) => Ok(Resolved::Link(Box::new(link))),
                None => self.fetch(url).await,
            },
        }
    }

    /// A link that a tracker gives for the URL and the URL's origin confirms.
    async fn ask_trackers(&self, url: &Url) -> Option<Link> {
        // A signed address is a secret of whoever has it.
        if !trusted(url) || url.query_pairs().any(|(key, _)| key == "token") {
            return None;
        }
        let request = Request::Resolve { url: url.as_str().to_owned() };
        for tracker in self.trackers {
            let Ok(Answer::Resolved(links)) = self.network.ask(tracker, &request, PATIENCE).await else {
                continue;
            };
            let claimed: Vec<Link> = links.iter().filter_map(|link| link.0.parse().ok()).collect();
            if claimed.is_empty() {
                continue;
            }
            let confirmed = self.confirmed(url).await?;
            let same = |link: &Link| link.id == confirmed.id && link.size == confirmed.size;
            return claimed.iter().any(same).then_some(confirmed);
        }
        None
    }

    /// What the origin itself says that the URL stands for.
    async fn confirmed(&self, url: &Url) -> Option<Link> {
        let mut ask = url.join("/.well-known/nearcast").ok()?;
        ask.query_pairs_mut().append_pair("url", url.as_str());
        let answer = self.web.get(ask).send().await.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        let body = bounded(answer, CONFIRMATION).await?;
        serde_json::from_slice::<Confirmation>(&body).ok()?.link.parse().ok()
    }

    /// Follows redirects to a link or a plain file.
    async fn fetch(&self, start: &Url) -> Result<Resolved, ResolveError> {
        let mut url = start.clone();
        for _ in 0..REDIRECTS {
            // One byte is enough to see what it is, and costs a server without ranges one closed connection.
            let sent = self.web.get(url.clone()).header(RANGE, "bytes=0-0").send().await;
            let answer = sent.map_err(|source| ResolveError::Web { url: shown(&url), source })?;
            let status = answer.status();
            if status.is_redirection() {
                let location = answer.headers().get(LOCATION).and_then(|location| location.to_str().ok());
                let location = location.ok_or_else(|| redirect(start, "a redirect says not where to"))?;
                if is_link(location) {
                    let link = location
                        .parse()
                        .map_err(|source| ResolveError::Link { url: shown(start), source })?;
                    return Ok(Resolved::Link(Box::new(link)));
                }
                let target = url.join(location).map_err(|_| redirect(start, "a redirect is no address"))?;
                if !matches!(target.scheme(), "http" | "https") {
                    return Err(redirect(start, "a redirect is neither a link nor a web address"));
                }
                if is_private(&target) && !is_private(start) {
                    let (url, target) = (shown(start), shown(&target));
                    return Err(ResolveError::Private { url, target });
                }
                url = target;
                continue;
            }
            if !status.is_success() && status != StatusCode::RANGE_NOT_SATISFIABLE {
                return Err(ResolveError::Status { url: shown(&url), status });
            }
            if is_page(&answer) {
                return Err(ResolveError::Page { url: shown(&url) });
            }
            return Ok(Resolved::Plain(url));
        }
        Err(redirect(start, "there are too many redirects"))
    }
}

/// A web client that follows no redirect by itself: where one leads is ours to judge.
pub(crate) fn web_client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .redirect(Policy::none())
        .connect_timeout(WEB_PATIENCE)
        .read_timeout(WEB_PATIENCE)
        .user_agent(concat!("nearcast/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Whether an address lies inside a private network, or on this machine.
pub fn is_private(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            // A name without a dot is one of the local network's.
            !name.contains('.')
                || [".localhost", ".local", ".internal", ".lan", ".home.arpa", ".localdomain"]
                    .iter()
                    .any(|end| name.ends_with(end))
        }
        Some(Host::Ipv4(ip)) => private_ip(ip.into()),
        Some(Host::Ipv6(ip)) => private_ip(ip.into()),
        None => false,
    }
}

/// Whether an IP address is of a private network, link-local or loopback.
pub fn private_ip(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            // 100.64.0.0/10 is a provider's own, behind its translation (RFC 6598).
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || shared
        }
        IpAddr::V6(ip) => {
            ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local()
        }
    }
}

/// Whether what the origin confirms can be believed: nobody in between can have written it.
fn trusted(url: &Url) -> bool {
    url.scheme() == "https" || is_private(url)
}

fn is_link(location: &str) -> bool {
    location.split_once(':').is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME))
}

fn is_page(answer: &reqwest::Response) -> bool {
    let kind = answer.headers().get(reqwest::header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.starts_with("text/html") || kind.starts_with("application/xhtml")
}

/// The body, unless it is longer than `limit`.
async fn bounded(mut answer: reqwest::Response, limit: usize) -> Option<Vec<u8>> {
    let announced =
        answer.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > limit) {
        return None;
    }
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.ok()? {
        body.extend_from_slice(&part);
        if body.len() > limit {
            return None;
        }
    }
    Some(body)
}

fn redirect(url: &Url, reason: &'static str) -> ResolveError {
    ResolveError::Redirect { url: shown(url), reason }
}

/// An address for an error's sentence, without the secret of a signed one.
fn shown(url: &Url) -> Box<Url> {
    let mut shown = url.clone();
    if url.query_pairs().any(|(key, _)| key == "token") {
        shown.set_query(None);
    }
    Box::new(shown)
}

fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => "; the film may have been moved",
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "; you may have to sign in at the publisher first"
        }
        _ => "",
    }
}

/// The deepest cause says what happened; the layers above it only where.
pub(crate) fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_private() {
        for private in [
            "http://127.0.0.1/",
            "http://10.1.2.3/",
            "http://192.168.1.1:80/",
            "http://169.254.1.1/",
            "http://[::1]/",
            "http://[fe80::1]/",
            "http://[fd00::1]/",
            "http://localhost/",
            "http://a.local./",
            "http://[::ffff:10.0.0.1]/",
            "http://100.64.0.1/",
            "http://0.0.0.0/",
            "http://2130706433/",
        ] {
            assert!(is_private(&Url::parse(private).unwrap()), "{private}");
        }
        for public in
            ["http://203.0.113.9/", "https://films.example/", "http://[2001:db8::1]/", "http://100.128.0.1/"]
        {
            assert!(!is_private(&Url::parse(public).unwrap()), "{public}");
        }
    }

    #[test]
    fn a_signed_address_keeps_its_secret() {
        let url = |text: &str| Url::parse(text).unwrap();
        assert_eq!(*shown(&url("https://a.example/v/1?token=secret")), url("https://a.example/v/1"));
        let plain = url("https://a.example/v/1?a=b");
        assert_eq!(*shown(&plain), plain);
    }

    #[test]
    fn an_unsafe_origin_confirms_nothing() {
        assert!(trusted(&Url::parse("https://films.example/a").unwrap()));
        assert!(trusted(&Url::parse("http://192.168.0.9/a").unwrap()));
        assert!(!trusted(&Url::parse("http://films.example/a").unwrap()));
    }
}
