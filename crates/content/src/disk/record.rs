//! The record of a clean stop: what was held. Only a hint, and only while neither file was touched since.

use std::{io, path::Path};

use nearcast_protocol::{Blocks, Geometry};
use serde::{Deserialize, Serialize};

use super::file::{Stamp, remove, replace};

const FILE: &str = "held.json";

/// What was held when the store was last closed in good order.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    data: Stamp,
    outboard: Stamp,
    size: u64,
    held: Vec<(u64, u64)>,
}

impl Record {
    pub(crate) fn new(geometry: Geometry, held: &Blocks, data: Stamp, outboard: Stamp) -> Self {
        let held = held.runs().map(|run| (run.start, run.end)).collect();
        Self { data, outboard, size: geometry.size(), held }
    }

    /// The record in a folder, if there is one that can be read and that speaks of such a file.
    pub(crate) fn read(folder: &Path, geometry: Geometry) -> Option<Self> {
        let text = std::fs::read(folder.join(FILE)).ok()?;
        let record = serde_json::from_slice::<Self>(&text).ok()?;
        let sound = record.held.iter().all(|(start, end)| start < end && *end <= geometry.count());
        (sound && record.size == geometry.size()).then_some(record)
    }

    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        replace(&folder.join(FILE), &serde_json::to_vec(self)?)
    }

    pub(crate) fn remove(folder: &Path) -> io::Result<()> {
        remove(&folder.join(FILE))
    }

    /// Whether neither file was written to since.
    pub(crate) fn is_of(&self, data: Stamp, outboard: Stamp) -> bool {
        self.data == data && self.outboard == outboard
    }

    pub(crate) fn held(&self) -> Blocks {
        self.held.iter().map(|(start, end)| *start..*end).collect()
    }
}
