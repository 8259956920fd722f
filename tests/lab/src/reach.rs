//! Who reaches whom through which kind of address translation, each kind tried with each.
//!
//! A holder behind each kind of translator registers with a real tracker, which dials it back. Then a node behind
//! each kind, and one that shares the holder's own translator, asks for the list and dials every holder, listed or
//! not, over TCP and over QUIC. Reached is who answers a hello on a piece stream. Then a film is shared by this
//! project's program in the place of each holder, and fetched in the place of each dialler.

mod ends;
mod films;

use std::fmt::Write as _;

use anyhow::{Context, Result};
use clap::Args;
use nearcast_protocol::{Link, Multiaddr, ResourceId};
use nearcast_scenario::Scenario;
use nearcast_tests::Program;
use serde::Serialize;

pub use ends::{Dial, Hold, dial, hold};

use self::ends::{Dialled, Held, Met};
use crate::{
    net::{Host, Space, Topology},
    systems::{self, FilmFile, Stage},
};

/// What is tried, by the names that scenarios have for it; the first has no translator.
const KINDS: [&str; 5] = ["open", "full-cone", "address-restricted", "port-restricted", "symmetric"];
/// Where holders and diallers listen.
const PORT: u16 = 4400;

/// Tries each kind of address translation with each.
#[derive(Debug, Args)]
pub struct Reaches {
    /// Print the table as JSON
    #[arg(long)]
    json: bool,
}

/// By which transport a holder is dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Tcp,
    Quic,
}

impl Way {
    const ALL: [Self; 2] = [Self::Tcp, Self::Quic];

    /// An address over this transport, from one that names the machine alone.
    fn on(self, machine: &Multiaddr) -> Result<Multiaddr> {
        let whole = match self {
            Self::Tcp => format!("{machine}/tcp/{PORT}"),
            Self::Quic => format!("{machine}/udp/{PORT}/quic-v1"),
        };
        Ok(whole.parse()?)
    }

    fn carries(self, address: &Multiaddr) -> bool {
        address.to_string().contains("/tcp/") == (self == Self::Tcp)
    }
}

/// One holder, as strangers meet it.
#[derive(Debug, Serialize)]
struct Column {
    kind: &'static str,
    /// What the tracker found out by dialling it.
    dialled_back: bool,
    /// By a node behind each kind, in the order of [`KINDS`].
    strangers: Vec<Met>,
    /// By one behind the same translator.
    beside: Option<Met>,
    /// Behind which kinds, in the same order, a film that is shared here can be had.
    fetched: Vec<bool>,
}

/// # Errors
/// When the networks can't be laid, or a program fails.
pub fn reach(wanted: &Reaches) -> Result<()> {
    if let Some(why) = Topology::impossible() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    Space::sweep();
    let columns = columns()?;
    if wanted.json {
        println!("{}", serde_json::to_string_pretty(&columns)?);
    } else {
        print!("{}", table(&columns));
    }
    Ok(())
}

/// One holder and one dialler of each kind, each behind a translator of its own, and one beside each holder.
fn scenario() -> Result<Scenario> {
    let mut written = String::from("about = 'Each kind with each.'\nfilm = 'short'\n[networks.town]\n");
    for kind in KINDS {
        let nat = match kind {
            "open" => String::new(),
            kind => format!("nat = '{kind}'\ncount = 2\none_address = true\n"),
        };
        let alone = nat.replace("count = 2\none_address = true\n", "");
        write!(
            written,
            "[[nodes]]\nname = '{kind}'\nkind = 'holder'\nnetwork = 'town'\n{nat}\
             [[nodes]]\nname = 'from-{kind}'\nkind = 'viewer'\nnetwork = 'town'\n{alone}"
        )?;
    }
    Ok(Scenario::read("reach", &written)?)
}

fn columns() -> Result<Vec<Column>> {
    let scenario = scenario()?;
    let topology = Topology::lay(&scenario, None)?;
    let folder = tempfile::tempdir()?;
    let resource = ResourceId::from_bytes([7; 32]);
    let (trackers, sources, token, name) = (Vec::new(), Vec::new(), None, "reach".to_owned());
    let link = Link { id: resource, name, size: 1, trackers, sources, token };
    let film = FilmFile { path: folder.path().join("none"), size: 1, link, seconds: 1.0 };
    let (path, traces) = (folder.path(), None);
    let stage =
        Stage { scenario: &scenario, topology: &topology, film: &film, folder: path, kept: path, traces };
    let _tracker = systems::nearcast::tracker(&stage)?;
    let tracker = systems::nearcast::tracker_address(&stage)?;

    let host = |name: String| {
        let found = topology.hosts.iter().find(|host| host.name == name);
        found.with_context(|| format!("there is no host {name}"))
    };
    let start = |host: &Host, act: &str, others: &[String]| {
        let mut command = host.space.command(std::env::current_exe()?);
        command.args([act, &resource.to_string(), "--here", &format!("/ip4/{}", host.address)]);
        command.args(["--tracker", &tracker]).args(others);
        Program::spawn(&host.name, command)
    };
    // The first behind a translator is the one that it leads strangers to.
    let first = |kind: &str| host(if kind == "open" { kind.to_owned() } else { format!("{kind}-1") });
    let mut holders = Vec::new();
    for kind in KINDS {
        let host = first(kind)?;
        holders.push((kind, host, start(host, "hold", &[])?));
    }
    let (mut held, mut targets) = (Vec::new(), Vec::new());
    for (kind, host, program) in &mut holders {
        let said = program.wait_for("who it is", |line| serde_json::from_str::<Held>(line).ok())?;
        targets.push(format!("/ip4/{}/p2p/{}", host.outer, said.peer));
        held.push((*kind, said));
    }
    let mut diallers = Vec::new();
    for kind in KINDS {
        diallers.push(start(host(format!("from-{kind}"))?, "dial", &targets)?);
    }
    for kind in &KINDS[1..] {
        diallers.push(start(host(format!("{kind}-2"))?, "dial", &targets)?);
    }
    let mut met = Vec::new();
    for dialler in &mut diallers {
        met.push(dialler.wait_for("whom it met", |line| serde_json::from_str::<Dialled>(line).ok())?);
    }
    // Their places are taken by programs.
    diallers.into_iter().for_each(drop);
    let places: Vec<_> = holders.iter().map(|(_, host, _)| *host).collect();
    drop(holders);
    let viewers = KINDS.iter().map(|kind| host(format!("from-{kind}"))).collect::<Result<Vec<_>>>()?;
    let fetched = films::fetched(folder.path(), &tracker, &places, &viewers)?;
    let (strangers, beside) = met.split_at(KINDS.len());
    let of = |dialled: &Dialled, peer: &str| dialled.get(peer).copied().unwrap_or_default();
    let columns = held.iter().zip(fetched).enumerate().map(|(number, ((kind, held), fetched))| Column {
        kind,
        dialled_back: held.dialled_back,
        strangers: strangers.iter().map(|dialled| of(dialled, &held.peer)).collect(),
        beside: number.checked_sub(1).and_then(|at| beside.get(at)).map(|dialled| of(dialled, &held.peer)),
        fetched,
    });
    Ok(columns.collect())
}

fn table(columns: &[Column]) -> String {
    let cell = |met: Option<&Met>| match met {
        None => "",
        Some(met) => match (met.tcp, met.quic, met.listed) {
            (true, true, true) => "both",
            (true, true, false) => "both, not listed",
            (true, false, _) => "TCP",
            (false, true, _) => "QUIC",
            (false, false, true) => "no, but listed",
            (false, false, false) => "no",
        },
    };
    let mut table = String::from("who dials / whom");
    let row = |name: &str, cells: Vec<&str>| {
        let cells: String = cells.iter().map(|cell| format!(" | {cell:<18}")).collect();
        format!("{name:<19}{cells}\n")
    };
    table = row(&table, columns.iter().map(|column| column.kind).collect());
    for (number, kind) in KINDS.iter().enumerate() {
        table += &row(kind, columns.iter().map(|column| cell(column.strangers.get(number))).collect());
    }
    table += &row("behind the same", columns.iter().map(|column| cell(column.beside.as_ref())).collect());
    let verdict = |column: &Column| if column.dialled_back { "yes" } else { "no" };
    table += &row("the tracker", columns.iter().map(verdict).collect());
    table += "\na film fetched / from\n";
    for (number, kind) in KINDS.iter().enumerate() {
        let got = |column: &Column| if column.fetched.get(number) == Some(&true) { "yes" } else { "no" };
        table += &row(kind, columns.iter().map(got).collect());
    }
    table
}
