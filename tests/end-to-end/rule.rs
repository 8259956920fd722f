//! R3 over real connections: how many holders in the own network, and which list follows.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use nearcast_network::{Config, Keypair, Network};
use nearcast_protocol::{
    Group, Multiaddr, ResourceId, Role,
    tracker::{Answer, Find, Holding, Medium, PeerList, Reach, Registration, Request, Rule},
};
use nearcast_tests::Tracker;

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
