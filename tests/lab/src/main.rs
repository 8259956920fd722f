//! The lab: real programs in real networks on one machine, and figures that can be trusted.
//!
//! `nearcast-lab run` lays a scenario's networks of kernel namespaces, plays the film in them with our
//! programs and with others', and writes down what a viewer saw and what crossed the borders. It needs root.

mod call;
mod figures;
mod net;
mod operator;
mod reach;
mod reading;
mod report;
mod run;
mod speak;
mod systems;
mod table;
mod work;

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use nearcast_scenario::Scenario;

use crate::{
    figures::Run,
    net::{Space, Topology},
    systems::{FilmFile, System},
};

/// Real networks on one machine: what a viewer sees, and what crosses the borders.
#[derive(Debug, Parser)]
#[command(
    name = "nearcast-lab",
    version,
    after_help = "\
Examples:
  nearcast-lab list
  nearcast-lab run                                    what fits half an hour, ours beside others
  nearcast-lab run --scenario killed --runs 5
  nearcast-lab run --scenario border --system nearcast --system rqbit
  nearcast-lab reach                                  who reaches whom through which address translation
  nearcast-lab call                                   what a call notices of an upload on the same line
  nearcast-lab report                                 a page with plots of the last runs

A scenario is a small file; `tests/scenarios` holds them, and --scenario takes a path, too."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say which scenarios there are.
    List,
    /// Run scenarios, and print the table.
    Run(Wanted),
    /// Make a page with plots of the last runs.
    Report(Kept),
    /// Try which kinds of address translation let peers reach each other, and print the table.
    Reach(reach::Reaches),
    /// Measure what a call notices of an upload on the same line, and print the table.
    Call(call::Call),
    /// Wait until a tracker counts so many holders.
    #[command(hide = true)]
    Count(speak::Count),
    /// Register as a holder and send noise.
    #[command(hide = true)]
    Lie(speak::Lie),
    /// Register as a holder, say what the tracker finds out about it, and answer every hello.
    #[command(hide = true)]
    Hold(reach::Hold),
    /// Dial holders, listed or not, and say who answers.
    #[command(hide = true)]
    Dial(reach::Dial),
}

#[derive(Debug, Args)]
struct Wanted {
    /// A scenario's name or file; can be given again [default: plenty, tight, border]
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// A system; can be given again [default: all that are here and fit]
    #[arg(long, value_name = "NAME")]
    system: Vec<System>,
    /// How often each runs; rounds go on until then or until --minutes are over
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// No new round begins after this; the first always runs
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Have each of our viewers write every decision to a file in this folder
    #[arg(long, value_name = "FOLDER")]
    traces: Option<PathBuf>,
    #[command(flatten)]
    kept: Kept,
}

#[derive(Debug, Args)]
struct Kept {
    /// Where figures are kept
    #[arg(long, value_name = "FOLDER", default_value = "target/lab")]
    folder: PathBuf,
}

impl Kept {
    fn runs(&self) -> PathBuf {
        self.folder.join("runs.jsonl")
    }
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::List => list(),
        Command::Run(wanted) => measure(&wanted),
        Command::Report(kept) => report(&kept),
        Command::Reach(reaches) => reach::reach(&reaches),
        Command::Call(wanted) => call::call(&wanted),
        Command::Count(count) => within_tokio(speak::count(&count)),
        Command::Lie(lie) => within_tokio(speak::lie(&lie)),
        Command::Hold(hold) => within_tokio(reach::hold(&hold)),
        Command::Dial(dial) => within_tokio(reach::dial(&dial)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nearcast-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn within_tokio(act: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(act)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

fn list() -> Result<()> {
    let mut paths: Vec<_> = fs::read_dir(folder())?.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let scenario = Scenario::load(&path)?;
        println!("{:<18} {}", scenario.name, scenario.about);
    }
    Ok(())
}

fn load(name: &str) -> Result<Scenario> {
    let path = Path::new(name);
    if path.extension().is_some() {
        return Ok(Scenario::load(path)?);
    }
    let path = folder().join(format!("{name}.toml"));
    if !path.is_file() {
        bail!("there is no scenario {name:?}; `nearcast-lab list` shows them");
    }
    Ok(Scenario::load(&path)?)
}

/// Another system that takes longer than this, in s, runs in so many rounds only: its figures are far from
/// ours, and the time is better spent on those that are near.
const LONG: f64 = 90.0;
const LONG_ROUNDS: usize = 2;

/// Runs rounds of everything, so that what the machine does meanwhile falls on all alike.
fn measure(wanted: &Wanted) -> Result<()> {
    if let Some(why) = Topology::impossible() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    Space::sweep();
    let named: Vec<_> = match wanted.scenario.as_slice() {
        [] => ["plenty", "tight", "border"].map(str::to_owned).to_vec(),
        named => named.to_vec(),
    };
    let scenarios = named.iter().map(|name| load(name)).collect::<Result<Vec<_>>>()?;
    let kept = wanted.kept.folder.join("kept");
    fs::create_dir_all(&kept)?;
    let kept = fs::canonicalize(kept)?;
    let traces = wanted
        .traces
        .as_ref()
        .map(|folder| fs::create_dir_all(folder).and_then(|()| fs::canonicalize(folder)));
    let traces = traces.transpose().context("the folder for traces can't be made")?;
    let mut films: BTreeMap<&str, FilmFile> = BTreeMap::new();
    let mut plan = Vec::new();
    for scenario in &scenarios {
        if scenario.nodes.len() > 200 {
            bail!("{} has {} nodes: that is for the simulation", scenario.name, scenario.nodes.len());
        }
        if !films.contains_key(scenario.film.name()) {
            films.insert(scenario.film.name(), run::film(scenario)?);
        }
        plan.extend(systems(wanted, scenario)?.into_iter().map(|system| (scenario, system)));
    }
    let path = wanted.kept.runs();
    if path.exists() {
        fs::rename(&path, path.with_extension("jsonl.before"))?;
    }
    let (began, budget) = (Instant::now(), Duration::from_secs_f64(wanted.minutes.max(0.0) * 60.0));
    let mut runs: Vec<Run> = Vec::new();
    'rounds: for round in 0..wanted.runs.max(1) {
        for (scenario, system) in &plan {
            if round > 0 && began.elapsed() > budget {
                eprintln!("{} minutes are over; {round} rounds are whole", wanted.minutes);
                break 'rounds;
            }
            let last = runs.iter().rev().find(|run| run.scenario == scenario.name && run.system == *system);
            let long = last.is_some_and(|run| run.seconds > LONG);
            if round >= LONG_ROUNDS && long && *system != System::Nearcast {
                continue;
            }
            let film = films.get(scenario.film.name()).context("no film")?;
            eprint!(
                "{:>5.0} s  round {}  {:<16} {:<22} ",
                began.elapsed().as_secs_f64(),
                round + 1,
                scenario.name,
                system.name()
            );
            let done = run::run(scenario, *system, film, &kept, traces.as_deref())?;
            match table::failure(&done) {
                Some(why) => eprintln!("failed: {why}"),
                None => eprintln!("{:.0} s", done.seconds),
            }
            let mut out = OpenOptions::new().create(true).append(true).open(&path)?;
            writeln!(out, "{}", serde_json::to_string(&done)?)?;
            runs.push(done);
        }
    }
    for scenario in table::scenarios(&runs) {
        println!("\n{}", table::table(&runs, &scenario));
    }
    println!("figures: {}; `nearcast-lab report` makes a page of them", path.display());
    Ok(())
}

/// The systems that take part: those asked for, or all that are here and fit.
fn systems(wanted: &Wanted, scenario: &Scenario) -> Result<Vec<System>> {
    let mut systems = Vec::new();
    for system in System::ALL {
        if !wanted.system.is_empty() && !wanted.system.contains(&system) {
            continue;
        }
        let why = system
            .unfit(scenario)
            .map(str::to_owned)
            .or_else(|| system.version().err().map(|e| format!("{e:#}")));
        match why {
            None => systems.push(system),
            Some(why) if system == System::Nearcast => bail!("{why}"),
            Some(why) => eprintln!("{} doesn't run {}: {why}", system.name(), scenario.name),
        }
    }
    Ok(systems)
}

fn report(kept: &Kept) -> Result<()> {
    let path = kept.runs();
    let text = fs::read_to_string(&path)
        .with_context(|| format!("no figures are in {}; `nearcast-lab run` makes some", path.display()))?;
    let runs = text.lines().map(serde_json::from_str).collect::<Result<Vec<Run>, _>>();
    let runs = runs.with_context(|| format!("{} isn't of this version", path.display()))?;
    let page = kept.folder.join("report.html");
    fs::write(&page, report::page(&runs))?;
    println!("{}", page.display());
    Ok(())
}
