//! Several trackers that work as one (R8), and leases that are renewed without connections.

use std::{ffi::OsStr, fs, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use nearcast_network::{Config, Keypair, Network};
use nearcast_protocol::{
    Link, Multiaddr, ResourceId,
    tracker::{Answer, Find, Request},
};
use nearcast_tests::{Program, Tracker, random_file, run};
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(60);

async fn node(ip: &str) -> Result<Network> {
    let mut config = Config::new(Keypair::generate_ed25519());
    config.listen = vec![format!("/ip4/{ip}/tcp/0").parse()?];
    config.neighbours = false;
    Ok(Network::start(config).await?)
}

/// How many a tracker lists.
async fn listed(node: &Network, tracker: &str, resource: ResourceId) -> Result<usize> {
    let find = Request::Find(Find { resource, token: None, stalled: false });
    let tracker: Multiaddr = tracker.parse()?;
    match node.ask(&tracker, &find, PATIENCE).await? {
        Answer::Found(list) => Ok(list.peers.len()),
        other => bail!("not found: {other:?}"),
    }
}

/// Asks until a tracker lists somebody.
async fn until_listed(node: &Network, tracker: &str, resource: ResourceId) -> Result<()> {
    let known = async {
        // It may be starting; there is no event to be had of another's memory.
        while !matches!(listed(node, tracker, resource).await, Ok(1..)) {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, known).await.with_context(|| format!("{tracker} lists nobody"))
}

/// `nearcast share` with several trackers.
fn share(at: &Path, ip: &str, trackers: &[&Tracker], film: &Path) -> Result<(Program, Link)> {
    let listen = format!("/ip4/{ip}/tcp/0");
    let folder = at.join(format!("holder-{ip}"));
    let mut arguments = vec!["share".as_ref(), film.as_os_str(), "--folder".as_ref(), folder.as_os_str()];
    arguments.extend(["--no-neighbours", "--listen", &listen].map(OsStr::new));
    for tracker in trackers {
        arguments.extend(["--tracker", &tracker.address].map(OsStr::new));
    }
    let mut program = Program::start("nearcast", &arguments)?;
    let (mut link, mut registered) = (None, 0);
    let link = program.wait_for("a link and that two know it", |line| {
        if line.starts_with("nearcast://") {
            link = Some(line.trim().to_owned());
        }
        registered += usize::from(line.starts_with("registered with"));
        link.clone().filter(|_| registered >= 2)
    })?;
    let link = link.parse()?;
    Ok((program, link))
}

fn get(at: &Path, ip: &str, link: &Link) -> Result<()> {
    let (listen, kept) = (format!("/ip4/{ip}/tcp/0"), at.join(format!("viewer-{ip}")));
    let (out, link) = (at.join(format!("got-{ip}")), link.to_string());
    let mut arguments = vec!["get".as_ref(), OsStr::new(&link), "-o".as_ref(), out.as_os_str()];
    arguments.extend(["--no-neighbours", "--listen", &listen, "--folder"].map(OsStr::new));
    arguments.push(kept.as_os_str());
    let ended = run("nearcast", &arguments)?;
    anyhow::ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    anyhow::ensure!(fs::read(at.join("film.mkv"))? == fs::read(out)?, "the copy differs");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_trackers_one_is_killed_and_nobody_notices() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let film = at.join("film.mkv");
    random_file(&film, 2 << 20, 21)?;
    let settings = at.join("tracker.toml");
    fs::write(&settings, "lease = 10\n")?;
    let config = ["--config".as_ref(), settings.as_os_str()];
    let mut first = Tracker::start_with(&at.join("first"), "/ip4/127.0.0.1/tcp/0", &config)?;
    let second = Tracker::start_with(&at.join("second"), "/ip4/127.0.0.1/tcp/0", &config)?;
    let (_holder, link) = share(at, "127.1.5.1", &[&first, &second], &film)?;
    first.program.kill()?;
    get(at, "127.1.5.2", &link)?;
    // It comes back where it was, and is told again.
    let address: Multiaddr = first.address.parse()?;
    let (listen, _) = nearcast_network::split_peer(&address);
    let _first = Tracker::start_with(&at.join("first"), &listen.to_string(), &config)?;
    let asker = node("127.1.5.3").await?;
    until_listed(&asker, &first.address, link.id).await?;
    asker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_two_know_a_film_and_the_third_stands_in() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let film = at.join("film.mkv");
    random_file(&film, 2 << 20, 22)?;
    let settings = at.join("tracker.toml");
    fs::write(&settings, "lease = 10\n")?;
    let config = ["--config".as_ref(), settings.as_os_str()];
    let start = |name: &str| Tracker::start_with(&at.join(name), "/ip4/127.0.0.1/tcp/0", &config);
    let mut trackers = [start("a")?, start("b")?, start("c")?];
    let (_holder, link) = share(at, "127.1.6.1", &trackers.each_ref(), &film)?;
    let asker = node("127.1.6.2").await?;
    let mut knowing = Vec::new();
    for tracker in &trackers {
        knowing.push(listed(&asker, &tracker.address, link.id).await? > 0);
    }
    assert_eq!(knowing.iter().filter(|knows| **knows).count(), 2, "{knowing:?}");
    let third = knowing.iter().position(|knows| !knows).context("all know it")?;
    let home = knowing.iter().position(|knows| *knows).context("nobody knows it")?;
    trackers[home].program.kill()?;
    until_listed(&asker, &trackers[third].address, link.id).await?;
    get(at, "127.1.6.3", &link)?;
    asker.stop().await;
    Ok(())
}

#[test]
fn a_lease_is_renewed_without_a_connection() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let film = at.join("film.mkv");
    random_file(&film, 1 << 20, 23)?;
    let more = ["--lease", "10", "--verbose"].map(OsStr::new);
    let mut tracker = Tracker::start_with(&at.join("tracker"), "/ip4/127.0.0.1/tcp/0", &more)?;
    let _holder = nearcast_tests::Neighbour::start(at, "127.1.7.1", &tracker.address, &film, None)?;
    tracker.program.wait_for("that a lease was renewed by datagram", |line| {
        line.contains("renewed by datagram").then_some(())
    })?;
    Ok(())
}
