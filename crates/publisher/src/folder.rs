//! Which files of a folder are films.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Endings of files that are put up.
const ENDINGS: [&str; 24] = [
    "3gp", "aac", "asf", "avi", "flac", "flv", "m2ts", "m4a", "m4v", "mkv", "mov", "mp3", "mp4", "mpeg",
    "mpg", "mts", "ogg", "ogm", "ogv", "opus", "ts", "wav", "webm", "wmv",
];
/// A file that was written to this recently may still be growing.
const SETTLED: Duration = Duration::from_secs(2);
/// Folders in folders, at most; links to folders are not followed.
const DEPTH: usize = 16;

/// One film's file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last changed.
    pub modified: SystemTime,
}

/// What a look into a folder has found.
#[derive(Debug, Default)]
pub struct Scan {
    /// The films, by path.
    pub films: Vec<Found>,
    /// Folders and files that could not be looked at, and why.
    pub unreadable: Vec<(PathBuf, io::Error)>,
    /// Whether a film is still being written: another look is worthwhile soon.
    pub unsettled: bool,
}

/// Looks for films in a folder and the folders in it. Hidden files and links are passed over.
pub fn scan(folder: &Path, now: SystemTime) -> Scan {
    let mut found = Scan::default();
    look(folder, now, DEPTH, &mut found);
    found.films.sort();
    found
}

fn look(folder: &Path, now: SystemTime, depth: usize, found: &mut Scan) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return found.unreadable.push((folder.to_owned(), error)),
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        let Ok(kind) = entry.file_type() else { continue };
        if hidden {
            continue;
        }
        if kind.is_dir() && depth > 0 {
            look(&path, now, depth - 1, found);
        } else if kind.is_file() && is_film(&path) {
            match entry.metadata().and_then(|meta| Ok((meta.len(), meta.modified()?))) {
                Ok((size, modified)) if settled(modified, now) && size > 0 => {
                    found.films.push(Found { path, size, modified });
                }
                Ok(_) => found.unsettled = true,
                Err(error) => found.unreadable.push((path, error)),
            }
        }
    }
}

fn settled(modified: SystemTime, now: SystemTime) -> bool {
    // A time in the future says nothing about growing.
    now.duration_since(modified).map_or(true, |age| age >= SETTLED)
}

fn is_film(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn films_only_and_only_when_they_have_stopped_growing() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("series/season 1");
        fs::create_dir_all(&inner).unwrap();
        fs::create_dir(folder.path().join(".hidden")).unwrap();
        for name in ["a.mp4", "b.MKV", "notes.txt", ".c.mp4", "series/season 1/电影.webm", ".hidden/d.mp4"]
        {
            fs::write(folder.path().join(name), b"film").unwrap();
        }
        fs::write(folder.path().join("empty.mp4"), b"").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("/", folder.path().join("everything")).unwrap();
        let early = scan(folder.path(), SystemTime::now());
        assert!(early.films.is_empty() && early.unsettled);
        let later = scan(folder.path(), SystemTime::now() + SETTLED * 2);
        let names: Vec<_> = later.films.iter().map(|f| f.path.strip_prefix(folder.path()).unwrap()).collect();
        assert_eq!(names, ["a.mp4", "b.MKV", "series/season 1/电影.webm"].map(Path::new));
    }

    #[test]
    fn a_folder_that_is_not_there_is_reported() {
        let gone = scan(Path::new("/nowhere/at/all"), SystemTime::now());
        assert_eq!(gone.unreadable.len(), 1);
    }
}
