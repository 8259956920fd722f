//! `nearcast-player`: plays without a screen, and measures; looks into files.

mod target;

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand};
use nearcast_playback::{Figures, Script, SeekMode, measure, probe};
use tracing_subscriber::EnvFilter;

use crate::target::{Fetching, Origin, Target};

/// Plays films without a screen and measures what a viewer would notice; tells what a file holds.
#[derive(Debug, Parser)]
#[command(
    name = "nearcast-player",
    version,
    after_help = "\
Examples:
  nearcast-player measure 'nearcast://…' --play 10 --seek 300
  nearcast-player probe film.mkv

Set RUST_LOG=debug to see why something is slow or fails, GST_DEBUG=3 for GStreamer's own log."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell what a file holds, as one line of JSON
    #[command(after_help = "Example:\n  nearcast-player probe film.mkv | jq .video")]
    Probe {
        /// The file to look into
        file: PathBuf,
        /// How long a file may take, s
        #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
        timeout: Duration,
    },
    /// Play without a screen and measure: how long until the first picture, until it runs, how often it
    /// stood still
    #[command(after_help = "\
Plays from the start, then from each --seek, and prints the figures.

  first picture   the first decoded picture is at the screen
  runs            the second picture was shown on time: the clock runs
  stall           the film stood still for want of data; the wait after opening or a seek is none

Examples:
  nearcast-player measure film.mp4 --play 5
  nearcast-player measure film.mp4 --play 5 --seek 300 --seek 20.5 --accurate --json")]
    Measure {
        /// The film to play: a file on this machine, a nearcast: link, or an http(s) URL
        target: String,
        /// How long to play after each start, s; to the end if left out
        #[arg(long, value_name = "SECONDS", value_parser = seconds)]
        play: Option<Duration>,
        /// How long to play after each seek, s; as long as after the start if left out
        #[arg(long, value_name = "SECONDS", value_parser = seconds)]
        play_after_seek: Option<Duration>,
        /// Then go to this place, s; can be given again
        #[arg(long, value_name = "SECONDS", value_parser = seconds)]
        seek: Vec<Duration>,
        /// Go to exactly that place, not to the nearest picture that stands by itself
        #[arg(long)]
        accurate: bool,
        /// How long nothing may move before it is given up, s
        #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
        patience: Duration,
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
        /// Then share on what was fetched until asked to end; with --json, the last line tells where the
        /// bytes have come from by then
        #[arg(long)]
        share_on: bool,
        #[command(flatten)]
        fetching: Fetching,
    },
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 =
        text.parse().map_err(|_| "expected a number of seconds, such as 20 or 2.5".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "expected a number of seconds from 0 on".to_owned())
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::builder().with_default_directive(tracing::Level::ERROR.into()).from_env_lossy(),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("nearcast-player: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Probe { file, timeout } => {
            println!("{}", serde_json::to_string(&probe(&file, timeout)?)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Measure {
            target,
            play,
            play_after_seek,
            seek,
            accurate,
            patience,
            json,
            share_on,
            fetching,
        } => {
            let mut target = Target::new(&target, fetching)?;
            let mode = if accurate { SeekMode::Accurate } else { SeekMode::Fast };
            let script =
                Script { play, play_after_seek: play_after_seek.or(play), seeks: seek, mode, patience };
            let figures = measure(|| target.open(), &script);
            let figures = figures?;
            let origin = target.origin();
            if json {
                println!("{}", serde_json::to_string(&Measured { figures: &figures, origin })?);
            } else {
                print(&figures);
            }
            if share_on {
                std::io::stdout().flush()?;
                target.share_on()?;
                if json && let Some(origin) = target.origin() {
                    println!("{}", serde_json::to_string(&origin)?);
                }
            }
            target.close();
            Ok(if figures.error.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// What is printed of a measurement.
#[derive(serde::Serialize)]
struct Measured<'a> {
    #[serde(flatten)]
    figures: &'a Figures,
    #[serde(flatten)]
    origin: Option<Origin>,
}

fn print(figures: &Figures) {
    let ms = |time: Option<f64>| time.map_or_else(|| "never".to_owned(), |time| format!("{time:.0} ms"));
    println!("first picture  {}", ms(figures.first_picture_ms));
    println!("runs           {}", ms(figures.runs_ms));
    for seek in &figures.seeks {
        println!(
            "seek to {} s: picture {}, runs {}, landed at {}",
            seek.to_s,
            ms(seek.picture_ms),
            ms(seek.runs_ms),
            seek.landed_s.map_or_else(|| "no place".to_owned(), |at| format!("{at:.3} s")),
        );
    }
    println!("stalls         {} ({:.0} ms)", figures.stalls, figures.stalled_ms);
    println!("played         {:.0} ms{}", figures.played_ms, if figures.ended { ", to the end" } else { "" });
    if let Some(error) = &figures.error {
        println!("error          {error}");
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn seconds_may_have_a_fraction_but_no_sign() {
        assert_eq!(seconds("2.5"), Ok(Duration::from_millis(2500)));
        assert!(seconds("-1").is_err() && seconds("NaN").is_err() && seconds("1m").is_err());
    }
}
