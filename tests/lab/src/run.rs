//! One run: the stage is set, viewers come, things go wrong, figures are taken.

use std::{
    collections::BTreeMap,
    path::Path,
    process::Child,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nearcast_scenario::{Harm, Kind, Node, Scenario};
use nearcast_tests::{Program, binary};
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    figures::{Border, Measured, Reader, Received, Run, Seek, Work, kind},
    net::{Host, Topology},
    operator,
    reading::{self, Pace, Viewing},
    systems::{FilmFile, Stage, System},
    work,
};

/// Runs a scenario once with one system.
///
/// # Errors
/// When the stage can't be set. What goes wrong in the run itself is in the figures.
pub fn run(
    scenario: &Scenario,
    system: System,
    film: &FilmFile,
    kept: &Path,
    traces: Option<&Path>,
) -> Result<Run> {
    let version = system.version()?;
    let topology = Topology::lay(scenario, system.origin(scenario))?;
    let folder = tempfile::tempdir()?;
    let stage = Stage { scenario, topology: &topology, film, folder: folder.path(), kept, traces };
    let mut cast = Cast::start(&stage, system)?;
    let (before, lines) = (topology.traffic()?, topology.lines()?);
    let began = Instant::now();
    let failure = cast.play(&stage).err().map(|error| format!("{error:#}"));
    let seconds = began.elapsed().as_secs_f64();
    let after = topology.traffic()?;
    let lines: Vec<_> =
        topology.lines()?.into_iter().zip(lines).map(|(after, before)| after.since(before)).collect();
    let gave: Vec<_> = lines.iter().map(|line| line.out).collect();
    let mut nodes = cast.works(&stage, &gave)?;
    cast.receive(&stage);
    for (index, node) in nodes.iter_mut().enumerate() {
        node.received = cast.received.get(&index).copied();
    }
    if let Err(error) = cast.leave(&stage) {
        eprintln!("not everybody left as they should: {error:#}");
    }
    let payload = |network: usize| cast.payload_into(&stage, network);
    let lines_into = |network: usize| {
        let there = scenario.nodes.iter().zip(&lines).filter(|(node, _)| node.network == network);
        there.map(|(_, line)| line.into).sum()
    };
    let reported = |name: &str| match system {
        System::Nearcast => operator::reported(&topology.tracker, name)
            .inspect_err(|error| eprintln!("what was kept inside isn't known: {error:#}"))
            .ok(),
        _ => None,
    };
    let borders = scenario.networks.iter().zip(before.iter().zip(after)).enumerate();
    let borders = borders.map(|(index, (network, (before, after)))| {
        let traffic = after.since(*before);
        let (into, out, payload_into) = (traffic.into, traffic.out, payload(index));
        let (network, lines_into, reported) =
            (network.name.clone(), lines_into(index), reported(&network.name));
        Border { network, into, out, payload_into, lines_into, reported }
    });
    Ok(Run {
        scenario: scenario.name.clone(),
        system,
        version,
        film_bytes: film.size,
        seconds,
        borders: borders.collect(),
        measured: cast.measured.take(),
        readers: std::mem::take(&mut cast.readers),
        nodes,
        failure,
    })
}

/// In which a player ends that was told to.
const PATIENCE: Duration = Duration::from_secs(30);

/// What comes next on the stage.
enum Cue<'a> {
    Arrives(usize, &'a Node),
    Befalls(&'a Harm),
}

/// Everything that runs.
struct Cast {
    system: System,
    tracker: Option<Program>,
    programs: BTreeMap<usize, Program>,
    /// Of the viewers, the measuring players and those who read.
    player: Option<(usize, Program)>,
    curls: Vec<Child>,
    tell: Sender<(usize, Viewing)>,
    through: Receiver<(usize, Viewing)>,
    measured: Option<Measured>,
    readers: Vec<Reader>,
    received: BTreeMap<usize, Received>,
    _other: Option<Program>,
}

impl Cast {
    fn start(stage: &Stage<'_>, system: System) -> Result<Self> {
        let tracker = system.tracker(stage).context("the tracker doesn't start")?;
        let mut programs = BTreeMap::new();
        for (index, node) in stage.scenario.nodes.iter().enumerate() {
            if node.kind != Kind::Viewer
                && let Some(program) =
                    system.source(stage, index).with_context(|| format!("{} doesn't start", node.name))?
            {
                programs.insert(index, program);
            }
        }
        let other = system.others(stage)?;
        if system == System::Nearcast && !programs.is_empty() {
            let host = &stage.topology.tracker;
            let tracker = std::fs::read_to_string(stage.folder.join("tracker-address"))?;
            let link = stage.film.link.to_string();
            let lab = std::env::current_exe()?;
            let until = programs.len().to_string();
            let arguments = ["count", &link, "--tracker", &tracker, "--until", &until];
            host.space.output(&lab, &arguments).context("the sources don't all register")?;
        }
        let (tell, through) = channel();
        Ok(Self {
            system,
            tracker,
            programs,
            player: None,
            curls: Vec::new(),
            tell,
            through,
            measured: None,
            readers: Vec::new(),
            received: BTreeMap::new(),
            _other: other,
        })
    }

    /// From the first click until everyone has watched.
    fn play(&mut self, stage: &Stage<'_>) -> Result<()> {
        let scenario = stage.scenario;
        let arrivals = scenario.viewers().map(|(index, node)| (node.arrives, Cue::Arrives(index, node)));
        let befalls = scenario.faults.iter().map(|fault| (fault.at, Cue::Befalls(&fault.harm)));
        let mut cues: Vec<_> = arrivals.chain(befalls).collect();
        cues.sort_by_key(|(at, _)| *at);
        let began = Instant::now();
        let mut reading = 0_usize;
        for (at, cue) in cues {
            // Whoever is through meanwhile is noted meanwhile.
            while let Some(left) = at.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
                if self.take(stage, left) {
                    reading -= 1;
                }
            }
            match cue {
                Cue::Arrives(index, node) => reading += self.seat(stage, index, node)?,
                Cue::Befalls(harm) => self.befall(stage, harm)?,
            }
        }
        if let Some((node, player)) = &mut self.player {
            let figures = player.wait_for("its figures", |line| serde_json::from_str::<Value>(line).ok());
            let figures = figures.with_context(|| format!("node {node} measures nothing"))?;
            self.measured = Some(measured(&figures));
        }
        while reading > 0 {
            let left = scenario.give_up.checked_sub(began.elapsed()).context("it was given up: too slow")?;
            reading -= usize::from(self.take(stage, left));
        }
        Ok(())
    }

    /// Seats a viewer and has it click; 1 if its reading is to be waited for.
    fn seat(&mut self, stage: &Stage<'_>, index: usize, node: &Node) -> Result<usize> {
        let host = stage.host(index)?;
        let clicked = Instant::now();
        let seat = self.system.seat(stage, index, node.measured).with_context(|| node.name.clone())?;
        if let Some(daemon) = seat.daemon {
            self.programs.insert(index, daemon);
        }
        if node.measured {
            let mut command = host.space.command(binary("nearcast-player")?);
            command.args(["measure", &seat.target, "--json", "--patience", "60"]).args(&seat.arguments);
            let seconds = |time: Duration| time.as_secs_f64().to_string();
            if let Some(watch) = node.watch {
                command.args(["--play", &seconds(watch)]);
            }
            for seek in &node.seeks {
                command.args(["--seek", &seconds(*seek)]);
            }
            // It stays when it has watched: to share on, and so that its work can be read off.
            command.args(["--play-after-seek", &seconds(node.watch_after_seek), "--share-on"]);
            self.player = Some((index, Program::spawn("nearcast-player", command)?));
            return Ok(0);
        }
        let rate = stage.film.size as f64 / stage.film.seconds;
        let pace = Pace { rate, size: stage.film.size, watch: node.watch, clicked };
        let tell = self.tell.clone();
        // Nobody may be waiting any more.
        let child =
            reading::start(host, &seat.target, pace, move |viewing| drop(tell.send((index, viewing))))?;
        self.curls.push(child);
        Ok(1)
    }

    /// Waits for a reader to be through.
    fn take(&mut self, stage: &Stage<'_>, within: Duration) -> bool {
        let (node, read) = match self.through.recv_timeout(within) {
            Ok(done) => done,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return false,
        };
        let scenario = stage.scenario;
        if let Some(who) = scenario.nodes.get(node) {
            let ms = |time: Duration| (time.as_secs_f64() * 1e4).round() / 10.0;
            let network = scenario.networks.get(who.network).map(|network| network.name.clone());
            self.readers.push(Reader {
                name: who.name.clone(),
                network: network.unwrap_or_default(),
                runs_ms: read.runs.map(ms),
                stalls: read.stalls,
                stalled_ms: ms(read.stalled),
                bytes: read.bytes,
                whole: read.whole,
            });
        }
        true
    }

    fn befall(&mut self, stage: &Stage<'_>, harm: &Harm) -> Result<()> {
        let space = |node: &usize| stage.host(*node).map(|host: &Host| &host.space);
        match harm {
            Harm::Kill(node) => work::signal(space(node)?, Signal::KILL),
            Harm::Freeze(node) => work::signal(space(node)?, Signal::STOP),
            Harm::Thaw(node) => work::signal(space(node)?, Signal::CONT),
            Harm::Unplug(node) => stage.topology.plug(*node, false),
            Harm::Plug(node) => stage.topology.plug(*node, true),
            Harm::Slow(node, rate) => stage.topology.slow(*node, *rate),
            Harm::RestartTracker => {
                if let Some(mut tracker) = self.tracker.take() {
                    tracker.kill()?;
                }
                self.tracker = self.system.tracker(stage)?;
                Ok(())
            }
            Harm::Cut(network) => stage.topology.cut(*network, false),
            Harm::Heal(network) => stage.topology.cut(*network, true),
        }
    }

    /// What each viewer of ours says it received.
    fn receive(&mut self, stage: &Stage<'_>) {
        if self.system != System::Nearcast {
            return;
        }
        for (index, node) in stage.scenario.viewers() {
            let told = if node.measured { self.ask_player() } else { ask_terminal(stage, index, node) };
            if let Ok(received) = told {
                self.received.insert(index, received);
            }
        }
    }

    /// Ends our viewers as their users would, so that they report what they received.
    fn leave(&mut self, stage: &Stage<'_>) -> Result<()> {
        if self.system != System::Nearcast {
            return Ok(());
        }
        for (index, _) in stage.scenario.viewers() {
            // Whoever was frozen can't end, and whoever was killed has.
            if let Some(mut program) = self.programs.remove(&index)
                && program.signal(Signal::CONT).is_ok()
            {
                program.stop()?;
            }
        }
        if let Some((_, mut player)) = self.player.take() {
            player.wait(PATIENCE)?;
        }
        Ok(())
    }

    /// The measuring player tells at its end, which is now.
    fn ask_player(&mut self) -> Result<Received> {
        let (_, player) = self.player.as_mut().context("nobody measures")?;
        player.signal(Signal::TERM)?;
        let told = player.wait_for("where the bytes came from", |line| {
            serde_json::from_str::<Value>(line).ok().filter(|told| told["first_picture_ms"].is_null())
        })?;
        received(&told["bytes"], &told["payload"])
    }

    fn payload_into(&self, stage: &Stage<'_>, network: usize) -> Option<u64> {
        let nodes = &stage.scenario.nodes;
        let publishers = |node: &&Node| node.kind == Kind::Publisher;
        let near = nodes.iter().filter(publishers).any(|node| node.network == network);
        let mut sum = None;
        for (index, received) in &self.received {
            if nodes.get(*index).is_some_and(|node| node.network == network) {
                // Where a publisher stands in the network itself, what it gave may not have crossed.
                let publisher = if near { 0 } else { received.publisher };
                *sum.get_or_insert(0) += received.other_groups + publisher;
            }
        }
        sum
    }

    fn works(&self, stage: &Stage<'_>, gave: &[u64]) -> Result<Vec<Work>> {
        let mut works = Vec::new();
        for (index, node) in stage.scenario.nodes.iter().enumerate() {
            let (cpu_s, memory) = work::work(&stage.host(index)?.space)?;
            let network = stage.scenario.networks.get(node.network).map(|network| network.name.clone());
            works.push(Work {
                name: node.name.clone(),
                kind: kind(node.kind).to_owned(),
                network: network.unwrap_or_default(),
                cpu_s,
                memory,
                gave: gave.get(index).copied().unwrap_or_default(),
                received: None,
            });
        }
        if let Some(origin) = stage.topology.hosts.get(works.len()) {
            let (cpu_s, memory) = work::work(&origin.space)?;
            works.push(Work {
                name: origin.name.clone(),
                kind: "origin".into(),
                network: String::new(),
                cpu_s,
                memory,
                gave: gave.get(works.len()).copied().unwrap_or_default(),
                received: None,
            });
        }
        Ok(works)
    }
}

impl Drop for Cast {
    fn drop(&mut self) {
        for child in &mut self.curls {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn ask_terminal(stage: &Stage<'_>, index: usize, node: &Node) -> Result<Received> {
    let folder = stage.folder_of(&node.name)?.to_string_lossy().into_owned();
    let said =
        stage.host(index)?.space.output(binary("nearcast")?, &["status", "--json", "--folder", &folder])?;
    let told: Value = serde_json::from_str(&said)?;
    received(&told[0]["received"], &told[0]["payload"])
}

fn received(by_source: &Value, payload: &Value) -> Result<Received> {
    let number = |value: &Value| value.as_u64().context("it doesn't say where bytes came from");
    Ok(Received {
        own_group: number(&by_source["own_group"])?,
        other_groups: number(&by_source["other_groups"])?,
        publisher: number(&by_source["publisher"])?,
        payload: number(payload)?,
    })
}

fn measured(figures: &Value) -> Measured {
    let seeks = figures["seeks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let seek =
        |seek: &Value| Seek { picture_ms: seek["picture_ms"].as_f64(), runs_ms: seek["runs_ms"].as_f64() };
    Measured {
        first_picture_ms: figures["first_picture_ms"].as_f64(),
        runs_ms: figures["runs_ms"].as_f64(),
        seeks: seeks.iter().map(seek).collect(),
        stalls: figures["stalls"].as_u64().and_then(|stalls| u32::try_from(stalls).ok()).unwrap_or_default(),
        stalled_ms: figures["stalled_ms"].as_f64().unwrap_or_default(),
        played_ms: figures["played_ms"].as_f64().unwrap_or_default(),
        error: figures["error"].as_str().map(str::to_owned),
    }
}

/// Tells what a film is to a run.
///
/// # Errors
/// When it can't be made or read.
pub fn film(scenario: &Scenario) -> Result<FilmFile> {
    use nearcast_scenario::Film as Named;
    use nearcast_tests::Film;
    let path = nearcast_tests::film(match scenario.film {
        Named::Short => Film::Short,
        Named::Mp4 => Film::Mp4,
        Named::Mp4IndexLast => Film::Mp4IndexLast,
    })?;
    let path = std::fs::canonicalize(path)?;
    let (id, size) = nearcast_content::hash_file(&path, &|_| ())?;
    let name = path.file_name().context("the film has no name")?.to_string_lossy().into_owned();
    if size != scenario.film.size() {
        bail!("{name} has {size} bytes, but scenarios take it to have {}", scenario.film.size());
    }
    let (trackers, sources, token) = (Vec::new(), Vec::new(), None);
    let link = nearcast_protocol::Link { id, name, size, trackers, sources, token };
    Ok(FilmFile { path, size, link, seconds: scenario.film.length().as_secs_f64() })
}
