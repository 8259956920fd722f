//! The tracker from its start to its end.

use std::time::Duration;

use anyhow::Context;
use nearcast_network::{Config, Network, Signals, identity_on_disk};
use nearcast_tracker::{Server, Swarm};
use tokio::task::JoinSet;

use crate::{
    print, renewals,
    settings::Settings,
    tables::{self, Hangups},
};

/// A node asks, is answered and goes; a renewal comes minutes later. What lingers costs memory.
const IDLE: Duration = Duration::from_secs(2);

/// Runs a tracker until the process is told to stop.
pub async fn until_told_to_stop(settings: &Settings) -> anyhow::Result<()> {
    // First of all, so that no signal finds the process unprepared.
    let (mut signals, mut hangups) = (Signals::listen()?, Hangups::listen()?);
    let rules = settings.rules()?;
    // As they are before they are read: what changes meanwhile is read again.
    let table_seen = tables::State::of(&settings.groups);
    let table = settings.table()?;
    if table.is_empty() {
        tracing::warn!("every address is in the unknown network; give --groups FILE");
    }
    let state = settings.state_folder()?;
    let identity = identity_on_disk(&state.join("identity"))?;
    let mut config = Config::new(identity.clone());
    config.listen = settings.listen()?;
    config.neighbours = false;
    config.serve_tracker = true;
    config.idle = IDLE;
    config.max_connections = settings.connections()?;
    // A campus behind one address may come at once, but a flooder must leave room for others.
    config.max_connections_per_address = config.max_connections.div_ceil(4);
    let network = Network::start(config).await?;
    let calls = network.incoming_tracker_calls().context("the tracker's calls are taken already")?;
    tracing::info!(
        prefixes = table.len(),
        "lists of {} to {} from the own network, else filled up",
        rules.low,
        rules.high
    );
    let server = Server::new(Swarm::new(rules), table);
    let answering = tokio::spawn(server.clone().run(calls));
    let at = settings.renewals()?;
    let renewals = renewals::answer(&server, &identity, &at);
    let mut dialling = JoinSet::new();
    if settings.dials_back() {
        dialling.spawn(server.dial_back(network.dialler()?));
    }
    let peer = network.peer_id();
    print::lines(network.listening().iter().map(|address| format!("listening on {address}/p2p/{peer}")))?;

    let tables = tables::keep(&server, settings, table_seen, async || {
        hangups.next().await;
        tell_received(&server);
    });
    tokio::select! {
        () = signals.stop() => {}
        () = tables => {}
    }
    drop((renewals, dialling));
    network.stop().await;
    // With the network gone there are no more calls.
    answering.await?;
    tell_received(&server);
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
