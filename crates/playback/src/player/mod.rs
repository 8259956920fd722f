//! The player: a pipeline, a thread that watches over it, and what both say.
//!
//! ```text
//!   Player (any thread) ── wishes ──▶ Engine (its own thread) ── state, seeks ──▶ playbin3
//!        ▲                                 │    ▲                                    │
//!        └──────── events (bounded) ───────┘    └──── bus: messages, wake-ups ───────┘
//! ```
//!
//! [`flow`] decides whether the clock may run, [`sinks`] sees what reaches the screen, [`error`] finds the
//! words when it can't go on.

mod choice;
mod engine;
mod error;
mod event;
mod flow;
mod head;
mod pipeline;
mod sinks;
mod tracks;
mod wishes;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use gstreamer::{Bus, ClockTime, Element, prelude::*};

use self::{
    engine::Engine,
    pipeline::Wake,
    wishes::{Seek, Wishes},
};
pub use self::{
    error::{Cause, PlaybackError},
    event::{PlayerEvent, Track, TrackKind},
    sinks::Sinks,
    wishes::SeekMode,
};
use crate::{
    Media,
    gate::{Address, Gate},
};

/// How many events may wait to be read. A film's own are a dozen; the rest are percentages, which are left
/// out when there is no room. Whoever doesn't read for longer than this has stopped reading.
const EVENTS: usize = 128;

/// The widest poster, pixels.
const POSTER_WIDTH: u32 = 480;

/// The slowest and the fastest speed.
const RATES: std::ops::RangeInclusive<f64> = 0.1..=8.0;

/// Plays one film. Made by [`Player::open`], ended by [`Player::stop`] or by dropping it.
///
/// No method but the drop waits for the pipeline: each leaves a wish behind and returns. Dropping waits
/// until everything is released; with a sink that needs its toolkit's main thread, call [`Player::stop`]
/// and drop it after [`PlayerEvent::Stopped`].
#[derive(Debug)]
pub struct Player {
    shared: Arc<Shared>,
    pipeline: Element,
    bus: Bus,
    gate: Arc<Gate>,
    thread: Option<JoinHandle<()>>,
}

/// What the player's face and its thread both see.
#[derive(Debug, Default)]
struct Shared {
    wishes: Mutex<Wishes>,
    /// What is told to a screen that draws.
    view: Mutex<View>,
}

#[derive(Debug, Clone, Copy)]
struct View {
    /// Where a seek that hasn't landed goes to.
    target: Option<Duration>,
    duration: Option<Duration>,
    rate: f64,
    ended: bool,
}

impl Default for View {
    fn default() -> Self {
        Self { target: None, duration: None, rate: 1.0, ended: false }
    }
}

impl Shared {
    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Player {
    /// Opens a film, paused: its first picture is shown as soon as it can be. Events come through the
    /// receiver, at most [`EVENTS`] of them unread.
    ///
    /// # Errors
    /// [`PlaybackError::Incomplete`] when GStreamer lacks a part that every film needs. Whatever is wrong
    /// with the film itself is an event.
    pub fn open(media: Arc<dyn Media>, sinks: Sinks) -> Result<(Self, Receiver<PlayerEvent>), PlaybackError> {
        let opened = Instant::now();
        crate::init()?;
        let address = Address::enter(media);
        let gate = Arc::clone(address.gate());
        let (pipeline, inside) = pipeline::build(&address, &sinks)?;
        let bus =
            pipeline.bus().ok_or_else(|| PlaybackError::Incomplete(Cause::new("the pipeline has no bus")))?;
        let shared = Arc::new(Shared::default());
        let (events, receiver) = sync_channel(EVENTS);
        let engine = Engine::new(
            pipeline.clone(),
            bus.clone(),
            inside,
            address,
            &sinks,
            events,
            Arc::clone(&shared),
            opened,
        );
        let thread = std::thread::Builder::new()
            .name("player".into())
            .spawn(move || engine.run())
            .map_err(|error| PlaybackError::Incomplete(Cause::new(error)))?;
        Ok((Self { shared, pipeline, bus, gate, thread: Some(thread) }, receiver))
    }

    /// Lets it run.
    pub fn play(&self) {
        self.shared.wishes().playing = Some(true);
        self.wake();
    }

    /// Lets it stand still.
    pub fn pause(&self) {
        self.shared.wishes().playing = Some(false);
        self.wake();
    }

    /// Goes to another place of the film. Asked again before it got there, only the last counts; asked
    /// before the film is open, it waits for that.
    pub fn seek(&self, to: Duration, mode: SeekMode) {
        self.shared.view().target = Some(to);
        self.shared.wishes().seek = Some(Seek { to, mode, asked: Instant::now(), told: true });
        self.wake();
    }

    /// How fast it plays: 1 is as filmed. Kept within 0.1 and 8; anything that isn't a number is 1.
    pub fn set_rate(&self, rate: f64) {
        let rate = if rate.is_nan() { 1.0 } else { rate.clamp(*RATES.start(), *RATES.end()) };
        self.shared.view().rate = rate;
        self.shared.wishes().rate = Some(rate);
        self.wake();
    }

    /// How loud it is: 0 to 1 as the ear hears it, whose hearing is about cubic. What isn't a number is 1.
    pub fn set_volume(&self, volume: f64, muted: bool) {
        let volume = if volume.is_nan() { 1.0 } else { volume.clamp(0.0, 1.0) };
        self.pipeline.set_property("volume", volume.powi(3));
        self.pipeline.set_property("mute", muted);
    }

    /// Chooses a sound track by its [`Track::id`]; one that isn't there is left alone. Chosen before the tracks are
    /// known, it waits for them.
    pub fn choose_audio(&self, id: &str) {
        self.shared.wishes().audio = Some(id.to_owned());
        self.wake();
    }

    /// Chooses subtitles by their [`Track::id`], or none, which is so from the start.
    pub fn choose_text(&self, id: Option<&str>) {
        self.shared.wishes().text = Some(id.map(str::to_owned));
        self.wake();
    }

    /// Stands still and shows the next picture, or the one before.
    pub fn step(&self, forward: bool) {
        self.pause();
        if forward {
            self.shared.wishes().step = true;
            self.wake();
        } else if let Some(position) = self.position() {
            self.seek(position.saturating_sub(self.picture_time()), SeekMode::Accurate);
        }
    }

    /// How long one picture stands.
    fn picture_time(&self) -> Duration {
        let rate = self.video_pad().and_then(|pad| {
            let caps = pad.current_caps()?;
            caps.structure(0)?.get::<gstreamer::Fraction>("framerate").ok()
        });
        match rate.map(|rate| (rate.numer(), rate.denom())) {
            Some((pictures, seconds)) if pictures > 0 && seconds > 0 => {
                Duration::from_secs_f64(f64::from(seconds) / f64::from(pictures))
            }
            _ => Duration::from_millis(40),
        }
    }

    fn video_pad(&self) -> Option<gstreamer::Pad> {
        self.pipeline.property::<Option<Element>>("video-sink")?.static_pad("sink")
    }

    /// The picture on the screen as a JPEG at most [`POSTER_WIDTH`] pixels wide; none where there is none. Converting
    /// it may take half a second: for a thread that may block.
    pub fn snapshot(&self) -> Option<Vec<u8>> {
        let caps = self.video_pad()?.current_caps()?;
        let shape = caps.structure(0)?;
        let (width, height) = (shape.get::<i32>("width").ok()?, shape.get::<i32>("height").ok()?);
        let pixel = shape.get::<gstreamer::Fraction>("pixel-aspect-ratio").ok();
        let pixel = pixel.map_or(1.0, |pixel| f64::from(pixel.numer()) / f64::from(pixel.denom().max(1)));
        let wide = f64::from(width) * pixel;
        if width <= 0 || height <= 0 || wide < 1.0 {
            return None;
        }
        let to = f64::from(POSTER_WIDTH).min(wide);
        // Encoders want even numbers.
        let even = |side: f64| ((side / 2.0).round() as i32 * 2).max(2);
        let caps = gstreamer::Caps::builder("image/jpeg")
            .field("width", even(to))
            .field("height", even(to * f64::from(height) / wide))
            .field("pixel-aspect-ratio", gstreamer::Fraction::new(1, 1))
            .build();
        let sample = self.pipeline.emit_by_name::<Option<gstreamer::Sample>>("convert-sample", &[&caps])?;
        let buffer = sample.buffer()?.map_readable().ok()?;
        Some(buffer.to_vec())
    }

    /// How fast it plays.
    pub fn rate(&self) -> f64 {
        self.shared.view().rate
    }

    /// Where in the film it is; during a seek, where it goes to. `None` until the film is open.
    pub fn position(&self) -> Option<Duration> {
        if let Some(target) = self.shared.view().target {
            return Some(target);
        }
        self.pipeline.query_position::<ClockTime>().map(Duration::from)
    }

    /// How long the film is, once that is known.
    pub fn duration(&self) -> Option<Duration> {
        self.shared.view().duration
    }

    /// Whether it has played to the end, and nothing was asked since.
    pub fn is_ended(&self) -> bool {
        self.shared.view().ended
    }

    /// Ends it, whatever it is waiting for. [`PlayerEvent::Stopped`] tells when it is done.
    pub fn stop(&self) {
        self.shared.wishes().stop = true;
        self.gate.shut_by_player(true);
        self.wake();
    }

    fn wake(&self) {
        Wake::Wish.post(&self.bus);
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.stop();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the player's thread ended with a panic");
        }
    }
}
