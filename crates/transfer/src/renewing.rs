//! Renewing a lease by datagram, from the node's side (see [`nearcast_protocol::renewal`]).

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use nearcast_network::Network;
use nearcast_protocol::{
    renewal::{ANSWER, Answer, Key, Outcome, RENEWAL, Renewal, Ticket, node_key},
    tracker::Received,
};
use tokio::{net::UdpSocket, time::timeout};

/// How long each of the tries waits for its answer. All of them fit well into half of the shortest lease.
const PATIENCE: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_millis(1000), Duration::from_millis(1500)];
/// After so many renewals in a row without an answer, datagrams are taken not to get through here.
const GIVEN_UP: u32 = 3;

/// The ticket of one tracker, and how it has served.
#[derive(Default)]
pub(crate) struct Tickets {
    ticket: Option<(SocketAddr, Ticket)>,
    unanswered: u32,
}

/// What became of a renewal.
pub(crate) enum Renewed {
    /// The lease holds for so many ms more, and what was received is counted.
    Counted(u32),
    /// The tracker doesn't know this node.
    Unknown,
}

impl Tickets {
    /// Takes the ticket of a new lease, given by a tracker at this address.
    pub fn take(&mut self, ticket: Option<Ticket>, tracker: Option<IpAddr>) {
        let at = ticket.as_ref().zip(tracker).map(|(ticket, ip)| SocketAddr::new(ip, ticket.port));
        // The address of a connection that has ended is the one before.
        let at = at.or_else(|| self.ticket.as_ref().map(|(at, _)| *at));
        self.ticket = at.zip(ticket);
    }

    /// Renews the lease. `None` if there is no ticket, or no answer: then a connection has to do it.
    pub async fn renew(&mut self, network: &Network, received: Received) -> Option<Renewed> {
        if self.unanswered >= GIVEN_UP {
            return None;
        }
        let (at, ticket) = self.ticket.as_mut()?;
        let node = node_key(&network.peer_id())?;
        let socket = connect(network, *at).await.ok()?;
        let mut renewal = Renewal { node, mark: ticket.mark, spare_upload: 0, received };
        let mut sent_before = false;
        for patience in PATIENCE {
            let datagram = renewal.seal(&ticket.key);
            let Some(answer) = ask(&socket, &datagram, &ticket.key, patience).await else {
                sent_before = true;
                continue;
            };
            self.unanswered = 0;
            ticket.mark = answer.mark;
            match answer.outcome {
                Outcome::Renewed => return Some(Renewed::Counted(answer.lease_ms)),
                // A try before this one was heard, and its answer lost.
                Outcome::OtherMark if sent_before => return Some(Renewed::Counted(answer.lease_ms)),
                // Renewed within this very second; there is nothing to count yet.
                Outcome::OtherMark if renewal.mark == answer.mark => return None,
                Outcome::OtherMark => renewal.mark = answer.mark,
                Outcome::Unknown => {
                    self.ticket = None;
                    return Some(Renewed::Unknown);
                }
            }
        }
        self.unanswered += 1;
        None
    }
}

async fn connect(network: &Network, at: SocketAddr) -> std::io::Result<UdpSocket> {
    let any =
        if at.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind((network.source_for(at.ip()).unwrap_or(any), 0)).await?;
    socket.connect(at).await?;
    Ok(socket)
}

/// Sends a renewal and waits for its answer; what else arrives is passed over.
async fn ask(socket: &UdpSocket, datagram: &[u8; RENEWAL], key: &Key, patience: Duration) -> Option<Answer> {
    let talk = async {
        socket.send(datagram).await.ok()?;
        let mut room = [0; ANSWER + 1];
        loop {
            // The port may be closed; then there is no use in waiting.
            let len = socket.recv(&mut room).await.ok()?;
            if let Some(answer) = room.get(..len).and_then(|bytes| Answer::open(bytes, key, datagram)) {
                return Some(answer);
            }
        }
    };
    timeout(patience, talk).await.ok().flatten()
}
