//! Where picture and sound go, and what is seen to arrive there.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use gstreamer::{ClockTime, Element, ElementFactory, Event, EventView, Pad, prelude::*};

use super::error::{Cause, PlaybackError};

/// Where picture and sound go.
#[derive(Debug, Clone)]
pub struct Sinks {
    /// Takes the pictures.
    pub video: Element,
    /// Takes the sound.
    pub audio: Element,
}

impl Sinks {
    /// Sinks that show nothing but keep the clock's time: for machines without a screen, and for measuring.
    ///
    /// # Errors
    /// [`PlaybackError::Incomplete`] where GStreamer's core elements are missing.
    pub fn headless() -> Result<Self, PlaybackError> {
        crate::init()?;
        let fake = || {
            ElementFactory::make("fakesink")
                .property("sync", true)
                // A kept picture is 3 MB at 1080p, and nobody looks at it.
                .property("enable-last-sample", false)
                .build()
                .map_err(|error| PlaybackError::Incomplete(Cause::new(error)))
        };
        Ok(Self { video: fake()?, audio: fake()? })
    }
}

impl Sinks {
    /// Where sound goes on this machine: its own output, or, without one that can be opened, to a sink that keeps the
    /// clock's time. A film plays without sound all the same.
    ///
    /// # Errors
    /// [`PlaybackError::Incomplete`] where GStreamer's core elements are missing.
    pub fn audio_output() -> Result<Element, PlaybackError> {
        let output = ElementFactory::make("autoaudiosink").build();
        if let Ok(output) = output {
            // It tries the outputs there are, and falls back to one of its own that has no clock.
            let ready = output.set_state(gstreamer::State::Ready).is_ok();
            let is_real = output
                .downcast_ref::<gstreamer::Bin>()
                .and_then(|bin| bin.iterate_sinks().into_iter().flatten().next())
                .and_then(|sink| sink.factory())
                .is_some_and(|factory| !factory.name().starts_with("fake"));
            if output.set_state(gstreamer::State::Null).is_ok() && ready && is_real {
                return Ok(output);
            }
        }
        tracing::info!("no sound output can be opened: films play without sound");
        Ok(Self::headless()?.audio)
    }
}

/// A picture or a piece of sound that has come to its sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) when: Instant,
    /// Its place in the film.
    pub(super) at: Duration,
}

/// Watches what arrives at one sink. Written by the streaming thread, read by the player's.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// A seek is on its way and its flush hasn't come through: what arrives is of before.
    outdated: bool,
    count: u32,
    first: Option<Arrival>,
    runs: Option<Instant>,
    /// The running time up to which there is something to show.
    supplied: Option<ClockTime>,
    ended: bool,
}

impl Watch {
    /// Watches `sink`; calls `wake` when there is news to read.
    pub(super) fn over(sink: &Element, wake: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        let watch = Arc::new(Self::default());
        // The pads of a bin that wraps a sink are ghosts; probes work on them just the same.
        let Some(pad) = sink.static_pad("sink") else {
            return watch;
        };
        let watcher = Arc::clone(&watch);
        let kinds = gstreamer::PadProbeType::BUFFER
            | gstreamer::PadProbeType::BUFFER_LIST
            | gstreamer::PadProbeType::EVENT_DOWNSTREAM
            | gstreamer::PadProbeType::EVENT_FLUSH;
        pad.add_probe(kinds, move |pad, info| {
            let news = if let Some(buffer) = info.buffer() {
                watcher.buffer(pad, buffer)
            } else if let Some(event) = info.event() {
                watcher.event(pad, event);
                false
            } else if let Some(list) = info.buffer_list() {
                list.iter().filter(|buffer| watcher.buffer(pad, buffer)).count() > 0
            } else {
                false
            };
            if news {
                wake();
            }
            gstreamer::PadProbeReturn::Ok
        });
        watch
    }

    /// Forgets what arrived, and what will arrive before the next flush.
    pub(super) fn expect_flush(&self) {
        *self.lock() = Seen { outdated: true, ..Seen::default() };
    }

    /// The flush isn't coming: the pipeline refused.
    pub(super) fn expect_nothing(&self) {
        self.lock().outdated = false;
    }

    /// The first arrival since the last flush.
    pub(super) fn first(&self) -> Option<Arrival> {
        self.lock().first
    }

    /// When the second one had been shown on the clock.
    pub(super) fn runs(&self) -> Option<Instant> {
        self.lock().runs
    }

    /// Whether there is nothing left to show at `now` (running time) though more should come.
    pub(super) fn is_dry(&self, now: ClockTime) -> bool {
        let seen = self.lock();
        !seen.ended && !seen.outdated && seen.supplied.is_some_and(|supplied| now > supplied)
    }

    fn buffer(&self, pad: &Pad, buffer: &gstreamer::BufferRef) -> bool {
        let when = Instant::now();
        let segment = pad.sticky_event::<gstreamer::event::Segment>(0);
        let Some(segment) =
            segment.as_ref().and_then(|event| event.segment().downcast_ref::<ClockTime>().cloned())
        else {
            return false;
        };
        let Some(start) = buffer.pts() else { return false };
        let end = start + buffer.duration().unwrap_or(ClockTime::ZERO);
        // A sink drops what lies before the place of an accurate seek.
        let Some((shown, shown_end)) = segment.clip(start, end) else { return false };
        let mut seen = self.lock();
        if seen.outdated {
            return false;
        }
        if let Some(until) = shown_end.and_then(|end| segment.to_running_time(end)) {
            seen.supplied = seen.supplied.max(Some(until));
        }
        seen.count = seen.count.saturating_add(1);
        match seen.count {
            1 => {
                let at = shown.and_then(|shown| segment.to_stream_time(shown)).unwrap_or(ClockTime::ZERO);
                seen.first = Some(Arrival { when, at: at.into() });
                true
            }
            // A sink takes the third only when it has shown the second, at its time: the first stands still
            // from the moment it arrives, so it proves nothing about the clock.
            3 => {
                seen.runs = Some(when);
                true
            }
            _ => false,
        }
    }

    fn event(&self, pad: &Pad, event: &Event) {
        match event.view() {
            EventView::FlushStop(_) => *self.lock() = Seen::default(),
            EventView::Eos(_) => self.lock().ended = true,
            EventView::Gap(gap) => {
                let (start, duration) = gap.get();
                let end = start + duration.unwrap_or(ClockTime::ZERO);
                let until = pad
                    .sticky_event::<gstreamer::event::Segment>(0)
                    .and_then(|event| event.segment().downcast_ref::<ClockTime>()?.to_running_time(end));
                let mut seen = self.lock();
                if until.is_some() {
                    seen.supplied = seen.supplied.max(until);
                }
            }
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
