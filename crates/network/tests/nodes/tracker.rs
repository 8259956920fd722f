use std::{net::IpAddr, sync::Arc, time::Duration};

use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::StreamProtocol;
use nearcast_network::{AskError, Config, Network};
use nearcast_protocol::{
    Multiaddr, PeerId, ResourceId,
    tracker::{Answer, Counts, PROTOCOL, Request},
    wire,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

use crate::{PATIENCE, config, node, quic, soon, stranger::Stranger, tcp};

const WEB_ANSWER: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 19\r\n\r\n<h1>Bad Request</h1>";

/// A tracker that answers every count with the last byte of the address it observed.
async fn tracker(ip: &str) -> (Network, JoinSet<()>) {
    let mut config = config(ip);
    config.serve_tracker = true;
    config.idle = Duration::from_millis(300);
    let network = Network::start(config).await.unwrap();
    let mut calls = network.incoming_tracker_calls().unwrap();
    assert!(network.incoming_tracker_calls().is_none());
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        while let Some(call) = calls.recv().await {
            if call.requests.contains(&Request::Withdraw) {
                drop(call);
                continue;
            }
            let IpAddr::V4(ip) = call.observed else { panic!("{}", call.observed) };
            assert!(call.remote.to_string().starts_with(&format!("/ip4/{ip}/")));
            let [.., in_group] = ip.octets().map(u32::from);
            call.answer(|_, bytes| wire::encode_to(&counted(in_group), bytes));
        }
    });
    (network, serving)
}

fn count() -> Request {
    Request::Count(ResourceId::from_bytes([5; 32]))
}

fn counted(in_group: u32) -> Answer {
    Answer::Counted(Counts { in_group, ..Counts::default() })
}

fn with_peer(address: &Multiaddr, peer: PeerId) -> Multiaddr {
    address.clone().with_p2p(peer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tracker_sees_the_address_a_node_listens_on() {
    let (tracker, _serving) = tracker("127.2.1.100").await;
    let by_tcp = tcp(&tracker).addresses[0].clone();
    let by_quic = quic(&tracker).addresses[0].clone();
    let mut asking = JoinSet::new();
    for last in 1..=6u32 {
        let node = Arc::new(node(&format!("127.2.1.{last}")).await);
        let peer = tracker.peer_id();
        for address in [by_tcp.clone(), with_peer(&by_tcp, peer), by_quic.clone()] {
            let node = node.clone();
            asking.spawn(async move {
                // On old connections and on new ones, while the others ask too.
                for _ in 0..3 {
                    for _ in 0..4 {
                        let answer = node.ask(&address, &count(), PATIENCE).await.unwrap();
                        assert_eq!(answer, counted(last), "{address}");
                    }
                    while node.connected_address(&peer).is_some() {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            });
        }
    }
    while let Some(asked) = soon(asking.join_next()).await {
        asked.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_ask_each_other_at_once_are_seen_as_they_are() {
    let (one, _serving_one) = tracker("127.2.2.1").await;
    let (two, _serving_two) = tracker("127.2.2.2").await;
    let (to_one, to_two) = (tcp(&one).addresses[0].clone(), tcp(&two).addresses[0].clone());
    let count = count();
    for _ in 0..30 {
        let asked = (one.ask(&to_two, &count, PATIENCE), two.ask(&to_one, &count, PATIENCE));
        let (from_one, from_two) = tokio::join!(asked.0, asked.1);
        assert_eq!((from_one.unwrap(), from_two.unwrap()), (counted(1), counted(2)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_can_have_a_name_and_an_asker_no_ear() {
    let (tracker, _serving) = tracker("127.0.0.1").await;
    let mut deaf = config("127.0.0.1");
    deaf.listen.clear();
    let node = Network::start(deaf).await.unwrap();
    assert_eq!((node.tcp_port(), node.quic_port()), (0, 0));
    let named: Multiaddr = format!("/dns4/localhost/tcp/{}", tracker.tcp_port()).parse().unwrap();
    assert_eq!(node.ask(&named, &count(), PATIENCE).await.unwrap(), counted(1));
    assert_eq!(
        node.ask(&with_peer(&named, tracker.peer_id()), &count(), PATIENCE).await.unwrap(),
        counted(1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_no_tracker_is_named() {
    let node = node("127.2.4.1").await;
    let ask =
        async |address: &Multiaddr, within| soon(node.ask(address, &count(), within)).await.unwrap_err();

    let dead: Multiaddr = "/ip4/127.2.4.2/tcp/9".parse().unwrap();
    let error = ask(&dead, PATIENCE).await;
    assert!(matches!(error, AskError::Nobody { .. }), "{error}");
    assert!(error.to_string().contains("nobody answers at /ip4/127.2.4.2/tcp/9"), "{error}");

    for nonsense in ["/ip4/127.2.4.2", "/unix/socket"] {
        let error = ask(&nonsense.parse().unwrap(), PATIENCE).await;
        assert!(matches!(error, AskError::Nobody { .. } | AskError::Nonsense { .. }), "{error}");
    }
    assert!(matches!(ask(&Multiaddr::empty(), PATIENCE).await, AskError::Address { .. }));

    // A web server on the port.
    let web = TcpListener::bind("127.2.4.3:0").await.unwrap();
    let address: Multiaddr =
        format!("/ip4/127.2.4.3/tcp/{}", web.local_addr().unwrap().port()).parse().unwrap();
    let serving = tokio::spawn(async move {
        let (mut socket, from) = web.accept().await.unwrap();
        assert!(socket.read(&mut [0; 512]).await.unwrap() > 0);
        socket.write_all(WEB_ANSWER).await.unwrap();
        // Until the node hangs up.
        while socket.read(&mut [0; 512]).await.is_ok_and(|read| read > 0) {}
        from
    });
    let error = ask(&address, PATIENCE).await;
    assert!(matches!(error, AskError::Nonsense { .. }), "{error}");
    assert_eq!(soon(serving).await.unwrap().ip().to_string(), "127.2.4.1");

    // A program that accepts and says nothing.
    let silent = TcpListener::bind("127.2.4.4:0").await.unwrap();
    let address: Multiaddr =
        format!("/ip4/127.2.4.4/tcp/{}", silent.local_addr().unwrap().port()).parse().unwrap();
    let error = ask(&address, Duration::from_millis(300)).await;
    assert!(matches!(error, AskError::TimedOut { .. }), "{error}");

    // A node that is no tracker.
    let other = crate::node("127.2.4.5").await;
    let error = ask(&tcp(&other).addresses[0], PATIENCE).await;
    assert!(matches!(error, AskError::Nonsense { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_identity_is_not_believed() {
    let (tracker, _serving) = tracker("127.2.5.1").await;
    let node = node("127.2.5.2").await;
    let expected = PeerId::random();
    let address = with_peer(&tcp(&tracker).addresses[0], expected);
    let error = soon(node.ask(&address, &count(), PATIENCE)).await.unwrap_err();
    let AskError::WrongIdentity { expected: named, found, .. } = error else { panic!("{error}") };
    assert_eq!((named, found), (expected, tracker.peer_id()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_that_answers_junk_or_nothing_is_an_error() {
    let node = node("127.2.6.1").await;
    let mut stranger = Stranger::start("127.2.6.2", None).await;
    let mut streams = stranger.control.accept(StreamProtocol::new(PROTOCOL)).unwrap();
    let replies: [&[u8]; 4] = [&[0xff; 64], &[0, 0, 0, 2, 0xff, 0xff], &[0, 0, 0, 9, 1], &[]];
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        // What breaks off is asked again, so each reply may be wanted several times.
        let mut asked = 0;
        while let Some((_, mut stream)) = streams.next().await {
            stream.write_all(replies[asked.min(3)]).await.ok();
            stream.close().await.ok();
            asked += 1;
        }
    });
    for _ in 0..3 {
        let error = soon(node.ask(&stranger.address, &count(), PATIENCE)).await.unwrap_err();
        assert!(matches!(error, AskError::Nonsense { .. }), "{error}");
    }
    let error = soon(node.ask(&stranger.address, &count(), PATIENCE)).await.unwrap_err();
    assert!(matches!(error, AskError::BrokeOff { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_questions_and_dropped_calls_leave_the_tracker_well() {
    let (tracker, mut serving) = tracker("127.2.7.1").await;
    let address = tcp(&tracker).addresses[0].clone();
    let mut stranger = Stranger::start("127.2.7.2", Some((tracker.peer_id(), address.clone()))).await;
    for junk in [&[0xff; 400][..], &[0, 0, 0, 4, 1, 2, 3, 4], &[0, 1]] {
        let mut stream = soon(stranger.open(tracker.peer_id(), PROTOCOL)).await;
        stream.write_all(junk).await.ok();
        stream.close().await.ok();
        let mut rest = Vec::new();
        soon(stream.read_to_end(&mut rest)).await.ok();
        assert!(rest.is_empty());
    }
    let node = node("127.2.7.3").await;
    let error = soon(node.ask(&address, &Request::Withdraw, PATIENCE)).await.unwrap_err();
    assert!(matches!(error, AskError::BrokeOff { .. }), "{error}");
    assert_eq!(node.ask(&address, &count(), PATIENCE).await.unwrap(), counted(3));
    assert!(serving.try_join_next().is_none());
    soon(tracker.stop()).await;
    assert!(soon(serving.join_next()).await.unwrap().is_ok());
    let error = soon(node.ask(&address, &count(), PATIENCE)).await.unwrap_err();
    assert!(matches!(error, AskError::Nobody { .. }), "{error}");
    assert!(matches!(soon(tracker.ask(&address, &count(), PATIENCE)).await, Err(AskError::Stopped)));
}

/// A tracker that answers each count with the first byte of what was asked for.
async fn echo(ip: &str) -> (Network, JoinSet<()>) {
    let config = Config { serve_tracker: true, idle: Duration::from_millis(300), ..config(ip) };
    let network = Network::start(config).await.unwrap();
    let mut calls = network.incoming_tracker_calls().unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        while let Some(call) = calls.recv().await {
            call.answer(|request, bytes| {
                let Request::Count(resource) = request else { panic!("{request:?}") };
                wire::encode_to(&counted(resource.as_bytes()[0].into()), bytes);
            });
        }
    });
    (network, serving)
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_be_bytes()[..], message].concat()
}

fn numbered(number: u8) -> Request {
    Request::Count(ResourceId::from_bytes([number; 32]))
}

/// The next answer on a stream.
async fn heard(stream: &mut libp2p::Stream) -> Answer {
    let mut length = [0; 4];
    soon(stream.read_exact(&mut length)).await.unwrap();
    let mut message = vec![0; u32::from_be_bytes(length) as usize];
    soon(stream.read_exact(&mut message)).await.unwrap();
    wire::decode(&message, wire::MAX_MESSAGE).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_that_come_together_are_answered_in_their_order() {
    let (tracker, _serving) = echo("127.2.8.1").await;
    let peer = tracker.peer_id();
    let address = tcp(&tracker).addresses[0].clone();
    let mut stranger = Stranger::start("127.2.8.2", Some((peer, address.clone()))).await;
    let mut stream = soon(stranger.open(peer, PROTOCOL)).await;
    // More than are answered in one write, and the last cut in two.
    let mut all: Vec<u8> = (0..200).flat_map(|number| framed(&wire::encode(&numbered(number)))).collect();
    let end = all.split_off(all.len() - 7);
    stream.write_all(&all).await.unwrap();
    stream.flush().await.unwrap();
    for number in 0..199 {
        assert_eq!(heard(&mut stream).await, counted(number));
    }
    stream.write_all(&end).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(heard(&mut stream).await, counted(199));
    // What is no question ends the stream, once what came before it has been answered.
    let bad = [framed(&wire::encode(&numbered(7))), framed(&[0xff]), framed(&wire::encode(&numbered(8)))];
    stream.write_all(&bad.concat()).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(heard(&mut stream).await, counted(7));
    let mut rest = Vec::new();
    soon(stream.read_to_end(&mut rest)).await.ok();
    assert!(rest.is_empty());
    assert_eq!(tracker.unheard().load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_share_a_stream_and_each_hears_its_own_answer() {
    let (tracker, _serving) = echo("127.2.9.1").await;
    let node = Arc::new(node("127.2.9.2").await);
    let address = with_peer(&tcp(&tracker).addresses[0], tracker.peer_id());
    let mut asking = JoinSet::new();
    for caller in 0..40u8 {
        let (node, address) = (node.clone(), address.clone());
        asking.spawn(async move {
            for round in 0..20u8 {
                let number = caller.wrapping_mul(6).wrapping_add(round);
                let answer = node.ask(&address, &numbered(number), PATIENCE).await.unwrap();
                assert_eq!(answer, counted(number.into()));
            }
        });
    }
    while let Some(asked) = soon(asking.join_next()).await {
        asked.unwrap();
    }
    // A stream on which nothing is asked keeps no connection alive.
    let gone = async {
        while node.connected_address(&tracker.peer_id()).is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(gone).await;
    assert_eq!(node.ask(&address, &numbered(3), PATIENCE).await.unwrap(), counted(3));
    assert_eq!(tracker.unheard().load(std::sync::atomic::Ordering::Relaxed), 0);
}
