//! The two ends of a try, each in a namespace of its own: one that can be dialled, and one that dials.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context, Result, bail};
use clap::Args;
use nearcast_network::{Network, PieceStream, split_peer};
use nearcast_protocol::{
    Group, Multiaddr, PeerAddress, PeerId, ResourceId, Role,
    pieces::{Frame, Hello, VERSION},
    tracker::{Answer, Find, Holding, Lease, Medium, Reach, Received, Registration, Renewal, Request},
};
use serde::{Deserialize, Serialize};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::Way;
use crate::speak::{PATIENCE, PAUSE, node};

/// Registers as a holder and answers every hello, until it is ended.
#[derive(Debug, Args)]
pub struct Hold {
    /// What it claims to hold.
    resource: ResourceId,
    /// Its own machine, as an address without a port.
    #[arg(long)]
    here: Multiaddr,
    /// Where it registers.
    #[arg(long)]
    tracker: Multiaddr,
}

/// Dials holders over each transport.
#[derive(Debug, Args)]
pub struct Dial {
    /// What they hold.
    resource: ResourceId,
    /// Its own machine, as an address without a port.
    #[arg(long)]
    here: Multiaddr,
    /// Whom to ask for a list.
    #[arg(long)]
    tracker: Multiaddr,
    /// Whom to dial besides, listed or not: `/ip4/…/p2p/…`.
    holders: Vec<Multiaddr>,
}

/// What a holder says once it has heard what came of the tracker's dial.
#[derive(Debug, Serialize, Deserialize)]
pub struct Held {
    /// Who it is.
    pub peer: String,
    /// Whether the tracker could dial it.
    pub dialled_back: bool,
}

/// What came of one dialler's dials, by who was dialled.
pub type Dialled = BTreeMap<String, Met>;

/// What came of dialling one holder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Met {
    /// The tracker lists it to this dialler.
    pub listed: bool,
    /// It answers a hello over TCP.
    pub tcp: bool,
    /// It answers a hello over QUIC.
    pub quic: bool,
}

fn hello(resource: ResourceId) -> Frame {
    let (size, token, role, group) = (1, None, Role::Terminal, Group::UNKNOWN);
    Frame::Hello(Hello { version: VERSION, resource, size, token, role, group })
}

async fn lease(network: &Network, tracker: &Multiaddr, request: Request) -> Result<Lease> {
    match network.ask(tracker, &request, PATIENCE).await? {
        Answer::Leased(lease) => Ok(lease),
        other => bail!("the tracker answers {other:?}"),
    }
}

/// # Errors
/// When the tracker doesn't tell what it finds out.
pub async fn hold(hold: &Hold) -> Result<()> {
    let [tcp, quic] = Way::ALL.map(|way| way.on(&hold.here));
    let network = node(vec![tcp?, quic?]).await?;
    let mut incoming = network.incoming_pieces().context("pieces are taken")?;
    let registration = Registration {
        version: "lab".into(),
        role: Role::Terminal,
        tcp_port: network.tcp_port(),
        quic_port: network.quic_port(),
        reach: Reach::Unknown,
        medium: Medium::Unknown,
        local: network.local_addresses(),
        holdings: vec![Holding { resource: hold.resource, permille: 1000, guard: None }],
        spare_upload: 0,
    };
    let mut known = lease(&network, &hold.tracker, Request::Register(registration)).await?;
    let until = Instant::now() + PATIENCE * 3;
    while known.reach == Reach::Unknown {
        if Instant::now() > until {
            bail!("the tracker doesn't say whether it can dial this node");
        }
        sleep(PAUSE).await;
        let (held, dropped, received) = (Vec::new(), Vec::new(), Received::default());
        let renewal = Renewal { held, dropped, spare_upload: 0, received, round_trips: Vec::new() };
        known = lease(&network, &hold.tracker, Request::Renew(renewal)).await?;
    }
    let held = Held { peer: network.peer_id().to_string(), dialled_back: known.reach == Reach::Public };
    println!("{}", serde_json::to_string(&held)?);
    let mut streams = JoinSet::new();
    while let Some(mut stream) = incoming.recv().await {
        while streams.try_join_next().is_some() {}
        let resource = hold.resource;
        streams.spawn(async move {
            // A dialler that has gone is no failure of the holder's.
            stream.send.send(hello(resource)).await.ok();
            while let Ok(Some(_)) = stream.receive.next().await {}
        });
    }
    Ok(())
}

/// # Errors
/// When the tracker gives no list.
pub async fn dial(dial: &Dial) -> Result<()> {
    let mut dialled = Dialled::new();
    let mut addresses: BTreeMap<PeerId, Vec<Multiaddr>> = BTreeMap::new();
    for holder in &dial.holders {
        let (machine, peer) = split_peer(holder);
        let known = addresses.entry(peer.context("a holder without an identity")?).or_default();
        for way in Way::ALL {
            known.push(way.on(&machine)?);
        }
    }
    // Over each transport from a node of its own: a connection there is would be taken for either.
    let mut nodes = Vec::new();
    for way in Way::ALL {
        nodes.push((way, Arc::new(node(vec![way.on(&dial.here)?]).await?)));
    }
    let (_, asker) = nodes.first().context("no node")?;
    let find = Request::Find(Find { resource: dial.resource, token: None, stalled: false });
    match asker.ask(&dial.tracker, &find, PATIENCE).await? {
        Answer::Found(list) => {
            for listed in list.peers {
                dialled.entry(listed.peer().to_string()).or_default().listed = true;
                addresses.entry(listed.peer()).or_default().extend(listed.address.addresses);
            }
        }
        other => bail!("the tracker answers {other:?}"),
    }
    let mut tries = JoinSet::new();
    for (way, network) in &nodes {
        for (peer, addresses) in &addresses {
            let fitting = addresses.iter().filter(|address| way.carries(address)).cloned();
            let (target, network) = (PeerAddress::new(*peer, fitting), Arc::clone(network));
            let (way, peer, resource) = (*way, *peer, dial.resource);
            tries.spawn(async move {
                let stream = network.open_pieces(&target).await;
                let met = match stream {
                    Ok(stream) => answers(stream, resource).await,
                    Err(_) => false,
                };
                (peer, way, met)
            });
        }
    }
    while let Some(tried) = tries.join_next().await {
        let (peer, way, met) = tried?;
        let dialled = dialled.entry(peer.to_string()).or_default();
        match way {
            Way::Tcp => dialled.tcp = met,
            Way::Quic => dialled.quic = met,
        }
    }
    for (_, network) in &nodes {
        network.stop().await;
    }
    println!("{}", serde_json::to_string(&dialled)?);
    Ok(())
}

async fn answers(mut stream: PieceStream, resource: ResourceId) -> bool {
    stream.send.send(hello(resource)).await.is_ok()
        && matches!(timeout(PATIENCE, stream.receive.next()).await, Ok(Ok(Some(Frame::Hello(_)))))
}
