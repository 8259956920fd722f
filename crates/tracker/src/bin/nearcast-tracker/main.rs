//! `nearcast-tracker`

mod cli;

use std::{io::IsTerminal, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use nearcast_network::{Config, Network, Signals, identity_on_disk};
use nearcast_tracker::{GroupTable, Swarm, server::Server};
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command, Options};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let default = if cli.verbose { "debug" } else { "warn,nearcast_tracker=info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nearcast-tracker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    if cli.print_config {
        print!("{}", cli::PRINTED);
        return Ok(());
    }
    let options = cli.options.with_config()?;
    match cli.command {
        Some(Command::Group { addresses }) => {
            let table = table(&options)?;
            for address in addresses {
                let group = table.group_of(address);
                println!("{address}  {group}  {}", table.name_of(group).unwrap_or_default());
            }
            Ok(())
        }
        None => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(serve(&options))
        }
    }
}

async fn serve(options: &Options) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let rules = options.rules()?;
    let table = table(options)?;
    if table.is_empty() {
        tracing::warn!("there is no group table: every address is of an unknown network (--groups FILE)");
    }
    let state = options.state_folder()?;
    let mut config = Config::new(identity_on_disk(&state.join("identity"))?);
    config.listen = options.listening()?;
    config.neighbours = false;
    config.serve_tracker = true;
    config.max_connections = options.connections();
    // Viewers behind one translated address are many; `pace` keeps them from taking it all.
    config.max_connections_per_address = options.connections() / 4 + 1;
    // A question and its answer take no longer, and an idle connection costs what a viewer could use.
    config.idle = std::time::Duration::from_secs(2);
    let network = Network::start(config).await?;
    let calls = network.incoming_tracker_calls().context("the tracker's calls are taken already")?;
    tracing::info!(prefixes = table.len(), low = rules.low, high = rules.high, "ready");
    for address in network.listening() {
        println!("listening on {address}/p2p/{}", network.peer_id());
    }
    let server = Server::new(Swarm::new(rules), table);
    let answering = tokio::spawn(server.clone().run(calls));
    tokio::select! {
        () = signals.stop() => {}
        () = reload(&server, options) => {}
    }
    network.stop().await;
    answering.await?;
    Ok(())
}

fn table(options: &Options) -> anyhow::Result<GroupTable> {
    Ok(options.groups.as_deref().map(GroupTable::read).transpose()?.unwrap_or_default())
}

/// Reads the group table anew at each SIGHUP; a bad one is told and changes nothing.
async fn reload(server: &Server, options: &Options) {
    #[cfg(unix)]
    if let (Some(path), Ok(mut hangups)) = (
        options.groups.clone(),
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()),
    ) {
        while hangups.recv().await.is_some() {
            let (server, path) = (server.clone(), path.clone());
            let reading = tokio::task::spawn_blocking(move || {
                let table = GroupTable::read(&path)?;
                let prefixes = table.len();
                server.set_table(table);
                Ok::<_, nearcast_tracker::GroupTableError>(prefixes)
            });
            match reading.await {
                Ok(Ok(prefixes)) => tracing::info!(prefixes, "the group table was read anew"),
                Ok(Err(error)) => tracing::error!(%error, "the group table stays as it was"),
                Err(error) => tracing::error!(%error, "the group table stays as it was"),
            }
        }
    }
    std::future::pending().await
}
