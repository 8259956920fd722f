//! A peer that speaks libp2p but not our protocols: raw streams, to say whatever a hostile one might.

use futures::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol, SwarmBuilder, noise,
    swarm::{SwarmEvent, dial_opts::DialOpts},
    yamux,
};
use libp2p_stream::{Behaviour, Control};
use tokio::task::JoinSet;

pub struct Stranger {
    pub peer: PeerId,
    pub control: Control,
    pub address: Multiaddr,
    _swarm: JoinSet<()>,
}

impl Stranger {
    /// Listens on `ip`, and knows where `other` is.
    pub async fn start(ip: &str, other: Option<(PeerId, Multiaddr)>) -> Self {
        let mut swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(Default::default(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|_| Behaviour::new())
            .unwrap()
            .build();
        swarm.listen_on(format!("/ip4/{ip}/tcp/0").parse().unwrap()).unwrap();
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address;
            }
        };
        if let Some((peer, address)) = other {
            let dial = || DialOpts::peer_id(peer).addresses(vec![address.clone()]).build();
            swarm.dial(dial()).unwrap();
            // A stream that is asked for during the handshake can wait for ever in this crate.
            loop {
                match swarm.select_next_some().await {
                    SwarmEvent::ConnectionEstablished { .. } => break,
                    // From the port that it listens on, as libp2p dials, a dial may fail at first.
                    SwarmEvent::OutgoingConnectionError { error, .. } => {
                        eprintln!("dialled in vain: {error}");
                        swarm.dial(dial()).unwrap();
                    }
                    _ => {}
                }
            }
        }
        let (peer, control) = (*swarm.local_peer_id(), swarm.behaviour().new_control());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                swarm.select_next_some().await;
            }
        });
        Self { peer, control, address, _swarm: tasks }
    }

    pub async fn open(&mut self, peer: PeerId, protocol: &'static str) -> Stream {
        self.control.open_stream(peer, StreamProtocol::new(protocol)).await.unwrap()
    }
}
