//! What hostile clients try, over real connections: each is refused or is an error, is counted, and leaves nothing
//! behind; honest ones are answered meanwhile.

#[allow(dead_code)]
#[path = "../../../network/tests/nodes/stranger.rs"]
mod stranger;

use std::{net::IpAddr, time::Duration};

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use nearcast_network::{Config, Keypair, Network};
use nearcast_protocol::{
    Multiaddr, PeerId, ResourceId, Role,
    tracker::{
        Answer, Claim, Find, Holding, MAX_CLAIMS, MAX_HOLDINGS, Medium, PROTOCOL, Reach, Received,
        Registration, Renewal, Request,
    },
    wire::{self, MAX_MESSAGE},
};
use nearcast_tracker::{Extent, GroupTable, Limits, Rules, Server, Swarm};
use stranger::Stranger;
use tokio::task::JoinHandle;

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Tracker {
    network: Network,
    server: Server,
    _answering: JoinHandle<()>,
    address: Multiaddr,
}

impl Tracker {
    async fn start(ip: &str, rules: Rules) -> Self {
        let mut config = config(ip);
        config.serve_tracker = true;
        config.idle = Duration::from_secs(1);
        config.max_connections = 64;
        config.max_connections_per_address = 16;
        let network = Network::start(config).await.unwrap();
        let table = GroupTable::parse("127.1.0.0/16,1,North\n").unwrap();
        let server = Server::new(Swarm::new(rules), table);
        let answering = tokio::spawn(server.clone().run(network.incoming_tracker_calls().unwrap()));
        let address = network.listening()[0].clone().with_p2p(network.peer_id()).unwrap();
        Self { network, server, _answering: answering, address }
    }

    async fn ask(&self, node: &Network, request: &Request) -> Answer {
        node.ask(&self.address, request, PATIENCE).await.unwrap()
    }

    /// One of the numbers an operator sees.
    fn number(&self, name: &str) -> u64 {
        let unheard = self.network.unheard().load(std::sync::atomic::Ordering::Relaxed);
        self.server.metrics().bad_messages(unheard);
        let text = self.server.prometheus();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("nearcast_tracker_{name} ")));
        line.unwrap_or_else(|| panic!("{name} isn't in:\n{text}")).parse().unwrap()
    }

    async fn wait_until(&self, name: &str, least: u64) {
        let reached = async {
            while self.number(name) < least {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, reached).await;
        waited.unwrap_or_else(|_| panic!("{name} is {}, not {least}", self.number(name)));
    }

    /// Nodes, holdings, resources and claims.
    fn extent(&self) -> (usize, usize, usize, usize) {
        let Extent { nodes, holdings, resources, claims, .. } = self.server.extent();
        (nodes, holdings, resources, claims)
    }

    /// Whether someone honest is answered.
    async fn serves(&self, ip: &str) {
        let honest = node(ip).await;
        let count = Request::Count(film(0));
        assert!(matches!(self.ask(&honest, &count).await, Answer::Counted(_)));
    }
}

fn config(ip: &str) -> Config {
    let mut config = Config::new(Keypair::generate_ed25519());
    config.listen = vec![format!("/ip4/{ip}/tcp/0").parse().unwrap()];
    config.neighbours = false;
    config
}

async fn node(ip: &str) -> Network {
    Network::start(config(ip)).await.unwrap()
}

fn film(number: u32) -> ResourceId {
    let mut id = [7; 32];
    id[..4].copy_from_slice(&number.to_be_bytes());
    ResourceId::from_bytes(id)
}

fn registration(films: std::ops::Range<u32>) -> Registration {
    let holding = |number| Holding { resource: film(number), permille: 1000, guard: None };
    Registration {
        version: "hostile/1".into(),
        role: Role::Terminal,
        tcp_port: 4400,
        quic_port: 0,
        reach: Reach::Unknown,
        medium: Medium::Unknown,
        local: Vec::new(),
        holdings: films.map(holding).collect(),
        spare_upload: 0,
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_be_bytes()[..], message].concat()
}

fn refused(answer: Answer, told: &str) -> u32 {
    let Answer::Refused { reason, retry_after_ms } = answer else { panic!("{answer:?}") };
    assert!(reason.contains(told), "{reason}");
    retry_after_ms
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_malformed_and_half_sent_messages() {
    let tracker = Tracker::start("127.9.31.1", Rules::default()).await;
    let (peer, plain) = (tracker.network.peer_id(), tracker.network.listening()[0].clone());
    let mut stranger = Stranger::start("127.1.31.1", Some((peer, plain))).await;
    let good = wire::encode(&Request::Register(registration(0..3)));
    let many = |held: usize| {
        // An array that says it is longer than any list may be.
        let mut message = wire::encode(&Request::Claim(Vec::new()));
        message.pop();
        message.extend_from_slice(&[0x9a]);
        message.extend_from_slice(&(held as u32).to_be_bytes());
        message
    };
    let hostile = [
        ("a length beyond any message", u32::MAX.to_be_bytes().to_vec()),
        ("one byte more than the longest", ((MAX_MESSAGE + 1) as u32).to_be_bytes().to_vec()),
        ("no CBOR", framed(&[0xff; 100])),
        ("nothing", Vec::new()),
        ("an empty message", framed(&[])),
        ("half a length", vec![0, 0]),
        ("a message cut short", framed(&good)[..good.len() / 2].to_vec()),
        ("an unknown kind", framed(&[0x82, 0x18, 0x63, 0x80])),
        ("a list that is too long", framed(&many(MAX_CLAIMS + 1))),
        ("a list of four thousand million", framed(&many(u32::MAX as usize))),
        ("arrays in arrays", framed(&[0x81; 100_000])),
    ];
    for (what, bytes) in &hostile {
        let mut stream = stranger.open(peer, PROTOCOL).await;
        stream.write_all(bytes).await.unwrap();
        stream.close().await.ok();
        let mut answer = Vec::new();
        // An end or an error, and no answer.
        stream.read_to_end(&mut answer).await.ok();
        assert!(answer.is_empty(), "{what} was answered");
    }
    tracker.wait_until("bad_messages_total", hostile.len() as u64).await;
    assert_eq!(tracker.number("bad_messages_total"), hostile.len() as u64);
    assert_eq!(tracker.extent(), (0, 0, 0, 0));
    assert_eq!(tracker.number("requests_total{kind=\"register\"}"), 0);
    // The same connection may still say something sensible.
    let mut stream = stranger.open(peer, PROTOCOL).await;
    stream.write_all(&framed(&good)).await.unwrap();
    stream.close().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(matches!(wire::decode(&answer[4..], MAX_MESSAGE), Ok(Answer::Leased(_))));
    tracker.serves("127.1.31.2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_leave_room_for_others() {
    let tracker = Tracker::start("127.9.32.1", Rules::default()).await;
    let (peer, plain) = (tracker.network.peer_id(), tracker.network.listening()[0].clone());
    let port = tracker.network.tcp_port();
    // Some don't even greet.
    let silent: Vec<_> =
        (0..40).map(|_| std::net::TcpStream::connect(("127.9.32.1", port)).unwrap()).collect();
    // Some open a stream and go quiet in the middle of a length.
    let mut strangers = Vec::new();
    for _ in 0..8 {
        let mut stranger = Stranger::start("127.1.32.1", Some((peer, plain.clone()))).await;
        let mut stream = stranger.open(peer, PROTOCOL).await;
        stream.write_all(&[0]).await.unwrap();
        stream.flush().await.unwrap();
        strangers.push((stranger, stream));
    }
    tracker.serves("127.1.32.2").await;
    // In ten seconds each stream is given up, and counted.
    tracker.wait_until("bad_messages_total", 8).await;
    tracker.serves("127.1.32.3").await;
    assert_eq!(tracker.extent(), (0, 0, 0, 0));
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_lists_again_and_again() {
    const ALL: usize = 4_000;
    let tracker =
        Tracker::start("127.9.33.1", Rules { holdings: ALL, per_node: MAX_HOLDINGS, ..Rules::default() })
            .await;
    let most = MAX_HOLDINGS as u32;
    let hostile = node("127.1.33.1").await;
    for round in 0..20 {
        let register = Request::Register(registration(round * most..(round + 1) * most));
        assert!(matches!(tracker.ask(&hostile, &register).await, Answer::Leased(_)));
        assert_eq!(tracker.extent(), (1, MAX_HOLDINGS, MAX_HOLDINGS, 0), "only the last list stands");
    }
    let holding = |number| Holding { resource: film(1_000_000 + number), permille: 5, guard: None };
    let renewal = Renewal { held: (0..most).map(holding).collect(), ..Renewal::default() };
    for _ in 0..20 {
        assert!(matches!(tracker.ask(&hostile, &Request::Renew(renewal.clone())).await, Answer::Leased(_)));
    }
    assert_eq!(tracker.extent().1, MAX_HOLDINGS, "a node holds so much and no more");
    for other in 0..6 {
        let other = node(&format!("127.1.33.{}", other + 2)).await;
        tracker.ask(&other, &Request::Register(registration(0..most))).await;
    }
    assert!(tracker.extent().1 <= ALL, "{:?}", tracker.extent());
    let honest = node("127.1.33.9").await;
    let find = Request::Find(Find { resource: film(0), token: None, stalled: false });
    assert!(matches!(tracker.ask(&honest, &find).await, Answer::Found(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_of_others_urls_push_nobody_out() {
    let tracker = Tracker::start("127.9.34.1", Rules::default()).await;
    let url = String::from("https://films.example/v/1");
    let claim = |link: &str| Request::Claim(vec![Claim { url: url.clone(), link: link.into() }]);
    let publish = Registration { role: Role::Publisher, ..registration(0..1) };
    let (owner, viewer) = (node("127.1.34.1").await, node("127.1.34.2").await);
    tracker.ask(&owner, &Request::Register(publish.clone())).await;
    assert_eq!(tracker.ask(&owner, &claim("nearcast://true")).await, Answer::Claimed);
    tracker.ask(&viewer, &Request::Register(registration(0..1))).await;
    refused(tracker.ask(&viewer, &claim("nearcast://false")).await, "only a registered publisher");
    assert_eq!(tracker.number("refusals_total{reason=\"no_publisher\"}"), 1);
    // A crowd of publishers, as identities cost nothing; straight at the server, which is what they'd reach.
    for number in 0..200u32 {
        let (peer, ip) =
            (PeerId::random(), IpAddr::from([127, 2, (number / 100) as u8, (number % 100) as u8]));
        tracker.server.answer(peer, ip, &Request::Register(publish.clone()));
        tracker.server.answer(peer, ip, &claim(&format!("nearcast://false{number}")));
    }
    assert!(tracker.extent().3 <= 2 * MAX_CLAIMS, "{:?}", tracker.extent());
    let Answer::Resolved(links) = tracker.ask(&viewer, &Request::Resolve { url }).await else { panic!() };
    assert_eq!((links.len(), links[0].0.as_str()), (MAX_CLAIMS, "nearcast://true"));
    for (url, link) in
        [("javascript:alert(1)", "nearcast://a"), ("https://a.example/", "https://evil.example/")]
    {
        let nonsense = vec![Claim { url: url.into(), link: link.into() }; MAX_CLAIMS];
        tracker.ask(&owner, &Request::Claim(nonsense)).await;
    }
    assert!(tracker.extent().3 <= 2 * MAX_CLAIMS);
}

#[tokio::test(flavor = "multi_thread")]
async fn absurd_reports_prove_nothing() {
    let tracker = Tracker::start("127.9.35.1", Rules::default()).await;
    let hostile = node("127.1.35.1").await;
    tracker.ask(&hostile, &Request::Register(registration(0..1))).await;
    for absurd in [
        Received { own_group: u64::MAX, other_groups: u64::MAX, publishers: u64::MAX },
        Received { own_group: 0, other_groups: 0, publishers: 1 << 60 },
        Received { own_group: u64::MAX - 1, other_groups: 5, publishers: 0 },
    ] {
        let renewal = Request::Renew(Renewal { received: absurd, ..Renewal::default() });
        assert!(matches!(tracker.ask(&hostile, &renewal).await, Answer::Leased(_)));
    }
    assert_eq!(tracker.number("refusals_total{reason=\"report\"}"), 3);
    assert!(tracker.server.received().values().all(|(_, sum)| sum.all() == 0));
    // Registering anew doesn't give the time since the last report twice.
    let line = 1_250_000_000;
    let full = Received { own_group: line, ..Received::default() };
    for _ in 0..30 {
        tracker.ask(&hostile, &Request::Register(registration(0..1))).await;
        let renewal = Request::Renew(Renewal { received: full, ..Renewal::default() });
        tracker.ask(&hostile, &renewal).await;
    }
    // A second's worth each at most for what is rounded; this is where a tighter bound would have to begin.
    let proved: u64 = tracker.server.received().values().map(|(_, sum)| sum.all()).sum();
    assert!(proved <= 31 * line, "{proved}");
}

#[tokio::test(flavor = "multi_thread")]
async fn absurd_addresses_are_handed_to_nobody() {
    let tracker = Tracker::start("127.9.36.1", Rules::default()).await;
    let (hostile, beside, far) =
        (node("127.1.36.1").await, node("127.1.36.1").await, node("127.1.36.2").await);
    let local = [
        "/ip4/198.51.100.7/tcp/80",
        "/dns4/victim.example/tcp/443",
        "/ip4/192.168.1.9/udp/53",
        "/ip6/2001:db8::1/tcp/1",
        "/ip4/10.0.0.1/tcp/0",
        "/unix/etc",
    ];
    let local = local.iter().filter_map(|address| address.parse().ok()).collect();
    let register = Registration { local, ..registration(0..1) };
    tracker.ask(&hostile, &Request::Register(register)).await;
    let find = Request::Find(Find { resource: film(0), token: None, stalled: false });
    for asker in [&beside, &far] {
        let Answer::Found(list) = tracker.ask(asker, &find).await else { panic!() };
        let told: Vec<_> = list.peers.iter().flat_map(|peer| &peer.address.addresses).collect();
        let observed: Multiaddr = "/ip4/127.1.36.1/tcp/4400".parse().unwrap();
        assert_eq!(told, [&observed]);
    }
    // Without a port there is nobody to dial, and nothing held.
    let nowhere = Registration { tcp_port: 0, quic_port: 0, ..registration(0..5) };
    tracker.ask(&hostile, &Request::Register(nowhere)).await;
    assert_eq!(tracker.extent(), (1, 0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_through_a_list_of_films_is_stopped() {
    let tracker = Tracker::start("127.9.37.1", Rules::default()).await;
    tracker.server.set_limits(Limits { distinct: 10, ..Limits::default() });
    let (hostile, viewer) = (node("127.1.37.1").await, node("127.1.37.2").await);
    let find = |number| Request::Find(Find { resource: film(number), token: None, stalled: false });
    for number in 0..10 {
        assert!(matches!(tracker.ask(&hostile, &find(number)).await, Answer::Found(_)));
    }
    let wait = refused(tracker.ask(&hostile, &find(10)).await, "too many different films");
    assert!((1..=6_000).contains(&wait), "{wait}");
    refused(tracker.ask(&hostile, &Request::Count(film(11))).await, "too many different films");
    assert_eq!(tracker.number("refusals_total{reason=\"distinct\"}"), 2);
    // What it asked for before, and what it holds, it may ask for.
    assert!(matches!(tracker.ask(&hostile, &find(9)).await, Answer::Found(_)));
    tracker.ask(&hostile, &Request::Register(registration(20..40))).await;
    for number in 20..40 {
        assert!(matches!(tracker.ask(&hostile, &Request::Count(film(number))).await, Answer::Counted(_)));
    }
    assert!(matches!(tracker.ask(&viewer, &find(10)).await, Answer::Found(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_network_s_identities_fill_neither_the_memory_nor_the_buckets() {
    let tracker = Tracker::start("127.9.38.1", Rules { per_prefix: 50, ..Rules::default() }).await;
    let register = Request::Register(registration(0..1));
    let mut told = 0;
    for number in 0..500u32 {
        let ip = IpAddr::from([127, 1, 38, (number % 250) as u8]);
        if let Answer::Refused { .. } = tracker.server.answer(PeerId::random(), ip, &register) {
            told += 1;
        }
    }
    assert_eq!((tracker.extent().0, told), (50, 450));
    assert_eq!(tracker.number("refusals_total{reason=\"prefix\"}"), 450);
    let elsewhere = node("127.1.39.1").await;
    assert!(matches!(tracker.ask(&elsewhere, &register).await, Answer::Leased(_)));
    // And a flood from one address is slowed, however many identities it has.
    let flooded = (0..2_000).filter(|_| {
        let answer = tracker.server.answer(PeerId::random(), [127, 1, 40, 1].into(), &Request::Withdraw);
        matches!(answer, Answer::Refused { .. })
    });
    assert!(flooded.count() > 1_000);
    assert!(tracker.number("refusals_total{reason=\"pace\"}") > 1_000);
}
