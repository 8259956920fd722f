//! R3 over real connections: how many holders in the own network, and which list follows.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use nearcast_network::{Config, Keypair, Network};
use nearcast_protocol::{
    Group, Multiaddr, ResourceId, Role,
    tracker::{Answer, Find, Holding, Medium, PeerList, Reach, Registration, Request, Rule},
};
use nearcast_tests::{Neighbour, Tracker, random_file, run};

const PATIENCE: Duration = Duration::from_secs(60);

async fn node(ip: &str) -> Result<Network> {
    let mut config = Config::new(Keypair::generate_ed25519());
    config.listen = vec![format!("/ip4/{ip}/tcp/0").parse()?];
    config.neighbours = false;
    Ok(Network::start(config).await?)
}

async fn register(node: &Network, tracker: &Multiaddr, resource: ResourceId) -> Result<()> {
    let registration = Registration {
        version: "test/1".into(),
        role: Role::Terminal,
        tcp_port: node.tcp_port(),
        quic_port: 0,
        reach: Reach::Unknown,
        medium: Medium::Unknown,
        local: Vec::new(),
        holdings: vec![Holding { resource, permille: 1000, guard: None }],
        spare_upload: 0,
    };
    match node.ask(tracker, &Request::Register(registration), PATIENCE).await? {
        Answer::Leased(_) => Ok(()),
        other => bail!("not registered: {other:?}"),
    }
}

async fn find(node: &Network, tracker: &Multiaddr, resource: ResourceId) -> Result<PeerList> {
    let find = Request::Find(Find { resource, token: None, stalled: false });
    match node.ask(tracker, &find, PATIENCE).await? {
        Answer::Found(list) => Ok(list),
        other => bail!("not found: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_follows_the_forty_to_fifty_rule() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let tracker = Tracker::start(folder.path(), "/ip4/127.0.0.1/tcp/0")?;
    let address: Multiaddr = tracker.address.parse()?;
    let resource = ResourceId::from_bytes([42; 32]);
    let asker = node("127.1.9.200").await?;
    let mut outsiders = Vec::new();
    for n in 0..60 {
        // One in each /24: of more than four there, no list would take the rest.
        let outsider = node(&format!("127.2.{n}.9")).await?;
        register(&outsider, &address, resource).await?;
        outsiders.push(outsider);
    }
    let mut insiders: Vec<Network> = Vec::new();
    for (n, rule, inside, outside) in [
        (0, Rule::ToppedUp, 0, 50),
        (39, Rule::ToppedUp, 39, 11),
        (40, Rule::InRange, 40, 0),
        (50, Rule::InRange, 50, 0),
        (51, Rule::AboveRange, 50, 0),
    ] {
        while insiders.len() < n {
            let insider = node(&format!("127.1.9.{}", insiders.len())).await?;
            register(&insider, &address, resource).await?;
            insiders.push(insider);
        }
        let list = find(&asker, &address, resource).await?;
        let own = list.peers.iter().filter(|peer| peer.group == Group(1)).count();
        assert_eq!((list.rule, own, list.peers.len() - own), (rule, inside, outside), "n = {n}");
        assert_eq!((list.group, list.counts.in_group as usize), (Group(1), n));
        let first = list.peers.iter().take(own).all(|peer| peer.group == Group(1));
        assert!(first, "the own network doesn't come first");
    }
    // The asker isn't counted among the holders of its own network.
    let holder = insiders.first().context("nobody")?;
    let list = find(holder, &address, resource).await?;
    assert_eq!((list.counts.in_group, list.rule), (50, Rule::InRange));
    assert!(list.peers.iter().all(|peer| peer.peer() != holder.peer_id()));
    for node in insiders.iter().chain(&outsiders).chain([&asker]) {
        node.stop().await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_has_not_got_it_among_itself_is_shown_a_way_out() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let tracker = Tracker::start(&at.join("tracker"), "/ip4/127.0.0.1/tcp/0")?;
    let address: Multiaddr = tracker.address.parse()?;
    let film = at.join("film.mkv");
    random_file(&film, 3 << 20, 11)?;
    let outside = Neighbour::start(at, "127.2.3.1", &tracker.address, &film, None)?;
    let link: nearcast_protocol::Link = outside.link.parse()?;
    // Forty-one of the viewer's own network say that they hold it, and none of them gives anything.
    let mut insiders = Vec::new();
    for n in 1..=41 {
        let insider = node(&format!("127.1.3.{n}")).await?;
        register(&insider, &address, link.id).await?;
        insiders.push(insider);
    }
    let asker = node("127.1.3.200").await?;
    let list = find(&asker, &address, link.id).await?;
    assert_eq!((list.rule, list.peers.len(), list.bridges.len()), (Rule::InRange, 41, 0), "nobody outside");

    let (got, kept) = (at.join("got"), at.join("viewer"));
    let (got, kept) = (got.to_string_lossy(), kept.to_string_lossy());
    let arguments = ["get", &outside.link, "-o", &got, "--folder", &kept, "--no-neighbours"];
    let listen = ["--listen", "/ip4/127.1.3.100/tcp/0"];
    let arguments = [&arguments[..], &listen[..]].concat();
    let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
    let ended = tokio::task::spawn_blocking(move || run("nearcast", &arguments)).await??;
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(std::fs::read(&film)? == std::fs::read(at.join("got"))?);
    for node in insiders.iter().chain([&asker]) {
        node.stop().await;
    }
    Ok(())
}
