//! Location and progress, for players that read the file themselves (R4).

use std::{ops::Range, path::PathBuf};

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use nearcast_content::Location;
use serde::{Deserialize, Serialize};

use super::{Shared, named, not_open};
use crate::{Reached, Transfer};

/// What is known of one resource in use.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The resource id.
    pub id: String,
    /// The link it was opened with.
    pub link: String,
    /// The file's name.
    pub name: String,
    /// Its size in bytes; a claim until `size_proved`.
    pub size: u64,
    /// Whether the size is proved.
    pub size_proved: bool,
    /// Verified bytes held.
    pub held_bytes: u64,
    /// Verified byte ranges: these may be read at the location.
    pub verified: Vec<Range<u64>>,
    /// The (partial) file; of what is kept in memory, a file that is there while this program runs.
    pub path: Option<PathBuf>,
    /// Bytes received, by where they came from.
    pub received: Source,
    /// Bytes from the link's web sources.
    pub web: u64,
    /// Web sources that are asked no more, and why.
    pub dropped_sources: Vec<String>,
    /// Bytes as they came, with their proofs and with what was thrown away.
    pub payload: u64,
    /// Bytes uploaded.
    pub uploaded: u64,
    /// Bytes/s that arrive now.
    pub rate: u64,
    /// Connected peers.
    pub peers: usize,
    /// How viewers elsewhere get to this node.
    #[serde(default)]
    pub reached: Reached,
    /// Why it waits, or what is wrong, if anything is.
    pub note: Option<String>,
}

/// Bytes by where they came from.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Source {
    /// Terminals of the own group.
    pub own_group: u64,
    /// Terminals of other groups.
    pub other_groups: u64,
    /// Publishers.
    pub publisher: u64,
}

impl From<nearcast_protocol::tracker::Received> for Source {
    fn from(received: nearcast_protocol::tracker::Received) -> Self {
        Self {
            own_group: received.own_group,
            other_groups: received.other_groups,
            publisher: received.publishers,
        }
    }
}

impl Report {
    fn of(transfer: &Transfer, reached: Reached) -> Self {
        let progress = transfer.progress();
        let link = transfer.link();
        let geometry = link.geometry();
        let stopped = progress.stopped.as_ref().map(ToString::to_string);
        let trouble = progress.trouble.as_ref().map(ToString::to_string);
        Self {
            id: link.id.to_string(),
            link: link.to_string(),
            name: link.name.clone(),
            size: link.size,
            size_proved: progress.size_proved,
            held_bytes: progress.held_bytes,
            verified: progress.held.runs().map(|run| geometry.bytes(run)).collect(),
            path: match transfer.store().location() {
                Location::File(path) | Location::Memory(path) => Some(path),
            },
            received: progress.received.into(),
            web: progress.web,
            dropped_sources: dropped_sources(&progress),
            payload: progress.payload,
            uploaded: progress.uploaded,
            rate: progress.rate,
            peers: progress.peers.all(),
            reached,
            note: stopped.or(progress.waiting.map(|wait| wait.to_string())).or(trouble),
        }
    }
}

fn dropped_sources(progress: &crate::Progress) -> Vec<String> {
    let dropped = progress.sources.iter().filter_map(|source| Some((source, source.dropped.as_ref()?)));
    dropped.map(|(source, why)| format!("{}: {why}", source.url)).collect()
}

pub(super) async fn all(State(shared): State<Shared>) -> Response {
    let reached = shared.controller.reached();
    let mut reports: Vec<_> =
        shared.controller.transfers().iter().map(|transfer| Report::of(transfer, reached)).collect();
    reports.sort_by(|one, other| one.name.cmp(&other.name));
    Json(reports).into_response()
}

pub(super) async fn one(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    match named(&id).and_then(|id| shared.controller.transfer(&id)) {
        Some(transfer) => Json(Report::of(&transfer, shared.controller.reached())).into_response(),
        None => not_open(),
    }
}
