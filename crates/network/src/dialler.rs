//! Finding out whether a peer can be dialled: a connection of its own, up to the end of the handshake.

use std::{io, net::IpAddr, sync::Mutex, sync::PoisonError, time::Duration};

use libp2p::{
    PeerId,
    core::{
        Endpoint, Transport as _,
        muxing::StreamMuxerBox,
        transport::{Boxed, DialOpts, PortUse},
    },
    identity::Keypair,
};
use nearcast_protocol::Multiaddr;
use tokio::time::timeout;

use crate::{
    error::StartError,
    transport::{TransportFailure, of_addresses},
};

/// Why a peer wasn't reached.
#[derive(Debug, thiserror::Error)]
pub enum Unreached {
    /// Nobody answers there, or not in time, or not as a node does.
    #[error("{0}")]
    Unanswered(String),
    /// The machine is there and says that nobody listens.
    #[error("the connection is refused")]
    Refused,
    /// Somebody else answers there.
    #[error("{0} answers there")]
    Other(PeerId),
    /// This machine couldn't dial, which says nothing about the peer.
    #[error("this machine can't dial: {0}")]
    Here(String),
}

/// Dials peers to find out whether they can be dialled.
///
/// Each dial is a new connection from a port of the system's choice, never one that there is: address translation
/// that lets in only those whom the peer has called doesn't let it in. It goes under an identity made for this
/// alone, so that the peer doesn't take it for a connection with this node. Nothing is sent beyond the handshake.
pub struct Dialler {
    transport: Mutex<Boxed<(PeerId, StreamMuxerBox)>>,
}

impl Dialler {
    /// Dials over TCP from `sources`, the addresses that this node listens on.
    ///
    /// # Errors
    /// When there is no encryption to be had.
    pub fn new(sources: &[IpAddr]) -> Result<Self, StartError> {
        let transport = of_addresses(&Keypair::generate_ed25519(), sources)?;
        Ok(Self { transport: Mutex::new(transport) })
    }

    /// Dials an address without a name in it, over TCP or QUIC, and waits until whoever answers there has proved
    /// to be this peer.
    ///
    /// # Errors
    /// When it doesn't within `within`.
    pub async fn reach(&self, address: &Multiaddr, peer: PeerId, within: Duration) -> Result<(), Unreached> {
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
        let dial = {
            let mut transport = self.transport.lock().unwrap_or_else(PoisonError::into_inner);
            transport.dial(address.clone(), options)
        };
        let dial = dial.map_err(|error| Unreached::Here(error.to_string()))?;
        match timeout(within, dial).await {
            Ok(Ok((found, _))) if found == peer => Ok(()),
            Ok(Ok((found, _))) => Err(Unreached::Other(found)),
            Ok(Err(error)) => Err(unreached(&error)),
            Err(_) => Err(Unreached::Unanswered(format!("nothing came of it in {within:?}"))),
        }
    }
}

fn unreached(error: &io::Error) -> Unreached {
    match TransportFailure::of(error) {
        Some(TransportFailure::Handshake(reason)) => Unreached::Unanswered(reason.clone()),
        Some(TransportFailure::Socket(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Unreached::Refused
        }
        Some(TransportFailure::Socket(error)) if from_there(error.kind()) => {
            Unreached::Unanswered(error.to_string())
        }
        Some(TransportFailure::Socket(error)) => Unreached::Here(error.to_string()),
        None => Unreached::Here(error.to_string()),
    }
}

/// Whether an error of a socket tells of the other end, or of the way there.
fn from_there(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
        NetworkUnreachable, TimedOut, UnexpectedEof,
    };
    matches!(
        kind,
        ConnectionRefused
            | ConnectionReset
            | ConnectionAborted
            | BrokenPipe
            | UnexpectedEof
            | TimedOut
            | HostUnreachable
            | NetworkUnreachable
    )
}

impl std::fmt::Debug for Dialler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialler").finish_non_exhaustive()
    }
}
