//! The soak: real nodes for a long time, with faults by chance, and nothing may grow.

mod tracking;
mod viewer;
mod weight;

use std::{
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Parser;
use nearcast_tests::{Neighbour, random_file};

use crate::{
    tracking::Tracking,
    viewer::{Film, Viewer},
    weight::Weights,
};

/// Runs a tracker, two that share a film each, and viewers in two networks, on loopback. The viewers read their film at
/// random places all the time and compare every byte; some of them are killed, wiped and started anew, all of them are
/// frozen now and then, and the tracker is killed too. Fails if a read does, a byte is wrong, a program ends, or what the
/// nodes that live from beginning to end take of memory, descriptors and threads goes on growing.
#[derive(Parser)]
#[command(name = "nearcast-soak")]
struct Cli {
    /// How long.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// How many programs, with the tracker.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(5..=200))]
    nodes: u8,
    /// Where the dice begin.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Bytes of each film.
    #[arg(long, default_value_t = 24 << 20)]
    size: usize,
}

/// How often the nodes are weighed.
const WEIGHED: Duration = Duration::from_secs(5);
/// From this length on there is something to say about growth.
const LONG: Duration = Duration::from_secs(8 * 60);

/// What all viewers have done together.
#[derive(Default)]
struct Done {
    reads: AtomicU64,
    bytes: AtomicU64,
    faults: AtomicU64,
    over: AtomicBool,
}

fn main() -> ExitCode {
    match soak(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nearcast-soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn soak(cli: &Cli) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let long = Duration::from_secs_f64(60.0 * cli.minutes);
    let mut tracking = Tracking::start(at, cli.seed)?;
    let (films, mut sharers) = films(at, &tracking, cli.size)?;
    let films = Arc::new(films);
    let done = Arc::new(Done::default());
    let mut weights = Weights::default();
    for (number, sharer) in sharers.iter().enumerate() {
        weights.add(format!("sharer {number}"), sharer.program.pid());
    }
    let mut viewers = Vec::new();
    for number in 0..cli.nodes.saturating_sub(3) {
        let viewer = Viewer::start(at, number, cli.seed, &films)?;
        if viewer.steady {
            weights.add(format!("viewer {number}"), viewer.pid());
        }
        viewers.push(viewer);
    }
    println!("{} nodes, {:.1} minutes, seed {}", cli.nodes, cli.minutes, cli.seed);

    let began = Instant::now();
    let running: Vec<_> = viewers
        .into_iter()
        .map(|mut viewer| {
            let done = Arc::clone(&done);
            thread::spawn(move || {
                let outcome = viewer.live(&done);
                // Whoever fails ends it for all.
                done.over.fetch_or(outcome.is_err(), Ordering::Relaxed);
                outcome.and_then(|()| viewer.end())
            })
        })
        .collect();
    let mut minute = 0;
    while began.elapsed() < long && !done.over.load(Ordering::Relaxed) {
        thread::sleep(WEIGHED.min(long.saturating_sub(began.elapsed())));
        weights.weigh()?;
        if tracking.meet_its_fate()? {
            done.faults.fetch_add(1, Ordering::Relaxed);
        }
        if began.elapsed().as_secs() / 60 > minute {
            minute = began.elapsed().as_secs() / 60;
            println!("{minute:>4} min  {}  {}", told(&done), weights.now());
        }
    }
    done.over.store(true, Ordering::Relaxed);
    for viewer in running {
        viewer.join().ok().context("a viewer's thread ended badly")??;
    }
    for sharer in &mut sharers {
        let status = sharer.program.stop()?;
        anyhow::ensure!(
            status.success(),
            "who shares a film ended with {status}:\n{}",
            sharer.program.words()
        );
    }
    tracking.stop()?;
    println!("{}, every byte right\n\n{}", told(&done), weights.table());
    weights.judge(began.elapsed() >= LONG)
}

fn told(done: &Done) -> String {
    let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
    format!(
        "{} reads, {} MB, {} faults",
        count(&done.reads),
        count(&done.bytes) / 1_000_000,
        count(&done.faults)
    )
}

/// Two films, and who shares them: they are never killed, so every part of both is always somewhere.
fn films(at: &Path, tracking: &Tracking, size: usize) -> Result<(Vec<Film>, Vec<Neighbour>)> {
    let (mut films, mut sharers) = (Vec::new(), Vec::new());
    for number in 0..2u8 {
        let path = at.join(format!("film-{number}.mp4"));
        random_file(&path, size, 100 + u64::from(number))?;
        let ip = format!("127.3.90.{}", number + 2);
        let sharer = Neighbour::start(at, &ip, tracking.address(), &path, Some("16Mbit"))?;
        films.push(Film { link: sharer.link.clone(), bytes: std::fs::read(&path)? });
        sharers.push(sharer);
    }
    Ok((films, sharers))
}
