//! The pipeline: playbin3, tuned for a film that is still arriving.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use gstreamer::{Bus, Element, ElementFactory, Message, Structure, glib, message, prelude::*};

use super::{
    error::{Cause, PlaybackError},
    flow::{FIRST_CUSHION, QUEUE},
    sinks::Sinks,
};
use crate::gate::Address;

/// The queue behind the demuxer, once the pipeline has made it. It tells how full it is.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue(Arc<Mutex<Option<glib::WeakRef<Element>>>>);

impl Queue {
    fn found(&self, element: &Element) {
        set_cushion(element, FIRST_CUSHION);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(element.downgrade());
    }

    /// Says how much film it must hold to count as full.
    pub(super) fn set_cushion(&self, cushion: Duration) {
        let queue =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(|weak| weak.upgrade());
        if let Some(queue) = queue {
            set_cushion(&queue, cushion);
        }
    }
}

fn set_cushion(queue: &Element, cushion: Duration) {
    queue.set_property("high-watermark", cushion.as_secs_f64() / QUEUE.as_secs_f64());
}

/// Makes the pipeline for `address`; nothing in it runs yet.
pub(super) fn build(address: &Address, sinks: &Sinks) -> Result<(Element, Queue), PlaybackError> {
    let queue = Queue::default();
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
    let found = queue.clone();
    pipeline.connect("deep-element-added", false, move |values| {
        let element = values.get(2)?.get::<Element>().ok()?;
        let parent = element.parent()?.downcast::<Element>().ok()?;
        let is = |element: &Element, name| element.factory().is_some_and(|factory| factory.name() == name);
        // There is another one between parsers and decoders, which says nothing about the line.
        if is(&element, "multiqueue") && is(&parent, "urisourcebin") {
            found.found(&element);
        }
        None
    });
    Ok((pipeline, queue))
}

/// What wakes the player's thread up, through the bus on which it sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    /// There is a wish to be met.
    Wish,
    /// Something arrived at a sink.
    Arrival,
    /// A seek has gone through the pipeline, or was refused.
    SeekReturned(bool),
}

const WISH: &str = "nearcast-wish";
const ARRIVAL: &str = "nearcast-arrival";
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
            SEEK_RETURNED => structure.get("ok").ok().map(Self::SeekReturned),
            _ => None,
        }
    }
}
