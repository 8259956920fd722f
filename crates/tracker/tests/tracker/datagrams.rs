//! Renewals by datagram, over real sockets.

use std::time::Duration;

use nearcast_network::{Dialler, Keypair};
use nearcast_protocol::{
    ResourceId, Role,
    renewal::{Answer as Renewed, Key, Outcome, RENEWAL, Renewal, Ticket, node_key},
    tracker::{Answer, Holding, Lease, Medium, Reach, Received, Registration, Renewal as Renew, Request},
};
use nearcast_tracker::{GroupTable, Rules, Server, Swarm};
use tokio::{net::UdpSocket, task::JoinHandle, time::timeout};

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const FILM: ResourceId = ResourceId::from_bytes([9; 32]);
const HOME: &str = "127.1.0.1";

struct World {
    server: Server,
    socket: UdpSocket,
    peer: nearcast_protocol::PeerId,
    serving: JoinHandle<std::io::Result<()>>,
}

impl World {
    async fn new() -> Self {
        let server =
            Server::new(Swarm::new(Rules::default()), GroupTable::parse("127.1.0.0/16,1\n").unwrap());
        let at = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = at.local_addr().unwrap();
        server.give_tickets([3; 32], std::slice::from_ref(&at));
        let serving = tokio::spawn(server.clone().renew_by_datagram(at, [3; 32]));
        let socket = UdpSocket::bind((HOME, 0)).await.unwrap();
        socket.connect(to).await.unwrap();
        let peer = Keypair::generate_ed25519().public().to_peer_id();
        Self { server, socket, peer, serving }
    }

    fn register(&self) -> Lease {
        let registration = Registration {
            version: "test/1".into(),
            role: Role::Terminal,
            tcp_port: 4400,
            quic_port: 0,
            reach: Reach::Unknown,
            medium: Medium::Unknown,
            local: Vec::new(),
            holdings: vec![Holding { resource: FILM, permille: 1000, guard: None }],
            spare_upload: 0,
        };
        let answer = self.server.answer(self.peer, HOME.parse().unwrap(), &Request::Register(registration));
        let Answer::Leased(lease) = answer else { panic!("{answer:?}") };
        lease
    }

    fn renewal(&self, mark: u32, own_group: u64) -> Renewal {
        let received = Received { own_group, ..Received::default() };
        Renewal { node: node_key(&self.peer).unwrap(), mark, spare_upload: 5, received }
    }

    async fn send(&self, datagram: &[u8; RENEWAL], key: &Key) -> Renewed {
        self.socket.send(datagram).await.unwrap();
        let mut room = [0; 100];
        let len = timeout(PATIENCE, self.socket.recv(&mut room)).await.unwrap().unwrap();
        Renewed::open(&room[..len], key, datagram).unwrap()
    }

    /// Renews until it counts: within the second of the last renewal none does.
    async fn renew(&self, ticket: &Ticket, mark: u32, own_group: u64) -> (Renewed, [u8; RENEWAL]) {
        let datagram = self.renewal(mark, own_group).seal(&ticket.key);
        let count = async {
            loop {
                let answer = self.send(&datagram, &ticket.key).await;
                if answer.outcome == Outcome::Renewed {
                    return answer;
                }
                assert_eq!((answer.outcome, answer.mark), (Outcome::OtherMark, mark));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        (timeout(PATIENCE, count).await.unwrap(), datagram)
    }

    fn reported(&self) -> u64 {
        self.server.received().values().map(|(_, received)| received.own_group).sum()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_renewed_and_a_report_counts_once() {
    let world = World::new().await;
    let lease = world.register();
    let ticket = lease.ticket.unwrap();
    let (answer, datagram) = world.renew(&ticket, ticket.mark, 1000).await;
    assert!(answer.mark != ticket.mark && answer.lease_ms > 100_000);
    assert_eq!(world.reported(), 1000);
    // Its answer may have been lost, so the node sends it again; or a listener does.
    let again = world.send(&datagram, &ticket.key).await;
    assert_eq!((again.outcome, again.mark), (Outcome::OtherMark, answer.mark));
    assert!(again.lease_ms > 100_000, "the lease it has is told");
    assert_eq!(world.reported(), 1000);
    let (_, _) = world.renew(&ticket, answer.mark, 500).await;
    assert_eq!(world.reported(), 1500);

    world.server.answer(world.peer, HOME.parse().unwrap(), &Request::Withdraw);
    let gone = world.send(&datagram, &ticket.key).await;
    assert_eq!((gone.outcome, gone.lease_ms), (Outcome::Unknown, 0));
    world.serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_sealed_rightly_gets_no_answer() {
    let world = World::new().await;
    let ticket = world.register().ticket.unwrap();
    let good = world.renewal(ticket.mark, 7).seal(&ticket.key);
    let mut changed = good;
    changed[50] ^= 1;
    let garbage = vec![0xff; 1400];
    let elsewhere = UdpSocket::bind("127.1.0.2:0").await.unwrap();
    elsewhere.send_to(&good, world.socket.peer_addr().unwrap()).await.unwrap();
    for bad in [&changed[..], &good[..RENEWAL - 1], &garbage, &[]] {
        world.socket.send(bad).await.unwrap();
    }
    // One that is answered comes after them all.
    let answer = world.send(&good, &ticket.key).await;
    assert!(answer.outcome != Outcome::Unknown);
    let counted = async {
        while world.server.metrics().datagrams_counted().bad < 5 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, counted).await.unwrap();
    assert_eq!(world.server.metrics().datagrams_counted().bad, 5);
    assert!(elsewhere.try_recv(&mut [0; 100]).is_err(), "what was meant for another address");
    world.serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_can_t_be_dialled_hears_of_it_over_a_connection() {
    let world = World::new().await;
    let dialling = tokio::spawn(world.server.dial_back(Dialler::new(&[]).unwrap()));
    let ticket = world.register().ticket.unwrap();
    let found_out = async {
        while world.server.dialled_back().unreachable == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, found_out).await.unwrap();
    let answer = world.send(&world.renewal(ticket.mark, 10).seal(&ticket.key), &ticket.key).await;
    assert_eq!((answer.outcome, world.reported()), (Outcome::Unknown, 0));
    let renew = Request::Renew(Renew::default());
    let answer = world.server.answer(world.peer, HOME.parse().unwrap(), &renew);
    let Answer::Leased(lease) = answer else { panic!("{answer:?}") };
    assert_eq!(lease.reach, Reach::Nat);
    // From then on datagrams do again.
    let ticket = lease.ticket.unwrap();
    world.renew(&ticket, ticket.mark, 10).await;
    assert_eq!(world.reported(), 10);
    dialling.abort();
    world.serving.abort();
}
