//! What the tracker counts, in the text format of Prometheus (OpenMetrics 1.0).
//!
//! No label holds what a stranger chose: there are as many series as kinds, rules and reasons, and three for
//! each network that is remembered.

use std::{collections::BTreeMap, fmt, time::Duration};

use nearcast_protocol::{
    Group,
    tracker::{Received, Request, Rule},
};
use prometheus_client::{
    encoding::text,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use crate::{datagrams::Tally, dial_back, listing::sent::Told};

type Labels = Vec<(&'static str, String)>;

/// Why a request isn't answered as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Refusal {
    /// The address asks too often.
    Pace,
    /// The peer, or its prefix, asks for too many different films.
    Distinct,
    /// The memory has as many nodes as it may.
    Full,
    /// The process takes as much memory as it may.
    Memory,
    /// The prefix has as many nodes as it may.
    Prefix,
    /// The peer or its address is denied.
    Denied,
    /// The film is.
    DeniedFilm,
    /// The film isn't on the list of those that are tracked.
    NotListed,
    /// Only a registered publisher may.
    NoPublisher,
    /// A report of more than a line carries: the rest of the renewal is heard.
    Report,
    /// No good token for a protected film.
    Token,
    /// Two nodes that can't be introduced.
    Introduction,
}

const KINDS: [&str; 12] = [
    "register",
    "renew",
    "withdraw",
    "find",
    "count",
    "resolve",
    "claim",
    "count_protected",
    "find_for",
    "await",
    "introduce",
    "unreached",
];
const RULES: [&str; 3] = ["in_range", "above_range", "topped_up"];
const REFUSALS: [&str; 12] = [
    "pace",
    "distinct",
    "full",
    "memory",
    "prefix",
    "denied",
    "denied_film",
    "not_listed",
    "no_publisher",
    "report",
    "token",
    "introduction",
];
const SOURCES: [&str; 3] = ["own_group", "other_groups", "publishers"];

/// How much is remembered, at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// Nodes with a lease.
    pub nodes: usize,
    /// What they hold, all together.
    pub holdings: usize,
    /// Resources that somebody holds.
    pub resources: usize,
    /// URLs that are claimed.
    pub claims: usize,
    /// Prefixes in the group table.
    pub prefixes: usize,
    /// Nodes that await introductions.
    pub awaiting: usize,
    /// Bytes of the process that are in memory (Linux; 0 elsewhere).
    pub memory: u64,
    /// Whether that is more than it may be, so that nothing more is remembered.
    pub crowded: bool,
}

/// What is counted since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Requests of all kinds.
    pub requests: u64,
    /// Peers of the asker's own network that were handed out.
    pub listed_inside: u64,
    /// Those of others.
    pub listed_outside: u64,
    /// Requests refused, for whatever reason.
    pub refused: u64,
}

/// All that is counted; shared by those who count.
pub struct Metrics {
    registry: Registry,
    requests: [Counter; KINDS.len()],
    lists: [Counter; RULES.len()],
    listed: [Counter; 2],
    refusals: [Counter; REFUSALS.len()],
    seconds: Histogram,
    bad: Counter,
    /// Renewals by datagram that were answered, and datagrams that were none.
    datagrams: [Counter; 2],
    /// Nodes dialled: reachable, unreachable, not dialled.
    dialled: [Counter; 3],
    dials_waiting: Gauge,
    reloads: [Counter; 4],
    snapshots: [Counter; 2],
    received: [Counter; SOURCES.len()],
    networks: Family<Labels, Counter>,
    nodes: Gauge,
    holdings: Gauge,
    resources: Gauge,
    claims: Gauge,
    prefixes: Gauge,
    awaiting: Gauge,
    memory: Gauge,
    crowded: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("counted", &self.counted()).finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("nearcast_tracker");
        let r = &mut registry;
        let requests = each(r, "requests", "Requests heard, by kind", "kind", KINDS);
        let lists = each(r, "lists", "Peer lists made, by the rule that made them", "rule", RULES);
        let listed = each(
            r,
            "listed_peers",
            "Peers handed out, by whether they are in the asker's network",
            "network",
            ["own", "other"],
        );
        let refusals = each(r, "refusals", "What was not done, by reason", "reason", REFUSALS);
        // 1 µs to half a second.
        let seconds = Histogram::new(exponential_buckets(1e-6, 2.0, 20));
        let help = "Time the tracker itself took to answer";
        r.register_with_unit("answer_duration", help, Unit::Seconds, seconds.clone());
        let bad = Counter::default();
        let help = "Streams that held no request: cut short, malformed, too long, or silent";
        r.register("bad_messages", help, bad.clone());
        let help = "Datagrams: leases renewed, and what was none or not sealed rightly";
        let datagrams = each(r, "datagrams", help, "outcome", ["answered", "bad"]);
        let help = "Nodes to be dialled back, by whether they were reached, not reached, or not dialled for want of room";
        let dialled = each(r, "dial_backs", help, "outcome", ["reachable", "unreachable", "dropped"]);
        let help = "Readings of tables and lists while running, by what was read and whether it was taken";
        let family = Family::<Labels, Counter>::default();
        r.register("reloads", help, family.clone());
        let reloads = [("table", "taken"), ("table", "refused"), ("lists", "taken"), ("lists", "refused")];
        let reloads = reloads.map(|(what, outcome)| {
            family.get_or_create_owned(&vec![("what", what.to_owned()), ("outcome", outcome.to_owned())])
        });
        let snapshots =
            each(r, "snapshots", "Snapshots, by whether they were saved", "outcome", ["saved", "failed"]);
        let help = "Payload bytes that nodes report to have received, by who gave them";
        let family = Family::<Labels, Counter>::default();
        r.register_with_unit("received", help, Unit::Bytes, family.clone());
        let received = SOURCES.map(|source| family.get_or_create_owned(&vec![("from", source.to_owned())]));
        let networks = Family::default();
        let help = "The same for each network";
        r.register_with_unit("network_received", help, Unit::Bytes, networks.clone());
        let mut gauge = |name, help: &str| {
            let gauge = Gauge::default();
            r.register(name, help, gauge.clone());
            gauge
        };
        let dials_waiting = gauge("dial_backs_waiting", "Nodes that wait to be dialled back");
        let nodes = gauge("nodes", "Nodes with a lease");
        let holdings = gauge("holdings", "What they hold, all together");
        let resources = gauge("resources", "Resources that somebody holds");
        let claims = gauge("claims", "URLs that publishers claim");
        let prefixes = gauge("table_prefixes", "Prefixes in the group table");
        let awaiting = gauge("awaiting", "Nodes that await introductions");
        let memory = gauge("resident_memory_bytes", "Bytes of the process that are in memory");
        let crowded = gauge("memory_full", "1 while the memory bound lets nothing more be remembered");
        Self {
            registry,
            requests,
            lists,
            listed,
            refusals,
            seconds,
            bad,
            datagrams,
            dialled,
            dials_waiting,
            reloads,
            snapshots,
            received,
            networks,
            nodes,
            holdings,
            resources,
            claims,
            prefixes,
            awaiting,
            memory,
            crowded,
        }
    }
}

/// Counters that differ in one label.
fn each<const N: usize>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    label: &'static str,
    values: [&str; N],
) -> [Counter; N] {
    let family = Family::<Labels, Counter>::default();
    registry.register(name, help, family.clone());
    values.map(|value| family.get_or_create_owned(&vec![(label, value.to_owned())]))
}

impl Metrics {
    /// The numbers, as Prometheus reads them.
    pub(crate) fn text(&self, extent: Extent, received: &BTreeMap<Group, (String, Received)>) -> String {
        let set = |gauge: &Gauge, to: usize| {
            gauge.set(i64::try_from(to).unwrap_or(i64::MAX));
        };
        set(&self.nodes, extent.nodes);
        set(&self.holdings, extent.holdings);
        set(&self.resources, extent.resources);
        set(&self.claims, extent.claims);
        set(&self.prefixes, extent.prefixes);
        set(&self.awaiting, extent.awaiting);
        set(&self.memory, usize::try_from(extent.memory).unwrap_or(usize::MAX));
        set(&self.crowded, usize::from(extent.crowded));
        let all = received.values().fold(Received::default(), |all, (_, sum)| all.plus(*sum));
        for (counter, sum) in self.received.iter().zip(parts(all)) {
            tell(counter, sum);
        }
        // Names come from the operator's table and change with it.
        self.networks.clear();
        for (group, (name, sum)) in received {
            for (source, sum) in SOURCES.iter().zip(parts(*sum)) {
                let labels = vec![
                    ("group", group.to_string()),
                    ("name", escaped(name)),
                    ("from", (*source).to_owned()),
                ];
                tell(&self.networks.get_or_create(&labels), sum);
            }
        }
        let mut text = String::new();
        // A `String` takes whatever is written.
        text::encode(&mut text, &self.registry).ok();
        text
    }

    /// What is counted since the start.
    pub fn counted(&self) -> Counted {
        let sum = |counters: &[Counter]| counters.iter().map(Counter::get).sum();
        Counted {
            requests: sum(&self.requests),
            listed_inside: self.listed[0].get(),
            listed_outside: self.listed[1].get(),
            refused: sum(&self.refusals),
        }
    }

    /// What came of dialling nodes back, all since the start together.
    pub(crate) fn dialled_back(&self, all: dial_back::Tally) {
        for (counter, sum) in self.dialled.iter().zip([all.reachable, all.unreachable, all.dropped]) {
            tell(counter, sum);
        }
        self.dials_waiting.set(i64::try_from(all.waiting).unwrap_or(i64::MAX));
    }

    /// Counts the streams that held no request, all since the start together.
    pub fn bad_messages(&self, all: u64) {
        tell(&self.bad, all);
    }

    /// A snapshot was saved, or wasn't.
    pub fn snapshot(&self, saved: bool) {
        self.snapshots[usize::from(!saved)].inc();
    }

    /// The group table was read anew, or a bad one wasn't taken.
    pub fn table_read(&self, taken: bool) {
        self.reloads[usize::from(!taken)].inc();
    }

    /// The lists were read anew, or bad ones weren't taken.
    pub fn lists_read(&self, taken: bool) {
        self.reloads[2 + usize::from(!taken)].inc();
    }

    pub(crate) fn request(&self, request: &Request) {
        let kind = match request {
            Request::Register(_) => 0,
            Request::Renew(_) => 1,
            Request::Withdraw => 2,
            Request::Find(_) => 3,
            Request::Count(_) => 4,
            Request::Resolve { .. } => 5,
            Request::Claim(_) => 6,
            Request::CountProtected(_) => 7,
            Request::FindFor { .. } => 8,
            Request::Await => 9,
            Request::Introduce(_) => 10,
            Request::Unreached(_) => 11,
        };
        self.requests[kind].inc();
    }

    pub(crate) fn datagrams(&self, more: Tally) {
        self.datagrams[0].inc_by(more.answered);
        self.datagrams[1].inc_by(more.bad);
    }

    /// Datagrams since the start.
    pub fn datagrams_counted(&self) -> Tally {
        let [answered, bad] = &self.datagrams;
        Tally { answered: answered.get(), bad: bad.get() }
    }

    pub(crate) fn took(&self, time: Duration) {
        self.seconds.observe(time.as_secs_f64());
    }

    pub(crate) fn list(&self, told: &Told) {
        let rule = match told.rule {
            Rule::InRange => 0,
            Rule::AboveRange => 1,
            Rule::ToppedUp => 2,
        };
        self.lists[rule].inc();
        self.listed[0].inc_by(told.inside as u64);
        self.listed[1].inc_by(told.outside as u64);
    }

    pub(crate) fn refusal(&self, why: Refusal, times: usize) {
        self.refusals[why as usize].inc_by(times as u64);
    }
}

fn parts(received: Received) -> [u64; SOURCES.len()] {
    [received.own_group, received.other_groups, received.publishers]
}

/// A label's text as the format wants it; the crate writes it as it is.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Sets a counter to a sum that is kept elsewhere.
fn tell(counter: &Counter, sum: u64) {
    counter.inner().store(sum, std::sync::atomic::Ordering::Relaxed);
}

/// Bytes of this process that are in memory (Linux; 0 elsewhere).
pub(crate) fn resident() -> u64 {
    /// What the kernel counts in; the few that have larger pages are told too little.
    const PAGE: u64 = 4096;
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() * PAGE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_can_read_it() {
        let metrics = Metrics::default();
        metrics.request(&Request::Withdraw);
        metrics.refusal(Refusal::Report, 2);
        metrics.took(Duration::from_micros(3));
        metrics.bad_messages(5);
        metrics.table_read(false);
        metrics.snapshot(true);
        let dialled = dial_back::Tally { reachable: 4, unreachable: 3, dropped: 2, waiting: 1 };
        metrics.dialled_back(dialled);
        let sum = Received { own_group: 7, other_groups: 2, publishers: 1 };
        let name = "North \"campus\"\n".to_owned();
        let received = [(Group(7), (name, sum)), (Group(8), (String::new(), sum))].into();
        let extent = Extent { nodes: 3, memory: 1 << 40, crowded: true, ..Extent::default() };
        for _ in 0..2 {
            let text = metrics.text(extent, &received);
            for line in [
                "nearcast_tracker_requests_total{kind=\"withdraw\"} 1",
                "nearcast_tracker_requests_total{kind=\"find\"} 0",
                "nearcast_tracker_refusals_total{reason=\"report\"} 2",
                "nearcast_tracker_bad_messages_total 5",
                "nearcast_tracker_reloads_total{what=\"table\",outcome=\"refused\"} 1",
                "nearcast_tracker_snapshots_total{outcome=\"saved\"} 1",
                "nearcast_tracker_received_bytes_total{from=\"own_group\"} 14",
                "nearcast_tracker_network_received_bytes_total{group=\"7\",name=\"North \\\"campus\\\"\\n\",from=\"publishers\"} 1",
                "nearcast_tracker_dial_backs_total{outcome=\"reachable\"} 4",
                "nearcast_tracker_dial_backs_total{outcome=\"dropped\"} 2",
                "nearcast_tracker_dial_backs_waiting 1",
                "nearcast_tracker_nodes 3",
                "nearcast_tracker_resident_memory_bytes 1099511627776",
                "nearcast_tracker_memory_full 1",
                "nearcast_tracker_answer_duration_seconds_count 1",
                "# EOF",
            ] {
                assert!(text.lines().any(|there| there == line), "{line} isn't in:\n{text}");
            }
        }
    }

    #[test]
    fn every_reason_has_its_name() {
        assert_eq!(Refusal::Introduction as usize + 1, REFUSALS.len());
        assert_eq!(REFUSALS[Refusal::NotListed as usize], "not_listed");
    }
}
