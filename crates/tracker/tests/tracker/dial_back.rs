//! Nodes that register at a real tracker and are dialled by it, on loopback addresses.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use nearcast_network::{Config, Keypair, Network};
use nearcast_protocol::{
    Multiaddr, PeerId, ResourceId, Role,
    tracker::{
        Answer, Counts, Find, Holding, Lease, Medium, Named, PeerList, Reach, Registration, Renewal, Request,
    },
};
use nearcast_tracker::{GroupTable, Rules, Server, Swarm, dial_back::Tally};
use tokio::{io::AsyncReadExt, net::TcpListener, task::JoinSet};

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const FILM: ResourceId = ResourceId::from_bytes([9; 32]);

async fn node(listen: &str) -> Network {
    let mut config = Config::new(Keypair::generate_ed25519());
    config.listen = vec![listen.parse().unwrap()];
    config.neighbours = false;
    Network::start(config).await.unwrap()
}

fn registration((tcp_port, quic_port): (u16, u16)) -> Registration {
    Registration {
        version: "test/1".into(),
        role: Role::Terminal,
        tcp_port,
        quic_port,
        reach: Reach::Unknown,
        medium: Medium::Unknown,
        local: Vec::new(),
        holdings: vec![Holding { resource: FILM, permille: 1000, guard: None }],
        spare_upload: 0,
    }
}

struct Tracker {
    network: Network,
    server: Server,
    address: Multiaddr,
    _tasks: JoinSet<()>,
}

impl Tracker {
    async fn start(ip: &str) -> Self {
        let mut config = Config::new(Keypair::generate_ed25519());
        config.listen = vec![format!("/ip4/{ip}/tcp/0").parse().unwrap()];
        config.neighbours = false;
        config.serve_tracker = true;
        let network = Network::start(config).await.unwrap();
        let server = Server::new(Swarm::new(Rules::default()), GroupTable::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(server.dial_back(network.dialler().unwrap()));
        tasks.spawn(server.clone().run(network.incoming_tracker_calls().unwrap()));
        let address = network.listening()[0].clone().with_p2p(network.peer_id()).unwrap();
        Self { network, server, address, _tasks: tasks }
    }

    async fn ask(&self, node: &Network, request: Request) -> Answer {
        node.ask(&self.address, &request, PATIENCE).await.unwrap()
    }

    /// Registers with these ports for TCP and QUIC.
    async fn register(&self, node: &Network, ports: (u16, u16)) -> Lease {
        let register = Request::Register(registration(ports));
        let Answer::Leased(lease) = self.ask(node, register).await else { panic!() };
        lease
    }

    async fn renew(&self, node: &Network) -> Lease {
        let Answer::Leased(lease) = self.ask(node, Request::Renew(Renewal::default())).await else {
            panic!()
        };
        lease
    }

    async fn found(&self, asker: &Network) -> (PeerList, Counts) {
        let find = Find { resource: FILM, token: None, stalled: false };
        let Answer::Found(list) = self.ask(asker, Request::Find(find)).await else { panic!() };
        let Answer::Counted(counts) = self.ask(asker, Request::Count(FILM)).await else { panic!() };
        (list, counts)
    }

    /// Waits until so many have been dialled.
    async fn dialled(&self, reachable: u64, unreachable: u64) {
        let wanted = Tally { reachable, unreachable, ..Tally::default() };
        let wait = async {
            while self.server.dialled_back() != wanted {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let came = tokio::time::timeout(PATIENCE, wait).await;
        assert!(came.is_ok(), "{:?} instead of {wanted:?}", self.server.dialled_back());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_said_to_have_gone_is_dialled_again_and_not_believed_to() {
    let tracker = Tracker::start("127.9.47.1").await;
    let asker = node("/ip4/127.1.47.9/tcp/0").await;
    let (stays, goes) = (node("/ip4/127.1.47.1/tcp/0").await, node("/ip4/127.1.47.2/tcp/0").await);
    for holder in [&stays, &goes] {
        tracker.register(holder, (holder.tcp_port(), 0)).await;
    }
    tracker.dialled(2, 0).await;
    assert_eq!(tracker.found(&asker).await.0.peers.len(), 2);
    // It ends without a word, as a machine does that loses its power.
    goes.stop().await;
    let said = [&stays, &goes].map(|holder| Named(holder.peer_id()));
    let stranger = Named(PeerId::random());
    let said = Request::Unreached(vec![said[0], stranger, said[1]]);
    assert_eq!(tracker.ask(&asker, said.clone()).await, Answer::Noted);
    tracker.dialled(3, 1).await;
    let (list, counts) = tracker.found(&asker).await;
    assert_eq!((list.peers.len(), counts.outside), (1, 1));
    assert_eq!(list.peers[0].peer(), stays.peer_id());
    // However often it is said, nobody is dialled again right away.
    assert_eq!(tracker.ask(&asker, said).await, Answer::Noted);
    let tally = tracker.server.dialled_back();
    assert_eq!((tally.reachable, tally.unreachable, tally.waiting), (3, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_port_is_found_out_and_so_is_its_opening() {
    let tracker = Tracker::start("127.9.41.1").await;
    let (asker, beside) = (node("/ip4/127.1.41.9/tcp/0").await, node("/ip4/127.1.41.1/tcp/0").await);
    let hidden = node("/ip4/127.1.41.1/tcp/0").await;
    // Nobody listens at a port that was just given back.
    let closed = TcpListener::bind("127.1.41.1:0").await.unwrap().local_addr().unwrap().port();
    assert_eq!(tracker.register(&hidden, (closed, 0)).await.reach, Reach::Unknown);
    tracker.dialled(0, 1).await;
    let (list, counts) = tracker.found(&asker).await;
    assert!(list.peers.is_empty() && counts == Counts::default(), "{list:?}");
    // It hears of it, and those behind the same address may still try.
    assert_eq!(tracker.renew(&hidden).await.reach, Reach::Nat);
    let (list, counts) = tracker.found(&beside).await;
    assert_eq!((list.peers.len(), counts.in_group, counts.complete_terminals), (1, 1, 1));

    // The port that it registers now is open.
    tracker.register(&hidden, (hidden.tcp_port(), 0)).await;
    tracker.dialled(1, 1).await;
    assert_eq!(tracker.renew(&hidden).await.reach, Reach::Public);
    let (list, counts) = tracker.found(&asker).await;
    assert_eq!((list.peers.len(), counts.outside), (1, 1));
    // It takes no connection from the tracker's name for a conversation: it can still ask.
    assert_eq!(tracker.found(&hidden).await.1, Counts::default());
    tracker.network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_port_is_dialled_again_when_the_node_registers_again() {
    let tracker = Tracker::start("127.9.42.1").await;
    let asker = node("/ip4/127.1.42.9/tcp/0").await;
    let identity = Keypair::generate_ed25519();
    let start = async |listen: String| {
        let mut config = Config::new(identity.clone());
        config.listen = vec![listen.parse().unwrap()];
        config.neighbours = false;
        Network::start(config).await.unwrap()
    };
    // Somebody else has the port: another identity proves nothing.
    let other = node("/ip4/127.1.42.1/tcp/0").await;
    let port = other.tcp_port();
    let behind = start("/ip4/127.1.42.1/udp/0/quic-v1".into()).await;
    tracker.register(&behind, (port, 0)).await;
    tracker.dialled(0, 1).await;
    assert!(tracker.found(&asker).await.0.peers.is_empty());
    other.stop().await;
    behind.stop().await;

    let open = start(format!("/ip4/127.1.42.1/tcp/{port}")).await;
    let lease = tracker.register(&open, (port, 0)).await;
    assert_eq!(lease.reach, Reach::Nat, "what was proved holds until something else is");
    tracker.dialled(1, 1).await;
    assert_eq!(tracker.found(&asker).await.0.peers.len(), 1);
    // Who is reached isn't dialled again at once.
    tracker.register(&open, (port, 0)).await;
    open.stop().await;
    assert_eq!(tracker.found(&asker).await.0.peers.len(), 1);
    assert_eq!(tracker.server.dialled_back(), Tally { reachable: 1, unreachable: 1, ..Tally::default() });
    tracker.network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_listens_and_says_nothing_is_given_up_and_hears_nothing_but_a_handshake() {
    let tracker = Tracker::start("127.9.43.1").await;
    let (asker, silent) = (node("/ip4/127.1.43.9/tcp/0").await, node("/ip4/127.1.43.1/tcp/0").await);
    let listener = TcpListener::bind("127.1.43.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tracker.register(&silent, (port, 0)).await;
    let (mut stream, from) = listener.accept().await.unwrap();
    assert_eq!(from.ip(), tracker.network.source_for("127.1.43.1".parse().unwrap()).unwrap());
    tracker.dialled(0, 1).await;
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.unwrap();
    assert!(heard.len() < 200, "{} bytes were sent to whoever listens there", heard.len());
    assert!(tracker.found(&asker).await.0.peers.is_empty());
    tracker.network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_tcp_port_is_dialled_by_quic() {
    let tracker = Tracker::start("127.9.44.1").await;
    let asker = node("/ip4/127.1.44.9/tcp/0").await;
    let quic = node("/ip4/127.1.44.1/udp/0/quic-v1").await;
    let other = node("/ip4/127.1.44.1/tcp/0").await;
    tracker.register(&quic, (0, quic.quic_port())).await;
    tracker.dialled(1, 0).await;
    assert_eq!(tracker.renew(&quic).await.reach, Reach::Public);
    // Another's port is another's.
    tracker.register(&other, (0, quic.quic_port())).await;
    tracker.dialled(1, 1).await;
    let peers: Vec<_> = tracker.found(&asker).await.0.peers.iter().map(|peer| peer.peer()).collect();
    assert_eq!(peers, [quic.peer_id()]);
    tracker.network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_dials_back() {
    let state = tempfile::tempdir().unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_nearcast-tracker"))
        .args(["--listen", "/ip4/127.9.45.1/tcp/0", "--state"])
        .arg(state.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(program.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let tracker: Multiaddr = line.trim().strip_prefix("listening on ").unwrap().parse().unwrap();

    let (asker, hidden) = (node("/ip4/127.1.45.9/tcp/0").await, node("/ip4/127.1.45.1/tcp/0").await);
    let closed = TcpListener::bind("127.1.45.1:0").await.unwrap().local_addr().unwrap().port();
    let register = Request::Register(registration((closed, 0)));
    assert!(matches!(hidden.ask(&tracker, &register, PATIENCE).await.unwrap(), Answer::Leased(_)));
    let found_out = async {
        loop {
            let answer = asker.ask(&tracker, &Request::Count(FILM), PATIENCE).await.unwrap();
            if answer == Answer::Counted(Counts::default()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let found_out = tokio::time::timeout(PATIENCE, found_out).await;
    program.kill().unwrap();
    program.wait().unwrap();
    found_out.unwrap();
}
