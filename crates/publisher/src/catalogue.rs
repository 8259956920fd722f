//! What viewers see of the library: its titles under the site's addresses.

use std::{sync::Arc, time::Duration};

use nearcast_protocol::{ResourceId, tracker::Claim};
use nearcast_transfer::Controller;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::library::{Film, Library, Snapshot, Title};

/// Claims are told this long after a change at most, so that a thousand new films aren't told a thousand times.
const GATHER: Duration = Duration::from_secs(1);

/// The library under public addresses; cheap to clone.
#[derive(Clone)]
pub struct Catalogue {
    library: Library,
    controller: Controller,
    public: Url,
}

impl Catalogue {
    /// A catalogue of `library`, whose site is reached at `public`.
    pub fn new(library: Library, controller: Controller, public: Url) -> Self {
        Self { library, controller, public }
    }

    /// The library it shows.
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// What is up now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.library.snapshot()
    }

    /// The titles that viewers may see.
    pub fn titles(&self) -> Vec<Arc<Title>> {
        self.snapshot().titles.iter().filter(|title| !title.held).cloned().collect()
    }

    /// One film, and the title it belongs to.
    pub fn film(&self, id: &ResourceId) -> Option<(Arc<Title>, Film)> {
        let titles = self.titles();
        let title = titles.into_iter().find(|title| title.film(id).is_some())?;
        let film = title.film(id)?.clone();
        Some((title, film))
    }

    /// The address under which a film is asked for.
    pub fn address_of(&self, id: &ResourceId) -> Option<Url> {
        self.public.join(&format!("v/{id}")).ok()
    }

    /// The film that a public address stands for.
    pub fn at_address(&self, address: &Url) -> Option<Film> {
        let path = address.path().strip_prefix(self.public.path())?;
        let same = address.origin() == self.public.origin();
        self.film(&path.strip_prefix("v/")?.parse().ok()?).map(|(_, film)| film).filter(|_| same)
    }

    /// Keeps the trackers told which addresses stand for which links, until stopped.
    pub async fn claim(self, stop: CancellationToken) {
        let claiming = async {
            let mut changes = self.library.watch();
            let mut told = Vec::new();
            while changes.changed().await.is_ok() {
                tokio::time::sleep(GATHER).await;
                changes.borrow_and_update();
                let claims = self.claims();
                if claims != told {
                    for tracker in &self.controller.settings().trackers {
                        self.controller.claim(tracker, claims.clone());
                    }
                    told = claims;
                }
            }
        };
        stop.run_until_cancelled(claiming).await;
    }

    fn claims(&self) -> Vec<Claim> {
        let titles = self.titles();
        let films = titles.iter().flat_map(|title| &title.films);
        let claim = |film: &Film| {
            Some(Claim { url: self.address_of(&film.link.id)?.into(), link: film.link.to_string() })
        };
        // A protected one is asked for at its own address.
        let public = films.filter(|film| self.controller.protected_by(&film.link.id).is_none());
        public.filter_map(claim).collect()
    }
}
