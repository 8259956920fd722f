//! What is put up: files that are hashed where they lie, and what may be served of the library.

use std::{
    path::Path,
    sync::{Arc, PoisonError, atomic::AtomicBool},
};

use nearcast_content::{ImportProgress, LibraryError};
use nearcast_protocol::{Link, Multiaddr, ResourceId, link::MAX_REPEATS};

use super::{Controller, ControllerError, blocking};
use crate::transfer::Transfer;

impl Controller {
    /// Hashes a file where it lies, and serves it. Its link names the given trackers and the settings'.
    ///
    /// # Errors
    /// When the file can't be read, changes while it is read, or the library can't note it.
    pub async fn share(
        &self,
        path: &Path,
        trackers: &[Multiaddr],
        progress: impl Fn(ImportProgress) + Send + Sync + 'static,
        cancelled: Arc<AtomicBool>,
    ) -> Result<Transfer, ControllerError> {
        let (inner, path) = (Arc::clone(&self.inner), path.to_owned());
        let mut all = trackers.to_vec();
        all.extend(
            self.inner.settings.trackers.iter().filter(|tracker| !trackers.contains(tracker)).cloned(),
        );
        let controller = self.clone();
        let (link, guard, store) = blocking(move || {
            let store = inner.library.import(&path, &progress, &cancelled)?;
            inner.library.set_trackers(store.id(), all)?;
            let entry = inner.library.entry(store.id());
            let link = entry.map(|entry| entry.link).ok_or(LibraryError::NotHere(store.id()))?;
            Ok::<_, LibraryError>((link, controller.protect(&store.id()), store))
        })
        .await?;
        if self.transfer(&link.id).is_some_and(|known| known.link() != &link) {
            self.close(&link.id);
        }
        match self.transfer(&link.id) {
            Some(known) => Ok(known),
            None => self.use_store(link, guard, store),
        }
    }

    /// Takes a file into the library and offers it to whoever asks, without keeping it open: it is opened when
    /// somebody comes for it. Its link names the settings' trackers. A file that the caller `knows` to have been
    /// hashed, to that id and not changed since, isn't read.
    ///
    /// # Errors
    /// When the file can't be read, changes while it is read, or the library can't note it.
    pub async fn offer(
        &self,
        path: &Path,
        known: Option<ResourceId>,
        progress: impl Fn(ImportProgress) + Send + Sync + 'static,
        cancelled: Arc<AtomicBool>,
    ) -> Result<Link, ControllerError> {
        let trackers = self.inner.settings.trackers.clone();
        self.offer_by(path, known, trackers, progress, cancelled).await
    }

    /// The same with a link that names these trackers and no others.
    ///
    /// # Errors
    /// As [`offer`](Self::offer).
    pub async fn offer_by(
        &self,
        path: &Path,
        known: Option<ResourceId>,
        mut trackers: Vec<Multiaddr>,
        progress: impl Fn(ImportProgress) + Send + Sync + 'static,
        cancelled: Arc<AtomicBool>,
    ) -> Result<Link, ControllerError> {
        let (controller, path) = (self.clone(), path.to_owned());
        let link = blocking(move || {
            let inner = &controller.inner;
            let vouched = known.map(|id| inner.library.vouch(id, &path)).transpose()?.flatten();
            let mut link = match vouched {
                Some(link) => link,
                None => {
                    let id = inner.library.import(&path, &progress, &cancelled)?.id();
                    inner.library.entry(id).map(|entry| entry.link).ok_or(LibraryError::NotHere(id))?
                }
            };
            trackers.truncate(MAX_REPEATS);
            if link.trackers != trackers {
                inner.library.set_trackers(link.id, trackers.clone())?;
                link.trackers = trackers;
            }
            // Before it is offered to anyone.
            controller.protect(&link.id);
            Ok::<_, LibraryError>(link)
        })
        .await?;
        if self.transfer(&link.id).is_some_and(|used| used.link() != &link || !used.store().complete()) {
            // Its file has another place or name.
            self.close(&link.id);
        }
        if let Some(offered) = &self.inner.offered {
            offered.lock().unwrap_or_else(PoisonError::into_inner).insert(link.id);
        }
        self.inner.tracking.hold(link.id, 1000, &self.trackers_of(&link));
        Ok(link)
    }

    /// Offers a resource no longer and closes its streams at once; the library keeps it.
    pub fn withhold(&self, id: &ResourceId) {
        if let Some(offered) = &self.inner.offered {
            offered.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        }
        self.close(id);
        self.inner.tracking.drop_holding(id);
    }

    pub(super) fn may_serve(&self, id: &ResourceId) -> bool {
        let offered = self.inner.offered.as_ref();
        offered.is_none_or(|offered| offered.lock().unwrap_or_else(PoisonError::into_inner).contains(id))
    }
}
