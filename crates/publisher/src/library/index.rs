//! What the library remembers across restarts: one file, replaced whole, so that whenever the machine stops
//! there is the old one or the new one.
//!
//! It is not what proves a file's content (that is the outboard that `content` keeps beside it), so its loss
//! costs names and counters, never a byte that is served.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use nearcast_protocol::ResourceId;
use serde::{Deserialize, Serialize};

use super::{scan::Stamp, title::Facts};

const FILE: &str = "library.json";
const VERSION: u32 = 1;

/// All that is remembered.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Index {
    /// Every file that was hashed and not forgotten since, there or not.
    pub files: BTreeMap<PathBuf, Record>,
    /// What was looked into.
    pub known: BTreeMap<ResourceId, Known>,
    /// Folders and files that were added by hand.
    pub added: BTreeSet<PathBuf>,
    /// What is not shared until it is added again.
    pub removed: BTreeSet<ResourceId>,
    /// What is held back.
    pub held: BTreeSet<ResourceId>,
    /// Names given by hand, by a film of the title.
    pub names: BTreeMap<ResourceId, String>,
    /// What was given of each resource.
    pub given: BTreeMap<ResourceId, Counters>,
}

/// One file that was hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub stamp: Stamp,
    #[serde(with = "text")]
    pub id: ResourceId,
    /// When it was first put up, in seconds since 1970.
    pub added: u64,
    /// Since when the file isn't there any more, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<u64>,
}

/// What looking into a film has brought.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Known {
    pub facts: Facts,
    /// Why it couldn't be looked into.
    pub trouble: Option<String>,
    /// Whether pictures were tried.
    pub pictures: bool,
}

/// What was given of one resource, by network group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Counters {
    pub networks: BTreeMap<u32, u64>,
    pub held: u64,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Stored {
    version: u32,
    files: Vec<(StoredPath, Record)>,
    known: BTreeMap<String, Known>,
    added: Vec<StoredPath>,
    removed: Vec<String>,
    held: Vec<String>,
    names: BTreeMap<String, String>,
    given: BTreeMap<String, Counters>,
}

/// A path need not be text, and must come back as it was.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StoredPath {
    Text(String),
    Raw(OsString),
}

impl From<&Path> for StoredPath {
    fn from(path: &Path) -> Self {
        path.to_str().map_or_else(|| Self::Raw(path.into()), |text| Self::Text(text.to_owned()))
    }
}

impl From<StoredPath> for PathBuf {
    fn from(stored: StoredPath) -> Self {
        match stored {
            StoredPath::Text(text) => text.into(),
            StoredPath::Raw(raw) => raw.into(),
        }
    }
}

impl Index {
    /// Reads the index of a folder; an empty one if there is none. One that can't be read is put aside.
    ///
    /// # Errors
    /// When the disk fails, or when a newer program wrote it.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let path = folder.join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        match serde_json::from_slice::<Stored>(&bytes) {
            Ok(stored) if stored.version > VERSION => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a newer program wrote it (version {}); start that one", stored.version),
            )),
            Ok(stored) => Ok(stored.into()),
            Err(error) => {
                let aside = folder.join("library.json.damaged");
                tracing::warn!(%error, aside = %aside.display(), "the index is damaged; starting a new one");
                std::fs::rename(&path, aside)?;
                Ok(Self::default())
            }
        }
    }

    /// Writes it, all or nothing.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec(&Stored::from(self))?;
        let (path, beside) = (folder.join(FILE), folder.join("library.json.new"));
        let mut file = File::create(&beside)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, &path)?;
        // Elsewhere a folder can't be opened as a file, and the file system keeps its own journal.
        if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
    }

    /// The file that this one was before it was renamed.
    pub fn renamed_from(&self, stamp: &Stamp, is_there: impl Fn(&Path) -> bool) -> Option<PathBuf> {
        if !stamp.can_be_known_again() {
            return None;
        }
        let same = self.files.iter().filter(|(_, record)| record.stamp == *stamp);
        same.map(|(path, _)| path).find(|path| !is_there(path)).cloned()
    }
}

impl From<&Index> for Stored {
    fn from(index: &Index) -> Self {
        let index = index.clone();
        Self {
            version: VERSION,
            files: index.files.into_iter().map(|(path, record)| (path.as_path().into(), record)).collect(),
            known: texts(index.known),
            added: index.added.iter().map(|path| path.as_path().into()).collect(),
            removed: index.removed.iter().map(ToString::to_string).collect(),
            held: index.held.iter().map(ToString::to_string).collect(),
            names: texts(index.names),
            given: texts(index.given),
        }
    }
}

impl From<Stored> for Index {
    fn from(stored: Stored) -> Self {
        Self {
            files: stored.files.into_iter().map(|(path, record)| (path.into(), record)).collect(),
            known: ids(stored.known),
            added: stored.added.into_iter().map(Into::into).collect(),
            removed: stored.removed.iter().filter_map(|id| id.parse().ok()).collect(),
            held: stored.held.iter().filter_map(|id| id.parse().ok()).collect(),
            names: ids(stored.names),
            given: ids(stored.given),
        }
    }
}

fn texts<V>(map: BTreeMap<ResourceId, V>) -> BTreeMap<String, V> {
    map.into_iter().map(|(id, value)| (id.to_string(), value)).collect()
}

fn ids<V>(map: BTreeMap<String, V>) -> BTreeMap<ResourceId, V> {
    map.into_iter().filter_map(|(id, value)| Some((id.parse().ok()?, value))).collect()
}

/// A resource id as text.
mod text {
    use nearcast_protocol::ResourceId;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(id: &ResourceId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ResourceId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let stamp = Stamp { size: 7, seconds: 8, nanoseconds: 9, device: 1, inode: 2 };
        let id = ResourceId::from_bytes([3; 32]);
        let record = Record { stamp, id, added: 5, gone: None };
        let mut index = Index::default();
        index.files.insert("/films/大兔子.mp4".into(), record.clone());
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt;
            let odd = Path::new(std::ffi::OsStr::from_bytes(b"/films/\xff\n.mp4"));
            index.files.insert(odd.to_owned(), record);
        }
        index.known.insert(id, Known { trouble: Some("no film".into()), ..Known::default() });
        index.names.insert(id, "大兔子".into());
        index.held.insert(id);
        index.given.insert(id, Counters { networks: BTreeMap::from([(7, 1 << 40)]), held: 9 });
        index
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Index::read(folder.path()).unwrap(), Index::default());
        index().write(folder.path()).unwrap();
        assert_eq!(Index::read(folder.path()).unwrap(), index());
        // A stop in the middle of writing leaves a part beside it, which nobody reads.
        std::fs::write(folder.path().join("library.json.new"), b"{\"files\":[").unwrap();
        assert_eq!(Index::read(folder.path()).unwrap(), index());
    }

    #[test]
    fn a_damaged_one_is_put_aside_and_a_newer_one_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), b"{").unwrap();
        assert_eq!(Index::read(folder.path()).unwrap(), Index::default());
        assert!(folder.path().join("library.json.damaged").is_file());
        std::fs::write(folder.path().join(FILE), b"{\"version\":2}").unwrap();
        assert!(Index::read(folder.path()).unwrap_err().to_string().contains("newer"));
    }

    #[test]
    fn a_renamed_file_is_known_again_only_if_the_old_name_is_gone() {
        let index = index();
        let stamp = index.files.values().next().unwrap().stamp;
        assert!(index.renamed_from(&stamp, |_| true).is_none());
        assert!(index.renamed_from(&stamp, |_| false).is_some());
        let other = Stamp { inode: 3, ..stamp };
        assert!(index.renamed_from(&other, |_| false).is_none());
        // Where a file system has no such number, nothing is guessed.
        assert!(index.renamed_from(&Stamp { inode: 0, ..stamp }, |_| false).is_none());
    }
}
