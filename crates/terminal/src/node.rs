//! The network half: the transfer controller while it runs, and what it uploads.

use std::{collections::HashMap, path::PathBuf, time::Instant};

use nearcast_content::{Entry, Origin};
use nearcast_protocol::Multiaddr;
use nearcast_protocol::ResourceId;
use nearcast_transfer::{Controller, ControllerError, PrivateSources, Settings as ControllerSettings};

use crate::{
    flow::Flow,
    quota::{self, Kept},
    settings::Settings,
};

/// Whether its data are ours to delete.
fn is_ours(entry: &Entry) -> bool {
    entry.origin == Origin::Fetched
}

/// The controller while it runs. There is none before the first start's answer.
pub struct Node {
    /// The controller.
    pub controller: Controller,
    folder: PathBuf,
    sent: Flow,
    counted: u64,
    shared: HashMap<ResourceId, u64>,
    sharing: bool,
}

impl Node {
    /// Goes on the network with these settings. `folder` holds films and identity; `listen` is empty for any free port.
    ///
    /// # Errors
    /// As [`Controller::start`].
    pub async fn start(
        settings: &Settings,
        folder: PathBuf,
        listen: Vec<Multiaddr>,
    ) -> Result<Self, ControllerError> {
        let mut wanted = ControllerSettings::new(&folder);
        wanted.listen = listen;
        wanted.trackers = settings.trackers.iter().filter_map(|tracker| tracker.parse().ok()).collect();
        wanted.upload = settings.upload;
        wanted.download = settings.download;
        wanted.neighbours = settings.neighbours;
        wanted.map_ports = settings.map_ports;
        wanted.give_way = settings.give_way;
        // Those that say so are asked about before a link is opened.
        wanted.private_sources = PrivateSources::Named;
        let controller = Controller::start(wanted).await?;
        let mut node = Self {
            controller,
            folder,
            sent: Flow::default(),
            counted: 0,
            shared: HashMap::new(),
            sharing: true,
        };
        node.share(settings.share);
        Ok(node)
    }

    /// Whether going on the network anew is what it takes to apply `new`.
    pub fn must_restart(old: &Settings, new: &Settings) -> bool {
        let found = (old.neighbours, old.map_ports) != (new.neighbours, new.map_ports);
        old.folder != new.folder || old.trackers != new.trackers || found
    }

    /// Applies the limits.
    pub fn limit(&self, settings: &Settings) {
        self.controller.network().set_upload_limit(settings.upload);
        self.controller.network().set_give_way(settings.give_way);
        self.controller.network().set_download_limit(settings.download);
    }

    /// Shares what is held, or stops doing so.
    pub fn share(&mut self, on: bool) {
        if self.sharing != on {
            self.sharing = on;
            self.controller.set_sharing(on);
        }
    }

    /// Payload bytes sent since the last call, and the rate in bytes/s.
    pub fn sent(&mut self, now: Instant) -> (u64, u64) {
        let all = self.controller.network().uploaded();
        let more = all.saturating_sub(self.counted);
        self.counted = all;
        self.sent.note(all, now);
        (more, self.sent.rate())
    }

    /// Payload bytes of each film sent on since the last call.
    pub fn shared(&mut self) -> Vec<(String, u64)> {
        let mut grown = Vec::new();
        for transfer in self.controller.transfers() {
            let all = transfer.progress().uploaded;
            let before = self.shared.insert(transfer.id(), all).unwrap_or_default();
            // A transfer that was opened anew counts from zero.
            let more = all.checked_sub(before).unwrap_or(all);
            if more > 0 {
                grown.push((transfer.id().to_string(), more));
            }
        }
        grown
    }

    /// Who is connected for a resource.
    pub fn peers(&self, id: &ResourceId) -> usize {
        self.controller.transfer(id).map_or(0, |transfer| transfer.progress().peers.all())
    }

    /// Where films are kept.
    pub fn folder(&self) -> &PathBuf {
        &self.folder
    }

    /// Bytes that films take, and how many films there are. The user's own files take nothing.
    pub fn used(&self) -> (u64, usize) {
        let entries = self.controller.library();
        let films = entries.iter().filter(|entry| entry.held_bytes > 0).count();
        (entries.iter().filter(|entry| is_ours(entry)).map(|entry| entry.held_bytes).sum(), films)
    }

    /// Verified bytes held of a resource.
    pub fn held(&self, id: &str) -> u64 {
        let id = id.parse::<ResourceId>();
        let entries = self.controller.library();
        id.ok()
            .and_then(|id| entries.iter().find(|entry| entry.link.id == id))
            .map_or(0, |entry| entry.held_bytes)
    }

    /// Makes room for a film of `size` bytes within `limit` and what is free on the disk: what was watched longest ago
    /// goes first. Returns how many bytes of the film may be held; a film that doesn't fit is played in half of the
    /// limit.
    ///
    /// # Errors
    /// When something can't be deleted.
    pub async fn make_room(
        &self,
        id: ResourceId,
        size: u64,
        limit: u64,
        watched_at_ms: impl Fn(&str) -> u64,
    ) -> Result<u64, ControllerError> {
        let name = id.to_string();
        let films = self.kept(Some(&name), watched_at_ms);
        let held = films.iter().find(|film| film.in_use).map_or(0, |film| film.held);
        let wanted = if size <= limit { size } else { limit / 2 };
        self.evict(&films, limit, wanted.saturating_sub(held)).await?;
        Ok(self.room(&name, limit))
    }

    /// How many bytes of a film may be held, now that others are as they are.
    pub fn room(&self, id: &str, limit: u64) -> u64 {
        let held = self.held(id);
        let others = self.used().0.saturating_sub(held);
        let free = quota::free_bytes(&self.folder).unwrap_or(u64::MAX);
        quota::room(limit, others, held, free)
    }

    /// Removes what was watched longest ago until the rest fits within `limit`; what is `playing` stays.
    ///
    /// # Errors
    /// When something can't be deleted.
    pub async fn shrink(
        &self,
        playing: Option<&str>,
        limit: u64,
        watched_at_ms: impl Fn(&str) -> u64,
    ) -> Result<(), ControllerError> {
        self.evict(&self.kept(playing, watched_at_ms), limit, 0).await
    }

    fn kept(&self, in_use: Option<&str>, watched_at_ms: impl Fn(&str) -> u64) -> Vec<Kept> {
        let entries = self.controller.library();
        let kept = entries.iter().filter(|entry| is_ours(entry)).map(|entry| {
            let id = entry.link.id.to_string();
            Kept {
                held: entry.held_bytes,
                watched_at_ms: watched_at_ms(&id),
                in_use: in_use == Some(id.as_str()),
                id,
            }
        });
        kept.collect()
    }

    async fn evict(&self, films: &[Kept], limit: u64, wanted: u64) -> Result<(), ControllerError> {
        for name in quota::evict(films, limit, wanted) {
            if let Ok(id) = name.parse() {
                tracing::info!(%id, "removed to make room");
                self.controller.remove(id, true).await?;
            }
        }
        Ok(())
    }
}
