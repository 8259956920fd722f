//! What a file is, without playing it.

use std::{path::Path, time::Duration};

use gstreamer::{ClockTime, TagList, TocEntry, TocEntryType, glib, prelude::*};
use gstreamer_pbutils::{
    Discoverer, DiscovererAudioInfo, DiscovererContainerInfo, DiscovererResult, DiscovererStreamInfo,
    DiscovererSubtitleInfo, DiscovererVideoInfo, pb_utils_get_codec_description, prelude::*,
};
use serde::{Deserialize, Serialize};

use crate::PlaybackError;

/// More tracks of a kind than any film has; a file that claims more is listed this far.
const MOST_TRACKS: usize = 64;
/// More chapters than any film has.
const MOST_CHAPTERS: usize = 1000;
/// A longer title is cut.
const MOST_LETTERS: usize = 300;

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MediaInfo {
    /// How long it is, ms.
    pub duration_ms: u64,
    /// The container as people call it, such as `Quicktime` or `Matroska`; none for a bare stream.
    pub container: Option<String>,
    /// Its pictures.
    pub video: Vec<VideoTrack>,
    /// Its sound.
    pub audio: Vec<AudioTrack>,
    /// Its subtitles.
    pub subtitles: Vec<SubtitleTrack>,
    /// The title it gives itself.
    #[serde(default)]
    pub title: Option<String>,
    /// Its chapters, in order.
    #[serde(default)]
    pub chapters: Vec<Chapter>,
}

/// A chapter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chapter {
    /// Where it begins, ms.
    pub start_ms: u64,
    /// What it is called, where the file says so.
    pub name: Option<String>,
}

/// A video track.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioTrack {
    /// The codec as people call it.
    pub codec: String,
    /// How many channels.
    pub channels: u32,
    /// ISO 639 language code, where the file gives one.
    pub language: Option<String>,
}

/// A subtitle track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubtitleTrack {
    /// The format as people call it.
    pub codec: String,
    /// ISO 639 language code, where the file gives one.
    pub language: Option<String>,
}

/// Why a file could not be looked into.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// GStreamer itself can't be used.
    #[error(transparent)]
    Playback(#[from] PlaybackError),
    /// The path can't be named in an address.
    #[error("the path {path} can't be opened: {reason}")]
    Path {
        /// As it was given.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It holds neither picture nor sound.
    #[error("{path} is not a video, or its format isn't known")]
    NotMedia {
        /// As it was given.
        path: String,
        /// What GStreamer said.
        #[source]
        cause: Option<glib::Error>,
    },
    /// It took too long, as broken files can.
    #[error("{path} could not be looked into within {} s", .limit.as_secs())]
    Timeout {
        /// As it was given.
        path: String,
        /// How long was waited.
        limit: Duration,
    },
}

/// Looks into the file at `path`: reads its headers and decodes its first pictures. Gives up after `limit`,
/// since a broken file can keep a demuxer busy for ever; a decoder can also crash over one, so run it in a
/// process of its own when the file is a stranger's (`nearcast-player probe`).
///
/// A track that nothing here decodes is listed like the others.
///
/// # Errors
/// [`ProbeError`], each with a sentence that names the file.
pub fn probe(path: &Path, limit: Duration) -> Result<MediaInfo, ProbeError> {
    crate::init()?;
    let name = path.display().to_string();
    let wrong = |reason: String| ProbeError::Path { path: name.clone(), reason };
    let absolute = std::path::absolute(path).map_err(|error| wrong(error.to_string()))?;
    if !absolute.metadata().map_err(|error| wrong(error.to_string()))?.is_file() {
        return Err(wrong("it is not a file".into()));
    }
    let uri = glib::filename_to_uri(&absolute, None).map_err(|error| wrong(error.to_string()))?;
    let not_media = |cause| ProbeError::NotMedia { path: name.clone(), cause };
    // GStreamer takes between a second and an hour.
    let timeout = ClockTime::try_from(limit).unwrap_or(ClockTime::from_seconds(3600));
    let discoverer = Discoverer::new(timeout.clamp(ClockTime::SECOND, ClockTime::from_seconds(3600)))
        .map_err(|error| not_media(Some(error)))?;
    let info = discoverer.discover_uri(&uri).map_err(|error| not_media(Some(error)))?;
    match info.result() {
        // What was cut out of another film may never show its first picture here, and has told all that is asked for.
        DiscovererResult::Ok | DiscovererResult::MissingPlugins | DiscovererResult::Timeout => {}
        _ => return Err(not_media(None)),
    }
    let found = MediaInfo {
        duration_ms: info.duration().map_or(0, ClockTime::mseconds),
        container: info
            .stream_info()
            .and_then(|stream| stream.downcast::<DiscovererContainerInfo>().ok())
            .map(|stream| codec(stream.upcast_ref())),
        video: info
            .video_streams()
            .iter()
            .filter(|stream| !stream.is_image())
            .take(MOST_TRACKS)
            .map(video)
            .collect(),
        audio: info.audio_streams().iter().take(MOST_TRACKS).map(audio).collect(),
        subtitles: info.subtitle_streams().iter().take(MOST_TRACKS).map(subtitles).collect(),
        title: info
            .stream_info()
            .and_then(|stream| stream.downcast::<DiscovererContainerInfo>().ok())
            .and_then(|container| container.tags())
            .and_then(|tags| title(&tags)),
        chapters: info.toc().map(|toc| chapters(&toc.entries())).unwrap_or_default(),
    };
    match found.video.is_empty() && found.audio.is_empty() {
        true if info.result() == DiscovererResult::Timeout => Err(ProbeError::Timeout { path: name, limit }),
        true => Err(not_media(None)),
        false => Ok(found),
    }
}

fn title(tags: &TagList) -> Option<String> {
    let title = tags.get::<gstreamer::tags::Title>()?;
    Some(title.get().chars().filter(|c| !c.is_control()).take(MOST_LETTERS).collect())
}

/// The chapters of a table of contents: its leaves, whatever stands above them.
fn chapters(entries: &[TocEntry]) -> Vec<Chapter> {
    let mut found = Vec::new();
    let mut ahead: Vec<_> = entries.iter().rev().cloned().collect();
    while let Some(entry) = ahead.pop() {
        if found.len() >= MOST_CHAPTERS || ahead.len() > MOST_CHAPTERS {
            break;
        }
        let below = entry.sub_entries();
        if entry.entry_type() == TocEntryType::Chapter && below.is_empty() {
            let start = entry.start_stop_times().map_or(0, |(start, _)| start.max(0));
            let start_ms = u64::try_from(start).unwrap_or(0) / 1_000_000;
            found.push(Chapter { start_ms, name: entry.tags().and_then(|tags| title(&tags)) });
        }
        ahead.extend(below.into_iter().rev());
    }
    found
}

fn codec(stream: &DiscovererStreamInfo) -> String {
    stream.caps().filter(|caps| caps.is_fixed()).map_or_else(
        || stream.stream_type_nick().to_string(),
        |caps| pb_utils_get_codec_description(&caps).to_string(),
    )
}

fn video(stream: &DiscovererVideoInfo) -> VideoTrack {
    let fps = stream.framerate();
    let fps = (fps.numer() > 0 && fps.denom() > 0).then(|| f64::from(fps.numer()) / f64::from(fps.denom()));
    VideoTrack { codec: codec(stream.upcast_ref()), width: stream.width(), height: stream.height(), fps }
}

fn audio(stream: &DiscovererAudioInfo) -> AudioTrack {
    AudioTrack {
        codec: codec(stream.upcast_ref()),
        channels: stream.channels(),
        language: stream.language().map(Into::into),
    }
}

fn subtitles(stream: &DiscovererSubtitleInfo) -> SubtitleTrack {
    SubtitleTrack { codec: codec(stream.upcast_ref()), language: stream.language().map(Into::into) }
}
