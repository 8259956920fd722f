//! Where the source element finds its [`Media`]: a table of this process, keyed by an address.

use std::{
    collections::HashMap,
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
};

use url::Url;

use crate::Media;

/// The scheme of the addresses between a player and its own source element. Never seen by a person.
pub(crate) const SCHEME: &str = "nearcast-media";

static OPENED: LazyLock<Mutex<HashMap<String, Arc<Gate>>>> = LazyLock::new(Mutex::default);
static NEXT_KEY: AtomicU64 = AtomicU64::new(1);

/// A [`Media`] and the reasons why its reads are interrupted: GStreamer interrupts and goes on around
/// every flush, and a player that is closing must not be let in again by such a "go on".
pub(crate) struct Gate {
    media: Arc<dyn Media>,
    shut: Mutex<Shut>,
    begun: AtomicU64,
    finished: AtomicU64,
}

#[derive(Default)]
struct Shut {
    by_pipeline: bool,
    by_player: bool,
}

impl Gate {
    fn new(media: Arc<dyn Media>) -> Self {
        Self { media, shut: Mutex::default(), begun: AtomicU64::new(0), finished: AtomicU64::new(0) }
    }

    /// Lets `read` read, and counts it.
    pub(crate) fn count<T>(&self, read: impl FnOnce(&dyn Media) -> T) -> T {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let result = read(self.media.as_ref());
        self.finished.fetch_add(1, Ordering::Relaxed);
        result
    }

    /// How many reads there were; `None` while there is one.
    pub(crate) fn reads(&self) -> Option<u64> {
        let finished = self.finished.load(Ordering::Relaxed);
        (self.begun.load(Ordering::Relaxed) == finished).then_some(finished)
    }

    pub(crate) fn media(&self) -> &Arc<dyn Media> {
        &self.media
    }

    /// The pipeline flushes, or has flushed.
    pub(crate) fn shut_by_pipeline(&self, shut: bool) {
        let mut reasons = lock(&self.shut);
        reasons.by_pipeline = shut;
        self.media.interrupt(reasons.by_pipeline || reasons.by_player);
    }

    /// The player wants its own thread back from a read, or is done with that.
    pub(crate) fn shut_by_player(&self, shut: bool) {
        let mut reasons = lock(&self.shut);
        reasons.by_player = shut;
        self.media.interrupt(reasons.by_pipeline || reasons.by_player);
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("name", &self.media.name()).finish_non_exhaustive()
    }
}

/// An entry of the table; dropping it takes the entry out. Elements that have found it keep it alive.
#[derive(Debug)]
pub(crate) struct Address {
    uri: String,
    gate: Arc<Gate>,
}

impl Address {
    /// Enters `media` under an address of its own.
    pub(crate) fn enter(media: Arc<dyn Media>) -> Self {
        let key = format!("{}", NEXT_KEY.fetch_add(1, Ordering::Relaxed));
        let mut uri = format!("{SCHEME}://{key}");
        // The name ends the address because typefinding tries first what the extension suggests.
        if let Ok(mut url) = Url::parse(&uri) {
            if let Ok(mut path) = url.path_segments_mut() {
                path.push(&media.name());
            }
            uri = url.into();
        }
        let gate = Arc::new(Gate::new(media));
        lock(&OPENED).insert(key, Arc::clone(&gate));
        Self { uri, gate }
    }

    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        lock(&OPENED).retain(|_, gate| !Arc::ptr_eq(gate, &self.gate));
    }
}

/// The entry `uri` names, if it is still there.
pub(crate) fn find(uri: &str) -> Option<Arc<Gate>> {
    let url = Url::parse(uri).ok().filter(|url| url.scheme() == SCHEME)?;
    lock(&OPENED).get(url.host_str()?).cloned()
}

/// A poisoned lock is taken as it is: what these guard is written in one step, never half.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FileMedia;

    fn film(name: &str) -> (tempfile::TempDir, Arc<dyn Media>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, b"x").unwrap();
        let media = FileMedia::open(&path).unwrap();
        (dir, Arc::new(media))
    }

    #[test]
    fn an_address_lives_as_long_as_its_entry() {
        let (_dir, media) = film("half #1? 100% été.mkv");
        let address = Address::enter(media);
        let uri = address.uri().to_owned();
        assert!(uri.ends_with(".mkv") && !uri.contains([' ', '#', '?']), "{uri}");
        assert!(Arc::ptr_eq(&find(&uri).unwrap(), address.gate()));
        drop(address);
        assert!(find(&uri).is_none());
    }

    #[test]
    fn a_closing_player_is_not_let_in_again_by_a_flush() {
        let (_dir, media) = film("a");
        let address = Address::enter(Arc::clone(&media));
        let gate = address.gate();
        gate.shut_by_player(true);
        gate.shut_by_pipeline(true);
        gate.shut_by_pipeline(false);
        assert!(media.read_at(0, &mut [0]).is_err());
        gate.shut_by_player(false);
        assert!(media.read_at(0, &mut [0]).is_ok());
    }
}
