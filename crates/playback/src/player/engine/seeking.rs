//! Seeks: one at a time through the pipeline, and never in the way of a newer one.

use std::time::{Duration, Instant};

use gstreamer::{ClockTime, SeekFlags, SeekType, State, StateChangeSuccess, prelude::*};

use super::{
    super::{
        event::PlayerEvent,
        pipeline::Wake,
        wishes::{Seek, SeekMode},
    },
    Awaited, Engine, Outcome, Progress,
};

impl Engine {
    /// Goes to where it is, for a new speed: a pipeline changes that with a seek. If it is on its way to
    /// another place, it goes there.
    pub(super) fn seek_in_place(&mut self, now: Instant) {
        if self.next_seek.is_some() {
            return;
        }
        self.next_seek = match self.awaited {
            Awaited::Seek(seek) if self.progress == Progress::Nothing => Some(seek),
            _ => self.pipeline.query_position::<ClockTime>().map(|to| Seek {
                to: to.into(),
                mode: SeekMode::Accurate,
                asked: now,
                told: false,
            }),
        };
        if let Some(seek) = self.next_seek {
            self.shared.view().target = Some(seek.to);
        }
    }

    /// Starts the newest seek that is wished, if the pipeline can take it now.
    pub(super) fn next_seek(&mut self, now: Instant) -> Outcome {
        if self.next_seek.is_none() || !self.open {
            return Ok(());
        }
        let stuck = self.address.gate().media().waiting().is_some();
        if self.calling {
            // The demuxer reads while it seeks, and what it reads isn't there: it is called off.
            if stuck {
                (self.called_off, self.interrupted) = (true, true);
                self.address.gate().shut_by_player(true);
            }
            return Ok(());
        }
        // One that still finds its data is let through, or dragging along the film would show nothing.
        if (self.in_flight || self.choosing) && !stuck {
            return Ok(());
        }
        let Some(seek) = self.next_seek.take() else { return Ok(()) };
        tracing::debug!(?seek, "seeks");
        let steps = self.flow.seeking(now);
        self.apply(steps)?;
        self.shared.view().ended = false;
        self.awaited = Awaited::Seek(seek);
        self.progress = Progress::Nothing;
        self.in_flight = true;
        self.calling = true;
        self.video.expect_flush();
        self.audio.expect_flush();
        let (bus, rate) = (self.bus.clone(), self.rate);
        let end = self.shared.view().duration.unwrap_or(Duration::MAX);
        let to = ClockTime::try_from(seek.to.min(end)).unwrap_or(ClockTime::ZERO);
        let flags = SeekFlags::FLUSH
            | match seek.mode {
                SeekMode::Fast => SeekFlags::KEY_UNIT | SeekFlags::SNAP_NEAREST,
                SeekMode::Accurate => SeekFlags::ACCURATE,
            };
        self.pipeline.call_async(move |pipeline| {
            let sought = pipeline.seek(rate, flags, SeekType::Set, to, SeekType::None, ClockTime::NONE);
            Wake::SeekReturned(sought.is_ok()).post(&bus);
        });
        Ok(())
    }

    pub(super) fn seek_returned(&mut self, now: Instant, accepted: bool) -> Outcome {
        self.calling = false;
        self.address.gate().shut_by_player(false);
        self.recalculate_latency();
        if std::mem::take(&mut self.called_off) {
            // Whoever was reading has given up, so this seek never comes to a picture; the newer one will.
            self.in_flight = false;
            self.broken |= !accepted;
            if !self.broken {
                return Ok(());
            }
        }
        if self.broken {
            return self.reopen();
        }
        let Awaited::Seek(seek) = self.awaited else { return Ok(()) };
        if !accepted && self.next_seek.is_none() {
            self.video.expect_nothing();
            self.audio.expect_nothing();
            if seek.told {
                self.tell(PlayerEvent::SeekRefused { to: seek.to });
            }
        }
        // The sinks may have their picture before the call returns, or never have lost it.
        if self.pipeline.state(ClockTime::ZERO).0 == Ok(StateChangeSuccess::Success) {
            return self.prerolled(now);
        }
        Ok(())
    }

    /// Begins anew, for the seek that waits: a demuxer that was interrupted amid its search counts as failed,
    /// and the pipeline takes nothing more from it.
    pub(super) fn reopen(&mut self) -> Outcome {
        if let Awaited::Seek(seek) = self.awaited {
            self.next_seek.get_or_insert(seek);
            self.awaited = Awaited::Nothing;
        }
        self.choosing = false;
        (self.open, self.in_flight, self.broken, self.interrupted) = (false, false, false, false);
        self.set_state(State::Ready)?;
        // All that complained is gone, and its complaints with it.
        while self.bus.pop_filtered(&[gstreamer::MessageType::Error]).is_some() {}
        self.set_state(State::Paused)
    }

    /// No seek is under way: the pipeline's own position counts again.
    pub(super) fn landed(&mut self) {
        if self.next_seek.is_none() && self.shared.wishes().seek.is_none() {
            self.shared.view().target = None;
        }
    }
}
