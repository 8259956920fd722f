//! A crowd of real nodes for a tracker that runs: they register from loopback addresses of several networks, find
//! holders of films by Zipf's law, and report what they received.
//!
//! `cargo run -p nearcast-tracker --example crowd -- TRACKER [NODES [NETWORKS]]`, by default 300 nodes in eight
//! networks, `127.1.0.0/16` and those after it. Goes on until it is interrupted.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use nearcast_network::{Config, Keypair, Network, Signals};
use nearcast_protocol::{
    Multiaddr, ResourceId, Role,
    tracker::{Answer, Find, Holding, Medium, Reach, Received, Registration, Renewal, Request},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::task::JoinSet;

const FILMS: u32 = 200;
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let tracker: Multiaddr =
        arguments.next().unwrap_or_else(|| panic!("name the tracker's address")).parse().unwrap();
    let mut number = |default| arguments.next().map_or(default, |number| number.parse().unwrap());
    let (nodes, networks) = (number(300u32), number(8u32));
    let mut crowd = JoinSet::new();
    for node in 0..nodes {
        crowd.spawn(live(tracker.clone(), node, networks));
    }
    Signals::listen().unwrap().stop().await;
}

/// One viewer's life.
async fn live(tracker: Multiaddr, number: u32, networks: u32) {
    let mut dice = StdRng::seed_from_u64(number.into());
    // The first network has most.
    let network = (f64::from(networks) * dice.random::<f64>().powi(2)) as u32 + 1;
    let ip = format!("127.{network}.{}.{}", number / 200, number % 200 + 1);
    let mut config = Config::new(Keypair::generate_ed25519());
    config.listen = vec![format!("/ip4/{ip}/tcp/0").parse().unwrap()];
    config.neighbours = false;
    let node = Network::start(config).await.unwrap();
    let mut holdings: Vec<Holding> = Vec::new();
    for _ in 0..dice.random_range(1..8) {
        let resource = film(&mut dice);
        if holdings.iter().all(|held| held.resource != resource) {
            let permille = if dice.random() { 1000 } else { dice.random_range(1..1000) };
            holdings.push(Holding { resource, permille, guard: None });
        }
    }
    let registration = Registration {
        version: "crowd/1".into(),
        role: if number.is_multiple_of(100) { Role::Publisher } else { Role::Terminal },
        tcp_port: node.tcp_port(),
        quic_port: 0,
        reach: Reach::Unknown,
        medium: Medium::Unknown,
        local: Vec::new(),
        holdings,
        spare_upload: dice.random_range(0..20_000_000),
    };
    // A refusal is an answer too.
    node.ask(&tracker, &Request::Register(registration), PATIENCE).await.ok();
    loop {
        tokio::time::sleep(Duration::from_millis(dice.random_range(500..8_000))).await;
        let find = Request::Find(Find { resource: film(&mut dice), token: None, stalled: false });
        if let Ok(Answer::Found(list)) = node.ask(&tracker, &find, PATIENCE).await {
            let inside = list.peers.iter().filter(|peer| peer.group.same_network(list.group)).count() as u64;
            let outside = list.peers.len() as u64 - inside;
            let came = dice.random_range(1_000_000..60_000_000);
            let received = Received {
                own_group: came * inside * 8 / (inside * 8 + outside + 1),
                other_groups: came * outside / (inside * 8 + outside + 1),
                publishers: came / (inside * 8 + outside + 1),
            };
            let renewal = Renewal { received, ..Renewal::default() };
            node.ask(&tracker, &Request::Renew(renewal), PATIENCE).await.ok();
        }
    }
}

/// The n-th film is asked for in proportion to 1/n.
fn film(dice: &mut StdRng) -> ResourceId {
    let place = f64::from(FILMS).powf(dice.random::<f64>()) as u32;
    let mut id = [0; 32];
    StdRng::seed_from_u64(place.into()).fill(&mut id);
    ResourceId::from_bytes(id)
}
