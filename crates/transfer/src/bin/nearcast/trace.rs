//! `nearcast trace`

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail};
use nearcast_protocol::{BLOCK_BYTES, Group, Role, pieces::Class};
use nearcast_schedule::{Action, Because, Entry, Event, Failure, Peer, replay};

use crate::cli::Trace;

pub fn trace(trace: &Trace) -> anyhow::Result<ExitCode> {
    let entries = read(trace)?;
    let (from, to) = (seconds(trace.from), trace.to.map(seconds));
    let mut peers = BTreeMap::new();
    let (mut decisions, mut end) = (0_u64, Duration::ZERO);
    for entry in &entries {
        let (at, line) = match entry {
            Entry::Began { film, .. } => {
                said!("a film of {} bytes, {} blocks of it held", film.geometry.size(), film.held.count());
                continue;
            }
            Entry::Forgotten(count) => {
                said!("{count} entries are missing here");
                continue;
            }
            Entry::Planned { .. } => continue,
            Entry::Event { at, event } => {
                note(&mut peers, event);
                (at, trace.events.then(|| happened(&peers, event)).flatten())
            }
            Entry::Action { at, action, because } => {
                decisions += 1;
                (at, decided(&peers, *at, action, *because))
            }
        };
        end = end.max(*at);
        let shown = *at >= from && to.is_none_or(|to| *at <= to);
        if let Some(line) = line.filter(|_| shown) {
            said!("{:>9.3} s  {line}", at.as_secs_f64());
        }
    }
    match replay(entries) {
        Ok(()) => {
            said!(
                "{decisions} decisions in {:.1} s; made again from the log, they are the same",
                end.as_secs_f64()
            );
            Ok(ExitCode::SUCCESS)
        }
        Err(divergence) => {
            eprintln!("{decisions} decisions; the log can't be played again: {divergence}");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

fn read(trace: &Trace) -> anyhow::Result<Vec<Entry>> {
    let name = trace.file.display();
    let file = File::open(&trace.file).with_context(|| format!("can't read {name}"))?;
    let mut entries = Vec::new();
    let mut broken = None;
    for (number, line) in BufReader::new(file).lines().enumerate() {
        if let Some(error) = broken {
            bail!("line {number} of {name} is no entry of a log: {error}");
        }
        match serde_json::from_str(&line.with_context(|| format!("can't read {name}"))?) {
            Ok(entry) => entries.push(entry),
            Err(error) => broken = Some(error),
        }
    }
    // A program that was killed leaves half a line.
    if broken.is_some() {
        eprintln!("the last line is cut off and left out");
    }
    if entries.is_empty() {
        bail!("{name} holds no log; `--trace FILE` writes one");
    }
    Ok(entries)
}

/// What is known of a peer.
type Peers = BTreeMap<Peer, (Group, Role)>;

fn note(peers: &mut Peers, event: &Event) {
    match event {
        Event::PeerJoined { peer, group, role, .. } => {
            peers.insert(*peer, (*group, *role));
        }
        Event::PeerLeft { peer } => {
            peers.remove(peer);
        }
        _ => {}
    }
}

fn who(peers: &Peers, peer: Peer) -> String {
    let Peer(number) = peer;
    match peers.get(&peer) {
        Some((group, Role::Publisher)) => format!("publisher {number} (network {group})"),
        Some((group, Role::Terminal)) => format!("peer {number} (network {group})"),
        None => format!("peer {number}"),
    }
}

fn decided(peers: &Peers, at: Duration, action: &Action, because: Because) -> Option<String> {
    let why = reason(because);
    Some(match action {
        Action::Request { peer, blocks, class, deadline, .. } => {
            let kilobytes = blocks.end.saturating_sub(blocks.start).saturating_mul(BLOCK_BYTES) / 1000;
            let due = match deadline.checked_sub(at) {
                Some(left) => format!("due in {:.2} s", left.as_secs_f64()),
                None => "overdue".into(),
            };
            let class = match class {
                Class::Urgent => "urgent",
                Class::Ready => "ready",
                Class::Prefetch => "prefetch",
                Class::Background => "background",
            };
            let (first, last) = (blocks.start, blocks.end.saturating_sub(1));
            format!(
                "asks {} for blocks {first} to {last}, {kilobytes} kB, {class}, {due}: {why}",
                who(peers, *peer)
            )
        }
        Action::Cancel { peer, request } => {
            format!("takes request {} back from {}: {why}", request.0, who(peers, *peer))
        }
        Action::Import { blocks } => {
            format!(
                "tells its group that it fetches blocks {} to {}",
                blocks.start,
                blocks.end.saturating_sub(1)
            )
        }
        Action::Forget { blocks } => {
            let runs: Vec<_> = blocks.runs().map(|run| format!("{} to {}", run.start, run.end - 1)).collect();
            format!("gives up blocks {}: {why}", runs.join(", "))
        }
        Action::WakeAt(_) => return None,
    })
}

fn reason(because: Because) -> &'static str {
    match because {
        Because::SizeUnproved => "the last block proves the size, and comes first",
        Because::ReaderWaits => "a reader waits for it",
        Because::Ahead => "it lies ahead of the playhead",
        Because::Tail => "containers keep their index there",
        Because::Rest => "it is part of the rest of the film",
        Because::NoRoom => "the room for this film is full",
        Because::NoLongerWanted => "nobody wants it soon, and somebody waits for something else",
        Because::PeerSilent => "the peer has gone silent",
        Because::Overtaken => "it is late, and another will be sooner",
        Because::Starved => "the peer answers others and never this",
        Because::HeldAlready => "it has come from elsewhere",
        Because::Paused => "fetching is paused",
        Because::ForTheGroup => "the group's others needn't fetch it",
        Because::Watchdog => "something may have to be done then",
    }
}

/// Events in words; what comes many times a second is left out.
fn happened(peers: &Peers, event: &Event) -> Option<String> {
    Some(match event {
        Event::PeerJoined { peer, .. } => format!("· {} is connected", who(peers, *peer)),
        Event::SourceJoined { peer } => format!("· web source {} can be asked", peer.0),
        Event::PeerLeft { peer } => format!("· {} has left", who(peers, *peer)),
        Event::PeerHas { peer, blocks } => {
            format!("· {} has {} blocks more", who(peers, *peer), blocks.count())
        }
        Event::PeerLost { peer, blocks } => {
            format!("· {} has {} blocks no more", who(peers, *peer), blocks.count())
        }
        Event::PeerImports { peer, blocks } => {
            format!(
                "· {} fetches blocks {} to {} for the group",
                who(peers, *peer),
                blocks.start,
                blocks.end.saturating_sub(1)
            )
        }
        Event::Verified { peer, blocks, .. } => {
            format!("· {} blocks from {} are verified", blocks.count(), who(peers, *peer))
        }
        Event::Failed { peer, failure, .. } => {
            let why = match failure {
                Failure::Refused { .. } => "it was refused",
                Failure::NotHeld => "it isn't there",
                Failure::Wrong => "the bytes were wrong",
                Failure::Incomplete => "the answer broke off",
            };
            format!("· a request to {} failed: {why}", who(peers, *peer))
        }
        Event::Reading { bytes, waiting: true, .. } => {
            format!("· a reader waits at byte {}", bytes.start)
        }
        Event::SizeProved => "· the size is proved".into(),
        Event::ReaderOpened { .. } => "· a reader has come".into(),
        Event::ReaderClosed { .. } => "· a reader has gone".into(),
        Event::BitRate(rate) => format!("· the film has {rate} bit/s"),
        Event::Group(group) => format!("· the own network is {group}"),
        Event::Room(None) => "all of it may be held".into(),
        Event::Room(Some(bytes)) => format!("{} MB of it may be held", bytes / 1_000_000),
        Event::Pause(true) => "· fetching is paused".into(),
        Event::Pause(false) => "· fetching goes on".into(),
        Event::Progress { .. }
        | Event::Held(_)
        | Event::Lost(_)
        | Event::Reading { .. }
        | Event::Playback { .. } => return None,
    })
}
