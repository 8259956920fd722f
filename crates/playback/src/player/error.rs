//! Why a film can't be played, in words for the person in front of it.

use gstreamer::{CoreError, MessageRef, ResourceError, StreamError, message, prelude::*};
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
    /// Whether it would decode a track or open a container, rather than a document or a picture.
    film: bool,
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
        let film = media_type.starts_with("video/") || media_type.starts_with("audio/");
        Some(Self { description: codec, cause: Cause::new(missing.installer_detail()), film })
    }

    /// As an error of its own.
    pub(super) fn into_error(self) -> PlaybackError {
        if self.film {
            PlaybackError::MissingDecoder { codec: self.description, cause: self.cause }
        } else {
            PlaybackError::NotMedia(self.cause)
        }
    }
}

/// What an error message of the pipeline means. `missing` is what was found missing before.
pub(super) fn explain(error: &message::Error, missing: &[Missing], previewed: bool) -> PlaybackError {
    let reason = error.error();
    let origin = error.src().map(|src| src.path_string().to_string()).unwrap_or_default();
    let debug = error.debug().map(|debug| debug.to_string()).unwrap_or_default();
    let cause = Cause::new(format_args!("{origin}: {reason} ({debug})"));
    let from_sink =
        error.src().and_then(|src| src.downcast_ref::<gstreamer::Element>()).is_some_and(|element| {
            element.element_flags().contains(gstreamer::ElementFlags::SINK) && !element.is::<gstreamer::Bin>()
        });
    if error.src().is_some_and(|src| src.is::<crate::source::NearcastSrc>()) {
        return PlaybackError::Lost { sentence: reason.message().to_owned(), cause };
    }
    if from_sink {
        return PlaybackError::Output(cause);
    }
    if let Some(missing) = missing.iter().find(|missing| missing.film).or(missing.first()) {
        return missing.clone().into_error();
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
    if !previewed && (reason.matches(StreamError::TypeNotFound) || reason.matches(StreamError::WrongType)) {
        return PlaybackError::NotMedia(cause);
    }
    PlaybackError::Damaged(cause)
}
