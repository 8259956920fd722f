//! A publisher with more films than fit one message, and one that dies while it serves.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nearcast_network::{Config, Keypair, Network};
use nearcast_protocol::{
    Multiaddr, ResourceId, Role,
    tracker::{Answer, Find, Request},
};
use nearcast_tests::{PATIENCE, Program, Tracker, random_file};
use serde_json::Value;

/// How often is asked for what nobody tells.
const GLANCE: Duration = Duration::from_millis(200);

/// A publisher at fixed addresses, so that it is the same one after a crash.
struct Publisher {
    program: Program,
    admin: String,
    ids: BTreeSet<ResourceId>,
}

impl Publisher {
    fn start(at: &Path, listen: &str, tracker: &str, count: usize, more: &[&str]) -> Result<Self> {
        let (films, state) = (at.join("films"), at.join("publisher"));
        let mut arguments: Vec<&OsStr> = vec![films.as_ref(), "--state".as_ref(), state.as_ref()];
        let fixed = ["--listen", listen, "--tracker", tracker, "--no-posters"];
        let web = ["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        arguments.extend(fixed.iter().chain(&web).chain(more).map(OsStr::new));
        let mut program = Program::start("nearcast-publisher", &arguments)?;
        let (mut admin, mut ids) = (String::new(), BTreeSet::new());
        program.wait_for("its films", |line| {
            if let Some(address) = line.strip_prefix("administration at ") {
                admin = address.trim().to_owned();
            }
            if line.contains("put up") && !line.contains("not put up") {
                ids.extend(line.rsplit("id=").next().and_then(|id| id.trim().parse::<ResourceId>().ok()));
            }
            (ids.len() >= count).then_some(())
        })?;
        Ok(Self { program, admin, ids })
    }

    /// What the administration says.
    fn says(&self, at: &Path, path: &str) -> Result<Value> {
        let token = fs::read_to_string(at.join("publisher/admin-token"))?;
        let url = format!("{}{path}", self.admin);
        let answer = ureq::get(&url).header("authorization", format!("Bearer {}", token.trim())).call();
        Ok(answer?.body_mut().read_json()?)
    }
}

/// Asks until the answer is as wanted.
fn until<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() > end {
            bail!("{what} never came");
        }
        std::thread::sleep(GLANCE);
    }
}

/// Whether the tracker lists a publisher for it.
async fn is_found(asker: &Network, tracker: &Multiaddr, resource: ResourceId) -> Result<bool> {
    let find = Request::Find(Find { resource, token: None, stalled: false });
    match asker.ask(tracker, &find, PATIENCE).await? {
        Answer::Found(list) => Ok(list.peers.iter().any(|peer| peer.role == Role::Publisher)),
        other => bail!("{resource}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_films_are_all_found() -> Result<()> {
    const ALL: usize = 10_000;
    /// What one address may ask at once, by the tracker's defaults, with some room.
    const EACH: usize = 250;
    // In memory where there is such a place: thirty thousand small files that are synced one by one take a busy disk
    // minutes.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
    let at = folder.path();
    fs::create_dir(at.join("films"))?;
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(100);
    for number in 0..ALL {
        let path = at.join(format!("films/Film {number:05}.mp4"));
        fs::write(&path, format!("film {number}, as short as they come"))?;
        fs::File::options().write(true).open(&path)?.set_modified(long_ago)?;
    }
    // All limits are as they come, but for how many different films one viewer may ask for.
    let many = ["--distinct", "1000"].map(OsStr::new);
    let tracker = Tracker::start_with(&at.join("tracker"), "/ip4/127.0.0.1/tcp/0", &many)?;
    let publisher = Publisher::start(at, "/ip4/127.3.151.1/tcp/0", &tracker.address, ALL, &[])?;
    assert_eq!(publisher.ids.len(), ALL);

    let address: Multiaddr = tracker.address.parse()?;
    let ids: Vec<_> = publisher.ids.iter().copied().collect();
    for (number, some) in ids.chunks(EACH).enumerate() {
        let mut config = Config::new(Keypair::generate_ed25519());
        config.listen = vec![format!("/ip4/127.1.151.{}/tcp/0", number + 1).parse()?];
        config.neighbours = false;
        let asker = Network::start(config).await?;
        // The publisher tells in parts; what isn't told yet comes in a moment.
        let end = Instant::now() + PATIENCE;
        for resource in some {
            while !is_found(&asker, &address, *resource).await? {
                if Instant::now() > end {
                    bail!("{resource} isn't found");
                }
                tokio::time::sleep(GLANCE).await;
            }
        }
        asker.stop().await;
    }
    Ok(())
}

#[test]
fn killed_while_it_serves_its_viewers_go_on_when_it_is_back() -> Result<()> {
    const SIZE: usize = 24_000_000;
    const VIEWERS: u64 = 4;
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    fs::create_dir(at.join("films"))?;
    let film = at.join("films/Film.mp4");
    random_file(&film, SIZE, 152)?;
    let tracker = Tracker::start(&at.join("tracker"), "/ip4/127.0.0.1/tcp/0")?;
    let port = std::net::TcpListener::bind("127.3.152.1:0")?.local_addr()?.port();
    let listen = format!("/ip4/127.3.152.1/tcp/{port}");
    // So slow that nobody is through before it dies.
    let slow = ["--upload", "16Mbit"];
    let mut publisher = Publisher::start(at, &listen, &tracker.address, 1, &slow)?;
    let titles = publisher.says(at, "api/titles")?;
    let link = titles["titles"][0]["films"][0]["link"].as_str().context("no link")?.to_owned();

    let viewers = (1..=VIEWERS).map(|number| {
        let path = |name: &str| at.join(format!("{name}-{number}")).to_string_lossy().into_owned();
        let (output, kept, listen) = (path("got"), path("kept"), format!("/ip4/127.1.152.{number}/tcp/0"));
        let words = ["get", &link, "-o", &output, "--folder", &kept, "--listen", &listen, "--no-neighbours"];
        Program::start("nearcast", &words)
    });
    let mut viewers = viewers.collect::<Result<Vec<_>>>()?;
    let given = |said: &Value| said["given"]["bytes"].as_u64().unwrap_or(0);
    let before = until("several viewers with bytes flowing", || {
        let said = publisher.says(at, "api/status")?;
        let several = said["streams"].as_u64().unwrap_or(0) >= VIEWERS;
        Ok(Some(given(&said)).filter(|bytes| several && *bytes > 1_000_000))
    })?;
    assert!(before < SIZE as u64 * VIEWERS, "they are all through");
    publisher.program.kill()?;
    drop(publisher);

    let publisher = Publisher::start(at, &listen, &tracker.address, 1, &[])?;
    for (number, viewer) in (1..).zip(&mut viewers) {
        let status = viewer.wait(PATIENCE)?;
        assert!(status.success(), "viewer {number}: {}", viewer.words());
        assert!(
            fs::read(&film)? == fs::read(at.join(format!("got-{number}")))?,
            "viewer {number} got another film"
        );
    }
    let titles = publisher.says(at, "api/titles")?;
    assert_eq!(titles["titles"].as_array().map(Vec::len), Some(1), "{titles}");
    assert_eq!(titles["titles"][0]["films"].as_array().map(Vec::len), Some(1), "{titles}");
    // What was given before counts on, as far as it was on disk, and nothing counts twice: less than a copy each,
    // with the proofs.
    let most = VIEWERS * (SIZE as u64 + SIZE as u64 / 25);
    // It is counted each second, and once a tracker has said which network a viewer is in.
    let counted = until("an account of what was given", || {
        Ok(Some(given(&publisher.says(at, "api/status")?)).filter(|bytes| *bytes > 0))
    })?;
    assert!(counted <= most, "{counted} of at most {most}");
    Ok(())
}
