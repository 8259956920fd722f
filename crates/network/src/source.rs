//! TCP that dials from the address the node listens on.
//!
//! The tracker derives a node's group from the address it observes (R1). A machine with several addresses,
//! or a node told to listen on one of them, must therefore dial from that one. libp2p's own answer, dialling
//! from the listening *port*, falls back to any address when the pair of sockets is already in use; here
//! only the address is bound and the port is the system's choice, which always works.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use libp2p::{
    Multiaddr, TransportError,
    core::transport::{DialOpts, ListenerId, Transport, TransportEvent},
    tcp::{Config, tokio::TcpStream, tokio::Transport as Tcp},
};
use tokio::{net::TcpSocket, time::timeout};

use crate::address::tcp_socket;

/// A connection that isn't there after this long (two lost packets) won't be; the next address is waiting.
const CONNECT: Duration = Duration::from_secs(4);

/// libp2p's TCP transport, with dials bound to the addresses in `sources`.
pub(crate) struct SourceBound {
    tcp: Tcp,
    sources: Vec<IpAddr>,
}

impl SourceBound {
    /// Dials from `sources`, the addresses the node listens on; an unspecified one leaves its family free.
    pub(crate) fn new(sources: Vec<IpAddr>) -> Self {
        Self { tcp: Tcp::new(Config::default().nodelay(true)), sources }
    }
}

/// The address to dial `target` from: one of its family, loopback if and only if it is; `None` leaves it to
/// the routing table.
pub(crate) fn source_for(sources: &[IpAddr], target: IpAddr) -> Option<IpAddr> {
    let mut family = sources.iter().filter(|source| source.is_ipv4() == target.is_ipv4());
    if family.clone().any(IpAddr::is_unspecified) {
        return None;
    }
    family.find(|source| source.is_loopback() == target.is_loopback()).copied()
}

async fn connect(source: Option<IpAddr>, target: SocketAddr) -> io::Result<TcpStream> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = timeout(CONNECT, socket.connect(target)).await??;
    stream.set_nodelay(true)?;
    Ok(TcpStream(stream))
}

impl Transport for SourceBound {
    type Output = TcpStream;
    type Error = io::Error;
    type ListenerUpgrade = <Tcp as Transport>::ListenerUpgrade;
    type Dial = BoxFuture<'static, io::Result<TcpStream>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.tcp.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.tcp.remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        let Some(target) = tcp_socket(&address) else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        Ok(connect(source_for(&self.sources, target.ip()), target).boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Pin::new(&mut self.tcp).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_fits_the_target() {
        let ips = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let source = |sources: &[&str], target: &str| {
            source_for(&ips(sources), target.parse().unwrap()).map(|ip| ip.to_string())
        };
        assert_eq!(source(&["127.1.0.5"], "127.0.0.1").as_deref(), Some("127.1.0.5"));
        assert_eq!(source(&["127.1.0.5"], "10.0.0.1"), None);
        assert_eq!(source(&["127.1.0.5", "10.0.0.9"], "10.0.0.1").as_deref(), Some("10.0.0.9"));
        assert_eq!(source(&["10.0.0.9"], "127.0.0.1"), None);
        assert_eq!(source(&["10.0.0.9", "0.0.0.0"], "10.0.0.1"), None);
        assert_eq!(source(&["0.0.0.0", "fd00::5"], "fd00::1").as_deref(), Some("fd00::5"));
        assert_eq!(source(&["10.0.0.9", "::"], "fd00::1"), None);
        assert_eq!(source(&[], "10.0.0.1"), None);
    }
}
