//! The stack under a node: TCP + Noise + Yamux, QUIC, and names resolved for both.

use std::{error::Error, io, net::IpAddr, sync::Arc, time::Duration};

use libp2p::{
    PeerId, Transport as _,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, timeout::TransportTimeoutError},
        upgrade::Version,
    },
    dns,
    identity::Keypair,
    noise, quic,
    swarm::derive_prelude::Either,
    tcp::tokio::TcpStream,
    yamux,
};
use socket2::{SockRef, TcpKeepalive};

use crate::{
    error::StartError,
    line::{Line, OnLine},
    source::SourceBound,
};

/// From the first packet to a multiplexed connection. A stranger who connects and says nothing holds one
/// of the pending places this long.
const HANDSHAKE: Duration = Duration::from_secs(8);
/// The most streams in one Yamux connection, both directions together. Each may hold back 256 KiB that
/// nobody reads.
const MAX_STREAMS: usize = 512;
/// A silent peer is probed after 30 s and given up 30 s later: a seeder would keep the stream of a viewer
/// whose machine lost power for good.
const SILENCE: Duration = Duration::from_secs(30);

/// What went wrong in the stack: below the handshake there is nobody, above it there is somebody else.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportFailure {
    #[error(transparent)]
    Socket(io::Error),
    #[error("{0}")]
    Handshake(String),
}

impl TransportFailure {
    /// Finds the failure in what the swarm passes on.
    pub(crate) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// What came of a dial by name, or of one that passed through the resolver.
    fn named(error: dns::Error<Self>) -> Self {
        match error {
            dns::Error::Transport(failure) => failure,
            // A name can stand for several addresses; one where somebody answers says more than the others.
            dns::Error::Dial(errors) => {
                let mut failures: Vec<_> = errors.into_iter().map(Self::named).collect();
                let answered = failures.iter().position(|failure| matches!(failure, Self::Handshake(_)));
                let telling = answered.unwrap_or(failures.len().saturating_sub(1));
                if failures.is_empty() {
                    Self::Socket(io::Error::other("the name stands for no address"))
                } else {
                    failures.swap_remove(telling)
                }
            }
            other => Self::Socket(io::Error::other(other.to_string())),
        }
    }

    fn handshake(error: &(impl Error + 'static)) -> Self {
        Self::Handshake(crate::error::innermost(error))
    }
}

/// Builds the stack. Dials over TCP come from `sources`, the addresses the node listens on; what TCP carries is looked
/// at for `line`.
pub(crate) fn build(
    identity: &Keypair,
    sources: &[IpAddr],
    line: &Arc<Line>,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, StartError> {
    match dns::tokio::Transport::system(without_names(identity, sources, Some(line))?) {
        Ok(named) => Ok(named.map_err(TransportFailure::named).boxed()),
        Err(error) => {
            tracing::warn!(%error, "names in addresses can't be resolved: the system's resolver settings are unreadable");
            Ok(without_names(identity, sources, Some(line))?.boxed())
        }
    }
}

/// The stack for addresses without names.
pub(crate) fn of_addresses(
    identity: &Keypair,
    sources: &[IpAddr],
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, StartError> {
    Ok(without_names(identity, sources, None)?.boxed())
}

fn without_names(
    identity: &Keypair,
    sources: &[IpAddr],
    line: Option<&Arc<Line>>,
) -> Result<
    impl libp2p::Transport<
        Output = (PeerId, StreamMuxerBox),
        Error = TransportFailure,
        Dial: Send + 'static,
        ListenerUpgrade: Send + 'static,
    > + Send
    + Unpin
    + 'static,
    StartError,
> {
    let noise = noise::Config::new(identity).map_err(|error| StartError::Identity(error.to_string()))?;
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(MAX_STREAMS);
    let line = line.cloned();
    let tcp = SourceBound::new(sources.to_vec())
        .map(move |stream, _| OnLine::new(probed(stream), line.clone()))
        // Lazily, the first message rides along with the proposal of the protocol: two round trips less.
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux)
        .timeout(HANDSHAKE)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
        .map_err(|error| match error {
            TransportTimeoutError::Other(Either::Left(Either::Left(error))) => {
                TransportFailure::Socket(error)
            }
            TransportTimeoutError::Other(Either::Left(Either::Right(error))) => {
                TransportFailure::handshake(&error)
            }
            TransportTimeoutError::Other(Either::Right(error)) => TransportFailure::handshake(&error),
            TransportTimeoutError::Timeout => {
                TransportFailure::Handshake("the handshake took too long".into())
            }
            TransportTimeoutError::TimerError(error) => TransportFailure::Socket(error),
        });
    let quic = quic::tokio::Transport::new(quic::Config::new(identity))
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)))
        .map_err(|error| match error {
            quic::Error::Io(error) => TransportFailure::Socket(error),
            quic::Error::HandshakeTimedOut => TransportFailure::Socket(io::ErrorKind::TimedOut.into()),
            other => TransportFailure::handshake(&other),
        });
    Ok(tcp.or_transport(quic).map(|either, _| either.into_inner()).map_err(|either| either.into_inner()))
}

/// Has the system probe a connection that has gone silent.
fn probed(stream: TcpStream) -> TcpStream {
    let probe = TcpKeepalive::new().with_time(SILENCE).with_interval(SILENCE / 3);
    #[cfg(not(windows))]
    let probe = probe.with_retries(3);
    if let Err(error) = SockRef::from(&stream.0).set_tcp_keepalive(&probe) {
        tracing::debug!(%error, "no keep-alive probes on a connection");
    }
    stream
}
