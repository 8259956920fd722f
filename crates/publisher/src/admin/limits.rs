//! The limits that can be set while the publisher runs; what was set outlives a restart.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use nearcast_transfer::rate::Rate;
use serde::{Deserialize, Serialize};

use crate::site::Publication;

const FILE: &str = "limits.json";

/// Why limits can't be read or kept.
#[derive(Debug, thiserror::Error)]
#[error("the limits in {path} can't be {what}: {reason}", path = .path.display())]
pub struct LimitsError {
    path: PathBuf,
    what: &'static str,
    reason: String,
}

/// Limits; what is `None` is as the configuration has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// What all viewers get together, in bytes/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload: Option<u64>,
    /// Viewers served at a time for each film.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streams: Option<usize>,
    /// Viewers served at a time for all films together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streams_in_all: Option<usize>,
    /// Streams at a time to those without the app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direct: Option<usize>,
    /// What those get together, in bytes/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direct_rate: Option<u64>,
}

impl Limits {
    /// What was set before; nothing, if nothing was.
    pub(crate) fn read(state: &Path) -> Result<Self, LimitsError> {
        let path = state.join(FILE);
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| LimitsError {
                path,
                what: "read",
                reason: format!("{error}; delete the file to go on without them"),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(LimitsError { path, what: "read", reason: error.to_string() }),
        }
    }

    /// Keeps them: when this returns they outlive a crash and a power cut.
    pub(crate) fn write(self, state: &Path) -> Result<(), LimitsError> {
        let path = state.join(FILE);
        let written = || -> io::Result<()> {
            let beside = path.with_extension("new");
            let mut file = File::create(&beside)?;
            file.write_all(&serde_json::to_vec(&self)?)?;
            file.sync_all()?;
            std::fs::rename(&beside, &path)?;
            File::open(state)?.sync_all()
        };
        written().map_err(|error| LimitsError { path: path.clone(), what: "kept", reason: error.to_string() })
    }

    /// These, and where they say nothing, the others.
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            upload: self.upload.or(others.upload),
            streams: self.streams.or(others.streams),
            streams_in_all: self.streams_in_all.or(others.streams_in_all),
            direct: self.direct.or(others.direct),
            direct_rate: self.direct_rate.or(others.direct_rate),
        }
    }

    /// Puts them in force, before those of the configuration. The upload limit goes to whoever knows the hours.
    pub(crate) fn apply(self, configured: Self, publication: &Publication) {
        publication.upload_set.send_replace(self.upload);
        let both = self.or(configured);
        if let Some(each) = both.streams {
            publication.controller.set_streams(each, both.streams_in_all);
        }
        publication.direct.set(both.direct, Some(both.direct_rate));
    }

    /// As the API says them: rates as people write them.
    pub(crate) fn said(self) -> serde_json::Value {
        let rate = |bytes: Option<u64>| bytes.map(|bytes| Rate { bytes }.to_string());
        serde_json::json!({
            "upload": rate(self.upload),
            "streams": self.streams,
            "streams_in_all": self.streams_in_all,
            "direct": self.direct,
            "direct_rate": rate(self.direct_rate),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_found_again_and_damage_is_told() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(Limits::read(state.path()).unwrap(), Limits::default());
        let limits = Limits { upload: Some(5), streams: Some(7), direct: Some(0), ..Limits::default() };
        limits.write(state.path()).unwrap();
        assert_eq!(Limits::read(state.path()).unwrap(), limits);
        let configured = Limits {
            upload: Some(1),
            streams: Some(50),
            streams_in_all: Some(90),
            direct: Some(2),
            direct_rate: Some(3),
        };
        assert_eq!(
            limits.or(configured),
            Limits { upload: Some(5), streams: Some(7), direct: Some(0), ..configured }
        );
        std::fs::write(state.path().join(FILE), "{").unwrap();
        assert!(Limits::read(state.path()).unwrap_err().to_string().contains("delete the file"));
    }
}
