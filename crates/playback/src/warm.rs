//! Loads what most films need before the first one is opened.

use gstreamer::Plugin;

use crate::PlaybackError;

/// The plugins between an mp4, mkv, webm or ts file and a screen. `libav` alone takes a fifth of a second to
/// load from a cold disk, which is most of what a viewer will wait for the first picture.
const PLUGINS: [&str; 18] = [
    "coreelements",
    "typefindfunctions",
    "playback",
    "isomp4",
    "matroska",
    "mpegtsdemux",
    "videoparsersbad",
    "audioparsers",
    "libav",
    "vpx",
    "opus",
    "audioconvert",
    "audioresample",
    "volume",
    "deinterlace",
    "videoconvertscale",
    "videofilter",
    "pango",
];

/// Loads the decoders and demuxers of common films, so that opening one doesn't. For a program to call when
/// it starts, on a thread of its own; plugins that aren't installed are left out.
///
/// # Errors
/// As [`init`](crate::init()).
pub fn warm_up() -> Result<(), PlaybackError> {
    crate::init()?;
    for name in PLUGINS {
        if let Err(error) = Plugin::load_by_name(name) {
            tracing::debug!(name, %error, "not loaded ahead");
        }
    }
    Ok(())
}
