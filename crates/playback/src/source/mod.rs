//! `nearcastsrc`: the element that gives a demuxer the bytes of a [`Media`](crate::Media).
//!
//! Found by playbin3 through the scheme of its address. Demuxers pull from it at any offset; a read
//! blocks until the bytes are there, and a flush or a stop unblocks it at once.

mod cache;
mod imp;

use gstreamer::{glib, prelude::StaticType};

glib::wrapper! {
    /// The source element.
    pub struct NearcastSrc(ObjectSubclass<imp::NearcastSrc>)
        @extends gstreamer_base::BaseSrc, gstreamer::Element, gstreamer::Object,
        @implements gstreamer::URIHandler;
}

/// Makes the element known to this process, as the first choice for its scheme.
pub(crate) fn register() -> Result<(), glib::BoolError> {
    gstreamer::Element::register(None, "nearcastsrc", gstreamer::Rank::PRIMARY, NearcastSrc::static_type())
}
