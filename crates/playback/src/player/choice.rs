//! Which of the film's tracks play.

use gstreamer::{Element, event, prelude::*};

use super::{
    event::{Track, TrackKind},
    pipeline::Wake,
};

/// The tracks that are wanted and those that play. Subtitles are off unless somebody chose some.
#[derive(Debug)]
pub(super) struct Choice {
    /// What is wanted was told.
    made: bool,
    audio: Option<String>,
    text: Option<String>,
}

impl Default for Choice {
    fn default() -> Self {
        Self { made: true, audio: None, text: None }
    }
}

impl Choice {
    /// Wants this sound.
    pub(super) fn audio(&mut self, id: String) {
        self.audio = Some(id);
        self.made = false;
    }

    /// Wants these subtitles, or none.
    pub(super) fn text(&mut self, id: Option<String>) {
        self.text = id;
        self.made = false;
    }

    /// Whether something is wanted that hasn't been told: the pipeline by itself shows any subtitles there are.
    pub(super) fn waits(&self, tracks: &[Track]) -> bool {
        !self.made || tracks.iter().any(|track| track.kind == TrackKind::Text)
    }

    /// Tells the pipeline. A wish for a track that isn't there is forgotten.
    pub(super) fn apply(&mut self, pipeline: &Element, tracks: &[Track]) {
        let is_one =
            |kind: TrackKind, id: &str| tracks.iter().any(|track| track.kind == kind && track.id == id);
        let first = |kind| tracks.iter().find(|track| track.kind == kind).map(|track| track.id.clone());
        self.audio =
            self.audio.take().filter(|id| is_one(TrackKind::Audio, id)).or_else(|| first(TrackKind::Audio));
        self.text = self.text.take().filter(|id| is_one(TrackKind::Text, id));
        let wanted: Vec<_> =
            first(TrackKind::Video).into_iter().chain(self.audio.clone()).chain(self.text.clone()).collect();
        self.made = true;
        if wanted.is_empty() {
            return;
        }
        // The event waits for whatever the pipeline is at, and this thread is the one that could call that off.
        let pipeline = pipeline.clone();
        std::thread::spawn(move || {
            let taken = pipeline.send_event(event::SelectStreams::new(wanted.iter().map(String::as_str)));
            match pipeline.bus().filter(|_| taken) {
                Some(bus) => Wake::TracksChosen.post(&bus),
                None => tracing::debug!(?wanted, "the pipeline takes no choice of tracks"),
            }
        });
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
