//! What a call notices of an upload on the same line.
//!
//! A home: a router with a slow line up, behind it a node that shares a film and a phone. Somebody outside fetches the
//! film, and meanwhile the phone sends a small packet fifty times a second to an echo outside, as a call does. Once
//! with nothing else on the line, once with an upload that takes the whole line, and once with one that gives way.

use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Args;
use nearcast_protocol::{Link, ResourceId};
use nearcast_scenario::Scenario;
use nearcast_tests::{Program, binary};
use serde::Serialize;

use crate::{
    net::{Host, Space, Topology},
    systems::{self, FilmFile, Stage},
};

/// Where the echo answers.
const ECHO: u16 = 7;
/// How often a call says something, and how much: 20 ms of sound at 64 kbit/s.
const PACE: Duration = Duration::from_millis(20);
const PACKET: usize = 160 + 12;
/// An answer that isn't there by then is lost to a call.
const LOST: Duration = Duration::from_secs(2);
/// What fetches begins with is over by then; the line is full.
const BEGUN: u64 = 500_000;
/// Bytes of a film: more than anyone fetches meanwhile.
const SIZE: usize = 256 << 20;

/// Measures what a call notices of an upload on the same line.
#[derive(Debug, Args)]
pub struct Call {
    /// The line's rate up
    #[arg(long, value_name = "RATE", default_value = "4Mbit")]
    up: String,
    /// How long each part is measured, in seconds
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// What a call noticed, and what the upload got.
#[derive(Debug, Serialize)]
struct Noticed {
    /// What else was on the line.
    beside: &'static str,
    /// Round trips of the call's packets, in milliseconds: half of them were shorter, and 19 of 20.
    median_ms: f64,
    most_ms: f64,
    /// The share of packets that never came back.
    lost: f64,
    /// What went up the line meanwhile, the call included, in bit/s.
    up: f64,
}

/// # Errors
/// When the networks can't be laid, or a program fails.
pub fn call(wanted: &Call) -> Result<()> {
    if let Some(why) = Topology::impossible() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    Space::sweep();
    let written = format!(
        "about = 'A call beside an upload.'\nfilm = 'short'\n[networks.town]\n\
         [[nodes]]\nname = 'home'\nkind = 'holder'\nnetwork = 'town'\nnat = 'full-cone'\ncount = 2\n\
         one_address = true\nup = '{}'\n\
         [[nodes]]\nname = 'outside'\nkind = 'viewer'\nnetwork = 'town'\n",
        wanted.up
    );
    let scenario = Scenario::read("call", &written)?;
    let folder = tempfile::tempdir()?;
    let film = folder.path().join("film");
    fs::File::create(&film)?.set_len(SIZE as u64)?;
    let time = Duration::from_secs(wanted.seconds);
    let mut all = Vec::new();
    for (beside, flags) in [
        ("nothing", None),
        ("the whole line", Some(&["--whole-line"][..])),
        ("one that gives way", Some(&[])),
    ] {
        all.push(measure(&scenario, folder.path(), &film, beside, flags, time)?);
    }
    if wanted.json {
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    println!("beside the call     | median, ms | 19 of 20, ms | lost, % | up, Mbit/s");
    for of in &all {
        let (lost, up) = (of.lost * 100.0, of.up / 1e6);
        println!(
            "{:<19} | {:>10.1} | {:>12.1} | {lost:>7.2} | {up:>10.2}",
            of.beside, of.median_ms, of.most_ms
        );
    }
    Ok(())
}

fn measure(
    scenario: &Scenario,
    folder: &Path,
    film: &Path,
    beside: &'static str,
    flags: Option<&[&str]>,
    time: Duration,
) -> Result<Noticed> {
    // Networks of its own: nothing is left in a queue or a cache from before.
    let topology = Topology::lay(scenario, None)?;
    let host = |name: &str| {
        let found = topology.hosts.iter().find(|host| host.name == name);
        found.with_context(|| format!("there is no host {name}"))
    };
    let (home, phone, outside) = (host("home-1")?, host("home-2")?, host("outside")?);
    // It sends until packets are lost, as what most systems have does, and every kernel lets a namespace have it; BBR
    // would keep queues short by itself.
    home.space.output("sh", &["-c", "echo reno > /proc/sys/net/ipv4/tcp_congestion_control"])?;
    let here = tempfile::tempdir_in(folder)?;
    let (trackers, sources, token, name) = (Vec::new(), Vec::new(), None, "call".to_owned());
    let link = Link { id: ResourceId::from_bytes([7; 32]), name, size: 1, trackers, sources, token };
    let file = FilmFile { path: film.to_owned(), size: 1, link, seconds: 1.0 };
    let (path, traces) = (here.path(), None);
    let stage = Stage { scenario, topology: &topology, film: &file, folder: path, kept: path, traces };
    let mut running = Vec::new();
    let sent = || outside.space.interfaces().map(|all| received(&all));
    if let Some(flags) = flags {
        running.push(systems::nearcast::tracker(&stage)?);
        let tracker = systems::nearcast::tracker_address(&stage)?;
        let mut sharing =
            nearcast(home, &tracker, &path.join("home"), &["share", &film.to_string_lossy()], flags)?;
        let (mut link, mut registered) = (None, false);
        let link = sharing.wait_for("its link and that it is registered", |line| {
            if line.trim().starts_with("nearcast:") {
                link = Some(line.trim().to_owned());
            }
            registered |= line.starts_with("registered with");
            link.clone().filter(|_| registered)
        })?;
        running.push(sharing);
        let to = path.join("copy").to_string_lossy().into_owned();
        running.push(nearcast(outside, &tracker, &path.join("outside"), &["get", &link, "-o", &to], &[])?);
        let began = Instant::now();
        while sent()? < BEGUN {
            anyhow::ensure!(began.elapsed() < Duration::from_secs(60), "nothing is fetched");
            std::thread::sleep(PACE);
        }
    }
    let before = sent()?;
    let (trips, asked) = talk(phone, outside, time)?;
    let up = sent()?.saturating_sub(before) as f64 * 8.0 / time.as_secs_f64();
    running.clear();
    let at =
        |share: f64| trips.get((trips.len() as f64 * share) as usize).map_or(f64::NAN, |trip| trip * 1000.0);
    let lost = 1.0 - trips.len() as f64 / asked.max(1) as f64;
    Ok(Noticed { beside, median_ms: at(0.5), most_ms: at(0.95), lost, up })
}

/// What has come to a host by its line, in bytes.
fn received(interfaces: &serde_json::Value) -> u64 {
    let all = interfaces.as_array().into_iter().flatten();
    let line = all.into_iter().find(|interface| interface["ifname"] == "up");
    line.and_then(|line| line["stats64"]["rx"]["bytes"].as_u64()).unwrap_or_default()
}

/// Talks to an echo; the round trips in seconds, the shortest first, and how many packets were sent.
fn talk(phone: &Host, outside: &Host, time: Duration) -> Result<(Vec<f64>, usize)> {
    let address = outside.address;
    let echo = outside.space.within(move || Ok(UdpSocket::bind((address, ECHO))?))?;
    let socket = phone.space.within(|| Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?))?;
    socket.connect((address, ECHO))?;
    for end in [&echo, &socket] {
        end.set_read_timeout(Some(PACE))?;
    }
    let (began, over) = (Instant::now(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut packet = [0; PACKET];
            while !over.load(Ordering::Relaxed) {
                if let Ok((length, from)) = echo.recv_from(&mut packet) {
                    // One that can't be answered is lost like any other.
                    echo.send_to(&packet[..length], from).ok();
                }
            }
        });
        let asking = scope.spawn(|| {
            let mut asked = 0_u32;
            while began.elapsed() < time {
                let mut packet = [0; PACKET];
                packet[..8].copy_from_slice(&(began.elapsed().as_nanos() as u64).to_be_bytes());
                socket.send(&packet).ok();
                asked += 1;
                std::thread::sleep((PACE * asked).saturating_sub(began.elapsed()));
            }
            asked as usize
        });
        let (mut trips, mut packet) = (Vec::new(), [0; PACKET]);
        while began.elapsed() < time + LOST {
            if socket.recv(&mut packet).is_ok_and(|length| length == PACKET) {
                let mut sent = [0; 8];
                sent.copy_from_slice(&packet[..8]);
                let sent = Duration::from_nanos(u64::from_be_bytes(sent));
                trips.push(began.elapsed().saturating_sub(sent).as_secs_f64());
            }
        }
        over.store(true, Ordering::Relaxed);
        trips.sort_by(f64::total_cmp);
        let asked = asking.join().map_err(|_| anyhow::anyhow!("the call broke off"))?;
        Ok((trips, asked))
    })
}

fn nearcast(host: &Host, tracker: &str, folder: &Path, act: &[&str], flags: &[&str]) -> Result<Program> {
    let mut command = host.space.command(binary("nearcast")?);
    command.args(act).args(["--listen", &format!("/ip4/{}/tcp/4500", host.address)]);
    command.args(["--no-neighbours", "--no-port-mapping", "--tracker", tracker, "--folder"]).arg(folder);
    command.args(flags);
    Program::spawn(&host.name, command).with_context(|| format!("at {}", host.name))
}
