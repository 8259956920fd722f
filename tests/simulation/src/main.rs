//! `nearcast-sim`: thousands of viewers in seconds, the shipped scheduler beside two others.

use std::{
    fs,
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use nearcast_scenario::Scenario;
use nearcast_simulation::{Brain, Figures, run_telling};

mod table;

/// Plays scenarios on a virtual clock: the shipped scheduler and tracker, and for comparison two schedulers
/// written from descriptions of others.
///
/// The scenarios are the lab's, in tests/scenarios. A seed gives the same run every time, to the last byte;
/// the digest in the figures shows it.
#[derive(Debug, Parser)]
#[command(name = "nearcast-sim", version)]
struct Options {
    /// A scenario's name or its file; may be given several times
    #[arg(long, value_name = "NAME|PATH", default_value = "thousand")]
    scenario: Vec<String>,

    /// The seed; every seed gives another run of the same scenario
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Who decides what is fetched from whom: shipped, sequential or rarest; may be given several times
    /// [default: all]
    #[arg(long, value_name = "NAME")]
    brain: Vec<Brain>,

    /// Writes all figures of all runs to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let brains = if options.brain.is_empty() { Brain::ALL.to_vec() } else { options.brain };
    let scenarios = options.scenario.iter().map(|name| load(name)).collect::<Result<Vec<_>>>()?;
    let mut all = Vec::new();
    for scenario in &scenarios {
        let runs: Vec<_> = brains.iter().map(|brain| play(scenario, *brain, options.seed)).collect();
        println!("{}: {}", scenario.name, scenario.about);
        print!("{}", table::of(&runs));
        println!();
        all.extend(runs.into_iter().map(|(figures, _)| figures));
    }
    if let Some(path) = options.json {
        let text = serde_json::to_string_pretty(&all)?;
        fs::write(&path, text + "\n").with_context(|| format!("{} can't be written", path.display()))?;
    }
    Ok(())
}

/// Reads a scenario by its name in tests/scenarios or by its path.
fn load(name: &str) -> Result<Scenario> {
    let path = Path::new(name);
    if path.is_file() {
        return Ok(Scenario::load(path)?);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let known = folder.join(name).with_extension("toml");
    if known.is_file() {
        return Ok(Scenario::load(&known)?);
    }
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut names: Vec<_> =
        entries.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort();
    bail!("there is no scenario {name:?}; there are {}", names.join(", "))
}

/// Plays a scenario and tells on standard error how far it is.
fn play(scenario: &Scenario, brain: Brain, seed: u64) -> (Figures, Duration) {
    let began = Instant::now();
    let terminal = std::io::stderr().is_terminal();
    let mut shown = began;
    let figures = run_telling(scenario, brain, seed, |now, watching| {
        if terminal && shown.elapsed() >= Duration::from_millis(200) {
            shown = Instant::now();
            let (name, seconds) = (&scenario.name, now.as_secs());
            eprint!("\r{name}, {brain}: {seconds} s have passed, {watching} viewers aren't through \x1b[K");
            std::io::stderr().flush().ok();
        }
    });
    if terminal {
        eprint!("\r\x1b[K");
    }
    (figures, began.elapsed())
}
