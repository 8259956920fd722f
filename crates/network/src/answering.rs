//! A stream on which a node asks this tracker: question after question, until the node ends it.

use std::{
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::Stream;
use nearcast_protocol::{
    Multiaddr, PeerId,
    tracker::Request,
    wire::{self, MAX_MESSAGE, WireError},
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};

use crate::exchange::{Arrived, ExchangeError, TrackerCall};

/// How long a question may take to arrive, the first from the opening of its stream.
const QUESTION: Duration = Duration::from_secs(10);
/// How long an asker may take to read answers.
const ANSWER: Duration = Duration::from_secs(10);
/// Questions that are answered together at most: their answers are one write, and wait in memory for it.
const TOGETHER: usize = 32;
/// Read at a time.
const READ: usize = 4 * 1024;
/// What a stream keeps between calls to write its answers in.
const KEPT: usize = 128 * 1024;

/// Who asks, and whom its questions go to.
pub(crate) struct Asker {
    pub(crate) peer: PeerId,
    pub(crate) observed: IpAddr,
    pub(crate) remote: Multiaddr,
    pub(crate) calls: mpsc::Sender<TrackerCall>,
    /// Counts streams that held no request, or something that is none.
    pub(crate) unheard: Arc<AtomicU64>,
    /// Counts the connection's streams on which a question is arriving or being answered.
    pub(crate) busy: Arc<AtomicUsize>,
}

/// What is due on a stream: a question by a certain time, then its answer. Meanwhile the stream is busy.
struct Due<'a> {
    asker: &'a Asker,
    by: Instant,
    busy: bool,
    /// Whether it counts as unheard if it ends now, however it ends.
    question: bool,
}

impl<'a> Due<'a> {
    fn question(asker: &'a Asker) -> Self {
        let mut due = Self { asker, by: Instant::now(), busy: false, question: false };
        due.begin();
        due
    }

    /// A question is due, from now on.
    fn begin(&mut self) {
        if !self.busy {
            self.asker.busy.fetch_add(1, Ordering::Relaxed);
        }
        (self.by, self.busy, self.question) = (Instant::now() + QUESTION, true, true);
    }

    /// Nothing is due.
    fn rest(&mut self) {
        if self.busy {
            self.asker.busy.fetch_sub(1, Ordering::Relaxed);
        }
        (self.busy, self.question) = (false, false);
    }
}

impl Drop for Due<'_> {
    fn drop(&mut self) {
        if self.question {
            self.asker.unheard.fetch_add(1, Ordering::Relaxed);
        }
        self.rest();
    }
}

/// Answers what is asked on a stream, until the asker ends it or says something that is no question.
pub(crate) async fn answer(asker: Asker, mut stream: Stream) -> Result<(), ExchangeError> {
    let mut arrived = Arrived::default();
    let mut room = Vec::new();
    let mut due = Due::question(&asker);
    let mut asked = false;
    loop {
        let between = asked && arrived.is_empty();
        let more = if between {
            // It lives as long as its connection then.
            due.rest();
            hear(&mut stream, &mut arrived).await?
        } else {
            let more = timeout_at(due.by, hear(&mut stream, &mut arrived)).await;
            more.map_err(|_| ExchangeError::TooSlow)??
        };
        match (more, between) {
            (true, true) => due.begin(),
            (true, false) => {}
            (false, true) => return Ok(stream.close().await?),
            (false, false) => return Err(WireError::Short.into()),
        }
        let mut all = false;
        while !all {
            let (requests, sound) = requests(&mut arrived);
            all = requests.len() < TOGETHER;
            if !requests.is_empty() {
                due.question = false;
                room = ask(&asker, requests, room).await?;
                let written = timeout(ANSWER, write(&mut stream, &room)).await;
                written.map_err(|_| ExchangeError::TooSlow)??;
                room.clear();
                room.shrink_to(KEPT);
                asked = true;
                due.begin();
            }
            // What came before it has been answered.
            sound?;
        }
    }
}

/// Waits until more has arrived. `false` at the stream's end.
async fn hear(stream: &mut Stream, arrived: &mut Arrived) -> Result<bool, ExchangeError> {
    let mut bytes = [0; READ];
    let read = stream.read(&mut bytes).await?;
    arrived.push(bytes.get(..read).unwrap_or_default());
    Ok(read > 0)
}

/// The next questions, and whether what follows them may be one.
fn requests(arrived: &mut Arrived) -> (Vec<Request>, Result<(), WireError>) {
    let mut requests = Vec::new();
    while requests.len() < TOGETHER {
        let request = match arrived.message() {
            Ok(Some(message)) => wire::decode(message, MAX_MESSAGE),
            Ok(None) => break,
            Err(error) => Err(error),
        };
        match request {
            Ok(request) => requests.push(request),
            Err(error) => return (requests, Err(error)),
        }
    }
    (requests, Ok(()))
}

/// Has the questions answered; the answers are in `room`.
async fn ask(asker: &Asker, requests: Vec<Request>, room: Vec<u8>) -> Result<Vec<u8>, ExchangeError> {
    let (call, answers) = TrackerCall::new(asker.peer, asker.observed, asker.remote.clone(), requests, room);
    asker.calls.send(call).await.map_err(|_| ExchangeError::NotServed)?;
    answers.await.map_err(|_| ExchangeError::NotServed)
}

async fn write(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}
