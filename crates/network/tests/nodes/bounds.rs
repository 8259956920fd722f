use std::time::{Duration, Instant};

use nearcast_network::{Network, OpenError, PieceStream};
use nearcast_protocol::pieces::MAX_FRAGMENT;
use tokio::{sync::mpsc, task::JoinSet};

use crate::{config, data, hello, node, quic, soon, tcp};

async fn pair(
    near: &Network,
    far: &Network,
    incoming: &mut mpsc::Receiver<PieceStream>,
) -> (PieceStream, PieceStream) {
    let mut ours = soon(near.open_pieces(&tcp(far))).await.unwrap();
    ours.send.send(hello(1)).await.unwrap();
    let mut theirs = soon(incoming.recv()).await.unwrap();
    assert_eq!(soon(theirs.receive.next()).await.unwrap(), Some(hello(1)));
    (ours, theirs)
}

/// Sends `fragments` full data frames on each of `streams` streams and waits for all of them.
async fn send_over(near: &Network, far: &Network, streams: usize, fragments: u32) -> Duration {
    let mut incoming = far.incoming_pieces().unwrap();
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for _ in 0..streams {
        let (mut ours, mut theirs) = pair(near, far, &mut incoming).await;
        tasks.spawn(async move {
            for id in 0..fragments {
                ours.send.send(data(id, MAX_FRAGMENT)).await.unwrap();
            }
        });
        tasks.spawn(async move {
            for id in 0..fragments {
                assert_eq!(theirs.receive.next().await.unwrap(), Some(data(id, MAX_FRAGMENT)));
            }
        });
    }
    soon(tasks.join_all()).await;
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_for_all_streams_together() {
    const RATE: u64 = 1 << 20;
    let (streams, fragments) = (3, 16);
    let total = u64::try_from(streams).unwrap() * u64::from(fragments) * MAX_FRAGMENT as u64;
    // A limit only makes it slower, so there is a least time and no most.
    let least = Duration::from_secs_f64((total - RATE / 20) as f64 / RATE as f64);
    for limit_upload in [true, false] {
        let (mut slow, quick) = (config("127.3.1.1"), config("127.3.1.2"));
        if limit_upload {
            slow.upload = Some(RATE)
        } else {
            slow.download = Some(RATE)
        }
        let (slow, quick) = (Network::start(slow).await.unwrap(), Network::start(quick).await.unwrap());
        let (near, far) = if limit_upload { (&slow, &quick) } else { (&quick, &slow) };
        let took = send_over(near, far, streams, fragments).await;
        assert!(took >= least, "{took:?} is less than {least:?}");
        assert_eq!((near.uploaded(), far.downloaded()), (total, total));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_can_be_changed_while_everyone_waits_for_it() {
    let mut stuck = config("127.3.2.1");
    stuck.upload = Some(1);
    let (near, far) = (Network::start(stuck).await.unwrap(), node("127.3.2.2").await);
    let sending = send_over(&near, &far, 2, 8);
    tokio::pin!(sending);
    // At a byte a second this would take days; whenever the limit is lifted, it ends.
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut sending).await.is_err());
    near.set_upload_limit(Some(0));
    far.set_download_limit(Some(0));
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut sending).await.is_err());
    near.set_upload_limit(None);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut sending).await.is_err());
    far.set_download_limit(None);
    soon(sending).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_back_frame_is_not_lost_when_the_wait_is_given_up() {
    let mut held = config("127.3.3.2");
    held.download = Some(0);
    let (near, far) = (node("127.3.3.1").await, Network::start(held).await.unwrap());
    let mut incoming = far.incoming_pieces().unwrap();
    let (mut ours, mut theirs) = pair(&near, &far, &mut incoming).await;
    // The first few pass at once: a bucket starts full.
    for id in 0..4 {
        ours.send.send(data(id, MAX_FRAGMENT)).await.unwrap();
    }
    let mut seen = Vec::new();
    while let Ok(frame) = tokio::time::timeout(Duration::from_millis(50), theirs.receive.next()).await {
        seen.push(frame.unwrap().unwrap());
    }
    assert!(seen.len() < 4);
    far.set_download_limit(None);
    while seen.len() < 4 {
        seen.push(soon(theirs.receive.next()).await.unwrap().unwrap());
    }
    assert_eq!(seen, (0..4).map(|id| data(id, MAX_FRAGMENT)).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_banned_peer_is_cut_off_and_kept_out() {
    let (good, bad, judge) = (node("127.3.4.1").await, node("127.3.4.2").await, node("127.3.4.3").await);
    let mut incoming = judge.incoming_pieces().unwrap();
    let (mut theirs, mut ours) = pair(&bad, &judge, &mut incoming).await;
    judge.ban(bad.peer_id(), Some("127.3.4.2".parse().unwrap()));
    assert!(judge.is_banned(&bad.peer_id()) && !judge.is_banned(&good.peer_id()));
    assert!(!matches!(soon(theirs.receive.next()).await, Ok(Some(_))));
    assert!(!matches!(soon(ours.receive.next()).await, Ok(Some(_))));
    for way in [tcp, quic] {
        match soon(bad.open_pieces(&way(&judge))).await {
            Err(error) => {
                assert!(matches!(error, OpenError::Unreachable { .. } | OpenError::Refused { .. }), "{error}")
            }
            // The refusal can arrive after the handshake.
            Ok(mut stream) => assert!(!matches!(soon(stream.receive.next()).await, Ok(Some(_)))),
        }
    }
    assert!(matches!(judge.open_pieces(&tcp(&bad)).await, Err(OpenError::Banned(_))));
    assert!(incoming.try_recv().is_err());
    // Others on the same machine are not touched.
    pair(&good, &judge, &mut incoming).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_gets_only_so_many_connections() {
    let mut tight = config("127.3.5.9");
    tight.max_connections_per_address = 2;
    let far = Network::start(tight).await.unwrap();
    let mut incoming = far.incoming_pieces().unwrap();
    let mut held = Vec::new();
    for _ in 0..2 {
        let near = node("127.3.5.1").await;
        let streams = pair(&near, &far, &mut incoming).await;
        held.push((near, streams));
    }
    let third = node("127.3.5.1").await;
    match soon(third.open_pieces(&tcp(&far))).await {
        Err(_) => {}
        Ok(mut stream) => assert!(!matches!(soon(stream.receive.next()).await, Ok(Some(_)))),
    }
    let elsewhere = node("127.3.5.2").await;
    pair(&elsewhere, &far, &mut incoming).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_node_leaves_nothing_behind() {
    let (near, far) = (node("127.3.6.1").await, node("127.3.6.2").await);
    let address = tcp(&far).addresses[0].clone();
    let mut incoming = far.incoming_pieces().unwrap();
    let (mut ours, _theirs) = pair(&near, &far, &mut incoming).await;
    drop(far);
    assert!(!matches!(soon(ours.receive.next()).await, Ok(Some(_))));
    assert!(soon(incoming.recv()).await.is_none());
    // The port is free again once the task has gone.
    let mut config = config("127.3.6.2");
    config.listen = vec![address.clone()];
    let again = soon(async {
        loop {
            match Network::start(config.clone()).await {
                Ok(network) => break network,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    assert_eq!(again.await.listening(), [address]);
}
