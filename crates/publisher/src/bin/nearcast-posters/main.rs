//! `nearcast-posters`: looks into one film, and makes pictures of it. The publisher starts it for each film, in
//! a process of its own, because a decoder may crash or hang over a bad one; it holds itself to limits that no
//! sound film reaches.

mod frames;
mod jpeg;
mod storyboard;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::{frames::Frames, storyboard::Board};

/// Address space, bytes: decoders of 4K films map much more than they touch.
#[cfg(unix)]
const MEMORY: u64 = 6 << 30;
/// Processor time, s.
#[cfg(unix)]
const PROCESSOR: u64 = 600;
/// How long a look may take.
const LOOK: Duration = Duration::from_secs(20);

/// Look into a film for nearcast-publisher.
#[derive(Debug, Parser)]
#[command(name = "nearcast-posters", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say in JSON what a film is: length, tracks, chapters.
    Probe {
        /// The film.
        film: PathBuf,
    },
    /// Make poster.jpg, storyboard.jpg and storyboard.vtt.
    Pictures {
        /// The film.
        film: PathBuf,
        /// How long it is, ms.
        #[arg(long, value_name = "MS")]
        length_ms: u64,
        /// The folder that the pictures go to.
        #[arg(long, value_name = "FOLDER")]
        into: PathBuf,
    },
}

fn main() -> ExitCode {
    hold_to_limits();
    let done = match Cli::parse().command {
        Command::Probe { film } => probe(&film),
        Command::Pictures { film, length_ms, into } => {
            pictures(&film, Duration::from_millis(length_ms), &into)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Gives way to everything else, and ends before it does harm.
#[cfg(unix)]
fn hold_to_limits() {
    use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};
    let hold = |resource, most: u64| {
        let maximum = getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
        // A system that knows no such limit has none.
        setrlimit(resource, Rlimit { current: Some(maximum), maximum: Some(maximum) }).ok();
    };
    hold(Resource::As, MEMORY);
    hold(Resource::Cpu, PROCESSOR);
    hold(Resource::Core, 0);
    nice(19).ok();
}

#[cfg(not(unix))]
fn hold_to_limits() {}

fn probe(film: &Path) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(&nearcast_playback::probe(film, LOOK)?)?);
    Ok(())
}

fn pictures(film: &Path, length: Duration, into: &Path) -> anyhow::Result<()> {
    let poster = poster(film, length)?;
    write(&into.join("poster.jpg"), &poster)?;
    let board = Board::of(film, length)?;
    write(&into.join("storyboard.jpg"), &board.sheet()?)?;
    write(&into.join("storyboard.vtt"), board.index("storyboard.jpg").as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("can't write {}", path.display()))
}

/// The best of a few frames around a tenth of the film.
fn poster(film: &Path, length: Duration) -> anyhow::Result<Vec<u8>> {
    let mut frames = Frames::open(film, "height=(int)[2,540],pixel-aspect-ratio=1/1")?;
    let mut best = None;
    let parts = [0.10, 0.08, 0.13, 0.18, 0.25, 0.40, 0.02];
    // A short clip may have no frame that stands by itself but the first, which is black more often than not.
    let tries = [(&parts[..], false), (&[0.3, 0.5, 0.7][..], true)];
    for (part, exactly) in
        tries.iter().flat_map(|(parts, exactly)| parts.iter().map(|part| (*part, *exactly)))
    {
        let Some(frame) = frames.at(length.mul_f64(part), exactly)? else { continue };
        let worth = frame.worth();
        let good = frame.is_good();
        if best.as_ref().is_none_or(|(so_far, _)| worth > *so_far) {
            best = Some((worth, frame));
        }
        // The first good one will do: what comes later gives away more.
        if good {
            break;
        }
    }
    let (_, frame) = best.context("no picture could be decoded")?;
    jpeg::encode(&frame, 85)
}
