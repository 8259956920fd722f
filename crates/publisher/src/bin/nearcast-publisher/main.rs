//! `nearcast-publisher`: a folder of films, put up once.

mod cli;
mod drain;
mod print;
mod service;
mod signing;

use std::{io::IsTerminal, net::IpAddr, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::Parser;
use nearcast_network::{Signals, identity_on_disk};
use nearcast_protocol::Role;
use nearcast_publisher::{
    Access, Catalogue, Library, Publication, Site,
    access::{self, keys::Keys, password::Passwords, policy},
    admin::{self, Admin, Limits},
    hours, library, site,
};
use nearcast_transfer::{Controller, LoadRules, Settings};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use url::Url;

use crate::cli::{Cli, Command};

/// Viewers served at a time for each film, if nothing else is said (R7 a).
const STREAMS: usize = 50;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let default = if cli.verbose { "debug" } else { "warn,libp2p_kad=error,nearcast_publisher=info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    allow_many_files();
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

/// Every stream and every film that is served takes a file; the usual soft limit is far below what is allowed.
#[cfg(unix)]
fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::info!(%error, "no more files can be open than usual");
    }
}

#[cfg(not(unix))]
fn allow_many_files() {}

async fn run(cli: Cli) -> anyhow::Result<()> {
    match &cli.command {
        Some(Command::Link(asked)) => return signing::link(&asked.state.options()?, asked),
        Some(Command::RotateKeys(asked)) => return signing::rotate(&asked.state.options()?, asked),
        None => {}
    }
    let mut signals = Signals::listen()?;
    let options = cli.options.with_config()?;
    if options.print_config {
        print!("{}", print::config(&options));
        return Ok(());
    }
    let folder = options.folder.clone().context("name the folder of films: nearcast-publisher FOLDER")?;
    let folder = std::path::absolute(&folder)?;
    std::fs::read_dir(&folder).with_context(|| format!("can't read the folder {}", folder.display()))?;
    let state = options.state_folder()?;
    let site = Site::listen(options.http_address()).await?;
    let admin = listen_admin(&options).await?;
    let public = public_url(&options, &site)?;

    // So that a setting that is wrong is said before anything is offered.
    let protect =
        policy::protect(&folder, &options.protect).context("a pattern of --protect can't be read")?;
    let passwords = options.password_file.as_deref().map(Passwords::read).transpose()?;
    let link_life = options.link_life.map_or(access::LINK_LIFE, |period| period.0);
    if link_life > access::keys::LONGEST {
        return Err(access::keys::KeyError::TooLong).context("--link-life is too long");
    }
    let keys = Keys::new(&state, identity_on_disk(&state.join("identity"))?)?;

    let mut settings = Settings::new(state.clone());
    settings.only_offered = true;
    settings.protect = Some(protect);
    settings.listen = options.listen.clone();
    settings.trackers = options.tracker.clone();
    settings.upload = options.upload.map(|rate| rate.bytes);
    settings.neighbours = false;
    settings.map_ports = options.map_ports;
    settings.give_way = options.give_way;
    settings.role = Role::Publisher;
    settings.upload_each = options.upload_each.map(|rate| rate.bytes);
    settings.streams = options.streams.unwrap_or(STREAMS);
    settings.streams_in_all = options.streams_in_all;
    let usual = settings.load;
    settings.load = LoadRules {
        low: options.enough.unwrap_or(usual.low),
        ask_every: options.count_every.map_or(usual.ask_every, |s| Duration::from_secs(s.into())),
        ..usual
    };
    settings.version = concat!("nearcast-publisher/", env!("CARGO_PKG_VERSION")).into();
    if settings.trackers.is_empty() {
        tracing::warn!("no tracker is named (--tracker ADDRESS): viewers won't find this publisher");
    }
    let controller = Controller::start(settings).await?;
    let peer = controller.network().peer_id();
    for address in controller.network().listening() {
        println!("listening on {address}/p2p/{peer}");
    }
    println!("administration at http://{}/", admin.address());
    println!("catalogue at {public}");

    // The administration outlives the rest, so that the end can be watched.
    let (ending, stop, last) = (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
    let mut films = library::Settings::new(folder.clone(), state.clone());
    films.pictures = !options.no_posters;
    let access = Access::new(controller.clone(), keys, passwords, link_life)?;
    let guarding = tokio::spawn(access.clone().follow(stop.clone()));
    let (library, following) = Library::open(films, controller.clone())?;
    let following = tokio::spawn(following.run(stop.clone()));
    let publication =
        Publication::new(site_settings(&options, &public), controller.clone(), library.watch(), access);
    let serving = tokio::spawn(site.serve(publication.clone(), stop.clone()));
    let catalogue = Catalogue::new(library.clone(), controller.clone(), public);
    let claiming = tokio::spawn(catalogue.claim(stop.clone()));
    let settings =
        admin::Settings { state, folder, largest: options.largest_film(), limits: limits(&options) };
    let administrating = admin.serve(settings, publication.clone(), library, ending.clone(), last.clone());
    let mut administrating = tokio::spawn(administrating);
    let limiting =
        tokio::spawn(keep_hours(options.clone(), controller.clone(), publication.clone(), stop.clone()));
    service::ready();
    let watchdog = tokio::spawn(service::watchdog(stop.clone()));
    tokio::select! {
        () = signals.stop() => {}
        // It ends by itself only if its token or its limits can't be read.
        failed = &mut administrating => failed??,
    }
    ending.cancel();
    service::stopping();
    tracing::info!("ending; running streams may finish, a second signal ends at once");
    let patience = Duration::from_secs(options.drain.unwrap_or(cli::DRAIN).into());
    tokio::select! {
        () = drain::drained(&controller, &publication) => {}
        () = tokio::time::sleep(patience) => {}
        () = signals.stop() => {}
    }
    stop.cancel();
    following.await?;
    claiming.await?;
    limiting.await?;
    watchdog.await?;
    guarding.await?;
    // Browsers keep connections open; they are not waited for longer than this.
    let served = tokio::time::timeout(Duration::from_secs(3), serving).await;
    controller.stop().await;
    last.cancel();
    if !administrating.is_finished() {
        tokio::time::timeout(Duration::from_secs(2), administrating).await.ok();
    }
    match served {
        Ok(served) => Ok(served??),
        Err(_) => Ok(()),
    }
}

/// The administration's address. The usual one may be another publisher's: then any free one is taken.
async fn listen_admin(options: &cli::Options) -> anyhow::Result<Admin> {
    if let Some(address) = options.admin {
        return Ok(Admin::listen(address).await?);
    }
    match Admin::listen(cli::ADMIN).await {
        Ok(admin) => Ok(admin),
        Err(_) => Ok(Admin::listen((cli::ADMIN.ip(), 0).into()).await?),
    }
}

fn site_settings(options: &cli::Options, public: &Url) -> site::Settings {
    let mut settings = site::Settings::new(options.name.as_deref().unwrap_or("Films"), public.clone());
    settings.download = options.download.clone();
    settings.connections = options.connections.unwrap_or(settings.connections);
    // What is left by then has had its time.
    settings.drain = Duration::from_secs(1);
    settings
}

/// The limits that can be set anew while it runs.
fn limits(options: &cli::Options) -> Limits {
    let upload = options.upload.map(|rate| rate.bytes);
    // Those without the app leave three quarters of the line to those who pass on what they get.
    let direct_rate = options.direct_rate.map(|rate| rate.bytes).or(upload.map(|upload| upload / 4));
    Limits {
        upload,
        streams: Some(options.streams.unwrap_or(STREAMS)),
        streams_in_all: options.streams_in_all,
        direct: Some(options.direct.unwrap_or(site::DIRECT)),
        direct_rate,
    }
}

/// Holds the upload to the limits: what was set by hand, else what the hour says, else the usual.
async fn keep_hours(
    options: cli::Options,
    controller: Controller,
    publication: Publication,
    stop: CancellationToken,
) {
    let keeping = async {
        let mut set = publication.upload_set();
        loop {
            let by_hand = *set.borrow_and_update();
            let time = jiff::Zoned::now().time();
            let usual = hours::limit_at(&options.hours, time, options.upload.map(|rate| rate.bytes));
            controller.set_upload(by_hand.or(usual), options.upload_each.map(|rate| rate.bytes));
            let later = if options.hours.is_empty() {
                Duration::MAX
            } else {
                hours::until_change(&options.hours, time)
            };
            // Whoever sets limits has ended if this fails; the hours go on.
            if tokio::time::timeout(later, set.changed()).await.is_ok_and(|changed| changed.is_err()) {
                return;
            }
        }
    };
    stop.run_until_cancelled(keeping).await;
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
