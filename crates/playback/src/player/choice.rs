//! Which of the film's tracks play.

use gstreamer::{Element, event, prelude::*};

use super::event::{Track, TrackKind};

/// The tracks that are wanted and those that play. Subtitles are off unless somebody chose some.
#[derive(Debug, Default)]
pub(super) struct Choice {
    known: bool,
    audio: Option<String>,
    text: Option<String>,
}

impl Choice {
    /// Wants this sound.
    pub(super) fn audio(&mut self, id: String) {
        self.audio = Some(id);
    }

    /// Wants these subtitles, or none.
    pub(super) fn text(&mut self, id: Option<String>) {
        self.text = id;
    }

    /// The film's tracks are known, so a choice can be made.
    pub(super) fn found(&mut self) {
        self.known = true;
    }

    /// Tells the pipeline, once the tracks are known. A wish for a track that isn't there is forgotten.
    pub(super) fn apply(&mut self, pipeline: &Element, tracks: &[Track]) {
        if !self.known {
            return;
        }
        let is_one =
            |kind: TrackKind, id: &str| tracks.iter().any(|track| track.kind == kind && track.id == id);
        let first = |kind| tracks.iter().find(|track| track.kind == kind).map(|track| track.id.clone());
        self.audio =
            self.audio.take().filter(|id| is_one(TrackKind::Audio, id)).or_else(|| first(TrackKind::Audio));
        self.text = self.text.take().filter(|id| is_one(TrackKind::Text, id));
        let wanted: Vec<_> =
            first(TrackKind::Video).into_iter().chain(self.audio.clone()).chain(self.text.clone()).collect();
        if !wanted.is_empty()
            && !pipeline.send_event(event::SelectStreams::new(wanted.iter().map(String::as_str)))
        {
            tracing::debug!(?wanted, "the pipeline takes no choice of tracks");
        }
    }

    /// Whether the pipeline's own choice, which takes everything, isn't what is wanted.
    pub(super) fn differs(&self, tracks: &[Track]) -> bool {
        self.audio.is_some() || tracks.iter().any(|track| track.kind == TrackKind::Text)
    }
}

/// The sound and the subtitles among the streams that were selected.
pub(super) fn selected(
    message: &gstreamer::message::StreamsSelected,
    tracks: &[Track],
) -> (Option<String>, Option<String>) {
    let ids: Vec<_> = message.streams().filter_map(|stream| stream.stream_id()).collect();
    let chosen = |kind| {
        let of_kind = tracks.iter().filter(|track| track.kind == kind);
        of_kind.map(|track| track.id.clone()).find(|id| ids.iter().any(|selected| selected == id.as_str()))
    };
    (chosen(TrackKind::Audio), chosen(TrackKind::Text))
}
