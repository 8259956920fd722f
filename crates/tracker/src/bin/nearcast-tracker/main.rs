//! `nearcast-tracker`: tells viewers who holds a film, neighbours on their own network first.
//!
//! | Module | What it holds |
//! | --- | --- |
//! | `cli` | what can be typed |
//! | `settings` | what can be set, by flag or in a file |
//! | `serve` | the tracker from its start to its end |
//! | `watch` | tables, lists and settings, read anew when they change |
//! | `saving` | what is remembered, saved now and then and taken in at the start |
//! | `site` | the status page, the numbers for Prometheus, whether all is well |
//! | `page`, `wall` | the status page, and what it shows |
//! | `notify` | what the service manager is told |
//! | `renewals` | the sockets for renewals by datagram |
//! | `print` | what goes to the standard output |

mod cli;
mod notify;
mod page;
mod print;
mod renewals;
mod saving;
mod serve;
mod settings;
mod site;
mod wall;
mod watch;

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    log(cli.verbose);
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nearcast-tracker: {}", print::sentence(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    if cli.print_config {
        return print::lines([settings::commented()?.trim_end()]);
    }
    let settings = cli.settings.clone().with_file()?;
    match cli.command {
        Some(Command::Group { addresses }) => print::groups(&settings, &addresses),
        None => tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?
            .block_on(serve::until_told_to_stop(cli.settings, &settings)),
    }
}

fn log(verbose: bool) {
    let default = if verbose { "debug" } else { "warn,nearcast_tracker=info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
