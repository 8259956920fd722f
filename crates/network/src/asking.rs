//! The stream on which this node asks a tracker: one for each connection, for all questions.

use std::{
    collections::VecDeque,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{AsyncRead as _, AsyncWrite as _};
use libp2p::Stream;
use nearcast_protocol::{
    tracker::{Answer, Request},
    wire::{self, MAX_MESSAGE, WireError},
};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    exchange::{Arrived, ExchangeError, frame},
    handler::{Failure, Reply},
};

/// Read at a time: some lists of fifty.
const READ: usize = 16 * 1024;

/// A question that has no answer yet.
pub(crate) struct Question {
    /// As it goes out.
    framed: Vec<u8>,
    until: Instant,
    reply: Reply<Answer>,
}

impl Question {
    /// A question, unless it is longer than any message.
    pub(crate) fn new(request: &Request, within: Duration, reply: Reply<Answer>) -> Option<Self> {
        let mut framed = Vec::new();
        match frame(&mut framed, |bytes| wire::encode_to(request, bytes)) {
            Ok(()) => Some(Self { framed, until: Instant::now() + within, reply }),
            Err(error) => {
                reply.send(Err(Failure::Nonsense(error.to_string()))).ok();
                None
            }
        }
    }

    /// Whoever no longer waits doesn't need the reason.
    pub(crate) fn fail(self, failure: Failure) {
        self.reply.send(Err(failure)).ok();
    }
}

/// A stream with a tracker at its other end, and the questions asked on it.
pub(crate) struct Asking {
    stream: Stream,
    /// Bounded by the callers: each waits for its own.
    questions: VecDeque<Question>,
    out: Vec<u8>,
    written: usize,
    flushed: bool,
    arrived: Arrived,
    /// Ends when the first question has waited for too long.
    late: Pin<Box<Sleep>>,
}

impl Asking {
    pub(crate) fn new(mut stream: Stream, questions: VecDeque<Question>) -> Self {
        // A connection lives for what is asked on it, not for a stream on which something may be asked.
        stream.ignore_for_keep_alive();
        let mut asking = Self {
            stream,
            questions: VecDeque::new(),
            out: Vec::new(),
            written: 0,
            flushed: true,
            arrived: Arrived::default(),
            late: Box::pin(sleep_until(Instant::now())),
        };
        questions.into_iter().for_each(|question| asking.ask(question));
        asking
    }

    pub(crate) fn ask(&mut self, question: Question) {
        self.out.drain(..self.written);
        self.written = 0;
        self.out.extend_from_slice(&question.framed);
        if self.questions.is_empty() {
            self.late.as_mut().reset(question.until);
        }
        self.questions.push_back(question);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.questions.is_empty()
    }

    /// The questions that have no answer, once the stream has failed.
    pub(crate) fn unanswered(self) -> VecDeque<Question> {
        self.questions
    }

    /// Asks and hears answers, until the stream fails or ends.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ExchangeError> {
        if let Poll::Ready(Err(error)) = self.poll_write(cx) {
            return Poll::Ready(error.into());
        }
        let Poll::Ready(Err(error)) = self.poll_read(cx) else {
            let late = !self.questions.is_empty() && self.late.as_mut().poll(cx).is_ready();
            return if late { Poll::Ready(ExchangeError::TooSlow) } else { Poll::Pending };
        };
        Poll::Ready(error)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            self.flushed = false;
            match ready!(pin!(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        if !self.flushed {
            ready!(pin!(&mut self.stream).poll_flush(cx))?;
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ExchangeError>> {
        let mut bytes = [0; READ];
        loop {
            let read = ready!(pin!(&mut self.stream).poll_read(cx, &mut bytes))?;
            if read == 0 {
                let end = if self.arrived.is_empty() {
                    io::Error::from(io::ErrorKind::UnexpectedEof).into()
                } else {
                    WireError::Short.into()
                };
                return Poll::Ready(Err(end));
            }
            self.arrived.push(bytes.get(..read).unwrap_or_default());
            while let Some(message) = self.arrived.message()? {
                let answer = wire::decode(message, MAX_MESSAGE)?;
                // An answer to nothing can't be one to what is asked next.
                let Some(question) = self.questions.pop_front() else {
                    return Poll::Ready(Err(WireError::Short.into()));
                };
                question.reply.send(Ok(answer)).ok();
                if let Some(next) = self.questions.front() {
                    self.late.as_mut().reset(next.until);
                }
            }
        }
    }
}
