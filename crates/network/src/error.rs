//! What can go wrong with a node, in sentences for a person.

use std::{error::Error, io, time::Duration};

use libp2p::{TransportError, swarm::DialError};
use nearcast_protocol::{Multiaddr, PeerId};

use crate::transport::TransportFailure;

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The key pair can't be used for encryption.
    #[error("the identity can't be used for encrypted connections: {0}")]
    Identity(String),
    /// An address to listen on isn't one of TCP or QUIC.
    #[error(
        "{address} can't be listened on; expected something like /ip4/0.0.0.0/tcp/4401 or /ip4/0.0.0.0/udp/4401/quic-v1"
    )]
    Address {
        /// The address.
        address: Multiaddr,
    },
    /// Another program has the port.
    #[error("can't listen on {address}: another program uses this port; choose another one, or 0 for any")]
    InUse {
        /// The address.
        address: Multiaddr,
    },
    /// The system forbids it.
    #[error("can't listen on {address}: this program has no right to; ports below 1024 often need one")]
    Forbidden {
        /// The address.
        address: Multiaddr,
    },
    /// The system refuses for another reason.
    #[error("can't listen on {address}: {source}")]
    Listen {
        /// The address.
        address: Multiaddr,
        /// What the system says.
        source: io::Error,
    },
    /// There is nothing to listen on.
    #[error("none of the addresses to listen on exists on this machine")]
    Deaf,
}

/// Why a piece stream could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    /// The peer is banned here.
    #[error("peer {0} is banned")]
    Banned(PeerId),
    /// The peer is this node itself.
    #[error("peer {0} is this node itself")]
    Myself(PeerId),
    /// There is no address to dial.
    #[error("no address is known for peer {0}")]
    NoAddress(PeerId),
    /// No address answers, or not as that peer.
    #[error("peer {peer} can't be reached: {reason}")]
    Unreachable {
        /// The peer.
        peer: PeerId,
        /// What became of each address.
        reason: String,
    },
    /// The peer is there, but opens no stream.
    #[error("peer {peer} opens no stream: {reason}")]
    Refused {
        /// The peer.
        peer: PeerId,
        /// Why.
        reason: String,
    },
    /// It took too long.
    #[error("peer {peer} didn't answer within {} s", waited.as_secs())]
    TimedOut {
        /// The peer.
        peer: PeerId,
        /// How long it was given.
        waited: Duration,
    },
    /// The node has been stopped.
    #[error("the node has been stopped")]
    Stopped,
}

/// Why a tracker gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AskError {
    /// There is nothing at the address, or no way to it.
    #[error("nobody answers at {address}; is the tracker running? ({reason})")]
    Nobody {
        /// The tracker's address.
        address: Multiaddr,
        /// What the network says.
        reason: String,
    },
    /// Someone is there who isn't a tracker.
    #[error("whoever answers at {address} is no Nearcast tracker: {reason}")]
    Nonsense {
        /// The tracker's address.
        address: Multiaddr,
        /// What was wrong with the answer.
        reason: String,
    },
    /// Someone else is at the address.
    #[error("the tracker at {address} should be {expected}, but {found} answers there")]
    WrongIdentity {
        /// The tracker's address.
        address: Multiaddr,
        /// Who is named in the address.
        expected: PeerId,
        /// Who is there.
        found: PeerId,
    },
    /// It took too long.
    #[error("the tracker at {address} didn't answer within {} ms", waited.as_millis())]
    TimedOut {
        /// The tracker's address.
        address: Multiaddr,
        /// How long it was given.
        waited: Duration,
    },
    /// The address can't be dialled at all.
    #[error("{address} is no address of a tracker; expected something like /ip4/203.0.113.5/tcp/4401")]
    Address {
        /// What was given.
        address: Multiaddr,
    },
    /// The connection ended before the answer came.
    #[error("the tracker at {address} broke off: {reason}")]
    BrokeOff {
        /// The tracker's address.
        address: Multiaddr,
        /// What the network says.
        reason: String,
    },
    /// This node won't dial: too many connections are open, or the tracker is banned.
    #[error("this node doesn't dial {address}: {reason}")]
    NotDialled {
        /// The tracker's address.
        address: Multiaddr,
        /// Why.
        reason: String,
    },
    /// The node has been stopped.
    #[error("the node has been stopped")]
    Stopped,
}

impl StartError {
    /// The sentence for a failed listener.
    pub(crate) fn listen(address: Multiaddr, error: TransportError<io::Error>) -> Self {
        let source = match error {
            TransportError::MultiaddrNotSupported(_) => return Self::Address { address },
            TransportError::Other(error) => match TransportFailure::of(&error) {
                Some(TransportFailure::Socket(inner)) => match inner.raw_os_error() {
                    Some(code) => io::Error::from_raw_os_error(code),
                    None => io::Error::new(inner.kind(), inner.to_string()),
                },
                _ => error,
            },
        };
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address },
            io::ErrorKind::PermissionDenied => Self::Forbidden { address },
            _ => Self::Listen { address, source },
        }
    }
}

/// What became of a dial, address by address.
pub(crate) fn dial_reason(error: &DialError) -> String {
    match error {
        DialError::Transport(attempts) => {
            let attempts = attempts.iter().map(|(address, error)| match error {
                TransportError::MultiaddrNotSupported(_) => format!("{address} can't be dialled"),
                TransportError::Other(error) => format!("{address}: {}", innermost(error)),
            });
            attempts.collect::<Vec<_>>().join("; ")
        }
        DialError::WrongPeerId { obtained, address } => format!("{obtained} answers at {address}"),
        DialError::LocalPeerId { address } => format!("{address} is this node itself"),
        DialError::Denied { cause } => innermost(cause),
        DialError::NoAddresses => "there is no other address to dial".into(),
        DialError::Aborted => "the dial was given up".into(),
        DialError::DialPeerConditionFalse(_) => "it is being dialled already".into(),
    }
}

/// The sentence at the bottom of a chain of errors: the ones above only say that something failed.
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    loop {
        let within = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match within.map(|within| within as &(dyn Error + 'static)).or_else(|| error.source()) {
            Some(next) => error = next,
            None => return error.to_string(),
        }
    }
}
