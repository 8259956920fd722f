//! Speaking with the tracker, and lying to peers, from a node's own space.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::Args;
use nearcast_network::{Config, Network, PieceStream};
use nearcast_protocol::{
    Group, Link, Multiaddr, ResourceId, Role,
    pieces::{Data, Frame, Hello, MAX_FRAGMENT, PieceRequest, VERSION},
    tracker::{Answer, Find, Holding, Medium, Reach, Registration, Request},
};
use tokio::task::JoinSet;

/// How long one question may take.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Between two questions to a tracker that doesn't know enough holders yet.
pub const PAUSE: Duration = Duration::from_millis(50);

/// Waits until the tracker counts so many holders.
#[derive(Debug, Args)]
pub struct Count {
    /// What they hold.
    link: Link,
    /// Whom to ask.
    #[arg(long)]
    tracker: Multiaddr,
    /// How many there must be.
    #[arg(long)]
    until: u32,
}

/// Registers as a holder of the whole film and answers every request with noise.
#[derive(Debug, Args)]
pub struct Lie {
    /// What it claims to hold.
    link: Link,
    /// Where it listens.
    #[arg(long)]
    listen: Multiaddr,
    /// Where it registers.
    #[arg(long)]
    tracker: Multiaddr,
}

/// A node that listens there, with an identity of its own.
///
/// # Errors
/// When it can't.
pub async fn node(listen: Vec<Multiaddr>) -> Result<Network> {
    let folder = tempfile::tempdir()?;
    let mut config = Config::new(nearcast_network::identity_on_disk(&folder.path().join("identity"))?);
    (config.listen, config.neighbours) = (listen, false);
    Ok(Network::start(config).await?)
}

/// # Errors
/// When the tracker doesn't come to know so many.
pub async fn count(count: &Count) -> Result<()> {
    let network = node(Vec::new()).await?;
    let until = tokio::time::Instant::now() + PATIENCE * 3;
    let (resource, token, stalled) = (count.link.id, None, false);
    loop {
        let request = Request::Find(Find { resource, token: token.clone(), stalled });
        let known = match network.ask(&count.tracker, &request, PATIENCE).await? {
            Answer::Found(list) => list.counts.in_group + list.counts.outside,
            other => bail!("the tracker answers {other:?}"),
        };
        if known >= count.until {
            network.stop().await;
            println!("{known} holders");
            return Ok(());
        }
        if tokio::time::Instant::now() > until {
            bail!("the tracker knows {known} holders, not {}", count.until);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// # Errors
/// When it can't register.
pub async fn lie(lie: &Lie) -> Result<()> {
    let network = node(vec![lie.listen.clone()]).await?;
    let mut incoming = network.incoming_pieces().context("pieces are taken")?;
    let registration = Registration {
        version: "liar".into(),
        role: Role::Terminal,
        tcp_port: network.tcp_port(),
        quic_port: 0,
        reach: Reach::Unknown,
        medium: Medium::Unknown,
        local: Vec::new(),
        holdings: vec![Holding { resource: lie.link.id, permille: 1000, guard: None }],
        spare_upload: 0,
    };
    match network.ask(&lie.tracker, &Request::Register(registration), PATIENCE).await? {
        Answer::Leased(_) => println!("registered"),
        other => bail!("the tracker answers {other:?}"),
    }
    let mut streams = JoinSet::new();
    while let Some(stream) = incoming.recv().await {
        while streams.try_join_next().is_some() {}
        let (id, size) = (lie.link.id, lie.link.size);
        // A peer that has had enough is no failure of the liar's.
        streams.spawn(async move { answer(stream, id, size).await.ok() });
    }
    Ok(())
}

async fn answer(mut stream: PieceStream, resource: ResourceId, size: u64) -> Result<()> {
    let (token, role, group) = (None, Role::Terminal, Group::UNKNOWN);
    let hello = Hello { version: VERSION, resource, size, token, role, group };
    stream.send.send(Frame::Hello(hello)).await?;
    let blocks = nearcast_protocol::Geometry::new(size).all();
    stream.send.send(Frame::Have(blocks)).await?;
    while let Some(frame) = stream.receive.next().await? {
        let Frame::Request(PieceRequest { id, count, .. }) = frame else { continue };
        // Of the right length to the byte would be more work; noise fails at its first proof anyway.
        let mut left = usize::try_from(count * nearcast_protocol::BLOCK_BYTES)?;
        while left > 0 {
            let length = left.min(MAX_FRAGMENT);
            left -= length;
            let payload = Bytes::from(vec![0x5a; length]);
            stream.send.send(Frame::Data(Data { id, last: left == 0, payload })).await?;
        }
    }
    Ok(())
}
