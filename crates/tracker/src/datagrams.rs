//! Leases renewed by datagram: no handshake, no connection, nothing remembered of one.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use nearcast_protocol::{
    PeerId,
    renewal::{self, Answer, Key, Outcome, RENEWAL, Renewal, Sealed},
};
use tokio::net::UdpSocket;

use crate::{
    identity::Identity,
    server::{Server, State},
};

/// Datagrams that are taken from the system before any is answered: the swarm is locked once for all.
const BATCH: usize = 64;
/// One byte more than a renewal, so that a longer one is known for what it is.
const ROOM: usize = RENEWAL + 1;

/// What tickets are made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tickets {
    secret: [u8; 32],
    /// The ports for IPv4 and IPv6.
    ports: (Option<u16>, Option<u16>),
}

impl Tickets {
    pub fn new(secret: [u8; 32], sockets: &[UdpSocket]) -> Self {
        let port = |four: bool| {
            let bound = sockets.iter().filter_map(|socket| socket.local_addr().ok());
            bound.filter(|at| at.is_ipv4() == four).map(|at| at.port()).next()
        };
        Self { secret, ports: (port(true), port(false)) }
    }

    /// What a node renews with. `None` if it can't: there is no socket of its family, or its key is of
    /// another kind.
    pub fn ticket(&self, peer: &PeerId, observed: IpAddr, mark: u32) -> Option<renewal::Ticket> {
        let port = if observed.is_ipv4() { self.ports.0 } else { self.ports.1 }?;
        let key = Key::of(&self.secret, &renewal::node_key(peer)?, observed);
        Some(renewal::Ticket { port, key, mark })
    }
}

/// A renewal that is proved, and who waits for its answer.
struct Proved {
    from: SocketAddr,
    /// Which of the batch it is.
    at: usize,
    key: Key,
    renewal: Renewal,
}

/// What became of one batch.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Renewals that were answered.
    pub answered: u64,
    /// Datagrams that were no renewals, or not sealed rightly.
    pub bad: u64,
}

impl Server {
    /// Answers the renewals that come by one socket, until the task is dropped. Only an error of the socket
    /// itself ends it.
    ///
    /// # Errors
    /// The socket's.
    pub async fn renew_by_datagram(self, socket: UdpSocket, secret: [u8; 32]) -> io::Result<()> {
        let mut batch = Batch::default();
        loop {
            socket.readable().await?;
            batch.fill(&socket);
            let tally = batch.answer(&self, &socket, &secret);
            tracing::debug!(renewals = tally.answered, bad = tally.bad, "renewed by datagram");
            self.metrics().datagrams(tally);
        }
    }
}

impl Server {
    /// From now on leases come with a ticket for renewals by datagram at these sockets, each of which has
    /// to be served by [`Server::renew_by_datagram`] with the same secret. Whoever knows the secret can renew
    /// in anyone's name; kept from one start to the next, it spares everyone a new ticket.
    pub fn give_tickets(&self, secret: [u8; 32], sockets: &[UdpSocket]) {
        self.state().tickets = Some(Tickets::new(secret, sockets));
    }

    /// Counts renewals whose senders are proved, all at one time.
    fn renew_all<'a>(&self, renewals: impl Iterator<Item = Renewing<'a>>, answers: &mut Vec<Answer>) {
        answers.clear();
        let mut state = self.state();
        let now = self.now(&state);
        let State { swarm, dice, dial_back, changes, .. } = &mut *state;
        answers.extend(renewals.map(|(observed, renewal)| {
            let answer = swarm.renew_marked(now, observed, renewal, dice);
            if let (Outcome::Renewed, Some(dial_back)) = (answer.outcome, dial_back.as_mut()) {
                dial_back.dial_if_due(swarm, now, &Identity::Ed25519(renewal.node), false);
            }
            answer
        }));
        changes.leases += answers.len() as u64;
    }
}

/// Datagrams as they came.
struct Batch {
    bytes: Box<[[u8; ROOM]; BATCH]>,
    came: Vec<(usize, SocketAddr)>,
    proved: Vec<Proved>,
    answers: Vec<Answer>,
}

impl Default for Batch {
    fn default() -> Self {
        let (came, proved, answers) = (Vec::new(), Vec::new(), Vec::new());
        Self { bytes: Box::new([[0; ROOM]; BATCH]), came, proved, answers }
    }
}

impl Batch {
    fn fill(&mut self, socket: &UdpSocket) {
        self.came.clear();
        let Self { bytes, came, .. } = self;
        for room in bytes.iter_mut() {
            match socket.try_recv_from(room) {
                Ok(one) => came.push(one),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Some systems tell here that an earlier answer wasn't taken.
                Err(error) => {
                    tracing::debug!(%error, "a datagram could not be taken");
                    break;
                }
            }
        }
    }

    fn answer(&mut self, server: &Server, socket: &UdpSocket, secret: &[u8; 32]) -> Tally {
        let Self { bytes, came, proved, answers } = self;
        proved.clear();
        for (at, ((len, from), bytes)) in came.iter().zip(bytes.iter()).enumerate() {
            let sealed = bytes.get(..*len).and_then(Sealed::read);
            let Some((sealed, node)) = sealed.map(|sealed| (sealed, sealed.node())) else { continue };
            let key = Key::of(secret, &node, from.ip());
            if let Some(renewal) = sealed.open(&key) {
                proved.push(Proved { from: *from, at, key, renewal });
            }
        }
        let renewing = proved.iter().map(|proved| (proved.from.ip().to_canonical(), &proved.renewal));
        server.renew_all(renewing, answers);
        for (Proved { from, at, key, .. }, answer) in proved.iter().zip(answers.iter()) {
            let sealed = bytes.get(*at).and_then(|bytes| Sealed::read(bytes.get(..RENEWAL)?));
            let datagram = sealed.map(|sealed| sealed.answer(key, *answer));
            // A full send buffer is the network's way of losing it; the node asks again.
            datagram.map(|datagram| socket.try_send_to(&datagram, *from).ok());
        }
        let (came, answered) = (came.len() as u64, proved.len() as u64);
        Tally { answered, bad: came - answered }
    }
}

/// A proved renewal and the address it comes from.
type Renewing<'a> = (IpAddr, &'a Renewal);
