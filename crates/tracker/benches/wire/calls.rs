//! Questions over connections, ours and libp2p's own.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, noise, request_response,
    swarm::{SwarmEvent, dummy},
    tcp, yamux,
};
use nearcast_network::{Config, Keypair, Network};
use nearcast_protocol::{
    ResourceId, Role,
    tracker::{Answer, Find, Holding, Medium, PROTOCOL, Reach, Registration, Request},
    wire,
};
use nearcast_tracker::{GroupTable, Limits, Rules, Server, Swarm as Memory};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::served::Served;
use crate::TIME;

const FILM: ResourceId = ResourceId::from_bytes([9; 32]);
const HOLDERS: usize = 50;
const AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_secs(20);

fn config(ip: &str) -> Config {
    let mut config = Config::new(Keypair::generate_ed25519());
    config.listen = vec![format!("/ip4/{ip}/tcp/0").parse().unwrap()];
    config.neighbours = false;
    config
}

/// A tracker that knows fifty holders of one film, in the asker's network.
fn tracker() -> Served<Multiaddr> {
    Served::start(|ready| async move {
        let mut config = Config { serve_tracker: true, ..config("127.0.0.1") };
        (config.max_connections, config.max_connections_per_address) = (100_000, 100_000);
        config.idle = Duration::from_secs(2);
        let network = Network::start(config).await.unwrap();
        let table = GroupTable::parse("127.0.0.0/8,1\n").unwrap();
        let server = Server::new(Memory::new(Rules::default()), table);
        server.set_limits(Limits { pace: u32::MAX, burst: u32::MAX, distinct: u32::MAX, memory: 0 });
        for n in 0..HOLDERS {
            let registration = Registration {
                version: "bench/1".into(),
                role: Role::Terminal,
                tcp_port: 4400,
                quic_port: 4400,
                reach: Reach::Unknown,
                medium: Medium::Unknown,
                local: Vec::new(),
                holdings: vec![Holding { resource: FILM, permille: 1000, guard: None }],
                spare_upload: 0,
            };
            let peer = Keypair::generate_ed25519().public().to_peer_id();
            let address = [127, 1, 0, n as u8 + 1].into();
            server.answer(peer, address, &Request::Register(registration));
        }
        let address = network.listening()[0].clone().with_p2p(network.peer_id()).unwrap();
        ready.send(address).unwrap();
        server.run(network.incoming_tracker_calls().unwrap()).await;
    })
}

async fn find(node: &Network, tracker: &Multiaddr) -> usize {
    let find = Request::Find(Find { resource: FILM, token: None, stalled: false });
    match node.ask(tracker, &find, PATIENCE).await.unwrap() {
        Answer::Found(list) => list.peers.len(),
        other => panic!("{other:?}"),
    }
}

/// Lists a second of a core, each for a node that has just come.
pub async fn cold() -> f64 {
    let tracker = tracker();
    let (began, before) = (Instant::now(), tracker.busy());
    let mut asked = 0u32;
    while began.elapsed() < TIME {
        let mut asking = JoinSet::new();
        for _ in 0..8 {
            let address = tracker.ready.clone();
            asking.spawn(async move {
                let node = Network::start(config("127.1.9.1")).await.unwrap();
                assert_eq!(find(&node, &address).await, HOLDERS);
                node.stop().await;
            });
        }
        asked += asking.join_all().await.len() as u32;
    }
    f64::from(asked) / (tracker.busy() - before).as_secs_f64()
}

/// Lists a second of a core, over one connection: a node of ours asks, [`AT_ONCE`] callers at a time.
pub async fn warm() -> f64 {
    let tracker = tracker();
    let node = Arc::new(Network::start(config("127.1.9.1")).await.unwrap());
    assert_eq!(find(&node, &tracker.ready).await, HOLDERS);
    let (began, before) = (Instant::now(), tracker.busy());
    let mut asking = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (node, address) = (node.clone(), tracker.ready.clone());
        asking.spawn(async move {
            let mut asked = 0u32;
            while began.elapsed() < TIME {
                find(&node, &address).await;
                asked += 1;
            }
            asked
        });
    }
    let asked: u32 = asking.join_all().await.into_iter().sum();
    let rate = f64::from(asked) / (tracker.busy() - before).as_secs_f64();
    node.stop().await;
    rate
}

/// Lists a second of a core, over one connection: [`AT_ONCE`] questions are always on their way, and nobody reads
/// what is in the answers, as in [`request_response`].
pub async fn pipelined() -> f64 {
    let tracker = tracker();
    let (_, peer) = nearcast_network::split_peer(&tracker.ready);
    let mut swarm = swarm(libp2p_stream::Behaviour::new);
    swarm.dial(tracker.ready.clone()).unwrap();
    while !matches!(swarm.select_next_some().await, SwarmEvent::ConnectionEstablished { .. }) {}
    let mut control = swarm.behaviour().new_control();
    let driving = tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    let mut stream = control.open_stream(peer.unwrap(), StreamProtocol::new(PROTOCOL)).await.unwrap();
    let find = wire::encode(&Request::Find(Find { resource: FILM, token: None, stalled: false }));
    let question = [&(find.len() as u32).to_be_bytes()[..], &find].concat();
    let (began, before) = (Instant::now(), tracker.busy());
    let (mut asked, mut answered) = (AT_ONCE, 0);
    stream.write_all(&question.repeat(asked)).await.unwrap();
    stream.flush().await.unwrap();
    let (mut bytes, mut arrived) = (vec![0; 1 << 16], Vec::new());
    while began.elapsed() < TIME {
        let read = stream.read(&mut bytes).await.unwrap();
        arrived.extend_from_slice(&bytes[..read]);
        let mut taken = 0;
        while let Some((length, rest)) = arrived[taken..].split_first_chunk() {
            let length = u32::from_be_bytes(*length) as usize;
            if rest.len() < length {
                break;
            }
            (taken, answered) = (taken + 4 + length, answered + 1);
        }
        arrived.drain(..taken);
        let more = answered + AT_ONCE - asked;
        if more > 0 {
            stream.write_all(&question.repeat(more)).await.unwrap();
            stream.flush().await.unwrap();
            asked += more;
        }
    }
    driving.abort();
    answered as f64 / (tracker.busy() - before).as_secs_f64()
}

fn swarm<B: libp2p::swarm::NetworkBehaviour>(behaviour: impl FnOnce() -> B) -> Swarm<B> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| behaviour())
        .map_err(|_| "no behaviour")
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(2)))
        .build()
}

async fn listen<B: libp2p::swarm::NetworkBehaviour>(swarm: &mut Swarm<B>) -> Multiaddr {
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return address.with_p2p(*swarm.local_peer_id()).unwrap();
        }
    }
}

/// Connections taken in a second of a core, by libp2p with nothing on it. A dialler takes a connection for made
/// before the listener has answered all of the handshake: it stays until the listener has.
pub async fn handshakes() -> f64 {
    let made = Arc::new(Semaphore::new(0));
    let makes = made.clone();
    let served = Served::start(|ready| async move {
        let mut swarm = swarm(|| dummy::Behaviour);
        let address = listen(&mut swarm).await;
        ready.send(address).unwrap();
        loop {
            if let SwarmEvent::ConnectionEstablished { .. } = swarm.select_next_some().await {
                makes.add_permits(1);
            }
        }
    });
    let (began, before) = (Instant::now(), served.busy());
    let mut all = 0u32;
    while began.elapsed() < TIME {
        let (mut dialling, all_made) = (JoinSet::new(), CancellationToken::new());
        for _ in 0..8 {
            let (address, all_made) = (served.ready.clone(), all_made.clone());
            dialling.spawn(all_made.run_until_cancelled_owned(async move {
                let mut swarm = swarm(|| dummy::Behaviour);
                swarm.dial(address).unwrap();
                loop {
                    swarm.select_next_some().await;
                }
            }));
        }
        made.acquire_many(8).await.unwrap().forget();
        all_made.cancel();
        all += dialling.join_all().await.len() as u32;
    }
    f64::from(all) / (served.busy() - before).as_secs_f64()
}

/// Bytes after their length: what both sides of the comparison send.
#[derive(Clone, Default)]
struct Plain;

const PLAIN: StreamProtocol = StreamProtocol::new("/bench/1");

async fn read(from: &mut (impl futures::AsyncRead + Unpin + Send)) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length).await?;
    let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
    from.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn write(to: &mut (impl futures::AsyncWrite + Unpin + Send), bytes: Vec<u8>) -> io::Result<()> {
    to.write_all(&[&(bytes.len() as u32).to_be_bytes()[..], &bytes].concat()).await?;
    to.close().await
}

impl request_response::Codec for Plain {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, from: &mut T) -> io::Result<Vec<u8>>
    where
        T: futures::AsyncRead + Unpin + Send,
    {
        read(from).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, from: &mut T) -> io::Result<Vec<u8>>
    where
        T: futures::AsyncRead + Unpin + Send,
    {
        read(from).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, to: &mut T, bytes: Vec<u8>) -> io::Result<()>
    where
        T: futures::AsyncWrite + Unpin + Send,
    {
        write(to, bytes).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, to: &mut T, bytes: Vec<u8>) -> io::Result<()>
    where
        T: futures::AsyncWrite + Unpin + Send,
    {
        write(to, bytes).await
    }
}

fn talking() -> Swarm<request_response::Behaviour<Plain>> {
    let protocols = [(PLAIN, request_response::ProtocolSupport::Full)];
    let config = request_response::Config::default().with_max_concurrent_streams(1000);
    swarm(|| request_response::Behaviour::with_codec(Plain, protocols, config))
}

/// Ready answers a second of a core, as large as a list of fifty, over one connection.
pub async fn request_response() -> f64 {
    let tracker = tracker();
    let node = Network::start(config("127.1.9.1")).await.unwrap();
    let find = Request::Find(Find { resource: FILM, token: None, stalled: false });
    let answer = wire::encode(&node.ask(&tracker.ready, &find, PATIENCE).await.unwrap());
    node.stop().await;
    let served = Served::start(|ready| async move {
        let mut swarm = talking();
        let address = listen(&mut swarm).await;
        ready.send(address).unwrap();
        loop {
            if let SwarmEvent::Behaviour(request_response::Event::Message {
                message: request_response::Message::Request { channel, .. },
                ..
            }) = swarm.select_next_some().await
            {
                // Who asked last is gone by then.
                swarm.behaviour_mut().send_response(channel, answer.clone()).ok();
            }
        }
    });
    let question = wire::encode(&find);
    let mut swarm = talking();
    let (_, peer) = nearcast_network::split_peer(&served.ready);
    let peer: PeerId = peer.unwrap();
    swarm.dial(served.ready.clone()).unwrap();
    while !matches!(swarm.select_next_some().await, SwarmEvent::ConnectionEstablished { .. }) {}
    let (began, before) = (Instant::now(), served.busy());
    for _ in 0..AT_ONCE {
        swarm.behaviour_mut().send_request(&peer, question.clone());
    }
    let mut answered = 0u32;
    while began.elapsed() < TIME {
        if let SwarmEvent::Behaviour(request_response::Event::Message {
            message: request_response::Message::Response { .. },
            ..
        }) = swarm.select_next_some().await
        {
            answered += 1;
            swarm.behaviour_mut().send_request(&peer, question.clone());
        }
    }
    f64::from(answered) / (served.busy() - before).as_secs_f64()
}
