//! What an operator relies on: numbers, health, restarts, lists and settings that change.

use std::{
    fs,
    net::SocketAddr,
    os::unix::net::UnixDatagram,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use nearcast_network::{Config, Keypair, Network};
use nearcast_protocol::{
    Multiaddr, ResourceId, Role,
    tracker::{
        Answer, Find, Holding, Medium, PeerList, Reach, Received, Registration, Renewal, Request, Rule,
    },
};

use crate::running::{self, PATIENCE, Running, get, number};

const FILM: ResourceId = ResourceId::from_bytes([9; 32]);

async fn node(ip: &str) -> Network {
    let mut config = Config::new(Keypair::generate_ed25519());
    config.listen = vec![format!("/ip4/{ip}/tcp/0").parse().unwrap()];
    config.neighbours = false;
    Network::start(config).await.unwrap()
}

fn register(films: &[ResourceId]) -> Request {
    let holding = |film: &ResourceId| Holding { resource: *film, permille: 1000, guard: None };
    Request::Register(Registration {
        version: "test/1".into(),
        role: Role::Terminal,
        tcp_port: 4400,
        quic_port: 0,
        reach: Reach::Unknown,
        medium: Medium::Unknown,
        local: Vec::new(),
        holdings: films.iter().map(holding).collect(),
        spare_upload: 0,
    })
}

async fn ask(node: &Network, tracker: &Multiaddr, request: &Request) -> Answer {
    node.ask(tracker, request, PATIENCE).await.unwrap()
}

async fn find(node: &Network, tracker: &Multiaddr) -> PeerList {
    let find = Request::Find(Find { resource: FILM, token: None, stalled: false });
    let Answer::Found(list) = ask(node, tracker, &find).await else { panic!() };
    list
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.at(name), text).unwrap();
        self.at(name)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_numbers_tell_what_happened() {
    let place = Place::new();
    let table = place.write("networks.csv", "127.1.0.0/16,1,North\n127.2.0.0/16,2,South\n");
    let tracker = Running::start(&[
        "--listen",
        "/ip4/127.9.5.1/tcp/0",
        "--status",
        "127.9.5.1:0",
        "--groups",
        &table,
        "--state",
        &place.at("s"),
    ]);
    let address = tracker.address();
    let site = tracker.site();
    let (head, body) = get(site, "/healthz");
    assert!(head.contains(" 200 ") && body == "ok\n", "{head}\n{body}");
    let (near, far) = (node("127.1.5.1").await, node("127.2.5.1").await);
    let asker = node("127.1.5.2").await;
    for one in [&near, &far, &asker] {
        assert!(matches!(ask(one, &address, &register(&[FILM])).await, Answer::Leased(_)));
    }
    let list = find(&asker, &address).await;
    assert_eq!((list.rule, list.peers.len()), (Rule::ToppedUp, 2));
    let received = Received { own_group: 700, other_groups: 20, publishers: 3 };
    let renewal = Request::Renew(Renewal { received, ..Renewal::default() });
    assert!(matches!(ask(&asker, &address, &renewal).await, Answer::Leased(_)));
    for (name, expected) in [
        ("requests_total{kind=\"register\"}", 3),
        ("requests_total{kind=\"renew\"}", 1),
        ("lists_total{rule=\"topped_up\"}", 1),
        ("listed_peers_total{network=\"own\"}", 1),
        ("listed_peers_total{network=\"other\"}", 1),
        ("received_bytes_total{from=\"own_group\"}", 700),
        ("network_received_bytes_total{group=\"1\",name=\"North\",from=\"publishers\"}", 3),
        ("nodes", 3),
        ("holdings", 3),
        ("resources", 1),
        ("table_prefixes", 2),
        ("answer_duration_seconds_count", 5),
        ("bad_messages_total", 0),
    ] {
        assert_eq!(number(site, name), expected, "{name}");
    }
    assert!(number(site, "resident_memory_bytes") > 1_000_000);
    let (head, _) = get(site, "/metrics");
    assert!(head.contains("openmetrics-text") && head.contains("default-src 'none'"), "{head}");
    assert!(get(site, "/nothing").0.contains(" 404 "));
}

/// Registers new nodes until the tracker is gone; says how many it took in.
async fn register_on(
    tracker: Multiaddr,
    gone: Arc<AtomicBool>,
    first: Arc<tokio::sync::Semaphore>,
) -> Vec<Network> {
    let mut taken_in = Vec::new();
    while !gone.load(Ordering::Relaxed) {
        let node = node("127.1.6.1").await;
        // It may be killed before it answers.
        if let Ok(Answer::Leased(_)) = node.ask(&tracker, &register(&[FILM]), Duration::from_secs(2)).await {
            taken_in.push(node);
            first.add_permits(1);
        }
    }
    taken_in
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_registrations_it_remembers_the_swarms() {
    let place = Place::new();
    let table = place.write("networks.csv", "127.1.0.0/16,1,North\n");
    let listen = "/ip4/127.9.6.1/tcp/44960";
    let arguments = [
        "--listen",
        listen,
        "--status",
        "127.9.6.1:44961",
        "--groups",
        &table,
        "--state",
        &place.at("s"),
        "--snapshot",
        "1",
    ];
    let log = [("RUST_LOG", "nearcast_tracker=debug")];
    let mut tracker = Running::with(&arguments, &log);
    let (address, site) = (tracker.address(), tracker.site());
    let received = Received { own_group: 700, other_groups: 20, publishers: 3 };
    let gone = Arc::new(AtomicBool::new(false));
    let some = Arc::new(tokio::sync::Semaphore::new(0));
    let registering = tokio::spawn(register_on(address.clone(), gone.clone(), some.clone()));
    some.acquire_many(5).await.unwrap().forget();
    let reporter = node("127.1.6.2").await;
    assert!(matches!(ask(&reporter, &address, &register(&[FILM])).await, Answer::Leased(_)));
    let renewal = Request::Renew(Renewal { received, ..Renewal::default() });
    assert!(matches!(ask(&reporter, &address, &renewal).await, Answer::Leased(_)));
    // One that may have begun before, and one that has everyone above.
    let before = number(site, "nodes");
    let saves = number(site, "snapshots_total{outcome=\"saved\"}");
    tokio::task::spawn_blocking({
        move || {
            while number(site, "snapshots_total{outcome=\"saved\"}") < saves + 2 {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    })
    .await
    .unwrap();
    tracker.signal("-KILL");
    tracker.child.wait().unwrap();
    gone.store(true, Ordering::Relaxed);
    let nodes = registering.await.unwrap();

    let again = Running::with(&arguments, &log);
    again.wait_for_both("what was saved is remembered again", "status page at ");
    assert!(number(site, "nodes") >= before && before >= 6);
    let list = find(&node("127.1.6.3").await, &address).await;
    assert!(list.counts.in_group as u64 >= before, "{:?}", list.counts);
    for node in nodes.iter().take(5).chain([&reporter]) {
        let renewal = Request::Renew(Renewal::default());
        assert!(matches!(ask(node, &address, &renewal).await, Answer::Leased(_)), "its lease goes on");
    }
    assert_eq!(number(site, "received_bytes_total{from=\"own_group\"}"), 700);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_just_come_is_saved_long_before_its_time() {
    let place = Place::new();
    let (state, site) = (place.at("s"), "127.9.6.2:44965");
    let arguments = ["--listen", "/ip4/127.9.6.2/tcp/44964", "--status", site, "--state", &state];
    let mut tracker = Running::start(&arguments);
    let (address, site) = (tracker.address(), tracker.site());
    let one = node("127.1.6.9").await;
    assert!(matches!(ask(&one, &address, &register(&[FILM])).await, Answer::Leased(_)));
    // Nobody comes after it, and its lease is renewed in minutes.
    let saved = move || {
        while number(site, "snapshots_total{outcome=\"saved\"}") < 1 {
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    tokio::task::spawn_blocking(saved).await.unwrap();
    tracker.signal("-KILL");
    tracker.child.wait().unwrap();
    let again = Running::start(&arguments);
    again.wait_for_both("is remembered again nodes=1 holdings=1", "status page at ");
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_it_saves_and_ends_within_seconds() {
    let place = Place::new();
    let arguments = ["--listen", "/ip4/127.9.7.1/tcp/44970", "--state", &place.at("s")];
    let mut tracker = Running::start(&arguments);
    let address = tracker.address();
    let one = node("127.1.7.1").await;
    assert!(matches!(ask(&one, &address, &register(&[FILM])).await, Answer::Leased(_)));
    tracker.signal("-TERM");
    assert_eq!(tracker.child.wait().unwrap().code(), Some(0));
    let tracker = Running::start(&arguments);
    tracker.wait_for_both("is remembered again nodes=1 holdings=1", "listening on ");
    assert!(matches!(ask(&one, &address, &Request::Renew(Renewal::default())).await, Answer::Leased(_)));
    // With nothing to save, nothing is.
    let none = ["--listen", "/ip4/127.9.7.2/tcp/0", "--state", &place.at("t"), "--snapshot", "0"];
    let mut tracker = Running::start(&none);
    tracker.address();
    tracker.signal("-TERM");
    assert_eq!(tracker.child.wait().unwrap().code(), Some(0));
    assert!(!Path::new(&place.at("t")).join("snapshot").exists());
}

#[test]
fn a_damaged_snapshot_is_put_aside() {
    let place = Place::new();
    let state = Path::new(&place.at("s")).to_owned();
    fs::create_dir_all(&state).unwrap();
    fs::write(state.join("snapshot"), "nearcast-tracker\n\0\x01 and then nonsense").unwrap();
    let tracker = Running::start(&["--listen", "/ip4/127.9.8.1/tcp/0", "--state", state.to_str().unwrap()]);
    tracker.wait_for_both("damaged or cut short; it is", "listening on ");
    assert!(state.join("snapshot.damaged").exists() && !state.join("snapshot").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_denied_while_registered_is_forgotten_and_a_bad_line_changes_nothing() {
    let place = Place::new();
    let (deny, listed) =
        (place.write("deny.txt", "# nobody yet\n"), place.write("films.txt", &format!("{FILM}\n")));
    let tracker = Running::start(&[
        "--listen",
        "/ip4/127.9.9.1/tcp/0",
        "--state",
        &place.at("s"),
        "--deny",
        &deny,
        "--listed",
        &listed,
        "--status",
        "127.9.9.1:0",
    ]);
    let (address, site) = (tracker.address(), tracker.site());
    let (bad, good) = (node("127.1.9.1").await, node("127.1.9.2").await);
    for one in [&bad, &good] {
        assert!(matches!(ask(one, &address, &register(&[FILM])).await, Answer::Leased(_)));
    }
    let other = ResourceId::from_bytes([8; 32]);
    let Answer::Refused { reason, .. } = ask(&good, &address, &Request::Count(other)).await else { panic!() };
    assert!(reason.contains("isn't on its list"), "{reason}");
    place.write("deny.txt", &format!("# one\n{}\nhim too\n", bad.peer_id()));
    let line = tracker.wait_for("the lists stay as they were");
    assert!(line.contains("deny.txt") && line.contains("line 3: \"him too\""), "{line}");
    assert_eq!(number(site, "nodes"), 2);
    place.write("deny.txt", &format!("# one\n{}\n", bad.peer_id()));
    let line = tracker.wait_for("the lists were read anew");
    assert!(line.contains("nodes_forgotten=1"), "{line}");
    assert_eq!((number(site, "nodes"), number(site, "holdings")), (1, 1));
    let Answer::Refused { reason, .. } = ask(&bad, &address, &register(&[FILM])).await else { panic!() };
    assert!(reason.contains("doesn't serve you"), "{reason}");
    assert_eq!(find(&good, &address).await.counts.outside, 0);
    assert_eq!(number(site, "reloads_total{what=\"lists\",outcome=\"refused\"}"), 1);
    place.write("films.txt", &format!("{other}\n"));
    tracker.signal("-HUP");
    assert!(tracker.wait_for("the lists were read anew").contains("holdings_forgotten=1"));
    assert_eq!((number(site, "nodes"), number(site, "holdings")), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_read_anew_and_what_needs_a_restart_is_told() {
    let place = Place::new();
    let state = place.at("s");
    let settings = |more: &str| format!("listen = [\"/ip4/127.9.10.1/tcp/0\"]\nstate = {state:?}\n{more}");
    let path = place.write("tracker.toml", &settings("low = 1\nhigh = 1\n"));
    let tracker = Running::start(&["--config", &path]);
    let address = tracker.address();
    let (one, other, asker) = (node("127.1.10.1").await, node("127.1.10.2").await, node("127.1.10.3").await);
    for holder in [&one, &other] {
        assert!(matches!(ask(holder, &address, &register(&[FILM])).await, Answer::Leased(_)));
    }
    assert_eq!(find(&asker, &address).await.peers.len(), 1);
    place.write("tracker.toml", &settings("low = 1\nhihg = 2\n"));
    tracker.signal("-HUP");
    let line = tracker.wait_for("the settings stay as they were");
    assert!(line.contains("line 4") && line.contains("did you mean \"high\"?"), "{line}");
    assert_eq!(find(&asker, &address).await.peers.len(), 1);
    place.write("tracker.toml", &settings("low = 1\nhigh = 2\nconnections = 9\nburst = 7\n"));
    tracker.signal("-HUP");
    tracker.wait_for("the settings were read anew");
    let line = tracker.wait_for("only a restart");
    assert!(line.ends_with("connections"), "{line}");
    assert_eq!(find(&asker, &address).await.peers.len(), 2);
}

/// What a service manager would hear.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn hears(&self, wanted: &str) -> String {
        let mut bytes = [0; 4096];
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let length = self.socket.recv(&mut bytes).unwrap();
            let told = String::from_utf8(bytes[..length].to_vec()).unwrap();
            if told.contains(wanted) {
                return told;
            }
            assert!(told.contains("WATCHDOG=1"), "{told} came before {wanted}");
        }
        panic!("{wanted} was never told");
    }
}

#[test]
fn the_service_manager_is_told() {
    let place = Place::new();
    let socket = UnixDatagram::bind(place.at("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let manager = Manager { socket };
    let environment = [("NOTIFY_SOCKET", place.at("notify")), ("WATCHDOG_USEC", "100000".to_owned())];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut tracker =
        Running::with(&["--listen", "/ip4/127.9.11.1/tcp/0", "--state", &place.at("s")], &environment);
    manager.hears("READY=1");
    tracker.address();
    manager.hears("WATCHDOG=1");
    manager.hears("WATCHDOG=1");
    tracker.signal("-HUP");
    assert!(manager.hears("RELOADING=1").contains("MONOTONIC_USEC="));
    manager.hears("READY=1");
    tracker.signal("-TERM");
    manager.hears("STOPPING=1");
    assert_eq!(tracker.child.wait().unwrap().code(), Some(0));
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.9.12.1:0").unwrap();
    let address: SocketAddr = taken.local_addr().unwrap();
    let place = Place::new();
    let mut tracker = Running::start(&[
        "--listen",
        "/ip4/127.9.12.1/tcp/0",
        "--state",
        &place.at("s"),
        "--status",
        &address.to_string(),
    ]);
    let line = tracker.wait_for("can't serve the status page");
    assert!(line.contains(&address.to_string()) && line.contains("--status"), "{line}");
    assert_eq!(tracker.child.wait().unwrap().code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_page_shows_no_more_than_the_first_fifty_and_nothing_foreign() {
    let place = Place::new();
    // A name is the operator's, and still no markup.
    let table = place.write("networks.csv", "127.1.0.0/16,1,<b>North</b>\n");
    let tracker = Running::start(&[
        "--listen",
        "/ip4/127.9.13.1/tcp/0",
        "--status",
        "127.9.13.1:0",
        "--groups",
        &table,
        "--state",
        &place.at("s"),
    ]);
    let (address, site) = (tracker.address(), tracker.site());
    let (_, body) = get(site, "/");
    assert!(
        body.contains("No node has registered yet") && body.contains("Nobody holds anything yet"),
        "{body}"
    );
    let one = node("127.1.13.1").await;
    let films: Vec<_> = (0..60).map(|film| ResourceId::from_bytes([film; 32])).collect();
    assert!(matches!(ask(&one, &address, &register(&films)).await, Answer::Leased(_)));
    let received = Received { own_group: 750, other_groups: 200, publishers: 50 };
    let renewal = Request::Renew(Renewal { received, ..Renewal::default() });
    assert!(matches!(ask(&one, &address, &renewal).await, Answer::Leased(_)));
    // A look is a few seconds old at most: wait for one that has the report.
    let until = Instant::now() + PATIENCE;
    let (head, body) = loop {
        let page = running::get_with(site, "/", "Accept-Language: zh-CN\r\n");
        if page.1.contains("75.0") || Instant::now() > until {
            break page;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(
        body.contains("<html lang=\"zh\">") && body.contains("网内流量") && body.contains("75.0"),
        "{body}"
    );
    assert_eq!(body.matches("<td class=\"id\"").count(), 50);
    assert!(body.contains("&lt;b&gt;North&lt;/b&gt;") && !body.contains("<b>"));
    for told in ["default-src 'none'", "script-src 'self'", "no-store", "nosniff"] {
        assert!(head.contains(told), "{told}: {head}");
    }
    // Nothing that the policy would forbid, and nothing from elsewhere.
    assert!(!body.contains("style=") && !body.contains("http://") && !body.contains("https://"));
    assert!(body.contains("<noscript><meta http-equiv=\"refresh\""));
    let (_, part) = get(site, "/part?lang=en");
    assert!(part.contains("Kept inside") && !part.contains("<html"), "{part}");
    for (path, kind) in [("/page.css", "text/css"), ("/page.js", "text/javascript")] {
        assert!(get(site, path).0.contains(kind));
    }
}
