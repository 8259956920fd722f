//! What a player tells whoever watches over it.

use std::time::Duration;

use serde::Serialize;

use super::error::PlaybackError;

/// News from a [`Player`](super::Player), in the order in which it happened.
#[derive(Debug)]
pub enum PlayerEvent {
    /// The first decoded picture is at the screen, and stands still; for a film without pictures, the first
    /// sound. `since_open` counts from the call of `open`.
    FirstPicture {
        /// From `open` to the picture.
        since_open: Duration,
    },
    /// The same, after a seek. Of several seeks that overtook one another only the last is told.
    SeekPicture {
        /// From the call of `seek` to the picture.
        since_seek: Duration,
        /// Where in the film the picture stands.
        at: Duration,
    },
    /// The second picture was shown on time: the film runs, after it was opened or after a seek. Comes once
    /// for each `FirstPicture` and `SeekPicture`, if the player is playing.
    Runs {
        /// From `open`, or from `seek`, to now.
        since: Duration,
    },
    /// How full the pipeline's buffer is, percent of what it takes to go on; 100 is enough.
    Buffering(u8),
    /// The film stands still because its data don't come fast enough. Not told for the wait after an open
    /// or a seek, nor while paused.
    Stalled,
    /// It goes on, after standing still this long.
    Resumed {
        /// The length of the stall.
        after: Duration,
    },
    /// How long the film is; may be told again when it is known better.
    Duration(Duration),
    /// What the film consists of.
    Tracks(Vec<Track>),
    /// Which of them play now.
    Chosen {
        /// The sound's id.
        audio: Option<String>,
        /// The subtitles' id.
        text: Option<String>,
    },
    /// One track can't be decoded; the others play on. The sentence says what is missing.
    TrackUnplayable(PlaybackError),
    /// The film can't be played from there; it goes on where it was.
    SeekRefused {
        /// Where to.
        to: Duration,
    },
    /// The film is over. A seek brings it back.
    EndOfStream,
    /// It can't go on. Nothing but `Stopped` follows.
    Error(PlaybackError),
    /// Everything is closed and released; the last event.
    Stopped,
}

/// One track of a film.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Track {
    /// The pipeline's name for it; tells the tracks of one film apart.
    pub id: String,
    /// What it carries.
    pub kind: TrackKind,
    /// The codec as people call it, such as `H.264 (High Profile)`, where it is known.
    pub codec: Option<String>,
    /// What the file calls it, if it does.
    pub title: Option<String>,
    /// ISO 639 language code, where the file gives one.
    pub language: Option<String>,
}

/// What a track carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TrackKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Subtitles.
    Text,
}
