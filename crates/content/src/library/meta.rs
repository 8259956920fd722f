//! What the library knows of a resource apart from its content, as it lies on disk.

use std::{
    ffi::OsString,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nearcast_protocol::{Guard, Link, LinkToken, ResourceId};
use serde::{Deserialize, Serialize};

use super::names;
use crate::disk::{
    Place,
    file::{Stamp, replace},
};

const FILE: &str = "meta.json";
const VERSION: u32 = 1;

/// One resource of the library.
#[derive(Debug, Clone)]
pub(super) struct Meta {
    pub link: Link,
    pub added: SystemTime,
    pub data: Data,
    /// Whose token others must show for it.
    pub guard: Option<Guard>,
}

/// Where the bytes are.
#[derive(Debug, Clone)]
pub(super) enum Data {
    /// In the library, under this name.
    Fetched { file: String },
    /// In a file of the user's, which looked so when it was hashed.
    Imported { path: PathBuf, stamp: Stamp },
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    link: String,
    /// Seconds since 1970.
    added: u64,
    data: StoredData,
    /// The guard's peer id, if the resource is protected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guard: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredData {
    Fetched { file: String },
    Imported { path: StoredPath, stamp: Stamp },
}

/// A path need not be text, and must come back as it was.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StoredPath {
    Text(String),
    Raw(OsString),
}

impl Meta {
    /// What is to be known of a resource that will be fetched.
    pub(super) fn fetched(link: Link) -> Self {
        let data = Data::Fetched { file: names::safe(&link.name) };
        let guard = guard_of(&link);
        Self { link, added: SystemTime::now(), data, guard }
    }

    /// What is to be known of a file of the user's.
    pub(super) fn imported(link: Link, path: PathBuf, stamp: Stamp) -> Self {
        Self { link, added: SystemTime::now(), data: Data::Imported { path, stamp }, guard: None }
    }

    /// The files of the resource, whose folder in the library is `folder`.
    pub(super) fn place(&self, folder: PathBuf, lock: Arc<File>) -> Place {
        match &self.data {
            // Sanitised once more: this name was read from a file.
            Data::Fetched { file } => {
                let data = folder.join("content").join(names::safe(file));
                Place { folder, data, imported: None, _lock: Some(lock) }
            }
            Data::Imported { path, stamp } => {
                Place { folder, data: path.clone(), imported: Some(*stamp), _lock: Some(lock) }
            }
        }
    }

    /// Reads what is known of `id` from its folder.
    pub(super) fn read(folder: &Path, id: ResourceId) -> io::Result<Self> {
        let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let stored: Stored = serde_json::from_slice(&std::fs::read(folder.join(FILE))?)?;
        if stored.version != VERSION {
            return Err(wrong(format!("version {} is not one that this program reads", stored.version)));
        }
        let link: Link = stored.link.parse().map_err(|error| wrong(format!("{error}")))?;
        if link.id != id {
            return Err(wrong("it speaks of another resource than its folder".to_owned()));
        }
        let data = match stored.data {
            StoredData::Fetched { file } => Data::Fetched { file },
            StoredData::Imported { path: StoredPath::Text(path), stamp } => {
                Data::Imported { path: path.into(), stamp }
            }
            StoredData::Imported { path: StoredPath::Raw(path), stamp } => {
                Data::Imported { path: path.into(), stamp }
            }
        };
        let added = UNIX_EPOCH.checked_add(Duration::from_secs(stored.added)).unwrap_or(UNIX_EPOCH);
        let guard = stored.guard.map(|guard| guard.parse()).transpose();
        // Taken for unprotected, it would be given to everybody.
        let guard = guard.map_err(|_| wrong("its guard can't be read".to_owned()))?;
        Ok(Self { link, added, data, guard })
    }

    /// Writes it into the folder, all or nothing.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let data = match &self.data {
            Data::Fetched { file } => StoredData::Fetched { file: file.clone() },
            Data::Imported { path, stamp } => {
                let path = match path.to_str() {
                    Some(text) => StoredPath::Text(text.to_owned()),
                    None => StoredPath::Raw(path.clone().into_os_string()),
                };
                StoredData::Imported { path, stamp: *stamp }
            }
        };
        let added = self.added.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let guard = self.guard.map(|guard| guard.to_string());
        let stored = Stored { version: VERSION, link: self.link.to_string(), added, data, guard };
        replace(&folder.join(FILE), &serde_json::to_vec_pretty(&stored)?)
    }
}

/// Who guards what this link leads to.
pub(super) fn guard_of(link: &Link) -> Option<Guard> {
    link.token.as_ref().and_then(|token| LinkToken::read(token).ok()).map(|token| token.guard())
}

/// Whether a link would be read back as it is: its fields are public, and need not have been parsed.
pub(super) fn is_sound(link: &Link) -> bool {
    link.to_string().parse().is_ok_and(|read: Link| read == *link)
}
