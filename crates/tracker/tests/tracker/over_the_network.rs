//! The server behind a real node, asked by real nodes on loopback addresses.

use std::time::Duration;

use nearcast_network::{Config, Keypair, Network};
use nearcast_protocol::{
    Group, Multiaddr, ResourceId, Role,
    tracker::{
        Answer, Claim, Find, Holding, Lease, Medium, PeerList, Reach, Received, Registration, Renewal,
        Request, Rule,
    },
};
use nearcast_tracker::{GroupTable, Rules, Server, Swarm};
use tokio::task::JoinHandle;

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const FILM: ResourceId = ResourceId::from_bytes([9; 32]);

fn config(ip: &str) -> Config {
    let mut config = Config::new(Keypair::generate_ed25519());
    config.listen = vec![format!("/ip4/{ip}/tcp/0").parse().unwrap()];
    config.neighbours = false;
    config
}

async fn node(ip: &str) -> Network {
    Network::start(config(ip)).await.unwrap()
}

struct Tracker {
    network: Network,
    server: Server,
    answering: JoinHandle<()>,
    address: Multiaddr,
}

impl Tracker {
    async fn start(config: Config) -> Self {
        let network = Network::start(Config { serve_tracker: true, ..config }).await.unwrap();
        let table = GroupTable::parse("127.1.0.0/16,1,North\n127.2.0.0/16,2,South\n").unwrap();
        let server = Server::new(Swarm::new(Rules::default()), table);
        let answering = tokio::spawn(server.clone().run(network.incoming_tracker_calls().unwrap()));
        let address = network.listening()[0].clone().with_p2p(network.peer_id()).unwrap();
        Self { network, server, answering, address }
    }

    async fn ask(&self, node: &Network, request: Request) -> Answer {
        node.ask(&self.address, &request, PATIENCE).await.unwrap()
    }

    async fn register(&self, node: &Network, role: Role) -> Lease {
        let registration = Registration {
            version: "test/1".into(),
            role,
            tcp_port: node.tcp_port(),
            quic_port: 0,
            reach: Reach::Unknown,
            medium: Medium::Unknown,
            local: vec!["/ip4/192.168.7.7/tcp/4400".parse().unwrap()],
            holdings: vec![Holding { resource: FILM, permille: 1000, guard: None }],
            spare_upload: 0,
        };
        let Answer::Leased(lease) = self.ask(node, Request::Register(registration)).await else { panic!() };
        lease
    }

    async fn find(&self, node: &Network) -> PeerList {
        let find = Find { resource: FILM, token: None, stalled: false };
        let Answer::Found(list) = self.ask(node, Request::Find(find)).await else { panic!() };
        list
    }

    async fn stop(self) {
        self.network.stop().await;
        self.answering.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_come_first_and_a_new_table_moves_them() {
    let tracker = Tracker::start(config("127.9.1.1")).await;
    let (near, far) = (node("127.1.1.1").await, node("127.2.1.1").await);
    let (asker, beside) = (node("127.1.1.9").await, node("127.2.1.1").await);
    assert_eq!(tracker.register(&far, Role::Terminal).await.group, Group(2));
    let lease = tracker.register(&near, Role::Terminal).await;
    assert_eq!((lease.group, lease.observed), (Group(1), near.listening()));
    tracker.register(&asker, Role::Terminal).await;

    let list = tracker.find(&asker).await;
    let peers: Vec<_> = list.peers.iter().map(|peer| (peer.peer(), peer.group)).collect();
    assert_eq!(peers, [(near.peer_id(), Group(1)), (far.peer_id(), Group(2))]);
    assert_eq!((list.rule, list.group), (Rule::ToppedUp, Group(1)));
    assert_eq!((list.counts.in_group, list.counts.outside), (1, 1));
    assert_eq!(list.peers[0].address.addresses, near.listening());
    // Behind the same address there are local addresses, and they come first.
    let list = tracker.find(&beside).await;
    let first = list.peers.iter().find(|peer| peer.peer() == far.peer_id()).unwrap();
    let local = "/ip4/192.168.7.7/tcp/4400".parse().unwrap();
    assert_eq!(first.address.addresses, [vec![local], far.listening()].concat());

    tracker.server.set_table(GroupTable::parse("127.0.0.0/8,5").unwrap());
    let list = tracker.find(&asker).await;
    assert_eq!((list.group, list.counts.in_group), (Group(5), 2));
    tracker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_that_restarted_sends_nodes_to_register_anew() {
    let first = config("127.9.2.1");
    let identity = first.identity.clone();
    let tracker = Tracker::start(first).await;
    let (node, other) = (node("127.1.2.1").await, node("127.2.2.1").await);
    tracker.register(&node, Role::Terminal).await;
    let received = Received { own_group: 5, other_groups: 6, publishers: 7 };
    let renewal = Request::Renew(Renewal { received, ..Renewal::default() });
    assert!(matches!(tracker.ask(&node, renewal.clone()).await, Answer::Leased(_)));
    assert_eq!(tracker.server.received()[&Group(1)], ("North".into(), received));
    let address = tracker.address.clone();
    tracker.stop().await;

    let plain = address.iter().filter(|part| !matches!(part, multiaddr::Protocol::P2p(_))).collect();
    let again = Tracker::start(Config { identity, listen: vec![plain], ..config("127.9.2.1") }).await;
    assert_eq!(again.address, address);
    assert_eq!(again.ask(&node, renewal.clone()).await, Answer::Unknown);
    assert_eq!(again.find(&other).await.peers.len(), 0);
    again.register(&node, Role::Terminal).await;
    assert!(matches!(again.ask(&node, renewal).await, Answer::Leased(_)));
    assert_eq!(again.find(&other).await.peers.len(), 1);
    assert_eq!(again.ask(&node, Request::Withdraw).await, Answer::Withdrawn);
    assert_eq!(again.find(&other).await.peers.len(), 0);
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_resolve_to_what_registered_publishers_claim() {
    let tracker = Tracker::start(config("127.9.3.1")).await;
    let (publisher, viewer) = (node("127.2.3.1").await, node("127.1.3.1").await);
    let url = String::from("https://films.example/v/1");
    let claim = Request::Claim(vec![Claim { url: url.clone(), link: "nearcast://film".into() }]);
    assert!(matches!(tracker.ask(&publisher, claim.clone()).await, Answer::Refused { .. }));
    tracker.register(&publisher, Role::Publisher).await;
    tracker.register(&viewer, Role::Terminal).await;
    assert_eq!(tracker.ask(&publisher, claim.clone()).await, Answer::Claimed);
    assert!(matches!(tracker.ask(&viewer, claim).await, Answer::Refused { .. }));
    let Answer::Resolved(links) = tracker.ask(&viewer, Request::Resolve { url }).await else { panic!() };
    assert_eq!(links.iter().map(|link| link.0.as_str()).collect::<Vec<_>>(), ["nearcast://film"]);
    tracker.stop().await;
}
