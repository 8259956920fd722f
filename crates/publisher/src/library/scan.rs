//! What lies in the folders: films, subtitle files and what is said of titles.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// Endings of films.
const FILMS: [&str; 24] = [
    "3gp", "aac", "asf", "avi", "flac", "flv", "m2ts", "m4a", "m4v", "mkv", "mov", "mp3", "mp4", "mpeg",
    "mpg", "mts", "ogg", "ogm", "ogv", "opus", "ts", "wav", "webm", "wmv",
];
/// Endings of subtitle files.
const SUBTITLES: [&str; 4] = ["srt", "vtt", "ass", "ssa"];
/// What a folder says of its title.
pub(super) const TITLE: &str = "title.toml";
/// More than anybody writes into it.
const MAX_TITLE: u64 = 64 << 10;
/// A file that was written to this recently may still be growing.
const SETTLED: Duration = Duration::from_secs(2);
/// Folders in folders, at most.
const DEPTH: usize = 32;

/// Tells one state of one file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Stamp {
    pub size: u64,
    /// Seconds since 1970, 0 for anything before.
    pub seconds: u64,
    pub nanoseconds: u32,
    /// What the file system calls the file, where it says so: the same after a renaming.
    pub device: u64,
    pub inode: u64,
}

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Film,
    Subtitle,
}

/// What a [`TITLE`] file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Said {
    /// The title's name.
    pub name: Option<String>,
}

/// What a look into the folders has found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The files, by path.
    pub files: BTreeMap<PathBuf, (Kind, Stamp)>,
    /// The folders that are one title each, and what they say of it.
    pub titles: BTreeMap<PathBuf, Said>,
    /// What could not be looked at, and why.
    pub unreadable: BTreeMap<PathBuf, String>,
    /// Whether a file is still being written: another look is worthwhile soon.
    pub unsettled: bool,
}

impl Stamp {
    pub fn of(metadata: &Metadata) -> io::Result<Self> {
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (device, inode) = identity(metadata);
        let (seconds, nanoseconds) = (modified.as_secs(), modified.subsec_nanos());
        Ok(Self { size: metadata.len(), seconds, nanoseconds, device, inode })
    }

    pub fn modified(&self) -> SystemTime {
        let since = Duration::new(self.seconds, self.nanoseconds.min(999_999_999));
        UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
    }

    /// Whether it can be the same file under another name.
    pub fn can_be_known_again(&self) -> bool {
        self.inode != 0
    }
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

/// Looks through folders and the folders in them; a root may be a file as well. Hidden files and links are
/// passed over, so nothing turns in circles, and so is the folder `own`, which is the publisher's.
pub(super) fn scan(roots: &[PathBuf], own: &Path, now: SystemTime) -> Scan {
    let mut found = Scan::default();
    for root in roots {
        match fs::metadata(root) {
            Ok(metadata) if metadata.is_dir() => look(root, own, now, DEPTH, &mut found),
            Ok(metadata) => take(root.clone(), &metadata, now, &mut found),
            Err(error) => {
                found.unreadable.insert(root.clone(), format!("can't be looked at: {error}"));
            }
        }
    }
    found
}

fn look(folder: &Path, own: &Path, now: SystemTime, depth: usize, found: &mut Scan) {
    if folder == own {
        return;
    }
    let cant = |error: io::Error| format!("can't be looked at: {error}");
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            found.unreadable.insert(folder.to_owned(), cant(error));
            return;
        }
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                found.unreadable.insert(folder.to_owned(), cant(error));
                return;
            }
        };
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            if depth > 0 {
                look(&path, own, now, depth - 1, found);
            } else {
                found.unreadable.insert(path, format!("lies deeper than {DEPTH} folders; move it up"));
            }
        } else if kind.is_file() && name == OsStr::new(TITLE) {
            match said(&path) {
                Ok(said) => {
                    found.titles.insert(folder.to_owned(), said);
                }
                Err(reason) => {
                    found.unreadable.insert(path, reason);
                }
            }
        } else if kind.is_file() && kind_of(&path).is_some() {
            match entry.metadata() {
                Ok(metadata) => take(path, &metadata, now, found),
                Err(error) => {
                    found.unreadable.insert(path, cant(error));
                }
            }
        }
    }
}

fn take(path: PathBuf, metadata: &Metadata, now: SystemTime, found: &mut Scan) {
    let (Some(kind), Ok(stamp)) = (kind_of(&path), Stamp::of(metadata)) else { return };
    if stamp.size == 0 || !settled(stamp.modified(), now) {
        // An empty file is one that a copy has just begun, or one that never will be a film.
        found.unsettled |= !settled(stamp.modified(), now);
        return;
    }
    found.files.insert(path, (kind, stamp));
}

fn settled(modified: SystemTime, now: SystemTime) -> bool {
    // A time in the future says nothing about growing.
    now.duration_since(modified).map_or(true, |age| age >= SETTLED)
}

fn said(path: &Path) -> Result<Said, String> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() > MAX_TITLE) {
        return Err(format!("is longer than {MAX_TITLE} bytes; it only has to say: name = \"…\""));
    }
    let text = fs::read_to_string(path).map_err(|error| format!("can't be read: {error}"))?;
    toml::from_str(&text).map_err(|error| format!("is not understood: {}", error.message()))
}

/// What kind of file a name stands for.
pub(super) fn kind_of(path: &Path) -> Option<Kind> {
    let ending = path.extension()?.to_string_lossy().to_ascii_lowercase();
    match ending.as_str() {
        film if FILMS.contains(&film) => Some(Kind::Film),
        subtitle if SUBTITLES.contains(&subtitle) => Some(Kind::Subtitle),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(scan: &Scan, folder: &Path) -> Vec<String> {
        scan.files.keys().map(|p| p.strip_prefix(folder).unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn films_and_subtitles_only_and_only_when_they_have_stopped_growing() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("series/season 1");
        fs::create_dir_all(&inner).unwrap();
        fs::create_dir(folder.path().join(".hidden")).unwrap();
        fs::create_dir(folder.path().join("own")).unwrap();
        for name in [
            "a.mp4",
            "b.MKV",
            "b.en.srt",
            "notes.txt",
            ".c.mp4",
            "series/season 1/电影.webm",
            ".hidden/d.mp4",
            "own/e.mp4",
        ] {
            fs::write(folder.path().join(name), b"film").unwrap();
        }
        fs::write(folder.path().join("empty.mp4"), b"").unwrap();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("/", folder.path().join("everything")).unwrap();
            std::os::unix::fs::symlink(folder.path(), inner.join("round and round")).unwrap();
            std::os::unix::fs::symlink("loop.mp4", folder.path().join("loop.mp4")).unwrap();
        }
        let (roots, own) = ([folder.path().to_owned()], folder.path().join("own"));
        let early = scan(&roots, &own, SystemTime::now());
        assert!(early.files.is_empty() && early.unsettled);
        let later = scan(&roots, &own, SystemTime::now() + SETTLED * 2);
        let expected = ["a.mp4", "b.MKV", "b.en.srt", "series/season 1/电影.webm"];
        assert_eq!(names(&later, folder.path()), expected);
        assert!(later.unreadable.is_empty() && !later.unsettled, "{later:?}");
    }

    #[test]
    fn what_can_t_be_looked_at_is_said_and_the_rest_is_found() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.mp4"), b"film").unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        fs::write(folder.path().join("b/title.toml"), b"name = [1").unwrap();
        let gone = folder.path().join("gone");
        let later = SystemTime::now() + SETTLED * 2;
        let found = scan(&[gone.clone(), folder.path().to_owned()], Path::new("/none"), later);
        let broken = folder.path().join("b/title.toml");
        assert_eq!(found.unreadable.keys().collect::<Vec<_>>(), [&broken, &gone], "{found:?}");
        assert_eq!(names(&found, folder.path()), ["a.mp4"]);
        // A root may be a single file.
        let single = scan(&[folder.path().join("a.mp4")], Path::new("/none"), later);
        assert_eq!(single.files.len(), 1);
    }

    #[test]
    #[cfg(unix)]
    fn a_name_may_be_anything() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        let odd: [&[u8]; 5] =
            [b"\xff\xfe.mp4", b"new\nline.mp4", "\u{202e}4pm.mp4".as_bytes(), b"x..\\..\\y.mp4", b" .mp4"];
        for name in odd {
            fs::write(folder.path().join(OsStr::from_bytes(name)), b"film").unwrap();
        }
        let later = SystemTime::now() + SETTLED * 2;
        let found = scan(&[folder.path().to_owned()], Path::new("/none"), later);
        assert_eq!(found.files.len(), odd.len(), "{found:?}");
    }
}
