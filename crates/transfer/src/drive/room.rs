//! How much of the film may be held, and what goes to make room.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use nearcast_content::StoreError;
use nearcast_protocol::Blocks;
use nearcast_schedule::{Event, Fetch};

use super::{Done, Drive};
use crate::progress::Stopped;

/// When the disk is full, so much of what is held is given up.
const GIVEN_UP: u64 = 32 << 20;
/// With less, nothing can be played on a full disk.
const LEAST: u64 = 48 << 20;
/// Answers that come together fail together; and whose blocks find no room rests so long.
pub(super) const FULL: Duration = Duration::from_secs(1);

impl Drive {
    pub(super) fn set_room(&mut self, bytes: Option<u64>) {
        if self.room.0 != bytes {
            self.room.0 = bytes;
            self.handle(Event::Room(bytes));
        }
    }

    /// The schedule has given blocks up: so does the disk.
    pub(super) fn forget(&mut self, blocks: Blocks) {
        let store = Arc::clone(&self.parts.shared.store);
        self.jobs.spawn_blocking(move || Done::Forgotten(store.forget(&blocks)));
    }

    pub(super) fn forgotten(&mut self, result: Result<Blocks, StoreError>) {
        match result {
            Ok(blocks) => self.withdraw(&blocks),
            Err(error) => self.end(Stopped::Store(error.to_string())),
        }
    }

    /// What came finds no room on the disk: whoever watches plays on in less, now or when they come back. Tells
    /// whether that may help.
    pub(super) fn make_do(&mut self, error: &StoreError) -> bool {
        if !matches!(error, StoreError::DiskFull { .. }) || self.wanted == Some(Fetch::Whole) {
            return false;
        }
        if self.room.1.is_some_and(|since| since.elapsed() < FULL) {
            return true;
        }
        let store = &self.parts.shared.store;
        let held = store.geometry().bytes_in(&store.held());
        if held < LEAST {
            return false;
        }
        tracing::warn!(%error, "it is played in the room there is");
        self.room.1 = Some(Instant::now());
        self.set_room(Some(held - GIVEN_UP));
        true
    }
}
