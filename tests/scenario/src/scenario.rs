//! The file spelt out: one entry for each network, node and fault.

use std::{path::Path, time::Duration};

use serde::Deserialize;

use crate::{
    film::Film,
    quantity::{Rate, Share, Time},
    written::{self, Names, Written},
};

/// What a node is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Put the film up, and has all of it.
    Publisher,
    /// A terminal that has all of the film when the run begins.
    Holder,
    /// Says it has all of the film and sends noise.
    Liar,
    /// Watches the film.
    Viewer,
}

/// How an address is translated (RFC 4787's mapping and filtering, by their older names).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nat {
    /// Whoever knows the outer address gets in.
    FullCone,
    /// Whoever was sent to gets in, from any port.
    AddressRestricted,
    /// Whoever was sent to gets in, from that port.
    PortRestricted,
    /// As before, and each destination sees another outer port.
    Symmetric,
}

/// One line, as its near end sees it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Line {
    /// What it carries towards the node or network; none is no limit.
    pub down: Option<Rate>,
    /// What it carries away from it.
    pub up: Option<Rate>,
    /// What each packet takes, each way.
    pub delay: Duration,
    /// By how much more a packet may be late, evenly spread; packets keep their order.
    pub jitter: Duration,
    /// The share of packets lost, each way.
    pub loss: f64,
}

/// A network: a group of its own, joined to the others by one border link.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Its border link.
    pub border: Line,
}

/// A node.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its name, unique.
    pub name: String,
    /// What it is there for.
    pub kind: Kind,
    /// The index of its network.
    pub network: usize,
    /// Its line.
    pub line: Line,
    /// What translates its address, if anything does.
    pub nat: Option<Nat>,
    /// Nodes with the same number are behind the same translator.
    pub behind: usize,
    /// Whether this viewer decodes and is measured; the others read at the film's rate.
    pub measured: bool,
    /// When a viewer clicks, from the run's beginning.
    pub arrives: Duration,
    /// How long it watches after the click; none is to the end.
    pub watch: Option<Duration>,
    /// Where it goes then, in time of the film.
    pub seeks: Vec<Duration>,
    /// How long it watches after each.
    pub watch_after_seek: Duration,
}

/// What befalls whom.
#[derive(Debug, Clone, PartialEq)]
pub enum Harm {
    /// The node's program is killed.
    Kill(usize),
    /// The node's program stops where it is.
    Freeze(usize),
    /// And goes on.
    Thaw(usize),
    /// The node's cable is pulled.
    Unplug(usize),
    /// And put back.
    Plug(usize),
    /// The node's line gets as slow as this, each way.
    Slow(usize, Rate),
    /// The tracker is killed and started anew.
    RestartTracker,
    /// The network's border link is cut.
    Cut(usize),
    /// And healed.
    Heal(usize),
}

/// Something that befalls somebody.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// When, from the run's beginning.
    pub at: Duration,
    /// What.
    pub harm: Harm,
}

/// All of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// The file's name without its ending.
    pub name: String,
    /// What it shows, in a sentence.
    pub about: String,
    /// What is watched.
    pub film: Film,
    /// When a run is given up.
    pub give_up: Duration,
    /// The networks.
    pub networks: Vec<Network>,
    /// The nodes; viewers in the order they arrive.
    pub nodes: Vec<Node>,
    /// What goes wrong, in order.
    pub faults: Vec<Fault>,
}

/// Why a scenario can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file can't be read.
    #[error("the scenario {0} can't be read")]
    Unreadable(String, #[source] std::io::Error),
    /// It isn't one.
    #[error("the scenario {0} makes no sense: {1}")]
    Unclear(String, String),
}

/// More than any machine or simulation takes.
const MOST: usize = 100_000;

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    /// When it can't be read or makes no sense; with what is wrong.
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ScenarioError::Unreadable(path.display().to_string(), error))?;
        Self::read(&name, &text)
    }

    /// Reads a scenario.
    ///
    /// # Errors
    /// When it makes no sense; with what is wrong.
    pub fn read(name: &str, text: &str) -> Result<Self, ScenarioError> {
        let unclear = |why: String| ScenarioError::Unclear(name.to_owned(), why);
        let written: Written = toml::from_str(text).map_err(|error| unclear(error.to_string()))?;
        spell_out(name, &written).map_err(unclear)
    }

    /// The viewers and their indices, in the order they arrive.
    pub fn viewers(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().filter(|(_, node)| node.kind == Kind::Viewer)
    }

    /// What all that give the film from the beginning can give together, in bit/s.
    pub fn supply(&self) -> Option<Rate> {
        let giving = self.nodes.iter().filter(|node| matches!(node.kind, Kind::Publisher | Kind::Holder));
        giving.map(|node| node.line.up.map(|rate| rate.0)).sum::<Option<u64>>().map(Rate)
    }
}

fn spell_out(name: &str, written: &Written) -> Result<Scenario, String> {
    let mut networks = Vec::new();
    for (name, network) in &written.networks {
        if network.count == 0 || networks.len() + network.count > 200 {
            return Err(format!("{} networks of {name}; there may be 1 to 200 in all", network.count));
        }
        let border = line(network.border, network.border, network.delay, network.jitter, network.loss);
        for number in 1..=network.count {
            networks.push(Network { name: numbered(name, number, network.count), border });
        }
    }
    let mut nodes = Vec::new();
    for many in &written.nodes {
        let places = places(&many.network, written, &networks)?;
        let all = many.count.saturating_mul(places.len());
        if many.count == 0 || nodes.len() + all > MOST {
            return Err(format!("{all} nodes of {}; there may be 1 to {MOST} in all", many.name));
        }
        if many.measured && many.kind != Kind::Viewer {
            return Err(format!("{} is measured but no viewer", many.name));
        }
        let first = nodes.len();
        for number in 0..all {
            let shared = if many.one_address { number % places.len() } else { number };
            nodes.push(Node {
                name: numbered(&many.name, number + 1, all),
                kind: many.kind,
                network: places[number % places.len()],
                line: line(many.down, many.up, many.delay, many.jitter, many.loss),
                nat: many.nat,
                behind: first + shared,
                measured: many.measured && number == 0,
                arrives: many.arrives.0 + many.every.0 * u32::try_from(number).unwrap_or(u32::MAX),
                watch: many.watch.map(|time| time.0),
                seeks: many.seeks.iter().map(|seek| seek.0).collect(),
                watch_after_seek: many.watch_after_seek.0,
            });
        }
    }
    nodes.sort_by_key(|node| (node.kind == Kind::Viewer, node.arrives));
    unique(nodes.iter().map(|node| node.name.as_str()))?;
    unique(networks.iter().map(|network| network.name.as_str()))?;
    if !nodes.iter().any(|node| node.kind == Kind::Viewer) {
        return Err("nobody watches: a node of the kind \"viewer\" is needed".into());
    }
    let mut faults = Vec::new();
    for fault in &written.faults {
        faults
            .extend(harms(fault, &nodes, &networks)?.into_iter().map(|harm| Fault { at: fault.at.0, harm }));
    }
    faults.sort_by_key(|fault| fault.at);
    let (about, film, give_up) = (written.about.clone(), written.film, written.give_up.0);
    Ok(Scenario { name: name.to_owned(), about, film, give_up, networks, nodes, faults })
}

fn line(down: Option<Rate>, up: Option<Rate>, delay: Time, jitter: Time, loss: Share) -> Line {
    Line { down, up, delay: delay.0, jitter: jitter.0, loss: loss.0 }
}

fn numbered(name: &str, number: usize, of: usize) -> String {
    if of == 1 { name.to_owned() } else { format!("{name}-{number}") }
}

fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    let good = |name: &str| {
        !name.is_empty() && name.len() <= 40 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    if let Some(name) = names.iter().find(|name| !good(name)) {
        return Err(format!("{name:?} is no name: letters, digits and dashes, please, 40 at most"));
    }
    match names.windows(2).find(|two| two[0] == two[1]) {
        Some(two) => Err(format!("two are called {:?}", two[0])),
        None => Ok(()),
    }
}

/// The indices of the networks that these names mean; the name of several alike means them all.
fn places(names: &Names, written: &Written, networks: &[Network]) -> Result<Vec<usize>, String> {
    let mut places = Vec::new();
    for name in names.all() {
        let many = written.networks.get(name).is_some_and(|network| network.count > 1);
        let means = |network: &&Network| {
            let number = network.name.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
            network.name == *name || many && number.is_some_and(|number| number.parse::<usize>().is_ok())
        };
        let before = places.len();
        places.extend((0..networks.len()).filter(|index| networks.get(*index).is_some_and(|n| means(&n))));
        if places.len() == before {
            return Err(format!("there is no network {name:?}"));
        }
    }
    Ok(places)
}

fn harms(fault: &written::Fault, nodes: &[Node], networks: &[Network]) -> Result<Vec<Harm>, String> {
    let node = |name: &str| {
        let found = nodes.iter().position(|node| node.name == name);
        found.ok_or_else(|| format!("a fault befalls {name:?}, but there is no such node"))
    };
    let network = |name: &str| {
        let found = networks.iter().position(|network| network.name == name);
        found.ok_or_else(|| format!("a fault befalls {name:?}, but there is no such network"))
    };
    let tracker = |name: &str| match name {
        "tracker" => Ok(Harm::RestartTracker),
        other => Err(format!("only the tracker can be restarted, not {other:?}")),
    };
    let slow = |name: &str| match fault.to {
        Some(rate) => Ok(Harm::Slow(node(name)?, rate)),
        None => Err(format!("{name} is slowed, but to what? Add `to = \"200kbit\"`")),
    };
    let mut harms = Vec::new();
    let mut befall = |names: &Option<Names>, harm: &dyn Fn(&str) -> Result<Harm, String>| {
        for name in names.iter().flat_map(Names::all) {
            harms.push(harm(name)?);
        }
        Ok::<_, String>(())
    };
    befall(&fault.kill, &|name| node(name).map(Harm::Kill))?;
    befall(&fault.freeze, &|name| node(name).map(Harm::Freeze))?;
    befall(&fault.thaw, &|name| node(name).map(Harm::Thaw))?;
    befall(&fault.unplug, &|name| node(name).map(Harm::Unplug))?;
    befall(&fault.plug, &|name| node(name).map(Harm::Plug))?;
    befall(&fault.slow, &slow)?;
    befall(&fault.restart, &tracker)?;
    befall(&fault.cut, &|name| network(name).map(Harm::Cut))?;
    befall(&fault.heal, &|name| network(name).map(Harm::Heal))?;
    if harms.is_empty() {
        return Err(format!("nothing happens at {} s", fault.at.0.as_secs_f64()));
    }
    Ok(harms)
}

#[cfg(test)]
mod tests;
