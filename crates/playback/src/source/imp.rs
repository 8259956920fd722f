use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use gstreamer::{
    ErrorMessage, FlowError, FlowSuccess, PadMode, SchedulingFlags, URIError, URIType, error_msg,
    glib::{self, subclass::prelude::*},
    query::QueryViewMut,
    subclass::{ElementMetadata, prelude::*},
};
use gstreamer_base::{
    prelude::*,
    subclass::prelude::{BaseSrcImpl, BaseSrcImplExt},
};

use super::cache::ReadCache;
use crate::{
    MediaError,
    gate::{self, Gate, SCHEME},
};

/// The element's state.
#[derive(Default)]
pub struct NearcastSrc {
    opened: Mutex<Option<(String, Arc<Gate>)>>,
    /// Held during a read, so nothing but a read may take it: `unlock` must get through without.
    cache: Mutex<ReadCache>,
}

impl NearcastSrc {
    fn gate(&self) -> Option<Arc<Gate>> {
        lock(&self.opened).as_ref().map(|(_, gate)| Arc::clone(gate))
    }
}

#[glib::object_subclass]
impl ObjectSubclass for NearcastSrc {
    const NAME: &'static str = "NearcastSrc";
    type Type = super::NearcastSrc;
    type ParentType = gstreamer_base::BaseSrc;
    type Interfaces = (gstreamer::URIHandler,);
}

impl ObjectImpl for NearcastSrc {
    fn constructed(&self) {
        self.parent_constructed();
        self.obj().set_format(gstreamer::Format::Bytes);
    }
}

impl GstObjectImpl for NearcastSrc {}

impl ElementImpl for NearcastSrc {
    fn metadata() -> Option<&'static ElementMetadata> {
        static METADATA: LazyLock<ElementMetadata> = LazyLock::new(|| {
            ElementMetadata::new(
                "Nearcast source",
                "Source/Network",
                "Reads a film whose bytes may still be arriving",
                "Nearcast",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gstreamer::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gstreamer::PadTemplate>> = LazyLock::new(|| {
            gstreamer::PadTemplate::new(
                "src",
                gstreamer::PadDirection::Src,
                gstreamer::PadPresence::Always,
                &gstreamer::Caps::new_any(),
            )
            .into_iter()
            .collect()
        });
        &TEMPLATES
    }
}

impl BaseSrcImpl for NearcastSrc {
    fn start(&self) -> Result<(), ErrorMessage> {
        *lock(&self.cache) = ReadCache::default();
        if self.gate().is_some() {
            Ok(())
        } else {
            Err(error_msg!(gstreamer::ResourceError::NotFound, ["no film was opened for this player"]))
        }
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn size(&self) -> Option<u64> {
        self.gate().map(|gate| gate.media().size())
    }

    fn fill(
        &self,
        offset: u64,
        length: u32,
        buffer: &mut gstreamer::BufferRef,
    ) -> Result<FlowSuccess, FlowError> {
        let gate = self.gate().ok_or(FlowError::Error)?;
        let read = {
            let mut map = buffer.map_writable().map_err(|_| FlowError::Error)?;
            let length = (length as usize).min(map.len());
            gate.count(|media| lock(&self.cache).read(media, offset, &mut map[..length]))
        };
        match read {
            Ok(0) => Err(FlowError::Eos),
            Ok(count) => {
                buffer.set_size(count);
                // A transport stream is placed by these: without them its demuxer finds no program.
                buffer.set_offset(offset);
                buffer.set_offset_end(offset + count as u64);
                Ok(FlowSuccess::Ok)
            }
            Err(MediaError::Interrupted) => Err(FlowError::Flushing),
            Err(MediaError::Lost(sentence)) => {
                gstreamer::element_imp_error!(self, gstreamer::ResourceError::Read, ("{sentence}"));
                Err(FlowError::Error)
            }
        }
    }

    fn query(&self, query: &mut gstreamer::QueryRef) -> bool {
        if let QueryViewMut::Scheduling(scheduling) = query.view_mut() {
            // BANDWIDTH_LIMITED is what makes the queue behind the demuxer tell how full it is; without it
            // a starved pipeline just stands still. Demuxers still pull, and nothing is downloaded ahead.
            scheduling.set(SchedulingFlags::SEEKABLE | SchedulingFlags::BANDWIDTH_LIMITED, 1, -1, 0);
            scheduling.add_scheduling_modes([PadMode::Pull, PadMode::Push]);
            return true;
        }
        BaseSrcImplExt::parent_query(self, query)
    }

    fn unlock(&self) -> Result<(), ErrorMessage> {
        if let Some(gate) = self.gate() {
            gate.shut_by_pipeline(true);
        }
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), ErrorMessage> {
        if let Some(gate) = self.gate() {
            gate.shut_by_pipeline(false);
        }
        Ok(())
    }
}

impl URIHandlerImpl for NearcastSrc {
    const URI_TYPE: URIType = URIType::Src;

    fn protocols() -> &'static [&'static str] {
        &[SCHEME]
    }

    fn uri(&self) -> Option<String> {
        lock(&self.opened).as_ref().map(|(uri, _)| uri.clone())
    }

    fn set_uri(&self, uri: &str) -> Result<(), glib::Error> {
        let gate = gate::find(uri)
            .ok_or_else(|| glib::Error::new(URIError::BadReference, "no film is open at this address"))?;
        *lock(&self.opened) = Some((uri.to_owned(), gate));
        Ok(())
    }
}

/// A poisoned lock is taken as it is: a cache or an address is whole whatever its last user did.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
