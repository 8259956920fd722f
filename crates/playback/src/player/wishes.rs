//! What the viewer wants, as far as the player hasn't done it yet.

use std::time::{Duration, Instant};

/// How exactly a seek lands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeekMode {
    /// At the nearest picture that stands by itself: fast, and up to a few seconds off.
    Fast,
    /// At the asked picture: decodes from the one before that stands by itself.
    Accurate,
}

/// A seek that was asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Seek {
    pub(super) to: Duration,
    pub(super) mode: SeekMode,
    pub(super) asked: Instant,
    /// From a person, rather than from a change of speed.
    pub(super) told: bool,
}

/// The newest wish of each kind. A wish that comes before the one before it was met takes its place, so
/// there is nothing to queue and nothing to bound.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) playing: Option<bool>,
    pub(super) rate: Option<f64>,
    pub(super) seek: Option<Seek>,
    pub(super) audio: Option<String>,
    pub(super) text: Option<Option<String>>,
    /// One picture on.
    pub(super) step: bool,
    pub(super) stop: bool,
}
