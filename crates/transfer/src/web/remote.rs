//! Ranges of a file on a web server that may be slow, wrong or hostile.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::BytesMut;
use nearcast_network::Network;
use nearcast_schedule::{Peer, RequestId};
use reqwest::{
    Response, StatusCode,
    header::{
        ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, ETAG, HeaderName, IF_RANGE, LAST_MODIFIED,
        LOCATION, RANGE, RETRY_AFTER,
    },
};
use tokio::sync::mpsc;
use url::Url;

use super::guard::Reach;
use crate::{resolve::innermost, session::Report};

const REDIRECTS: usize = 5;
/// An answer that comes more slowly than this, in bytes/s, isn't waited for.
const SLOWEST: u64 = 8 * 1024;
/// What any answer may take besides.
const GRACE: Duration = Duration::from_secs(15);
/// A validator that is longer is none.
const LONGEST_VALIDATOR: usize = 256;
const LONGEST_REST: Duration = Duration::from_secs(600);

/// Why a web source gives nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("it can't be reached: {}", innermost(.0))]
    Web(#[from] reqwest::Error),
    #[error("it answers {0}")]
    Status(StatusCode, Option<Duration>),
    #[error("it redirects {0}")]
    Redirect(&'static str),
    #[error("it leads to an address inside a private network, which nobody has agreed to")]
    Private,
    #[error("it gives the whole file where a part is asked for; a source needs byte ranges")]
    NoRanges,
    #[error("it says that the file has {said} bytes, not {expected}")]
    Length { said: u64, expected: u64 },
    #[error("it gives another part than it was asked for")]
    OtherRange,
    #[error("it sends the file encoded, as {0:?}, though asked not to")]
    Encoded(String),
    #[error("the file there has changed meanwhile")]
    Changed,
    #[error("it breaks off before the end of what was asked for")]
    BreaksOff,
    #[error("it sends more than was asked for")]
    TooMuch,
    #[error("it sends less than {} kB/s", SLOWEST / 1024)]
    Slow,
    #[error("it has no proofs of its bytes under {url}: {why}")]
    NoProofs { url: Box<Url>, why: Box<SourceError> },
    #[error("its bytes aren't the film's")]
    Wrong,
}

impl SourceError {
    /// Whether asking again is of no use.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Self::Web(_) | Self::BreaksOff | Self::Slow => false,
            Self::Status(status, _) => {
                !(status.is_server_error()
                    || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT))
            }
            Self::NoProofs { why, .. } => why.is_lasting(),
            _ => true,
        }
    }

    /// When the server wants to be asked again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status(_, rest) => *rest,
            Self::NoProofs { why, .. } => why.retry_after(),
            _ => None,
        }
    }
}

/// What every part goes through as it comes: the download limit, and the schedule's eyes if it is the film's.
pub(crate) struct Pass {
    pub(crate) network: Arc<Network>,
    pub(crate) told: Option<Told>,
}

/// Who hears how far an answer has come.
pub(crate) struct Told {
    pub(crate) reports: mpsc::Sender<(Peer, Report)>,
    pub(crate) peer: Peer,
    pub(crate) request: RequestId,
}

impl Pass {
    async fn part(&self, bytes: usize) {
        self.network.receive(bytes).await;
        if let Some(Told { reports, peer, request }) = &self.told {
            let progress = Report::Progress { request: *request, bytes: bytes as u64 };
            reports.send((*peer, progress)).await.ok();
        }
    }
}

/// A file of a known length.
pub(crate) struct RemoteFile {
    url: Url,
    size: u64,
    reach: Reach,
    web: reqwest::Client,
    known: Mutex<Known>,
}

#[derive(Default, Clone)]
struct Known {
    /// Where redirects ended.
    target: Option<Url>,
    /// What names this version of the file.
    validator: Option<(HeaderName, String)>,
}

impl RemoteFile {
    pub(crate) fn new(url: Url, size: u64, reach: Reach, web: reqwest::Client) -> Self {
        Self { url, size, reach, web, known: Mutex::default() }
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Reads a range; every part passes `pass` as it comes.
    pub(crate) async fn read(&self, range: Range<u64>, pass: &Pass) -> Result<BytesMut, SourceError> {
        let length = range.end.saturating_sub(range.start);
        if length == 0 {
            return Ok(BytesMut::new());
        }
        let outcome = self.try_read(range, length, pass).await;
        if outcome.is_err() {
            // A place that was given for a time may be gone.
            self.known().target = None;
        }
        outcome
    }

    async fn try_read(&self, range: Range<u64>, length: u64, pass: &Pass) -> Result<BytesMut, SourceError> {
        let patience = GRACE + Duration::from_secs(length / SLOWEST);
        let mut answer =
            tokio::time::timeout(GRACE, self.ask(&range)).await.map_err(|_| SourceError::Slow)??;
        let mut bytes = BytesMut::new();
        // Only the server's time counts, not that of our own limit.
        let mut spent = Duration::ZERO;
        while (bytes.len() as u64) < length {
            let asked = tokio::time::Instant::now();
            let part = tokio::time::timeout(patience.saturating_sub(spent), answer.chunk()).await;
            let part = part.map_err(|_| SourceError::Slow)??;
            spent += asked.elapsed();
            let Some(part) = part else { return Err(SourceError::BreaksOff) };
            if (bytes.len() + part.len()) as u64 > length {
                return Err(SourceError::TooMuch);
            }
            bytes.extend_from_slice(&part);
            pass.part(part.len()).await;
        }
        Ok(bytes)
    }

    /// Asks for a range, and looks at all that the server says of it.
    async fn ask(&self, range: &Range<u64>) -> Result<Response, SourceError> {
        let Known { target, validator } = self.known().clone();
        let mut url = target.unwrap_or_else(|| self.url.clone());
        for _ in 0..=REDIRECTS {
            if !self.reach.covers(&url) {
                return Err(SourceError::Private);
            }
            let mut asked = self
                .web
                .get(url.clone())
                .header(RANGE, format!("bytes={}-{}", range.start, range.end - 1))
                .header(ACCEPT_ENCODING, "identity");
            if let Some((_, validator)) = &validator {
                asked = asked.header(IF_RANGE, validator);
            }
            let answer = asked.send().await?;
            if answer.status().is_redirection() {
                let target =
                    text(&answer, &LOCATION).ok_or(SourceError::Redirect("without saying where to"))?;
                let target = url.join(target).map_err(|_| SourceError::Redirect("to what is no address"))?;
                if !matches!(target.scheme(), "http" | "https") {
                    return Err(SourceError::Redirect("to what is no web address"));
                }
                if url.scheme() == "https" && target.scheme() == "http" {
                    return Err(SourceError::Redirect("from https to http"));
                }
                url = target;
                continue;
            }
            self.judge(&answer, range, validator.as_ref())?;
            let mut known = self.known();
            known.validator = known.validator.take().or_else(|| validator_of(&answer));
            known.target = Some(url);
            return Ok(answer);
        }
        Err(SourceError::Redirect("without end"))
    }

    fn judge(
        &self,
        answer: &Response,
        range: &Range<u64>,
        validator: Option<&(HeaderName, String)>,
    ) -> Result<(), SourceError> {
        match answer.status() {
            StatusCode::PARTIAL_CONTENT => {}
            StatusCode::OK if validator.is_some() => return Err(SourceError::Changed),
            StatusCode::OK => return Err(SourceError::NoRanges),
            StatusCode::RANGE_NOT_SATISFIABLE => {
                let said =
                    text(answer, &CONTENT_RANGE).and_then(|range| range.rsplit_once('/')?.1.parse().ok());
                return Err(SourceError::Length { said: said.unwrap_or(0), expected: self.size });
            }
            status => {
                let rest = text(answer, &RETRY_AFTER).and_then(|rest| rest.trim().parse().ok());
                let rest = rest.map(|seconds| Duration::from_secs(seconds).min(LONGEST_REST));
                return Err(SourceError::Status(status, rest));
            }
        }
        if let Some(encoding) = text(answer, &CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
            return Err(SourceError::Encoded(encoding.chars().take(40).collect()));
        }
        let said = text(answer, &CONTENT_RANGE).and_then(content_range).ok_or(SourceError::OtherRange)?;
        match said {
            (_, Some(said)) if said != self.size => Err(SourceError::Length { said, expected: self.size }),
            (part, _) if part != *range => Err(SourceError::OtherRange),
            _ => match validator {
                Some((name, known)) if text(answer, name).is_some_and(|now| now != known) => {
                    Err(SourceError::Changed)
                }
                _ => Ok(()),
            },
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn text<'a>(answer: &'a Response, name: &HeaderName) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}

/// What may stand in `If-Range`: a strong tag, or else a date (RFC 9110, 13.1.5).
fn validator_of(answer: &Response) -> Option<(HeaderName, String)> {
    let strong = text(answer, &ETAG).filter(|tag| !tag.starts_with("W/"));
    let found =
        strong.map(|tag| (ETAG, tag)).or_else(|| Some((LAST_MODIFIED, text(answer, &LAST_MODIFIED)?)));
    found.filter(|(_, text)| text.len() <= LONGEST_VALIDATOR).map(|(name, text)| (name, text.to_owned()))
}

/// `bytes first-last/all`, where all may be unknown.
fn content_range(text: &str) -> Option<(Range<u64>, Option<u64>)> {
    let (range, all) = text.trim().strip_prefix("bytes ")?.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let all = if all.trim() == "*" { None } else { Some(all.trim().parse().ok()?) };
    (first <= last).then_some((first..last.checked_add(1)?, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_of_a_range() {
        assert_eq!(content_range("bytes 0-0/5"), Some((0..1, Some(5))));
        assert_eq!(content_range(" bytes 3-4/* "), Some((3..5, None)));
        for wrong in
            ["", "bytes", "bytes */5", "bytes 5-4/9", "bytes 0-18446744073709551615/*", "pages 1-2/3"]
        {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }
}
