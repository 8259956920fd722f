//! The demo: the whole system on loopback, a real film, real programs, one viewer.

mod headless;
mod played;
mod system;
mod windowed;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};
use clap::Parser;

use crate::system::System;

/// Plays a film from neighbours on loopback: a tracker, a publisher, five neighbours in the viewer's network
/// and three in another, and the desktop app. Without a display the app runs on one of its own and pictures of it
/// are saved; the last line is a JSON object with the figures then.
#[derive(Parser)]
#[command(name = "nearcast-demo")]
struct Cli {
    /// The film.
    #[arg(long)]
    film: PathBuf,
    /// How fast each neighbour uploads.
    #[arg(long, default_value = "2Mbit")]
    upload: String,
    /// Seconds to play before and after the seek.
    #[arg(long, num_args = 2, default_values_t = [20, 10])]
    play: Vec<u64>,
    /// Where to seek without a window, in seconds of the film.
    #[arg(long, default_value_t = 300)]
    seek: u64,
    /// Play without the app, through nearcast-player.
    #[arg(long)]
    without_window: bool,
    /// Run the app on a display of its own even if there is one.
    #[arg(long)]
    without_display: bool,
    /// Where pictures of the screen are saved.
    #[arg(long, default_value = "target/demo")]
    pictures: PathBuf,
}

fn main() -> ExitCode {
    match demo(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demo(cli: &Cli) -> Result<()> {
    let film = std::path::absolute(&cli.film)?;
    if !film.is_file() {
        bail!("there is no film {}", film.display());
    }
    let system = System::start(&film, &cli.upload)?;
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let figures = if cli.without_window {
        headless::play(cli, &system)?
    } else if !cli.without_display && (set("DISPLAY") || set("WAYLAND_DISPLAY")) {
        return windowed::stay(&system);
    } else {
        windowed::play(cli, &system, &film)?
    };
    figures.report()
}
