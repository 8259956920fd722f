//! One connection: the streams that are opened on it and the ones that arrive.
//!
//! A stream knows its connection here, so a tracker call carries the address of its very connection, and an
//! inbound stream waits in the connection's own task until someone takes it: none is dropped in between.

use std::{
    collections::VecDeque,
    iter, option,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use libp2p::{
    Stream, StreamProtocol,
    core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo},
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol,
        handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedOutbound},
    },
};
use nearcast_protocol::{
    Multiaddr, PeerId, pieces,
    tracker::{self, Answer, Request},
};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::{
    address,
    error::innermost,
    exchange::{self, ExchangeError, TrackerCall},
    frames::{Limits, PieceStream},
};

const PIECES: StreamProtocol = StreamProtocol::new(pieces::PROTOCOL);
const TRACKER: StreamProtocol = StreamProtocol::new(tracker::PROTOCOL);
/// How long an inbound stream may take: to be taken from a full queue, or to be asked on and answered.
const INBOUND: Duration = Duration::from_secs(10);
/// How long opening a piece stream may take; with a lazy proposal it is only a matter of a free stream.
const OUTBOUND: Duration = Duration::from_secs(10);

/// What someone wants from a connection.
#[derive(Debug)]
pub(crate) enum Wanted {
    Pieces(Reply<PieceStream>),
    Answer { request: Request, within: Duration, reply: Reply<Answer> },
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

/// Counts one more when dropped, whether what was waited for failed or took too long.
struct Unheard<'a>(Option<&'a AtomicU64>);

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        if let Some(unheard) = self.0 {
            unheard.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The handler of one connection.
pub(crate) struct Handler {
    inbound: Inbound,
    /// Bounded by the callers: each waits for its own.
    wanted: VecDeque<Wanted>,
}

impl Handler {
    /// `places` bounds the peer's piece streams, over all of its connections.
    pub(crate) fn new(peer: PeerId, remote: Multiaddr, served: Served, places: Arc<Semaphore>) -> Self {
        let inbound = Inbound(Arc::new(Arrival { peer, remote, served, places }));
        Self { inbound, wanted: VecDeque::new() }
    }

    fn opened(&mut self, opened: Opened, outcome: Outcome) {
        match (opened, outcome) {
            (Opened::Pieces(stream), Outcome::Pieces(reply)) => {
                let Arrival { peer, remote, served, .. } = &*self.inbound.0;
                let stream = PieceStream::new(*peer, remote.clone(), stream, &served.limits, None);
                reply.send(Ok(stream)).ok();
            }
            (Opened::Answered(answer), Outcome::Answer(reply)) => drop(reply.send(Ok(answer))),
            // Each upgrade is sent with its own outcome.
            (Opened::Pieces(_), Outcome::Answer(_)) | (Opened::Answered(_), Outcome::Pieces(_)) => {}
        }
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

    fn on_behaviour_event(&mut self, wanted: Wanted) {
        self.wanted.push_back(wanted);
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Outbound, Outcome, Self::ToBehaviour>> {
        // A want only arrives through `on_behaviour_event`, after which the connection polls again.
        let Some(wanted) = self.wanted.pop_front() else { return Poll::Pending };
        let (upgrade, outcome, within) = match wanted {
            Wanted::Pieces(reply) => (Outbound::Pieces, Outcome::Pieces(reply), OUTBOUND),
            Wanted::Answer { request, within, reply } => {
                (Outbound::Ask(Box::new(request)), Outcome::Answer(reply), within)
            }
        };
        let protocol = SubstreamProtocol::new(upgrade, outcome).with_timeout(within);
        Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Inbound, Outbound, (), Outcome>) {
        match event {
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                self.opened(protocol, info);
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                info.fail(Failure::from(error));
            }
            ConnectionEvent::ListenUpgradeError(failed) => {
                tracing::debug!(peer = %self.inbound.0.peer, error = %failed.error, "an inbound stream failed");
            }
            // Piece streams are handed on and calls are answered within the upgrade.
            _ => {}
        }
    }
}

/// Where the outcome of an outbound stream goes.
pub(crate) enum Outcome {
    Pieces(Reply<PieceStream>),
    Answer(Reply<Answer>),
}

impl Outcome {
    fn fail(self, failure: Failure) {
        match self {
            Self::Pieces(reply) => drop(reply.send(Err(failure))),
            Self::Answer(reply) => drop(reply.send(Err(failure))),
        }
    }
}

impl From<StreamUpgradeError<ExchangeError>> for Failure {
    fn from(error: StreamUpgradeError<ExchangeError>) -> Self {
        match error {
            StreamUpgradeError::Timeout => Self::TimedOut,
            StreamUpgradeError::NegotiationFailed => Self::Nonsense("it doesn't speak this protocol".into()),
            StreamUpgradeError::Apply(ExchangeError::Wire(error)) => Self::Nonsense(error.to_string()),
            StreamUpgradeError::Apply(ExchangeError::NotServed) => {
                Self::Nonsense(ExchangeError::NotServed.to_string())
            }
            StreamUpgradeError::Apply(ExchangeError::Io(error)) | StreamUpgradeError::Io(error) => {
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
pub(crate) enum Outbound {
    Pieces,
    Ask(Box<Request>),
}

/// What came of it.
pub(crate) enum Opened {
    Pieces(Stream),
    Answered(Answer),
}

impl UpgradeInfo for Outbound {
    type Info = StreamProtocol;
    type InfoIter = iter::Once<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once(match self {
            Self::Pieces => PIECES,
            Self::Ask(_) => TRACKER,
        })
    }
}

impl OutboundUpgrade<Stream> for Outbound {
    type Output = Opened;
    type Error = ExchangeError;
    type Future = BoxFuture<'static, Result<Opened, ExchangeError>>;

    fn upgrade_outbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        async move {
            match self {
                Self::Pieces => Ok(Opened::Pieces(stream)),
                Self::Ask(request) => exchange::ask(stream, *request).await.map(Opened::Answered),
            }
        }
        .boxed()
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
    type Output = ();
    type Error = ExchangeError;
    type Future = BoxFuture<'static, Result<(), ExchangeError>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        if protocol == PIECES { self.hand_on(stream).boxed() } else { self.answer(stream).boxed() }
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

    async fn answer(self, mut stream: Stream) -> Result<(), ExchangeError> {
        let Arrival { peer, remote, served, .. } = &*self.0;
        let (Some(calls), Some(observed)) = (&served.calls, address::ip(remote)) else {
            return Err(ExchangeError::NotServed);
        };
        let mut unheard = Unheard(Some(&*served.unheard));
        let request = exchange::hear(&mut stream).await?;
        unheard.0 = None;
        drop(unheard);
        let (call, answer) = TrackerCall::new(*peer, observed, remote.clone(), request);
        calls.send(call).await.map_err(|_| ExchangeError::NotServed)?;
        let answer = answer.await.map_err(|_| ExchangeError::NotServed)?;
        exchange::reply(stream, &answer).await
    }
}
