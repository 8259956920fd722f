//! Which of the film's tracks play.

use gstreamer::{Element, event, prelude::*};

use super::{
    event::{Track, TrackKind},
    pipeline::Wake,
};

/// The tracks that are wanted and those that play. Subtitles are off unless somebody chose some.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// Something is wanted that wasn't told.
    waits: bool,
    /// Somebody chose.
    chosen: bool,
    audio: Option<String>,
    text: Option<String>,
}

impl Choice {
    /// Wants this sound.
    pub(super) fn audio(&mut self, id: String) {
        self.audio = Some(id);
        (self.waits, self.chosen) = (true, true);
    }

    /// Wants these subtitles, or none.
    pub(super) fn text(&mut self, id: Option<String>) {
        self.text = id;
        (self.waits, self.chosen) = (true, true);
    }

    /// Whether something is wanted that hasn't been told.
    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    /// The pipeline has begun, anew perhaps: it knows nothing of what it was told, and by itself it shows any
    /// subtitles there are.
    pub(super) fn begins(&mut self, tracks: &[Track]) {
        self.waits |= self.chosen || tracks.iter().any(|track| track.kind == TrackKind::Text);
    }

    /// Whether somebody chose, so that what is on its way is of the wrong tracks.
    pub(super) fn is_the_viewers(&self) -> bool {
        self.chosen
    }

    /// Tells the pipeline, which answers with [`Wake::TracksChosen`]; whether there was anything to tell.
    /// A wish for a track that isn't there is forgotten.
    pub(super) fn apply(&mut self, pipeline: &Element, tracks: &[Track]) -> bool {
        let is_one =
            |kind: TrackKind, id: &str| tracks.iter().any(|track| track.kind == kind && track.id == id);
        let first = |kind| tracks.iter().find(|track| track.kind == kind).map(|track| track.id.clone());
        self.audio =
            self.audio.take().filter(|id| is_one(TrackKind::Audio, id)).or_else(|| first(TrackKind::Audio));
        self.text = self.text.take().filter(|id| is_one(TrackKind::Text, id));
        let wanted: Vec<_> =
            first(TrackKind::Video).into_iter().chain(self.audio.clone()).chain(self.text.clone()).collect();
        self.waits = false;
        let (Some(bus), false) = (pipeline.bus(), wanted.is_empty()) else { return false };
        // The event waits for whatever the pipeline is at, and this thread is the one that could call that off.
        let pipeline = pipeline.clone();
        std::thread::spawn(move || {
            if !pipeline.send_event(event::SelectStreams::new(wanted.iter().map(String::as_str))) {
                tracing::debug!(?wanted, "the pipeline takes no choice of tracks");
            }
            Wake::TracksChosen.post(&bus);
        });
        true
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
