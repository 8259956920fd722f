//! A node that can't be dialled, introduced by a real tracker to one that wants to meet it, on loopback addresses.

use std::{sync::Arc, time::Duration};

use nearcast_network::{Config, Keypair, Network};
use nearcast_protocol::{
    Multiaddr, PeerAddress, PeerId, ResourceId, Role,
    tracker::{Answer, Find, Holding, ListedPeer, Medium, PeerList, Reach, Registration, Request},
};
use nearcast_tracker::{GroupTable, Rules, Server, Swarm};
use tokio::task::JoinSet;

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const FILM: ResourceId = ResourceId::from_bytes([9; 32]);

async fn node(ip: &str, serve_tracker: bool) -> Arc<Network> {
    let mut config = Config::new(Keypair::generate_ed25519());
    config.listen =
        ["tcp/0", "udp/0/quic-v1"].map(|way| format!("/ip4/{ip}/{way}").parse().unwrap()).to_vec();
    (config.neighbours, config.map_ports, config.serve_tracker) = (false, false, serve_tracker);
    Arc::new(Network::start(config).await.unwrap())
}

struct Tracker {
    network: Arc<Network>,
    server: Server,
    _tasks: JoinSet<()>,
}

impl Tracker {
    async fn start(ip: &str, introductions: usize) -> Self {
        let network = node(ip, true).await;
        let server = Server::new(Swarm::new(Rules::default()), GroupTable::default());
        server.introduce(introductions, network.quic_port());
        let mut tasks = JoinSet::new();
        tasks.spawn(server.dial_back(network.dialler().unwrap()));
        tasks.spawn(server.clone().run(network.incoming_tracker_calls().unwrap()));
        Self { network, server, _tasks: tasks }
    }

    fn at(&self, way: &str) -> Multiaddr {
        let mut all = self.network.listening().into_iter();
        all.find(|address| address.to_string().contains(way))
            .unwrap()
            .with_p2p(self.network.peer_id())
            .unwrap()
    }

    /// Registers under a TCP port at which nobody is.
    async fn register(&self, node: &Network) {
        let registration = Registration {
            version: "test/1".into(),
            role: Role::Terminal,
            tcp_port: 1,
            quic_port: node.quic_port(),
            reach: Reach::Unknown,
            medium: Medium::Unknown,
            local: Vec::new(),
            holdings: vec![Holding { resource: FILM, permille: 1000, guard: None }],
            spare_upload: 0,
        };
        let registered = node.ask(&self.at("tcp"), &Request::Register(registration), PATIENCE).await.unwrap();
        assert!(matches!(registered, Answer::Leased(lease) if lease.introduces != 0));
    }

    async fn find(&self, asker: &Network) -> PeerList {
        let find = Request::Find(Find { resource: FILM, token: None, stalled: false });
        let Answer::Found(list) = asker.ask(&self.at("tcp"), &find, PATIENCE).await.unwrap() else {
            panic!()
        };
        list
    }

    /// Waits until the list has become what is wanted.
    async fn until(&self, asker: &Network, wanted: impl Fn(&[ListedPeer]) -> bool) {
        let look = async {
            while !wanted(&self.find(asker).await.peers) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.unwrap();
    }

    async fn introduce(&self, asker: &Network, whom: PeerId) -> Answer {
        asker.ask(&self.at("quic"), &Request::Introduce(whom), PATIENCE).await.unwrap()
    }
}

fn refused(answer: &Answer, word: &str) -> bool {
    matches!(answer, Answer::Refused { reason, .. } if reason.contains(word))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_can_t_be_dialled_is_listed_while_it_awaits_introductions_and_is_met() {
    let tracker = Tracker::start("127.9.48.1", 4).await;
    let (hidden, asker) = (node("127.1.48.1", false).await, node("127.2.48.1", false).await);
    tracker.register(&hidden).await;
    tracker.until(&asker, <[_]>::is_empty).await;
    assert!(refused(&tracker.introduce(&asker, hidden.peer_id()).await, "awaits no introductions"));

    let mut incoming = hidden.incoming_pieces().unwrap();
    let (place, node) = (tracker.at("quic"), Arc::clone(&hidden));
    let awaiting = tokio::spawn(async move {
        let wanted = node.ask(&place, &Request::Await, PATIENCE).await.unwrap();
        let Answer::Introductions(peers) = wanted else { panic!("{wanted:?}") };
        for peer in &peers {
            node.dial(peer).await.unwrap();
        }
        peers
    });
    tracker.until(&asker, |peers| peers.iter().any(|peer| peer.awaits)).await;
    let list = tracker.find(&asker).await;
    assert_eq!((list.introduces, list.peers.len()), (tracker.network.quic_port(), 1));
    assert!(!tracker.find(&hidden).await.peers.iter().any(|peer| peer.awaits), "it isn't told of itself");

    // What is asked is where the sockets are that the two listen on.
    let Answer::Introduced(there) = tracker.introduce(&asker, hidden.peer_id()).await else { panic!() };
    let quic = |node: &Network| {
        node.listening().into_iter().find(|address| address.to_string().contains("quic")).unwrap()
    };
    assert_eq!(there, [quic(&hidden)]);
    let stream = asker.meet(&PeerAddress::new(hidden.peer_id(), there)).await.unwrap();
    let wanted = awaiting.await.unwrap();
    assert_eq!(wanted, [PeerAddress::new(asker.peer_id(), [quic(&asker)])]);
    assert!(asker.connected_address(&hidden.peer_id()).is_some());
    drop((stream, incoming.try_recv()));

    // It asks nothing more: after a while nobody is told of it.
    tracker.until(&asker, <[_]>::is_empty).await;
    assert_eq!(tracker.server.extent().awaiting, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn introductions_have_their_rules() {
    let tracker = Tracker::start("127.9.46.1", 1).await;
    let (one, other) = (node("127.1.46.1", false).await, node("127.1.46.2", false).await);
    let over_tcp = one.ask(&tracker.at("tcp"), &Request::Await, PATIENCE).await.unwrap();
    assert!(refused(&over_tcp, "QUIC"), "{over_tcp:?}");
    let (place, node) = (tracker.at("quic"), Arc::clone(&one));
    let awaiting = tokio::spawn(async move { node.ask(&place, &Request::Await, PATIENCE).await });
    let until = async {
        while tracker.server.extent().awaiting == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, until).await.unwrap();
    let full = other.ask(&tracker.at("quic"), &Request::Await, PATIENCE).await.unwrap();
    assert!(refused(&full, "as many nodes"), "{full:?}");
    // Other questions go on over the same connection.
    assert!(refused(&tracker.introduce(&one, other.peer_id()).await, "awaits no introductions"));
    assert!(!awaiting.is_finished());
    awaiting.abort();
}
