use std::time::Duration;

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use nearcast_network::{Network, OpenError, StreamError};
use nearcast_protocol::{
    PeerAddress, PeerId,
    pieces::{Frame, MAX_FRAGMENT, PROTOCOL},
    wire::MAX_FRAME,
};
use tokio::task::JoinSet;

use crate::{config, data, have, hello, is_quic, node, quic, soon, stranger::Stranger, tcp};

#[tokio::test(flavor = "multi_thread")]
async fn frames_cross_in_both_directions_over_tcp_and_quic() {
    for (way, (a, b)) in
        [(tcp as fn(&Network) -> _, ("127.1.1.1", "127.1.1.2")), (quic, ("127.1.1.3", "127.1.1.4"))]
    {
        let (near, far) = (node(a).await, node(b).await);
        let mut incoming = far.incoming_pieces().unwrap();
        assert!(far.incoming_pieces().is_none());
        let mut ours = soon(near.open_pieces(&way(&far))).await.unwrap();
        ours.send.send(hello(1)).await.unwrap();
        let mut theirs = soon(incoming.recv()).await.unwrap();
        assert_eq!((ours.peer, theirs.peer), (far.peer_id(), near.peer_id()));
        assert!(theirs.remote.as_ref().unwrap().to_string().starts_with(&format!("/ip4/{a}/")));
        assert_eq!(ours.remote.as_ref(), Some(&way(&far).addresses[0]));
        assert_eq!(near.connected_address(&far.peer_id()), ours.remote);
        let sending = tokio::spawn(async move {
            for id in 0..64 {
                ours.send.feed(data(id, MAX_FRAGMENT)).await.unwrap();
                ours.send.feed(have(u64::from(id))).await.unwrap();
            }
            ours.send.finish().await.unwrap();
            ours
        });
        assert_eq!(soon(theirs.receive.next()).await.unwrap(), Some(hello(1)));
        for id in 0..64 {
            assert_eq!(soon(theirs.receive.next()).await.unwrap(), Some(data(id, MAX_FRAGMENT)));
            assert_eq!(soon(theirs.receive.next()).await.unwrap(), Some(have(u64::from(id))));
        }
        assert_eq!(soon(theirs.receive.next()).await.unwrap(), None);
        // The other direction is still open.
        theirs.send.send(hello(2)).await.unwrap();
        let mut ours = soon(sending).await.unwrap();
        assert_eq!(soon(ours.receive.next()).await.unwrap(), Some(hello(2)));
        let sent = 64 * MAX_FRAGMENT as u64;
        assert_eq!((near.uploaded(), near.downloaded()), (sent, 0));
        assert_eq!((far.uploaded(), far.downloaded()), (0, sent));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_streams_at_once_all_work() {
    let mut roomy = config("127.1.2.2");
    roomy.max_streams_per_peer = 256;
    let (near, far) = (node("127.1.2.1").await, Network::start(roomy).await.unwrap());
    let mut incoming = far.incoming_pieces().unwrap();
    let echoes = tokio::spawn(async move {
        let mut echoes = JoinSet::new();
        for _ in 0..200 {
            let mut stream = incoming.recv().await.unwrap();
            echoes.spawn(async move {
                let first = stream.receive.next().await.unwrap().unwrap();
                stream.send.send(first).await.unwrap();
                // Held open until the opener is done: all two hundred at the same time.
                assert_eq!(stream.receive.next().await.unwrap(), None);
            });
        }
        echoes.join_all().await;
    });
    let address = tcp(&far);
    let opening = (0..200u8).map(|seed| {
        let (near, address) = (&near, &address);
        async move {
            let mut stream = near.open_pieces(address).await.unwrap();
            stream.send.send(hello(seed)).await.unwrap();
            assert_eq!(stream.receive.next().await.unwrap(), Some(hello(seed)));
            stream
        }
    });
    let streams = soon(futures::future::join_all(opening)).await;
    assert_eq!(streams.len(), 200);
    for mut stream in streams {
        stream.send.finish().await.unwrap();
    }
    soon(echoes).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_with_too_many_streams_gets_no_more_until_one_ends() {
    let mut tight = config("127.1.3.2");
    tight.max_streams_per_peer = 2;
    let (near, far) = (node("127.1.3.1").await, Network::start(tight).await.unwrap());
    let mut incoming = far.incoming_pieces().unwrap();
    let mut held = Vec::new();
    for seed in 0..2 {
        let mut ours = near.open_pieces(&tcp(&far)).await.unwrap();
        ours.send.send(hello(seed)).await.unwrap();
        let theirs = soon(incoming.recv()).await.unwrap();
        held.push((ours, theirs));
    }
    let mut third = near.open_pieces(&tcp(&far)).await.unwrap();
    // The stream may be gone before the hello is out.
    third.send.send(hello(9)).await.ok();
    assert!(!matches!(soon(third.receive.next()).await, Ok(Some(_))));
    // Half a stream is still a stream.
    let (_, theirs) = held.pop().unwrap();
    let (send, receive) = (theirs.send, theirs.receive);
    drop(send);
    drop(receive);
    let mut fourth = near.open_pieces(&tcp(&far)).await.unwrap();
    fourth.send.send(hello(4)).await.unwrap();
    let mut theirs = soon(incoming.recv()).await.unwrap();
    assert_eq!(soon(theirs.receive.next()).await.unwrap(), Some(hello(4)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_serves_no_pieces_ends_the_stream() {
    let (near, far) = (node("127.1.4.1").await, node("127.1.4.2").await);
    let mut stream = near.open_pieces(&tcp(&far)).await.unwrap();
    stream.send.send(hello(1)).await.ok();
    assert!(!matches!(soon(stream.receive.next()).await, Ok(Some(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_peer_ends_its_streams_at_once() {
    for (way, ip) in [(tcp as fn(&Network) -> _, "127.1.5.1"), (quic, "127.1.5.2")] {
        let (near, far) = (node(ip).await, node("127.1.5.9").await);
        let mut incoming = far.incoming_pieces().unwrap();
        let mut ours = near.open_pieces(&way(&far)).await.unwrap();
        ours.send.send(hello(1)).await.unwrap();
        let mut theirs = soon(incoming.recv()).await.unwrap();
        assert_eq!(soon(theirs.receive.next()).await.unwrap(), Some(hello(1)));
        soon(far.stop()).await;
        assert!(!matches!(soon(ours.receive.next()).await, Ok(Some(_))));
        // Its own side of the stream has ended too, and it opens no new ones.
        assert!(!matches!(soon(theirs.receive.next()).await, Ok(Some(_))));
        assert!(matches!(far.open_pieces(&way(&near)).await, Err(OpenError::Stopped)));
        assert!(soon(incoming.recv()).await.is_none());
        soon(far.stop()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_frames_end_the_stream_and_not_the_node() {
    let far = node("127.1.6.2").await;
    let mut incoming = far.incoming_pieces().unwrap();
    let mut stranger =
        Stranger::start("127.1.6.1", Some((far.peer_id(), tcp(&far).addresses[0].clone()))).await;
    let too_long = u32::try_from(MAX_FRAME + 1).unwrap().to_be_bytes().to_vec();
    let huge = [u32::MAX.to_be_bytes().to_vec(), vec![0; 100_000]].concat();
    let unknown = vec![0, 0, 0, 1, 99];
    let empty = vec![0, 0, 0, 0];
    let not_cbor = vec![0, 0, 0, 3, 0, 0xff, 0xff];
    let cut = vec![0, 0, 0, 200, 3, 1];
    for bytes in [too_long, huge, unknown, empty, not_cbor, cut] {
        let mut stream = soon(stranger.open(far.peer_id(), PROTOCOL)).await;
        // The node may hang up before all of it is out.
        stream.write_all(&bytes).await.ok();
        stream.close().await.ok();
        let mut ours = soon(incoming.recv()).await.unwrap();
        assert_eq!(ours.peer, stranger.peer);
        let error = soon(ours.receive.next()).await.unwrap_err();
        assert!(matches!(error, StreamError::Malformed(_) | StreamError::CutShort(_)), "{error}");
        assert_eq!(soon(ours.receive.next()).await.unwrap(), None);
    }
    let near = node("127.1.6.3").await;
    let mut stream = near.open_pieces(&tcp(&far)).await.unwrap();
    stream.send.send(hello(1)).await.unwrap();
    let mut ours = soon(incoming.recv()).await.unwrap();
    assert_eq!(soon(ours.receive.next()).await.unwrap(), Some(hello(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_a_frame_can_be_given_up_at_any_byte() {
    let far = node("127.1.7.2").await;
    let mut incoming = far.incoming_pieces().unwrap();
    let mut stranger =
        Stranger::start("127.1.7.1", Some((far.peer_id(), tcp(&far).addresses[0].clone()))).await;
    let mut stream = soon(stranger.open(far.peer_id(), PROTOCOL)).await;
    let frames = [hello(1), have(3), data(4, 20), have(5)];
    let mut bytes = bytes::BytesMut::new();
    frames.iter().for_each(|frame| frame.encode(&mut bytes));
    stream.flush().await.unwrap();
    let mut ours = soon(incoming.recv()).await.unwrap();
    let mut seen = Vec::new();
    for byte in &bytes {
        stream.write_all(&[*byte]).await.unwrap();
        stream.flush().await.unwrap();
        // Given up at once, and at whatever point it has reached.
        if let Ok(frame) = tokio::time::timeout(Duration::from_micros(200), ours.receive.next()).await {
            seen.push(frame.unwrap().unwrap());
        }
    }
    while seen.len() < frames.len() {
        seen.push(soon(ours.receive.next()).await.unwrap().unwrap());
    }
    assert_eq!(seen, frames);
    // What the far side writes arrives in the same way.
    ours.send.send(hello(8)).await.unwrap();
    let mut length = [0; 4];
    soon(stream.read_exact(&mut length)).await.unwrap();
    assert!(u32::from_be_bytes(length) < 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_or_dead_address_among_good_ones_does_no_harm() {
    let (near, far, other) = (node("127.1.8.1").await, node("127.1.8.2").await, node("127.1.8.3").await);
    let mut incoming = far.incoming_pieces().unwrap();
    let dead = "/ip4/127.1.8.4/tcp/9".parse().unwrap();
    let unspeakable = "/ip4/127.1.8.4/udp/9".parse().unwrap();
    let wrong = tcp(&other).addresses[0].clone();
    let right = quic(&far).addresses[0].clone();
    let address = PeerAddress::new(far.peer_id(), [dead, unspeakable, wrong, right.clone()]);
    let mut ours = soon(near.open_pieces(&address)).await.unwrap();
    assert_eq!(ours.remote, Some(right));
    ours.send.send(hello(1)).await.unwrap();
    let mut theirs = soon(incoming.recv()).await.unwrap();
    assert_eq!(soon(theirs.receive.next()).await.unwrap(), Some(hello(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_is_preferred_and_the_connection_is_shared() {
    let (near, far) = (node("127.1.9.1").await, node("127.1.9.2").await);
    let mut incoming = far.incoming_pieces().unwrap();
    let mut backwards = far.listening();
    backwards.sort_by_key(|address| !is_quic(address));
    let address = PeerAddress::new(far.peer_id(), backwards);
    for seed in 0..3 {
        let mut ours = near.open_pieces(&address).await.unwrap();
        assert!(!is_quic(ours.remote.as_ref().unwrap()));
        ours.send.send(hello(seed)).await.unwrap();
        soon(incoming.recv()).await.unwrap();
    }
    // An address isn't needed for whoever is connected, in either direction.
    let nowhere = PeerAddress::new(near.peer_id(), []);
    let mut incoming = near.incoming_pieces().unwrap();
    let mut back = far.open_pieces(&nowhere).await.unwrap();
    back.send.send(hello(1)).await.unwrap();
    assert_eq!(soon(incoming.recv()).await.unwrap().peer, far.peer_id());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_is_said_in_a_sentence() {
    let near = node("127.1.10.1").await;
    let peer = PeerId::random();
    let dead = PeerAddress::new(peer, ["/ip4/127.1.10.2/tcp/9".parse().unwrap()]);
    let error = soon(near.open_pieces(&dead)).await.unwrap_err();
    assert!(
        matches!(&error, OpenError::Unreachable { reason, .. } if reason.contains("127.1.10.2/tcp/9")),
        "{error}"
    );
    assert!(error.to_string().contains("refused"), "{error}");
    let nowhere = PeerAddress::new(peer, []);
    assert!(matches!(near.open_pieces(&nowhere).await, Err(OpenError::NoAddress(_))));
    assert!(matches!(near.open_pieces(&tcp(&near)).await, Err(OpenError::Myself(_))));
    let other = node("127.1.10.3").await;
    let impostor = PeerAddress::new(peer, tcp(&other).addresses);
    let error = soon(near.open_pieces(&impostor)).await.unwrap_err();
    assert!(error.to_string().contains(&other.peer_id().to_string()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_payload_is_the_callers_mistake() {
    let (near, far) = (node("127.1.11.1").await, node("127.1.11.2").await);
    let mut incoming = far.incoming_pieces().unwrap();
    let mut ours = near.open_pieces(&tcp(&far)).await.unwrap();
    assert!(matches!(ours.send.send(data(1, MAX_FRAGMENT + 1)).await, Err(StreamError::TooLarge(_))));
    ours.send.send(Frame::Cancel(3)).await.unwrap();
    let mut theirs = soon(incoming.recv()).await.unwrap();
    assert_eq!(soon(theirs.receive.next()).await.unwrap(), Some(Frame::Cancel(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_before_the_stream_was_dropped_still_arrives() {
    for (way, ip) in [(tcp as fn(&Network) -> _, "127.1.12.1"), (quic, "127.1.12.2")] {
        let (near, far) = (node(ip).await, node("127.1.12.9").await);
        let mut incoming = far.incoming_pieces().unwrap();
        let mut ours = near.open_pieces(&way(&far)).await.unwrap();
        ours.send.send(hello(1)).await.unwrap();
        let mut theirs = soon(incoming.recv()).await.unwrap();
        assert_eq!(soon(theirs.receive.next()).await.unwrap(), Some(hello(1)));
        // As with a refusal: said, ended, gone.
        theirs.send.send(have(2)).await.unwrap();
        theirs.send.finish().await.unwrap();
        drop(theirs);
        assert_eq!(soon(ours.receive.next()).await.unwrap(), Some(have(2)));
        assert!(!matches!(soon(ours.receive.next()).await, Ok(Some(_))));
    }
}
