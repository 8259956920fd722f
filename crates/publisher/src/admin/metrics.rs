//! What goes on, as Prometheus reads it.

use std::sync::atomic::AtomicU64;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use nearcast_protocol::Group;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{Desk, wrong};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTracker {
    tracker: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfNetwork {
    network: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    reason: &'static str,
}

/// A number that only grows, counted elsewhere.
fn counted(value: u64) -> Counter<u64, AtomicU64> {
    let counter = Counter::default();
    counter.inc_by(value);
    counter
}

/// A number that goes up and down.
fn standing(value: impl TryInto<i64>) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(value.try_into().unwrap_or(i64::MAX));
    gauge
}

/// What a group is called in figures.
pub(super) fn network(group: Group) -> String {
    if group == Group::UNKNOWN { "unknown".into() } else { group.0.to_string() }
}

/// `GET /metrics`. All of it is at hand; nothing is counted for the sake of this.
pub(super) async fn metrics(State(desk): State<Desk>) -> Response {
    let snapshot = desk.library.snapshot();
    let given = desk.library.given();
    let direct = &desk.publication.direct;
    let mut registry = Registry::with_prefix("nearcast_publisher");
    let held = snapshot.titles.iter().filter(|title| title.held).count();
    let resources: usize = snapshot.titles.iter().map(|title| title.links().count()).sum();
    let bytes: u64 = snapshot.titles.iter().flat_map(|title| title.links()).map(|link| link.size).sum();
    let hashing: u64 = snapshot.hashing.iter().map(|one| one.of.saturating_sub(one.done)).sum();
    let streams: usize = given.resources.values().map(|of| of.streams).sum();
    let standings: [(&str, &str, Gauge); 10] = [
        ("titles", "Titles that are up", standing(snapshot.titles.len() - held)),
        ("titles_held", "Titles that are held back by hand", standing(held)),
        ("resources", "Files of all titles", standing(resources)),
        ("resource_bytes", "Bytes of all titles", standing(bytes)),
        (
            "hash_pending_bytes",
            "Bytes that wait to be hashed",
            standing(hashing.saturating_add(snapshot.waiting.bytes)),
        ),
        (
            "problems",
            "Files and folders that are not up because something is wrong",
            standing(snapshot.problems.len()),
        ),
        ("streams", "Streams to viewers with the app", standing(streams)),
        ("direct_streams", "Streams to those without the app", standing(direct.streams())),
        ("direct_streams_limit", "Streams to those without the app, at most", standing(direct.most())),
        ("ending", "Whether the publisher is about to end", standing(u8::from(desk.ending.is_cancelled()))),
    ];
    for (name, help, gauge) in standings {
        registry.register(name, help, gauge);
    }
    registry.register(
        "uploaded_bytes",
        "Payload bytes to viewers with the app since the start",
        counted(desk.controller.network().uploaded()),
    );
    registry.register(
        "direct_bytes",
        "Bytes to those without the app since the start",
        counted(direct.given()),
    );
    registry.register(
        "saved_bytes",
        "Bytes that viewers hold beyond what was given: a lower bound of what they carried",
        standing(given.saved()),
    );
    let refused = Family::<Why, Counter<u64, AtomicU64>>::default();
    let busy = given.resources.values().map(|of| of.refused_busy).sum();
    let enough = given.resources.values().map(|of| of.refused_enough).sum();
    for (reason, count) in [("busy", busy), ("enough", enough), ("direct", direct.refused())] {
        refused.get_or_create(&Why { reason }).inc_by(count);
    }
    registry.register("refused_streams", "Streams that were refused since the start", refused);
    let networks = Family::<OfNetwork, Counter<u64, AtomicU64>>::default();
    for (group, bytes) in given.networks() {
        networks.get_or_create(&OfNetwork { network: network(group) }).inc_by(bytes);
    }
    registry.register(
        "given_bytes",
        "Payload bytes to each network group since the library was first made",
        networks,
    );
    let trackers = Family::<OfTracker, Gauge>::default();
    for (address, state) in desk.controller.trackers().borrow().iter() {
        let well = state.lease.is_some() && state.trouble.is_none();
        trackers.get_or_create(&OfTracker { tracker: address.to_string() }).set(i64::from(well));
    }
    registry.register("tracker_up", "Whether the tracker has this publisher's lease", trackers);
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => wrong(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}
