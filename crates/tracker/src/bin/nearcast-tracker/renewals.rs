//! The sockets where leases are renewed by datagram.

use std::{io, net::SocketAddr};

use nearcast_network::Keypair;
use nearcast_tracker::Server;
use socket2::{Domain, Socket, Type};
use tokio::{net::UdpSocket, task::JoinSet};

/// Bytes that may wait in a socket: some thousand renewals, so that a reload of the table loses none.
const WAITING: usize = 1 << 20;

/// Answers renewals until dropped. Without a socket nobody gets a ticket, and leases are renewed over
/// connections as they may always be.
pub fn answer(server: &Server, identity: &Keypair, at: &[SocketAddr]) -> JoinSet<io::Result<()>> {
    let mut answering = JoinSet::new();
    let mut sockets = Vec::new();
    for at in at {
        match bind(*at) {
            Ok(socket) => sockets.push(socket),
            // A machine without IPv6 is no reason to warn.
            Err(error) if at.is_ipv6() && at.ip().is_unspecified() => {
                tracing::debug!(%at, %error, "no renewals by datagram");
            }
            Err(error) => {
                tracing::warn!(%at, %error, "leases can't be renewed by datagram; choose a port with --renewals");
            }
        }
    }
    let Some(secret) = secret(identity) else { return answering };
    server.give_tickets(secret, &sockets);
    for socket in sockets {
        if let Ok(at) = socket.local_addr() {
            tracing::info!(%at, "leases are renewed by datagram");
        }
        answering.spawn(server.clone().renew_by_datagram(socket, secret));
    }
    answering
}

fn bind(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, None)?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // As much as the system allows; less is no error.
    socket.set_recv_buffer_size(WAITING).ok();
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    UdpSocket::from_std(socket.into())
}

/// Made from the tracker's identity, so that tickets outlive a restart.
fn secret(identity: &Keypair) -> Option<[u8; 32]> {
    let bytes = identity.to_protobuf_encoding().ok()?;
    Some(blake3::derive_key("nearcast tracker 2026 renewals by datagram", &bytes))
}
