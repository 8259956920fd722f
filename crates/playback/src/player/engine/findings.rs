//! What the pipeline finds out about a film: its tracks, its length, and what it can't play of it.

use std::time::Duration;

use gstreamer::{ClockTime, prelude::*};

use super::{
    super::{
        error::{Missing, PlaybackError, missing_error},
        event::{PlayerEvent, Track, TrackKind},
    },
    End, Engine, Outcome,
};

impl Engine {
    /// What is missing, if the film plays all the same. Told once by each element that misses it.
    pub(super) fn tell_unplayable(&mut self) {
        let mut told: Vec<PlaybackError> = Vec::new();
        for error in self.missing.iter().cloned().filter_map(Missing::into_track_error) {
            if told.iter().all(|earlier| earlier.to_string() != error.to_string()) {
                told.push(error);
            }
        }
        for error in told {
            self.tell(PlayerEvent::TrackUnplayable(error));
        }
    }

    pub(super) fn tracks_found(&mut self, found: Vec<Track>) -> Outcome {
        if found.is_empty()
            && !self.open
            && let Some(error) = missing_error(&self.missing)
        {
            return Err(End::Failed(error));
        }
        if !found.is_empty() && found != self.tracks {
            if self.has_video.is_none() {
                self.has_video = Some(found.iter().any(|track| track.kind == TrackKind::Video));
            }
            self.tracks.clone_from(&found);
            self.tell(PlayerEvent::Tracks(found));
        }
        Ok(())
    }

    pub(super) fn ask_duration(&mut self) {
        let Some(duration) = self.pipeline.query_duration::<ClockTime>().map(Duration::from) else { return };
        if duration.is_zero() || self.shared.view().duration.replace(duration) == Some(duration) {
            return;
        }
        let media = self.address.gate().media();
        let bits = u128::from(media.size()) * 8 * 1_000_000_000 / duration.as_nanos();
        media.set_bit_rate(u64::try_from(bits).unwrap_or(u64::MAX));
        self.tell(PlayerEvent::Duration(duration));
    }
}
