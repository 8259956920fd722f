//! Meeting peers that strangers can't dial, by a tracker's introduction: both dial at once, over QUIC from the sockets
//! they listen on.

use std::{net::IpAddr, sync::Arc, time::Duration};

use futures::{FutureExt as _, future::select_ok};
use multiaddr::Protocol;
use nearcast_network::{Network, OpenError, PieceStream};
use nearcast_protocol::{
    Multiaddr, PeerAddress, PeerId,
    peer::ip_of,
    tracker::{Answer, Lease, Reach, Request},
};
use tokio::{task::JoinSet, time::sleep};

use crate::tracking::PATIENCE;

/// A dial that needs no introduction is there by then, mostly (as of two addresses in RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);
/// How long a node waits for a tracker to name somebody: longer than a tracker keeps it waiting.
const LONG: Duration = Duration::from_secs(150);
const FIRST_RETRY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: Duration = Duration::from_secs(120);
/// Dials under way to those who want to meet this node.
const AT_ONCE: usize = 16;

/// Where a tracker introduces nodes: its QUIC port, at the address that it was reached at.
pub(crate) fn place(network: &Network, tracker: &Multiaddr, port: u16) -> Option<Multiaddr> {
    let ip = network.reached_at(tracker).filter(|_| port != 0)?;
    let (_, peer) = nearcast_network::split_peer(tracker);
    let place = Multiaddr::from(ip).with(Protocol::Udp(port)).with(Protocol::QuicV1);
    Some(match peer {
        Some(peer) => place.with(Protocol::P2p(peer)),
        None => place,
    })
}

/// Why there is no stream with a peer.
pub(crate) struct NotMet {
    /// In words.
    pub reason: String,
    /// Whether nobody answers where it was said to be.
    pub unreached: bool,
}

/// Opens a stream by dialling; if the peer awaits introductions somewhere, by one as well.
pub(crate) async fn open(
    network: &Network,
    peer: &PeerAddress,
    awaits: Option<&Multiaddr>,
) -> Result<PieceStream, NotMet> {
    let dialled = async {
        network.open_pieces(peer).await.map_err(|error| NotMet {
            unreached: matches!(error, OpenError::Unreachable { .. } | OpenError::TimedOut { .. }),
            reason: error.to_string(),
        })
    };
    let Some(place) = awaits else { return dialled.await };
    let introduced = async {
        sleep(HEAD_START).await;
        let introduced = introduced(network, place, peer.peer).await;
        // Its tracker has just said how it stands with it.
        introduced.map_err(|reason| NotMet { reason, unreached: false })
    };
    select_ok([dialled.boxed(), introduced.boxed()]).await.map(|(stream, _)| stream)
}

async fn introduced(network: &Network, place: &Multiaddr, peer: PeerId) -> Result<PieceStream, String> {
    let answer = network.ask(place, &Request::Introduce(peer), PATIENCE).await;
    match answer.map_err(|error| error.to_string())? {
        Answer::Introduced(addresses) => {
            let there = PeerAddress::new(peer, addresses);
            network.meet(&there).await.map_err(|error| format!("introduced to it, but {error}"))
        }
        Answer::Refused { reason, .. } => Err(format!("it can't be dialled, and {reason}")),
        _ => Err("the tracker answered something else than an introduction".into()),
    }
}

/// Whether strangers may not be let in to this node, as far as it and a tracker know. One that sits behind address
/// translation isn't sure, whatever the tracker's own dial came to, until a stranger has come in: translation may
/// let in those who were called and nobody else.
pub(crate) fn needs_introductions(network: &Network, lease: &Lease) -> bool {
    let here: Vec<IpAddr> = network.listening().iter().filter_map(ip_of).collect();
    let translated = lease.observed.iter().filter_map(ip_of).any(|observed| !here.contains(&observed));
    let may = lease.introduces != 0 && network.quic_port() != 0;
    may && (lease.reach == Reach::Nat || (translated && !network.visited()))
}

/// Awaits introductions and dials whoever wants to meet this node, for as long as it is polled.
pub(crate) async fn await_introductions(network: Arc<Network>, place: Multiaddr) {
    let mut dials = JoinSet::new();
    let mut retry = FIRST_RETRY;
    loop {
        let asked = network.ask(&place, &Request::Await, LONG).await;
        let wait = match asked {
            Ok(Answer::Introductions(peers)) => {
                retry = FIRST_RETRY;
                for peer in peers {
                    while dials.try_join_next().is_some() {}
                    if dials.len() < AT_ONCE {
                        let network = Arc::clone(&network);
                        dials.spawn(async move {
                            if let Err(error) = network.dial(&peer).await {
                                tracing::debug!(peer = %peer.peer, %error, "somebody who wanted to meet");
                            }
                        });
                    }
                }
                continue;
            }
            Ok(Answer::Refused { reason, retry_after_ms }) => {
                tracing::debug!(%place, reason, "no introductions");
                LONGEST_RETRY.max(Duration::from_millis(retry_after_ms.into()))
            }
            Ok(other) => {
                tracing::debug!(%place, ?other, "an answer that makes no sense");
                LONGEST_RETRY
            }
            Err(error) => {
                tracing::debug!(%place, %error, "introductions can't be awaited");
                let longer = (retry * 2).min(LONGEST_RETRY);
                std::mem::replace(&mut retry, longer)
            }
        };
        sleep(wait).await;
    }
}
