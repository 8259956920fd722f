//! A reload under load drops nothing: questions that come while a table is read and put in place are all answered,
//! and rightly.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use nearcast_network::{Config, Keypair, Network};
use nearcast_protocol::{
    Multiaddr, ResourceId, Role,
    tracker::{Answer, Find, Holding, Medium, PeerList, Reach, Registration, Request},
};
use tokio::task::JoinSet;

use crate::running::{PATIENCE, Running};

const FILM: ResourceId = ResourceId::from_bytes([9; 32]);
/// Lines of a table beside the two that matter.
const OTHERS: u32 = 30_000;
const HOLDERS: u32 = 3;
const ROUNDS: u32 = 6;

async fn node(ip: &str) -> Network {
    let mut config = Config::new(Keypair::generate_ed25519());
    config.listen = vec![format!("/ip4/{ip}/tcp/0").parse().unwrap()];
    config.neighbours = false;
    Network::start(config).await.unwrap()
}

async fn find(node: &Network, tracker: &Multiaddr) -> PeerList {
    let find = Request::Find(Find { resource: FILM, token: None, stalled: false });
    match node.ask(tracker, &find, PATIENCE).await.unwrap() {
        Answer::Found(list) => list,
        other => panic!("{other:?}"),
    }
}

/// In even rounds the two networks are apart, in odd ones they are one. No two rounds have as many lines.
fn table(round: u32) -> String {
    let mut table = match round % 2 {
        0 => String::from("127.1.0.0/16,1\n127.2.0.0/16,2\n"),
        _ => String::from("127.1.0.0/16,3\n127.2.0.0/16,3\n"),
    };
    for other in 0..OTHERS + round {
        let [_, high, middle, low] = other.to_be_bytes();
        writeln!(table, "10.{high}.{middle}.{low}/32,{}", 100 + other % 50).unwrap();
    }
    table
}

/// What an asker in the first network, or in the second, is to hear.
fn is_right(list: &PeerList, second: bool, round: u32) -> bool {
    let inside = list.peers.iter().filter(|peer| peer.group == list.group).count();
    let (group, own) = match round % 2 {
        0 => (1 + u32::from(second), HOLDERS),
        _ => (3, 2 * HOLDERS),
    };
    let counts = (list.counts.in_group, list.counts.outside);
    list.group.0 == group && counts == (own, 2 * HOLDERS - own) && inside == own as usize
}

#[tokio::test(flavor = "multi_thread")]
async fn every_question_is_answered_rightly_while_tables_change() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (networks, state) = (at("networks.csv"), at("state"));
    std::fs::write(&networks, table(0)).unwrap();
    let fast = ["--pace", "4000000", "--burst", "4000000"];
    let arguments = ["--listen", "/ip4/127.9.61.1/tcp/0", "--state", &state, "--groups", &networks];
    let tracker = Running::start(&[&arguments[..], &fast].concat());
    let address = tracker.address();

    let mut holders = Vec::new();
    for number in 0..2 * HOLDERS {
        let holder = node(&format!("127.{}.61.{}", 1 + number / HOLDERS, 1 + number % HOLDERS)).await;
        let register = Request::Register(Registration {
            version: "test/1".into(),
            role: Role::Terminal,
            tcp_port: holder.tcp_port(),
            quic_port: 0,
            reach: Reach::Unknown,
            medium: Medium::Unknown,
            local: Vec::new(),
            holdings: vec![Holding { resource: FILM, permille: 1000, guard: None }],
            spare_upload: 0,
        });
        assert!(matches!(holder.ask(&address, &register, PATIENCE).await.unwrap(), Answer::Leased(_)));
        holders.push(holder);
    }

    let (over, round) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let (mut asking, mut answered) = (JoinSet::new(), Vec::new());
    for asker in 0..4 {
        let second = asker % 2 == 1;
        let node = node(&format!("127.{}.62.{}", 1 + asker % 2, 1 + asker)).await;
        let (address, over, round) = (address.clone(), over.clone(), round.clone());
        let count = Arc::new(AtomicU32::new(0));
        answered.push(count.clone());
        asking.spawn(async move {
            while !over.load(Ordering::SeqCst) {
                let list = find(&node, &address).await;
                assert_eq!(list.peers.len(), 2 * HOLDERS as usize, "nobody is lost: {list:?}");
                assert_eq!(list.counts.in_group + list.counts.outside, 2 * HOLDERS, "{list:?}");
                // Between two tables holders go over one by one, but who asks is in one of them.
                let group = list.group.0;
                assert!(group == 3 || group == 1 + u32::from(second), "{list:?}");
                if round.load(Ordering::SeqCst) == 0 {
                    assert!(is_right(&list, second, 0), "nothing has changed yet: {list:?}");
                }
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    // Every asker is answered again before and after each change.
    let all_answered = async |asking: &mut JoinSet<()>| {
        let before: Vec<_> = answered.iter().map(|count| count.load(Ordering::SeqCst)).collect();
        while answered.iter().zip(&before).any(|(count, before)| count.load(Ordering::SeqCst) <= before + 1) {
            if let Some(ended) = asking.try_join_next() {
                ended.unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    let (first, second) = (node("127.1.63.1").await, node("127.2.63.1").await);
    for next in 1..=ROUNDS {
        all_answered(&mut asking).await;
        round.store(next, Ordering::SeqCst);
        // In one piece, as an operator does who has read the manual.
        std::fs::write(at("new.csv"), table(next)).unwrap();
        std::fs::rename(at("new.csv"), &networks).unwrap();
        tracker.signal("-HUP");
        // A thread of its own waits, so that the askers go on.
        tokio::task::block_in_place(|| tracker.wait_for(&format!("prefixes={}", OTHERS + next + 2)));
        all_answered(&mut asking).await;
        let lists = (find(&first, &address).await, find(&second, &address).await);
        assert!(is_right(&lists.0, false, next) && is_right(&lists.1, true, next), "{next}: {lists:?}");
    }
    over.store(true, Ordering::SeqCst);
    while let Some(ended) = asking.join_next().await {
        ended.unwrap();
    }
}
