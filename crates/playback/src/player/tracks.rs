//! What a film consists of, as the pipeline found it.

use gstreamer::{Stream, StreamCollection, StreamType, tags};

use super::event::{Track, TrackKind};

/// More tracks than any film has; a file that claims more is listed this far.
const MOST: usize = 256;

/// The tracks of a collection that are picture, sound or text.
pub(super) fn tracks(collection: &StreamCollection) -> Vec<Track> {
    collection.iter().filter_map(|stream| track(&stream)).take(MOST).collect()
}

fn track(stream: &Stream) -> Option<Track> {
    let id = stream.stream_id()?.to_string();
    let kind = kind(stream)?;
    let found = stream.tags();
    let language =
        found.as_ref().and_then(|tags| tags.get::<tags::LanguageCode>().map(|value| value.get().to_owned()));
    // Demuxers put the name a person knows into the tags; the caps are always there.
    let codec = found
        .as_ref()
        .and_then(|tags| match kind {
            TrackKind::Video => tags.get::<tags::VideoCodec>().map(|value| value.get().to_owned()),
            TrackKind::Audio => tags.get::<tags::AudioCodec>().map(|value| value.get().to_owned()),
            TrackKind::Text => tags.get::<tags::SubtitleCodec>().map(|value| value.get().to_owned()),
        })
        .or_else(|| {
            let caps = stream.caps().filter(|caps| caps.is_fixed())?;
            Some(gstreamer_pbutils::pb_utils_get_codec_description(&caps).to_string())
        });
    let title = found.as_ref().and_then(|tags| tags.get::<tags::Title>().map(|value| value.get().to_owned()));
    Some(Track { id, kind, codec, title, language })
}

fn kind(stream: &Stream) -> Option<TrackKind> {
    let kind = stream.stream_type();
    if kind.contains(StreamType::VIDEO) {
        Some(TrackKind::Video)
    } else if kind.contains(StreamType::AUDIO) {
        Some(TrackKind::Audio)
    } else if kind.contains(StreamType::TEXT) {
        Some(TrackKind::Text)
    } else {
        None
    }
}
