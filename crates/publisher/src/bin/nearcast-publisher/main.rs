//! `nearcast-publisher`: a folder of films, put up once.

mod cli;

use std::{io::IsTerminal, net::IpAddr, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use nearcast_network::Signals;
use nearcast_protocol::Role;
use nearcast_publisher::{Catalogue, Library, Site, library, site};
use nearcast_transfer::{Controller, Settings};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use url::Url;

use crate::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let default = if cli.verbose { "debug" } else { "warn,nearcast_publisher=info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let outcome = runtime.block_on(run(cli));
    // A hash that is still at work must not hold up the end.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let options = cli.options.with_config()?;
    let folder = options.folder.clone().context("name the folder of films: nearcast-publisher FOLDER")?;
    let folder = std::path::absolute(&folder)?;
    std::fs::read_dir(&folder).with_context(|| format!("can't read the folder {}", folder.display()))?;
    let state = options.state_folder()?;
    let site = Site::listen(options.http_address()).await?;
    let public = public_url(&options, &site)?;

    let mut settings = Settings::new(state.clone());
    settings.only_offered = true;
    settings.listen = options.listen.clone();
    settings.trackers = options.tracker.clone();
    settings.upload = options.upload.map(|rate| rate.bytes);
    settings.neighbours = false;
    settings.role = Role::Publisher;
    settings.streams = options.streams.unwrap_or(50);
    settings.version = concat!("nearcast-publisher/", env!("CARGO_PKG_VERSION")).into();
    if settings.trackers.is_empty() {
        tracing::warn!("no tracker is named (--tracker ADDRESS): viewers won't find this publisher");
    }
    let controller = Controller::start(settings).await?;
    let peer = controller.network().peer_id();
    for address in controller.network().listening() {
        println!("listening on {address}/p2p/{peer}");
    }
    println!("catalogue at {public}");

    let stop = CancellationToken::new();
    let (library, following) = Library::open(library::Settings::new(folder, state), controller.clone())?;
    let following = tokio::spawn(following.run(stop.clone()));
    let name = options.name.unwrap_or_else(|| "Films".into());
    let settings = site::Settings::new(name, public.clone());
    let serving = tokio::spawn(site.serve(settings, controller.clone(), library.watch(), stop.clone()));
    let catalogue = Catalogue::new(library, controller.clone(), public);
    let claiming = tokio::spawn(catalogue.clone().claim(stop.clone()));
    signals.stop().await;
    stop.cancel();
    following.await?;
    claiming.await?;
    // Browsers keep connections open; they are not waited for longer than this.
    let served = tokio::time::timeout(std::time::Duration::from_secs(3), serving).await;
    controller.stop().await;
    match served {
        Ok(served) => Ok(served??),
        Err(_) => Ok(()),
    }
}

/// Where viewers reach the site.
fn public_url(options: &cli::Options, site: &Site) -> anyhow::Result<Url> {
    if let Some(public) = &options.public {
        let mut public = public.clone();
        if !public.path().ends_with('/') {
            public.set_path(&format!("{}/", public.path()));
        }
        return Ok(public);
    }
    let address = site.address();
    let host = match address.ip() {
        ip if ip.is_unspecified() => "localhost".into(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    Url::parse(&format!("http://{host}:{}/", address.port())).context("the site has no address")
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("nearcast-publisher: {error:#}");
    ExitCode::FAILURE
}
