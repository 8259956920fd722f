//! Ending a pipeline, whatever it is amid.

use std::{sync::mpsc, time::Duration};

use gstreamer::{ClockTime, MessageType, State, prelude::*};

use super::Engine;

/// What is known of a film that is being opened makes elements within a moment, once nothing more is read.
const SETTLED: ClockTime = ClockTime::from_mseconds(300);
/// Closing takes milliseconds.
const CLOSED: Duration = Duration::from_secs(10);

impl Engine {
    /// Closes the pipeline. GStreamer 1.22 may wait for itself for good if that is asked while a typefinder hands on
    /// what it has found; so it gets a moment to do that, and if it hangs all the same, it is left behind: the
    /// program goes on, and so does the next film.
    pub(super) fn close(&self) {
        if !self.open {
            let settled = [MessageType::AsyncDone, MessageType::Error, MessageType::Eos];
            self.bus.timed_pop_filtered(SETTLED, &settled);
        }
        let (tell, told) = mpsc::channel();
        self.pipeline.call_async(move |pipeline| {
            // Nobody may be waiting any more.
            tell.send(pipeline.set_state(State::Null)).ok();
        });
        match told.recv_timeout(CLOSED) {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the pipeline did not close cleanly"),
            Err(_) => tracing::error!("the pipeline doesn't close; it is left behind"),
        }
    }
}
