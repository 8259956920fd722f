use nearcast_network::{Config, Keypair, Network, StartError};
use nearcast_protocol::Multiaddr;

use crate::{config, node};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_knows_where_it_listens() {
    let node = node("127.4.1.1").await;
    let (tcp, quic) = (node.tcp_port(), node.quic_port());
    assert!(tcp != 0 && quic != 0);
    let addresses: [Multiaddr; 2] =
        [format!("/ip4/127.4.1.1/tcp/{tcp}"), format!("/ip4/127.4.1.1/udp/{quic}/quic-v1")]
            .map(|address| address.parse().unwrap());
    assert_eq!(node.listening(), addresses);
    // Named in the configuration, so it is offered to neighbours, unlike 127.0.0.1 below.
    assert_eq!(node.local_addresses(), addresses);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_interface_shares_one_port_and_loopback_is_not_offered() {
    let mut config = Config::new(Keypair::generate_ed25519());
    config.neighbours = false;
    let node = Network::start(config).await.unwrap();
    let listening = node.listening();
    assert!(listening.contains(&format!("/ip4/127.0.0.1/tcp/{}", node.tcp_port()).parse().unwrap()));
    assert!(listening.contains(&format!("/ip4/127.0.0.1/udp/{}/quic-v1", node.quic_port()).parse().unwrap()));
    assert!(node.local_addresses().iter().all(|address| !address.to_string().contains("/127.")));
    assert!(node.local_addresses().len() <= nearcast_protocol::wire::MAX_ADDRESSES);
}

#[tokio::test(flavor = "multi_thread")]
async fn named_addresses_share_one_port_too() {
    let mut config = config("127.4.2.1");
    config.listen.push("/ip4/127.4.2.2/tcp/0".parse().unwrap());
    let node = Network::start(config).await.unwrap();
    let second: Multiaddr = format!("/ip4/127.4.2.2/tcp/{}", node.tcp_port()).parse().unwrap();
    assert!(node.listening().contains(&second));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_an_error_for_the_second_program() {
    let first = node("127.4.3.1").await;
    for address in first.listening() {
        let mut config = config("127.4.3.1");
        config.listen = vec![address.clone()];
        let error = Network::start(config).await.unwrap_err();
        assert!(matches!(&error, StartError::InUse { address: named } if *named == address), "{error}");
        assert!(error.to_string().contains("another program uses this port"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_listened_on_is_said() {
    let start = async |address: &str| {
        let mut config = config("127.4.4.1");
        config.listen = vec![address.parse().unwrap()];
        Network::start(config).await.unwrap_err()
    };
    assert!(matches!(start("/dns4/example.org/tcp/1").await, StartError::Address { .. }));
    assert!(matches!(start("/ip4/127.0.0.1/udp/0").await, StartError::Address { .. }));
    // TEST-NET-1 (RFC 5737) is nobody's interface.
    let error = start("/ip4/192.0.2.1/tcp/0").await;
    assert!(matches!(error, StartError::Listen { .. }), "{error}");
}
