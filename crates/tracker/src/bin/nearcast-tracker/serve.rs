//! The tracker from its start to its end.

use std::time::Duration;

use anyhow::Context;
use nearcast_network::{Config, Network, Signals, identity_on_disk};
use nearcast_tracker::{Server, Swarm};
use tokio::{sync::watch, task::JoinSet};

use crate::{
    notify, print, renewals,
    saving::Saving,
    settings::Settings,
    site::Site,
    watch::{Hangups, Watch},
};

/// A node asks, is answered and goes; a renewal comes minutes later. What lingers costs memory.
const IDLE: Duration = Duration::from_secs(2);

/// Runs a tracker until the process is told to stop.
pub async fn until_told_to_stop(flags: Settings, settings: &Settings) -> anyhow::Result<()> {
    // First of all, so that no signal finds the process unprepared.
    let (mut signals, hangups) = (Signals::listen()?, Hangups::listen()?);
    let (rules, limits) = (settings.rules()?, settings.limits()?);
    // As they are before they are read: what changes meanwhile is read again.
    let watch = Watch::new(flags, settings.clone());
    let (table, access) = (settings.table()?, settings.access()?);
    if table.is_empty() {
        tracing::warn!("every address is in the unknown network; give --groups FILE");
    }
    let state = settings.state_folder()?;
    let identity = identity_on_disk(&state.join("identity"))?;
    let mut config = Config::new(identity.clone());
    config.listen = settings.listen()?;
    (config.neighbours, config.map_ports, config.kademlia) = (false, false, false);
    config.serve_tracker = true;
    config.idle = IDLE;
    config.max_connections = settings.connections()?;
    // A campus behind one address may come at once, but a flooder must leave room for others.
    config.max_connections_per_address = config.max_connections.div_ceil(4);
    let site = match settings.status {
        Some(address) => Some(Site::listen(address).await?),
        None => None,
    };
    let prefixes = table.len();
    let (listed, denied) = (access.listed(), access.denied());
    let server = Server::new(Swarm::new(rules), table);
    server.set_limits(limits);
    server.set_access(access);
    let saving = Saving::new(&state, settings.saved_every());
    if let Some(saving) = &saving {
        saving.restore(&server)?;
    }
    let network = Network::start(config).await?;
    let calls = network.incoming_tracker_calls().context("the tracker's calls are taken already")?;
    server.introduce(settings.introductions()?, network.quic_port());
    tracing::info!(prefixes, "lists of {} to {} from the own network, else filled up", rules.low, rules.high);
    if listed.is_some() || denied > 0 {
        tracing::info!(listed, denied, "not everyone and everything is served");
    }
    let answering = tokio::spawn(server.clone().run(calls));
    let at = settings.renewals()?;
    let renewals = renewals::answer(&server, &identity, &at);
    let mut dialling = JoinSet::new();
    if settings.dials_back() {
        dialling.spawn(server.dial_back(network.dialler()?));
    }
    let peer = network.peer_id();
    print::lines(network.listening().iter().map(|address| format!("listening on {address}/p2p/{peer}")))?;
    let (stopping, told) = watch::channel(false);
    let mut tasks = JoinSet::new();
    if let Some(site) = site {
        print::lines([format!("status page at http://{}/", site.address())])?;
        tasks.spawn(site.serve(server.clone(), network.unheard(), told));
    }
    notify::ready();

    let keep_saved = async {
        match &saving {
            Some(saving) => saving.keep(&server).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = signals.stop() => {}
        () = keep_saved => {}
        () = watch.keep(&server, hangups, || tell_received(&server)) => {}
        () = notify::alive(&server) => {}
    }
    notify::stopping();
    stopping.send_replace(true);
    drop((renewals, dialling));
    network.stop().await;
    // With the network gone there are no more calls.
    answering.await?;
    if let Some(saving) = &saving {
        server.hurry();
        saving.save(&server).await;
    }
    tell_received(&server);
    tasks.shutdown().await;
    Ok(())
}

fn tell_received(server: &Server) {
    for (group, (name, received)) in server.received() {
        tracing::info!(
            %group,
            name,
            own_group = received.own_group,
            other_groups = received.other_groups,
            publishers = received.publishers,
            "bytes received"
        );
    }
}
