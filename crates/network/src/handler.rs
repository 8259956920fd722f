//! One connection: the streams that are opened on it and the ones that arrive.
//!
//! A stream knows its connection here, so a tracker call carries the address of its very connection, and an
//! inbound stream waits in the connection's own task until someone takes it: none is dropped in between.

use std::{
    collections::VecDeque,
    iter, option,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    FutureExt as _, StreamExt as _, TryFutureExt as _,
    future::{self, BoxFuture, Ready},
    stream::FuturesUnordered,
};
use libp2p::{
    Stream, StreamProtocol,
    core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo},
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol,
        handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound},
    },
};
use nearcast_protocol::{
    Multiaddr, PeerId, pieces,
    tracker::{self, Answer, Request},
};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::{
    address,
    answering::{self, Asker},
    asking::{Asking, Question},
    error::innermost,
    exchange::{ExchangeError, TrackerCall},
    frames::{Limits, PieceStream},
};

const PIECES: StreamProtocol = StreamProtocol::new(pieces::PROTOCOL);
const TRACKER: StreamProtocol = StreamProtocol::new(tracker::PROTOCOL);
/// How long an inbound stream may take to be taken from a full queue.
const INBOUND: Duration = Duration::from_secs(10);
/// Streams on which a peer may ask over one connection; one would do.
const MAX_ASKING: usize = 64;
/// How long opening a stream may take; with a lazy proposal it is only a matter of a free stream.
const OUTBOUND: Duration = Duration::from_secs(10);

/// What someone wants from a connection.
#[derive(Debug)]
pub(crate) enum Wanted {
    Pieces(Reply<PieceStream>),
    /// Nothing more than a connection.
    Connection(Reply<()>),
    Answer {
        request: Request,
        within: Duration,
        reply: Reply<Answer>,
    },
}

/// Where the outcome goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Failure>>;

/// Why it can't be had.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// Nobody answers.
    Unanswered(String),
    /// Somebody answers, but not in our protocol.
    Nonsense(String),
    /// Another peer answers.
    WrongPeer(PeerId),
    /// We won't dial.
    NotDialled(String),
    /// The connection ended, or the other side ended the stream.
    BrokeOff(String),
    TimedOut,
}

impl Wanted {
    pub(crate) fn fail(self, failure: Failure) {
        // Whoever no longer waits doesn't need the reason.
        match self {
            Self::Pieces(reply) => drop(reply.send(Err(failure))),
            Self::Connection(reply) => drop(reply.send(Err(failure))),
            Self::Answer { reply, .. } => drop(reply.send(Err(failure))),
        }
    }
}

/// What a node serves, and to whom inbound streams go; the same for all connections.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) pieces: mpsc::Sender<PieceStream>,
    /// Whether someone takes the piece streams; before that the protocol isn't offered.
    pub(crate) takes_pieces: Arc<AtomicBool>,
    /// `None` if the node is no tracker.
    pub(crate) calls: Option<mpsc::Sender<TrackerCall>>,
    /// Streams that were opened to ask the tracker something and held no request.
    pub(crate) unheard: Arc<AtomicU64>,
    pub(crate) limits: Limits,
}

/// The handler of one connection.
pub(crate) struct Handler {
    inbound: Inbound,
    /// Bounded by the callers: each waits for its own.
    wanted: VecDeque<Reply<PieceStream>>,
    /// One for what is answered at once, one for what may stay open for minutes.
    asking: [Line; 2],
    /// The streams on which the peer asks this tracker.
    answering: FuturesUnordered<BoxFuture<'static, Result<(), ExchangeError>>>,
    /// So many of them are in the middle of a question or an answer.
    busy: Arc<AtomicUsize>,
}

/// A way to ask the tracker at the other end: one stream for all questions that are answered at once.
enum Line {
    Closed,
    /// Asked for, with what is to be asked on it.
    Wanted(VecDeque<Question>),
    /// On its way.
    Opening(VecDeque<Question>),
    Open(Box<Asking>),
}

impl Line {
    fn is_busy(&self) -> bool {
        match self {
            Self::Closed => false,
            Self::Wanted(_) | Self::Opening(_) => true,
            Self::Open(asking) => !asking.is_idle(),
        }
    }

    fn ask(&mut self, question: Question) {
        match self {
            Self::Closed => *self = Self::Wanted([question].into()),
            Self::Wanted(questions) | Self::Opening(questions) => questions.push_back(question),
            Self::Open(asking) => asking.ask(question),
        }
    }

    /// Whether a stream is to be opened for it now; it is waited for from here on.
    fn open(&mut self) -> bool {
        let Self::Wanted(questions) = self else { return false };
        *self = Self::Opening(std::mem::take(questions));
        true
    }

    fn opened(&mut self, stream: Stream) {
        if let Self::Opening(questions) = std::mem::replace(self, Self::Closed) {
            *self = Self::Open(Box::new(Asking::new(stream, questions)));
        }
    }

    /// The stream has failed. Answers come in the order of the questions, so it was the first one that ended it:
    /// the others are asked on another stream. If nothing would be heard on any, all fail.
    fn fail(&mut self, failure: Failure) {
        let mut questions = match std::mem::replace(self, Self::Closed) {
            Self::Closed => return,
            Self::Wanted(questions) | Self::Opening(questions) => questions,
            Self::Open(asking) => asking.unanswered(),
        };
        if matches!(failure, Failure::BrokeOff(_) | Failure::TimedOut) {
            if let Some(first) = questions.pop_front() {
                first.fail(failure);
            }
            if !questions.is_empty() {
                *self = Self::Wanted(questions);
            }
        } else {
            questions.into_iter().for_each(|question| question.fail(failure.clone()));
        }
    }
}

impl Handler {
    /// `places` bounds the peer's piece streams, over all of its connections.
    pub(crate) fn new(peer: PeerId, remote: Multiaddr, served: Served, places: Arc<Semaphore>) -> Self {
        let inbound = Inbound(Arc::new(Arrival { peer, remote, served, places }));
        Self {
            inbound,
            wanted: VecDeque::new(),
            asking: [Line::Closed, Line::Closed],
            answering: FuturesUnordered::new(),
            busy: Arc::default(),
        }
    }

    fn opened(&mut self, stream: Stream, outcome: Outcome) {
        match outcome {
            Outcome::Pieces(reply) => {
                let Arrival { peer, remote, served, .. } = &*self.inbound.0;
                let stream = PieceStream::new(*peer, remote.clone(), stream, &served.limits, None);
                reply.send(Ok(stream)).ok();
            }
            Outcome::Asking(which) => {
                if let Some(line) = self.asking.get_mut(which) {
                    line.opened(stream);
                }
            }
        }
    }

    /// The peer opens a stream to ask this tracker.
    fn answer(&mut self, mut stream: Stream) {
        let Arrival { peer, remote, served, .. } = &*self.inbound.0;
        let (Some(calls), Some(observed)) = (&served.calls, address::ip(remote)) else { return };
        if self.answering.len() >= MAX_ASKING {
            // Dropping it ends it for the peer.
            tracing::debug!(%peer, "a peer has too many streams open to ask on");
            return;
        }
        stream.ignore_for_keep_alive();
        let asker = Asker {
            peer: *peer,
            observed,
            remote: remote.clone(),
            calls: calls.clone(),
            unheard: served.unheard.clone(),
            busy: self.busy.clone(),
        };
        self.answering.push(answering::answer(asker, stream).boxed());
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Wanted;
    type ToBehaviour = std::convert::Infallible;
    type InboundProtocol = Inbound;
    type OutboundProtocol = Outbound;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Outcome;

    fn listen_protocol(&self) -> SubstreamProtocol<Inbound> {
        SubstreamProtocol::new(self.inbound.clone(), ()).with_timeout(INBOUND)
    }

    fn connection_keep_alive(&self) -> bool {
        self.asking.iter().any(Line::is_busy) || self.busy.load(Ordering::Relaxed) > 0
    }

    fn on_behaviour_event(&mut self, wanted: Wanted) {
        match wanted {
            Wanted::Pieces(reply) => self.wanted.push_back(reply),
            Wanted::Answer { request, within, reply } => {
                let which = usize::from(request == Request::Await);
                if let Some(question) = Question::new(&request, within, reply)
                    && let Some(line) = self.asking.get_mut(which)
                {
                    line.ask(question);
                }
            }
            Wanted::Connection(reply) => drop(reply.send(Ok(()))),
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Outbound, Outcome, Self::ToBehaviour>> {
        while let Poll::Ready(Some(ended)) = self.answering.poll_next_unpin(cx) {
            if let Err(error) = ended {
                tracing::debug!(peer = %self.inbound.0.peer, %error, "a stream to ask on failed");
            }
        }
        for line in &mut self.asking {
            if let Line::Open(asking) = line
                && let Poll::Ready(error) = asking.poll(cx)
            {
                line.fail(error.into());
            }
        }
        // A want only arrives through `on_behaviour_event`, after which the connection polls again.
        let (protocol, outcome) = if let Some(reply) = self.wanted.pop_front() {
            (PIECES, Outcome::Pieces(reply))
        } else if let Some(which) = self.asking.iter_mut().position(Line::open) {
            (TRACKER, Outcome::Asking(which))
        } else {
            return Poll::Pending;
        };
        let protocol = SubstreamProtocol::new(Outbound(protocol), outcome).with_timeout(OUTBOUND);
        Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Inbound, Outbound, (), Outcome>) {
        match event {
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                self.opened(protocol, info);
            }
            // A piece stream has been handed on by now.
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: Some(stream),
                ..
            }) => self.answer(stream),
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => match info {
                Outcome::Pieces(reply) => drop(reply.send(Err(error.into()))),
                Outcome::Asking(which) => {
                    if let Some(line) = self.asking.get_mut(which) {
                        line.fail(error.into());
                    }
                }
            },
            ConnectionEvent::ListenUpgradeError(failed) => {
                tracing::debug!(peer = %self.inbound.0.peer, error = %failed.error, "an inbound stream failed");
            }
            _ => {}
        }
    }
}

/// Whom an outbound stream is for.
pub(crate) enum Outcome {
    Pieces(Reply<PieceStream>),
    /// For which of the lines.
    Asking(usize),
}

impl From<StreamUpgradeError<std::convert::Infallible>> for Failure {
    fn from(error: StreamUpgradeError<std::convert::Infallible>) -> Self {
        match error {
            StreamUpgradeError::Timeout => Self::TimedOut,
            StreamUpgradeError::NegotiationFailed => Self::Nonsense("it doesn't speak this protocol".into()),
            StreamUpgradeError::Apply(never) => match never {},
            StreamUpgradeError::Io(error) => ExchangeError::Io(error).into(),
        }
    }
}

impl From<ExchangeError> for Failure {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Wire(error) => Self::Nonsense(error.to_string()),
            ExchangeError::NotServed => Self::Nonsense(error.to_string()),
            ExchangeError::TooSlow => Self::TimedOut,
            ExchangeError::Io(error) => {
                // A lazily proposed protocol is refused only when its stream is read.
                let refused = error.get_ref().is_some_and(|inner| {
                    matches!(inner.downcast_ref(), Some(libp2p::core::upgrade::NegotiationError::Failed))
                });
                if refused {
                    Self::Nonsense("it doesn't speak this protocol".into())
                } else {
                    Self::BrokeOff(innermost(&error))
                }
            }
        }
    }
}

/// A stream that is opened.
pub(crate) struct Outbound(StreamProtocol);

impl UpgradeInfo for Outbound {
    type Info = StreamProtocol;
    type InfoIter = iter::Once<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once(self.0.clone())
    }
}

impl OutboundUpgrade<Stream> for Outbound {
    type Output = Stream;
    type Error = std::convert::Infallible;
    type Future = Ready<Result<Stream, Self::Error>>;

    fn upgrade_outbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        future::ready(Ok(stream))
    }
}

/// A stream that arrives. Cheap to clone: the connection asks for it each time it is polled.
#[derive(Debug, Clone)]
pub(crate) struct Inbound(Arc<Arrival>);

#[derive(Debug)]
struct Arrival {
    peer: PeerId,
    remote: Multiaddr,
    served: Served,
    places: Arc<Semaphore>,
}

impl UpgradeInfo for Inbound {
    type Info = StreamProtocol;
    type InfoIter = iter::Chain<option::IntoIter<StreamProtocol>, option::IntoIter<StreamProtocol>>;

    fn protocol_info(&self) -> Self::InfoIter {
        let served = &self.0.served;
        let pieces = served.takes_pieces.load(Ordering::Relaxed).then_some(PIECES);
        let tracker = served.calls.is_some().then_some(TRACKER);
        pieces.into_iter().chain(tracker)
    }
}

impl InboundUpgrade<Stream> for Inbound {
    /// The stream, if the peer asks on it.
    type Output = Option<Stream>;
    type Error = ExchangeError;
    type Future = BoxFuture<'static, Result<Option<Stream>, ExchangeError>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        if protocol == PIECES {
            self.hand_on(stream).map_ok(|()| None).boxed()
        } else {
            future::ready(Ok(Some(stream))).boxed()
        }
    }
}

impl Inbound {
    async fn hand_on(self, stream: Stream) -> Result<(), ExchangeError> {
        let Arrival { peer, remote, served, places } = &*self.0;
        let Ok(place) = places.clone().try_acquire_owned() else {
            // Dropping it ends it for the peer, which has far more streams open than resources in common.
            tracing::debug!(%peer, "a peer has too many piece streams open");
            return Ok(());
        };
        // The opener waits here while the queue is full.
        let slot = served.pieces.reserve().await.map_err(|_| ExchangeError::NotServed)?;
        slot.send(PieceStream::new(*peer, remote.clone(), stream, &served.limits, Some(place)));
        Ok(())
    }
}
