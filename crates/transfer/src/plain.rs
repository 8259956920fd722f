//! A plain file on the web, read with `Range` requests: what is left when a URL leads to no link (R6).
//!
//! It is nobody's resource: nothing names its bytes, so nothing verifies them and nothing is shared on. What has
//! been read is kept as long as the file is open, so that it is asked for once.

mod cache;

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use nearcast_protocol::link::is_file_name;
use percent_encoding::percent_decode_str;
use reqwest::{
    Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE},
};
use url::Url;

use self::cache::Cache;
use crate::resolve::{innermost, web_client};

/// A jump ahead that is read through rather than asked for anew: cheaper than a round trip.
const READ_THROUGH: u64 = 128 * 1024;
const ATTEMPTS: u32 = 4;

/// Why a plain file can't be read.
#[derive(Debug, thiserror::Error)]
pub enum PlainError {
    /// The server can't be reached, or breaks off again and again.
    #[error("{url} can't be read: {}", innermost(source))]
    Web {
        /// The file.
        url: Box<Url>,
        /// Why.
        source: reqwest::Error,
    },
    /// The server refuses.
    #[error("{url} answers {status}")]
    Status {
        /// The file.
        url: Box<Url>,
        /// The answer.
        status: StatusCode,
    },
    /// The server doesn't say how long the file is.
    #[error("{url} doesn't say how long the file is, so it can't be played")]
    NoLength {
        /// The file.
        url: Box<Url>,
    },
    /// The server gives only the whole file.
    #[error("{url} can only be read from its start; ask its owner for a server with byte ranges")]
    NoRanges {
        /// The file.
        url: Box<Url>,
    },
    /// The server ends the file before its length.
    #[error("{url} breaks off at byte {at}")]
    BreaksOff {
        /// The file.
        url: Box<Url>,
        /// Where.
        at: u64,
    },
}

/// A file on a web server.
pub struct PlainFile {
    url: Url,
    name: String,
    size: u64,
    ranges: bool,
    web: reqwest::Client,
    stream: Mutex<Option<Stream>>,
    waiting: Mutex<Option<Instant>>,
    cache: Option<Mutex<Cache>>,
}

struct Stream {
    at: u64,
    rest: Bytes,
    body: Response,
}

impl PlainFile {
    /// Asks the server for the file's length.
    ///
    /// # Errors
    /// When the server can't be reached, refuses, or doesn't say.
    pub async fn open(url: Url) -> Result<Self, PlainError> {
        let failed = |source| PlainError::Web { url: Box::new(url.clone()), source };
        let web = web_client().map_err(failed)?;
        let answer = web.get(url.clone()).header(RANGE, "bytes=0-0").send().await.map_err(failed)?;
        let status = answer.status();
        let (size, ranges) = match status {
            StatusCode::PARTIAL_CONTENT => (total(&answer), true),
            StatusCode::RANGE_NOT_SATISFIABLE => (Some(0), true),
            status if status.is_success() => (length(&answer), false),
            _ => return Err(PlainError::Status { url: Box::new(url), status }),
        };
        let size = size.ok_or_else(|| PlainError::NoLength { url: Box::new(url.clone()) })?;
        let name = file_name(&url);
        let (stream, waiting, cache) = Default::default();
        Ok(Self { url, name, size, ranges, web, stream, waiting, cache })
    }

    /// Keeps what is read in a folder, in a file without a name: up to 4 GiB, and as long as 1 GiB stays free.
    /// Where that can't be, it is read from the web each time.
    #[must_use]
    pub fn kept_in(mut self, folder: &Path) -> Self {
        match Cache::new(folder) {
            Ok(cache) => self.cache = Some(Mutex::new(cache)),
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "what is read of a plain file can't be kept");
            }
        }
        self
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its name, from the URL.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Since when a read waits for the server, if one does.
    pub fn waiting_since(&self) -> Option<Instant> {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads at `offset`; 0 only at the end. Reads that follow one another share one answer of the server.
    ///
    /// # Errors
    /// When the server fails repeatedly.
    pub async fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, PlainError> {
        if offset >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        if let Some(read) = self.cache().and_then(|cache| cache.get(offset, buffer)) {
            return Ok(read);
        }
        let _waiting = Waiting::new(&self.waiting);
        let mut pause = Duration::from_millis(250);
        for attempt in 1.. {
            // The open answer is taken out while it is read: a second reader opens its own.
            let open = self.place().take();
            match self.read_from(open, offset, buffer).await {
                Ok((read, stream)) => {
                    *self.place() = Some(stream);
                    return Ok(read);
                }
                Err(error) => {
                    let lasting = matches!(error, PlainError::NoRanges { .. } | PlainError::Status { .. });
                    if lasting || attempt >= ATTEMPTS {
                        return Err(error);
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Ok(0)
    }

    fn place(&self) -> MutexGuard<'_, Option<Stream>> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cache(&self) -> Option<MutexGuard<'_, Cache>> {
        Some(self.cache.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn read_from(
        &self,
        open: Option<Stream>,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(usize, Stream), PlainError> {
        let failed = |source| PlainError::Web { url: Box::new(self.url.clone()), source };
        let near = |stream: &Stream| stream.at <= offset && offset - stream.at <= READ_THROUGH;
        let mut stream = match open.filter(near) {
            Some(stream) => stream,
            None => self.ask(offset).await?,
        };
        loop {
            let skip = (offset - stream.at).min(stream.rest.len() as u64);
            stream.rest.advance(usize::try_from(skip).unwrap_or(usize::MAX));
            stream.at += skip;
            if !stream.rest.is_empty() {
                break;
            }
            match stream.body.chunk().await.map_err(failed)? {
                Some(part) => {
                    if let Some(mut cache) = self.cache() {
                        cache.put(stream.at, &part);
                    }
                    stream.rest = part;
                }
                None => return Err(PlainError::BreaksOff { url: Box::new(self.url.clone()), at: stream.at }),
            }
        }
        let read = stream.rest.len().min(buffer.len());
        stream.rest.copy_to_slice(&mut buffer[..read]);
        stream.at += read as u64;
        Ok((read, stream))
    }

    async fn ask(&self, offset: u64) -> Result<Stream, PlainError> {
        if offset > 0 && !self.ranges {
            return Err(PlainError::NoRanges { url: Box::new(self.url.clone()) });
        }
        let request = self.web.get(self.url.clone()).header(RANGE, format!("bytes={offset}-"));
        let sent = request.send().await;
        let body = sent.map_err(|source| PlainError::Web { url: Box::new(self.url.clone()), source })?;
        match body.status() {
            StatusCode::PARTIAL_CONTENT if starts_at(&body, offset) => {
                Ok(Stream { at: offset, rest: Bytes::new(), body })
            }
            StatusCode::PARTIAL_CONTENT => Err(PlainError::NoRanges { url: Box::new(self.url.clone()) }),
            StatusCode::OK if offset == 0 => Ok(Stream { at: 0, rest: Bytes::new(), body }),
            StatusCode::OK => Err(PlainError::NoRanges { url: Box::new(self.url.clone()) }),
            status => Err(PlainError::Status { url: Box::new(self.url.clone()), status }),
        }
    }
}

/// Notes a wait for as long as it lives, even if the read is dropped half-way.
struct Waiting<'a>(&'a Mutex<Option<Instant>>);

impl<'a> Waiting<'a> {
    fn new(since: &'a Mutex<Option<Instant>>) -> Self {
        *since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Self(since)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Whether the answer holds what was asked for, as it says itself.
fn starts_at(answer: &Response, offset: u64) -> bool {
    let range = answer.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    let start = range
        .and_then(|range| range.trim().strip_prefix("bytes")?.trim_start().split('-').next()?.parse().ok());
    start == Some(offset)
}

fn total(answer: &Response) -> Option<u64> {
    let range = answer.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.rsplit_once('/')?.1.parse().ok()
}

fn length(answer: &Response) -> Option<u64> {
    answer.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn file_name(url: &Url) -> String {
    let last = url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default();
    let name = percent_decode_str(last).decode_utf8_lossy().into_owned();
    if is_file_name(&name) { name } else { "film".into() }
}
