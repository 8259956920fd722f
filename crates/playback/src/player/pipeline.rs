//! The pipeline: playbin3, tuned for a film that is still arriving.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use gstreamer::{Bus, Caps, Element, ElementFactory, Message, Pad, Structure, glib, message, prelude::*};

use super::{
    error::{Cause, PlaybackError},
    flow::{FIRST_CUSHION, QUEUE},
    sinks::Sinks,
};
use crate::gate::Address;

/// What there is inside the pipeline to be tuned; the pipeline makes these elements as it goes.
#[derive(Debug, Clone)]
pub(super) struct Inside(Arc<Mutex<Tuned>>);

#[derive(Debug)]
struct Tuned {
    uri: String,
    format: Option<Caps>,
    cushion: Duration,
    /// The queue behind the demuxer, which tells how full it is.
    queue: Option<glib::WeakRef<Element>>,
}

impl Inside {
    fn lock(&self) -> MutexGuard<'_, Tuned> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what kind of file it is, before the pipeline would guess.
    pub(super) fn set_format(&self, format: Caps) {
        self.lock().format = Some(format);
    }

    /// Says how much film the queue must hold to count as full.
    pub(super) fn set_cushion(&self, cushion: Duration) {
        let queue = {
            let mut tuned = self.lock();
            tuned.cushion = cushion;
            tuned.queue.as_ref().and_then(glib::WeakRef::upgrade)
        };
        if let Some(queue) = queue {
            set_cushion(&queue, cushion);
        }
    }

    /// How much film the queue holds of the track of which it holds least. Subtitles don't count: there is
    /// hardly ever any.
    pub(super) fn lowest_level(&self) -> Option<Duration> {
        let queue = self.lock().queue.as_ref().and_then(glib::WeakRef::upgrade)?;
        let level = |pad: &Pad| Duration::from_nanos(pad.property("current-level-time"));
        queue.sink_pads().iter().filter(|pad| is_picture_or_sound(pad)).map(level).min()
    }

    /// A new element has been put somewhere into the pipeline.
    fn added(&self, element: &Element) {
        match factory(element).as_deref() {
            // There is another one between parsers and decoders, which says nothing about the line.
            Some("multiqueue")
                if parent(element).and_then(|bin| factory(&bin)).as_deref() == Some("urisourcebin") =>
            {
                let cushion = {
                    let mut tuned = self.lock();
                    tuned.queue = Some(element.downgrade());
                    tuned.cushion
                };
                set_cushion(element, cushion);
            }
            Some("typefind") if source_uri(element).is_some_and(|uri| uri == self.lock().uri) => {
                let format = self.lock().format.clone();
                if let Some(format) = format {
                    element.set_property("force-caps", format);
                }
            }
            _ => {}
        }
    }
}

fn set_cushion(queue: &Element, cushion: Duration) {
    queue.set_property("high-watermark", cushion.as_secs_f64() / QUEUE.as_secs_f64());
}

fn is_picture_or_sound(pad: &Pad) -> bool {
    pad.current_caps().is_some_and(|caps| {
        caps.structure(0).is_some_and(|structure| {
            structure.name().starts_with("video/") || structure.name().starts_with("audio/")
        })
    })
}

fn factory(element: &Element) -> Option<String> {
    Some(element.factory()?.name().to_string())
}

fn parent(element: &Element) -> Option<Element> {
    element.parent()?.downcast().ok()
}

/// What the part of the pipeline reads in which `element` is: a subtitle file has one of its own.
fn source_uri(element: &Element) -> Option<String> {
    let mut element = element.clone();
    while factory(&element).as_deref() != Some("urisourcebin") {
        element = parent(&element)?;
    }
    element.property("uri")
}

/// Makes the pipeline for `address`; nothing in it runs yet.
pub(super) fn build(address: &Address, sinks: &Sinks) -> Result<(Element, Inside), PlaybackError> {
    let inside = Inside(Arc::new(Mutex::new(Tuned {
        uri: address.uri().into(),
        format: None,
        cushion: FIRST_CUSHION,
        queue: None,
    })));
    let pipeline = ElementFactory::make("playbin3")
        .property("uri", address.uri())
        .property("video-sink", &sinks.video)
        .property("audio-sink", &sinks.audio)
        .property("buffer-duration", i64::try_from(QUEUE.as_nanos()).unwrap_or(-1))
        // Not `download`: it would read the whole file at once. Not `soft-colorbalance`: it costs a
        // conversion of every picture.
        .property_from_str("flags", "video+audio+text+soft-volume+deinterlace+buffering")
        .build()
        .map_err(|error| PlaybackError::Incomplete(Cause::new(error)))?;
    let watcher = inside.clone();
    pipeline.connect("deep-element-added", false, move |values| {
        watcher.added(&values.get(2)?.get::<Element>().ok()?);
        None
    });
    Ok((pipeline, inside))
}

/// What wakes the player's thread up, through the bus on which it sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    /// There is a wish to be met.
    Wish,
    /// Something arrived at a sink.
    Arrival,
    /// The pipeline has taken a choice of tracks.
    TracksChosen,
    /// A seek has gone through the pipeline, or was refused.
    SeekReturned(bool),
}

const WISH: &str = "nearcast-wish";
const ARRIVAL: &str = "nearcast-arrival";
const TRACKS_CHOSEN: &str = "nearcast-tracks-chosen";
const SEEK_RETURNED: &str = "nearcast-seek-returned";

impl Wake {
    /// Leaves it on the bus. A bus that is being closed takes nothing, and nobody sleeps there any more.
    pub(super) fn post(self, bus: &Bus) {
        let _ = bus.post(self.message());
    }

    fn message(self) -> Message {
        let structure = match self {
            Self::Wish => Structure::new_empty(WISH),
            Self::Arrival => Structure::new_empty(ARRIVAL),
            Self::TracksChosen => Structure::new_empty(TRACKS_CHOSEN),
            Self::SeekReturned(ok) => Structure::builder(SEEK_RETURNED).field("ok", ok).build(),
        };
        message::Application::new(structure)
    }

    /// Reads one from the bus.
    pub(super) fn read(message: &message::Application) -> Option<Self> {
        let structure = message.structure()?;
        match structure.name().as_str() {
            WISH => Some(Self::Wish),
            ARRIVAL => Some(Self::Arrival),
            TRACKS_CHOSEN => Some(Self::TracksChosen),
            SEEK_RETURNED => structure.get("ok").ok().map(Self::SeekReturned),
            _ => None,
        }
    }
}
