//! What was given, to which network, and how fast: a publisher and its viewers on loopback, with a tracker.

use std::{fs, path::Path, sync::Arc, time::Duration};

use nearcast_network::{Config, Keypair, Network};
use nearcast_protocol::{Group, Multiaddr, Role};
use nearcast_publisher::library::{Given, Library, Settings};
use nearcast_tracker::{GroupTable, Rules, Server, Swarm};
use nearcast_transfer::{Controller, Fetch, Keep};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::starting;

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(120);
const FILM: usize = 3_000_000;

async fn tracker() -> (Network, Multiaddr, JoinHandle<()>) {
    let mut config = Config::new(Keypair::generate_ed25519());
    config.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
    (config.neighbours, config.serve_tracker) = (false, true);
    let network = Network::start(config).await.unwrap();
    let table = GroupTable::parse("127.1.0.0/16,1,North\n127.2.0.0/16,2,South\n").unwrap();
    let server = Server::new(Swarm::new(Rules::default()), table);
    let answering = tokio::spawn(server.run(network.incoming_tracker_calls().unwrap()));
    let address = network.listening()[0].clone().with_p2p(network.peer_id()).unwrap();
    (network, address, answering)
}

fn settings(folder: &Path, ip: &str, tracker: &Multiaddr) -> nearcast_transfer::Settings {
    let mut settings = nearcast_transfer::Settings::new(folder);
    settings.listen = vec![format!("/ip4/{ip}/tcp/0").parse().unwrap()];
    settings.trackers = vec![tracker.clone()];
    settings.neighbours = false;
    settings
}

struct Publisher {
    library: Library,
    controller: Controller,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Publisher {
    async fn start(films: &Path, state: &Path, tracker: &Multiaddr, each: Option<u64>) -> Self {
        let mut settings = settings(state, "127.3.0.1", tracker);
        (settings.role, settings.only_offered, settings.upload_each) = (Role::Publisher, true, each);
        settings.load.ask_every = Duration::from_secs(1);
        let controller = starting::start(settings).await;
        let mut settings = Settings::new(films, state);
        settings.pictures = false;
        let (library, following) = Library::open(settings, controller.clone()).unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(following.run(stop.clone()));
        let mut changes = library.watch();
        changes.wait_for(|now| now.titles.len() == 1).await.unwrap();
        Self { library, controller, stop, task }
    }

    async fn given(&self, wanted: impl Fn(&Given) -> bool) -> Arc<Given> {
        let waiting = async {
            loop {
                let given = self.library.given();
                if wanted(&given) {
                    return given;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        waited.unwrap_or_else(|_| panic!("it never came to that: {:#?}", self.library.given()))
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
        self.controller.stop().await;
    }
}

fn film(path: &Path) {
    let bytes: Vec<u8> = (0..FILM as u64 / 8 + 1)
        .flat_map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .take(FILM)
        .collect();
    fs::write(path, bytes).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(100)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_is_booked_by_network_and_outlives_a_restart() {
    let (films, state, viewer) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    film(&films.path().join("film.mp4"));
    let (network, tracker, answering) = tracker().await;
    let publisher = Publisher::start(films.path(), state.path(), &tracker, None).await;
    let link = publisher.library.snapshot().titles[0].films[0].link.clone();
    let terminal = Controller::start(settings(viewer.path(), "127.1.0.1", &tracker)).await.unwrap();
    let transfer = terminal.open(&link, Keep::Disk, Fetch::Whole).await.unwrap();
    tokio::time::timeout(PATIENCE, transfer.finished()).await.unwrap().unwrap();

    let size = FILM as u64;
    let given = publisher.given(|given| given.bytes() >= size && given.networks().len() == 1).await;
    // With the proofs, which are less than a hundredth.
    assert!((size..size + size / 50).contains(&given.bytes()), "{given:?}");
    assert_eq!(given.networks().keys().collect::<Vec<_>>(), [&Group(1)]);
    assert_eq!(given.saved(), 0, "one copy given, one copy held");
    publisher.stop().await;

    let publisher = Publisher::start(films.path(), state.path(), &tracker, None).await;
    let again = publisher.given(|given| given.bytes() > 0).await;
    assert_eq!(again.networks(), given.networks());
    publisher.stop().await;
    terminal.stop().await;
    network.stop().await;
    answering.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_has_a_limit_of_its_own_and_it_can_be_lifted() {
    let (films, state, viewer) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    film(&films.path().join("film.mp4"));
    let (network, tracker, answering) = tracker().await;
    let publisher = Publisher::start(films.path(), state.path(), &tracker, Some(20_000)).await;
    let link = publisher.library.snapshot().titles[0].films[0].link.clone();
    let terminal = Controller::start(settings(viewer.path(), "127.2.0.1", &tracker)).await.unwrap();
    let transfer = terminal.open(&link, Keep::Disk, Fetch::Whole).await.unwrap();
    let mut progress = transfer.watch();
    let some = progress.wait_for(|now| now.held_bytes > 0);
    tokio::time::timeout(PATIENCE, some).await.unwrap().unwrap();
    let held = transfer.progress().held_bytes;
    assert!(held < FILM as u64 / 2, "{held} bytes at once, against a limit of 20 kB/s");
    publisher.controller.set_upload(None, None);
    tokio::time::timeout(PATIENCE, transfer.finished()).await.unwrap().unwrap();
    publisher.stop().await;
    terminal.stop().await;
    network.stop().await;
    answering.abort();
}
