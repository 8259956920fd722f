//! What the library shows: plain data, for the page, the feeds and whoever asks.

use std::{path::PathBuf, time::SystemTime};

use nearcast_protocol::{Link, ResourceId};
use serde::{Deserialize, Serialize};

/// All that is up, and what is still on its way there: one moment of the library.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The titles, by category and then by name.
    pub titles: Vec<std::sync::Arc<Title>>,
    /// Files that are hashed now.
    pub hashing: Vec<Hashing>,
    /// Files that wait to be hashed, and their bytes.
    pub waiting: Waiting,
    /// What is wrong, by path; a problem goes when its cause does.
    pub problems: Vec<Problem>,
    /// Whether the folders were looked through at least once since the start.
    pub looked: bool,
}

/// One title: a film, a recording, or the episodes of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Title {
    /// What it is called by in URLs: the resource id of its first file. Stays while that file's content does.
    pub key: ResourceId,
    /// What people call it: given by hand, by `title.toml`, or made of the file's name.
    pub name: String,
    /// The folders it lies in, outermost first; empty in the top folder.
    pub category: Vec<String>,
    /// Its files: one, or several qualities and episodes, in the order to offer them.
    pub films: Vec<Film>,
    /// Subtitle files that lie beside it.
    pub subtitles: Vec<Sidecar>,
    /// A still picture of it, a JPEG file in the publisher's own folder.
    pub poster: Option<PathBuf>,
    /// Small pictures of all of it.
    pub storyboard: Option<Storyboard>,
    /// When it was first put up.
    pub added: SystemTime,
    /// When the newest of its files was changed.
    pub modified: SystemTime,
    /// Held back by hand: listed here, but neither shared nor offered. Not to be shown to viewers.
    pub held: bool,
}

/// One file of a title.
#[derive(Debug, Clone, PartialEq)]
pub struct Film {
    /// Its link: id, name, size in bytes and trackers.
    pub link: Link,
    /// Where it lies.
    pub path: PathBuf,
    /// Which part of a series it is.
    pub episode: Option<Episode>,
    /// Which quality of several, such as `1080p`.
    pub quality: Option<String>,
    /// What is known of its content; empty until it was looked into.
    pub facts: Facts,
    /// When the file was changed.
    pub modified: SystemTime,
}

/// Season and number of an episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Episode {
    /// The season, from 0 (specials); 1 where there are no seasons.
    pub season: u32,
    /// The number in its season.
    pub number: u32,
}

/// What is known of a film's content. Where nothing can look into films, all is empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// How long it is, ms; 0 if unknown.
    pub duration_ms: u64,
    /// The container as people call it, such as `Matroska`.
    pub container: Option<String>,
    /// The title it gives itself.
    pub title: Option<String>,
    /// Its pictures.
    pub video: Vec<VideoTrack>,
    /// Its sound.
    pub audio: Vec<AudioTrack>,
    /// Subtitles within the file.
    pub subtitles: Vec<SubtitleTrack>,
    /// Its chapters, in order.
    pub chapters: Vec<Chapter>,
}

/// A video track.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VideoTrack {
    /// The codec as people call it.
    pub codec: String,
    /// Width, pixels as stored.
    pub width: u32,
    /// Height, pixels as stored.
    pub height: u32,
    /// Pictures a second; none where they come at no fixed rate.
    pub fps: Option<f64>,
}

/// An audio track.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AudioTrack {
    /// The codec as people call it.
    pub codec: String,
    /// How many channels.
    pub channels: u32,
    /// ISO 639 language code, where the file gives one.
    pub language: Option<String>,
}

/// A subtitle track within a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubtitleTrack {
    /// The format as people call it.
    pub codec: String,
    /// ISO 639 language code, where the file gives one.
    pub language: Option<String>,
}

/// A chapter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Chapter {
    /// Where it begins, ms.
    pub start_ms: u64,
    /// What it is called.
    pub name: Option<String>,
}

/// A subtitle file beside a film, shared as a resource of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Sidecar {
    /// Its link.
    pub link: Link,
    /// Where it lies.
    pub path: PathBuf,
    /// `srt`, `vtt`, `ass` or `ssa`.
    pub format: String,
    /// The language tag in its name, such as `en` or `zh-Hans`.
    pub language: Option<String>,
    /// The film it belongs to, if not to all of the title.
    pub film: Option<ResourceId>,
}

/// Small pictures of a film, on one sheet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storyboard {
    /// The sheet, a JPEG file in the publisher's own folder.
    pub sheet: PathBuf,
    /// Its index, a WebVTT file of `storyboard.jpg#xywh=x,y,width,height` cues.
    pub index: PathBuf,
}

/// A file that is being hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashing {
    /// The file.
    pub path: PathBuf,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub of: u64,
}

/// What waits to be hashed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Why a file or a folder isn't up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which.
    pub path: PathBuf,
    /// Why, in a sentence that says what to do where something can be done.
    pub reason: String,
}

impl Snapshot {
    /// The title with this key; a title whose first file has changed is found under its other files' ids too.
    pub fn title(&self, key: &ResourceId) -> Option<&std::sync::Arc<Title>> {
        let first = self.titles.iter().find(|title| title.key == *key);
        first.or_else(|| self.titles.iter().find(|title| title.film(key).is_some()))
    }

    /// The link of a resource that is up: a film, or a subtitle file.
    pub fn link(&self, id: &ResourceId) -> Option<&Link> {
        let shown = self.titles.iter().filter(|title| !title.held);
        shown.flat_map(|title| title.links()).find(|link| link.id == *id)
    }
}

impl Title {
    /// The links of all its files, films first.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        let films = self.films.iter().map(|film| &film.link);
        films.chain(self.subtitles.iter().map(|sidecar| &sidecar.link))
    }

    /// The file with this id.
    pub fn film(&self, id: &ResourceId) -> Option<&Film> {
        self.films.iter().find(|film| film.link.id == *id)
    }
}
