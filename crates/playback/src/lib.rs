//! GStreamer: the source element, the pipeline, and what a player knows.
//!
//! A film is [`Media`]: bytes that may still be on their way. [`Player`] gives it an address of its own, puts
//! that into a playbin3, and GStreamer finds [`nearcastsrc`](source) behind the address: the element through
//! which a demuxer *pulls* bytes, blocking until they are there. Nothing is fetched, verified or scheduled
//! here (that is `transfer`), and nothing is drawn: the sinks are the caller's.
//!
//! ```text
//! Media ─▶ nearcastsrc ─▶ demuxer ─▶ queue (2 s) ─▶ decoders ─▶ sinks
//!            blocks,                 how full?                  first picture? dry?
//!            unblocked by a flush        └──────── Flow: may the clock run? ──┘
//! ```
//!
//! What a viewer notices is what is measured here: the time to the first picture, the time until it runs, and
//! how long it stood still. [`measure()`] plays a film by a script and gives these figures; the program
//! `nearcast-player` does so from a command line.

mod controller;
mod file;
mod gate;
mod measure;
mod media;
mod player;
mod probe;
mod source;
mod warm;

use std::sync::OnceLock;

pub use controller::Fetched;
pub use file::FileMedia;
pub use measure::{Figures, Script, SeekFigures, measure};
pub use media::{Media, MediaError};
pub use player::{Cause, PlaybackError, Player, PlayerEvent, SeekMode, Sinks, Track, TrackKind};
pub use probe::{AudioTrack, Chapter, MediaInfo, ProbeError, SubtitleTrack, VideoTrack, probe};
pub use warm::warm_up;

/// Starts GStreamer and makes the source element known. Cheap when done before; every entry calls it.
///
/// # Errors
/// [`PlaybackError::Incomplete`] when GStreamer can't be started.
pub fn init() -> Result<(), PlaybackError> {
    static DONE: OnceLock<Result<(), String>> = OnceLock::new();
    DONE.get_or_init(|| {
        gstreamer::init().map_err(|error| error.to_string())?;
        source::register().map_err(|error| error.to_string())
    })
    .clone()
    .map_err(|reason| PlaybackError::Incomplete(Cause::new(reason)))
}
