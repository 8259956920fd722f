//! Why a film can't be played, in words for the person in front of it.

use gstreamer::{CapsRef, CoreError, MessageRef, ResourceError, StreamError, message, prelude::*};
use gstreamer_pbutils::MissingPluginMessage;

/// Why a film can't be played, or not on.
///
/// The sentence is for a viewer; the technical reason is its source, for the log.
#[derive(Debug, thiserror::Error)]
pub enum PlaybackError {
    /// The file is sound, but nothing installed here decodes it.
    #[error("a decoder for {codec} is missing on this machine")]
    MissingDecoder {
        /// The codec as people call it.
        codec: String,
        /// What the pipeline said.
        #[source]
        cause: Cause,
    },
    /// What was opened is no film.
    #[error("this file is not a video, or its format isn't known")]
    NotMedia(#[source] Cause),
    /// The file begins like a film but can't be read as one.
    #[error("this file is damaged: it can't be played on from here")]
    Damaged(#[source] Cause),
    /// Data never come; the sentence is that of whoever fetches them.
    #[error("{sentence}")]
    Lost {
        /// What happened to the data.
        sentence: String,
        /// What the pipeline said.
        #[source]
        cause: Cause,
    },
    /// The sound or the picture has nowhere to go.
    #[error("the sound or picture output of this machine can't be used")]
    Output(#[source] Cause),
    /// GStreamer itself isn't all there.
    #[error("the playing software on this machine isn't complete: a part of GStreamer is missing")]
    Incomplete(#[source] Cause),
}

/// What the pipeline said, for logs.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Cause(String);

impl Cause {
    pub(crate) fn new(reason: impl std::fmt::Display) -> Self {
        Self(reason.to_string())
    }
}

/// Something a film needs and this machine lacks.
#[derive(Debug, Clone)]
pub(super) struct Missing {
    description: String,
    cause: Cause,
    /// What it would have taken, such as `video/x-h264`.
    media_type: String,
}

impl Missing {
    /// Reads it from an element message, if it is one of that kind.
    pub(super) fn from_message(message: &MessageRef) -> Option<Self> {
        let missing = MissingPluginMessage::parse(message).ok()?;
        let description = missing.description().to_string();
        let codec = description.strip_suffix(" decoder").unwrap_or(&description).to_owned();
        let media_type = message
            .structure()
            .and_then(|structure| structure.get::<gstreamer::Caps>("detail").ok())
            .and_then(|caps| Some(caps.structure(0)?.name().to_string()))
            .unwrap_or_default();
        Some(Self { description: codec, cause: Cause::new(missing.installer_detail()), media_type })
    }

    /// Whether it would decode a track or open a film, rather than a document.
    fn is_of_a_film(&self) -> bool {
        self.media_type.starts_with("video/") || self.media_type.starts_with("audio/")
    }

    /// Whether it would take files of this format.
    pub(super) fn is_for(&self, format: &CapsRef) -> bool {
        format.structure(0).is_some_and(|structure| structure.name().as_str() == self.media_type)
    }

    /// What to say of a film that plays without it, if anything.
    pub(super) fn into_track_error(self) -> Option<PlaybackError> {
        self.is_of_a_film().then(|| self.into_error())
    }

    /// As an error of its own.
    pub(super) fn into_error(self) -> PlaybackError {
        if self.is_of_a_film() {
            PlaybackError::MissingDecoder { codec: self.description, cause: self.cause }
        } else {
            PlaybackError::NotMedia(self.cause)
        }
    }
}

/// What is missing most, if anything is: what a film needs counts before anything else.
pub(super) fn missing_error(missing: &[Missing]) -> Option<PlaybackError> {
    let missing = missing.iter().find(|missing| missing.is_of_a_film()).or(missing.first())?;
    Some(missing.clone().into_error())
}

/// Whether an error message says that data can never come.
pub(super) fn is_lost(error: &message::Error) -> bool {
    error.src().is_some_and(|src| src.is::<crate::source::NearcastSrc>())
}

/// What an error message of the pipeline means. `missing` is what was found missing before,
/// `shown` says whether there was a picture.
pub(super) fn explain(error: &message::Error, missing: &[Missing], shown: bool) -> PlaybackError {
    let reason = error.error();
    let origin = error.src().map(|src| src.path_string().to_string()).unwrap_or_default();
    let debug = error.debug().map(|debug| debug.to_string()).unwrap_or_default();
    let cause = Cause::new(format_args!("{origin}: {reason} ({debug})"));
    let from_sink =
        error.src().and_then(|src| src.downcast_ref::<gstreamer::Element>()).is_some_and(|element| {
            element.element_flags().contains(gstreamer::ElementFlags::SINK) && !element.is::<gstreamer::Bin>()
        });
    if is_lost(error) {
        return PlaybackError::Lost { sentence: reason.message().to_owned(), cause };
    }
    if from_sink {
        return PlaybackError::Output(cause);
    }
    if let Some(error) = missing_error(missing).filter(|_| !shown) {
        return error;
    }
    if reason.matches(CoreError::MissingPlugin) {
        return PlaybackError::Incomplete(cause);
    }
    if reason.matches(StreamError::CodecNotFound) {
        return PlaybackError::MissingDecoder { codec: "this film".into(), cause };
    }
    if reason.matches(ResourceError::OpenRead) || reason.matches(ResourceError::Busy) {
        return PlaybackError::Output(cause);
    }
    if !shown && (reason.matches(StreamError::TypeNotFound) || reason.matches(StreamError::WrongType)) {
        return PlaybackError::NotMedia(cause);
    }
    PlaybackError::Damaged(cause)
}
