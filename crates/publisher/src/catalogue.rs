//! What is put up: the films of the folder, hashed and shared.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use nearcast_content::ImportProgress;
use nearcast_protocol::{Link, ResourceId, link::is_file_name, tracker::Claim};
use nearcast_transfer::Controller;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    folder::{Found, Scan, scan},
    length::Lengths,
    library::{Facts, Film, Hashing, Snapshot},
};

/// How often the folder is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
const LOOK_SOON: Duration = Duration::from_secs(1);

/// One film that is up.
#[derive(Debug, Clone)]
pub struct Title {
    /// What it is called on the page.
    pub title: String,
    /// Its link.
    pub link: Link,
    /// Its length, if it could be read.
    pub length: Option<Duration>,
    /// Where it is.
    pub path: PathBuf,
}

/// What is put up, and what is still being read.
#[derive(Default)]
struct Shelf {
    titles: BTreeMap<PathBuf, (Found, Title)>,
    refused: BTreeMap<PathBuf, (Found, String)>,
    reading: Option<(String, u64, u64)>,
}

/// The films of one folder; cheap to clone.
#[derive(Clone)]
pub struct Catalogue {
    folder: PathBuf,
    controller: Controller,
    public: Url,
    lengths: Lengths,
    shelf: Arc<RwLock<Shelf>>,
    shown: watch::Sender<Arc<Snapshot>>,
}

impl Catalogue {
    /// A catalogue of the films in `folder`, whose site is reached at `public`.
    pub fn new(folder: PathBuf, controller: Controller, public: Url) -> Self {
        Self { folder, controller, public, lengths: Lengths::new(), shelf: Arc::default(), shown: watch::Sender::default() }
    }

    /// The films that are up, by title.
    pub fn titles(&self) -> Vec<Title> {
        let shelf = self.shelf.read().unwrap_or_else(PoisonError::into_inner);
        let mut titles: Vec<_> = shelf.titles.values().map(|(_, title)| title.clone()).collect();
        titles.sort_by_key(|title| title.title.to_lowercase());
        titles
    }

    /// One film.
    pub fn title(&self, id: &ResourceId) -> Option<Title> {
        let shelf = self.shelf.read().unwrap_or_else(PoisonError::into_inner);
        shelf.titles.values().map(|(_, title)| title).find(|title| title.link.id == *id).cloned()
    }

    /// What is up, at every moment.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shown.subscribe()
    }

    fn publish(&self) {
        let shelf = self.shelf.read().unwrap_or_else(PoisonError::into_inner);
        let titles = shelf.titles.values().map(|(found, title)| Arc::new(self.shown_as(found, title))).collect();
        let reading = shelf.reading.iter();
        let hashing = reading.map(|(name, done, of)| Hashing { path: name.into(), done: *done, of: *of }).collect();
        self.shown.send_replace(Arc::new(Snapshot { titles, hashing, looked: true, ..Snapshot::default() }));
    }

    fn shown_as(&self, found: &Found, title: &Title) -> crate::library::Title {
        let inside = found.path.strip_prefix(&self.folder).ok().and_then(|path| path.parent());
        let folders = inside.into_iter().flat_map(|inside| inside.components());
        let length = title.length.unwrap_or_default().as_millis();
        let film = Film {
            link: title.link.clone(),
            path: found.path.clone(),
            episode: None,
            quality: None,
            facts: Facts { duration_ms: length.try_into().unwrap_or(0), ..Facts::default() },
            modified: found.modified,
        };
        crate::library::Title {
            key: title.link.id,
            name: title.title.clone(),
            category: folders.map(|folder| folder.as_os_str().to_string_lossy().into_owned()).collect(),
            films: vec![film],
            subtitles: Vec::new(),
            poster: None,
            storyboard: None,
            added: found.modified,
            modified: found.modified,
            held: false,
        }
    }

    /// The file being hashed now: name, bytes done, bytes in all.
    pub fn reading(&self) -> Option<(String, u64, u64)> {
        self.shelf.read().unwrap_or_else(PoisonError::into_inner).reading.clone()
    }

    /// The address under which a film is asked for.
    pub fn address_of(&self, id: &ResourceId) -> Option<Url> {
        self.public.join(&format!("v/{id}")).ok()
    }

    /// The film that a public address stands for.
    pub fn at_address(&self, address: &Url) -> Option<Title> {
        let path = address.path().strip_prefix(self.public.path())?;
        let same = address.origin() == self.public.origin();
        self.title(&path.strip_prefix("v/")?.parse().ok()?).filter(|_| same)
    }

    /// Keeps the catalogue true to the folder until stopped.
    pub async fn follow(self, stop: CancellationToken) {
        let cancelled = Arc::new(AtomicBool::new(false));
        let following = async {
            loop {
                let folder = self.folder.clone();
                let look = tokio::task::spawn_blocking(move || scan(&folder, SystemTime::now()));
                let Ok(found) = look.await else { return };
                let again = if found.unsettled { LOOK_SOON } else { LOOK_EVERY };
                self.update(found, &cancelled).await;
                tokio::time::sleep(again).await;
            }
        };
        stop.run_until_cancelled(following).await;
        cancelled.store(true, Ordering::Relaxed);
    }

    async fn update(&self, found: Scan, cancelled: &Arc<AtomicBool>) {
        for (path, error) in &found.unreadable {
            self.refuse_once(path, &format!("can't be read: {error}"), None);
        }
        let changed = self.take_down_missing(&found.films).await;
        let mut added = false;
        for film in found.films {
            if self.knows(&film) {
                continue;
            }
            match self.put_up(&film, cancelled).await {
                Ok(title) => {
                    let (name, id) = (title.title.clone(), title.link.id);
                    {
                        let mut shelf = self.shelf.write().unwrap_or_else(PoisonError::into_inner);
                        shelf.refused.remove(&film.path);
                        shelf.titles.insert(film.path.clone(), (film, title));
                    }
                    self.publish();
                    tracing::info!(title = name, %id, "put up");
                    added = true;
                }
                Err(why) => self.refuse_once(&film.path.clone(), &why, Some(film)),
            }
            self.shelf.write().unwrap_or_else(PoisonError::into_inner).reading = None;
        }
        if added || changed {
            self.publish();
            self.claim();
        }
    }

    fn knows(&self, film: &Found) -> bool {
        let shelf = self.shelf.read().unwrap_or_else(PoisonError::into_inner);
        let up = shelf.titles.get(&film.path).is_some_and(|(known, _)| known == film);
        up || shelf.refused.get(&film.path).is_some_and(|(known, _)| known == film)
    }

    fn refuse_once(&self, path: &std::path::Path, why: &str, film: Option<Found>) {
        let film = film.unwrap_or_else(|| Found {
            path: path.to_owned(),
            size: 0,
            modified: SystemTime::UNIX_EPOCH,
        });
        let mut shelf = self.shelf.write().unwrap_or_else(PoisonError::into_inner);
        let news = shelf.refused.insert(path.to_owned(), (film.clone(), why.to_owned()));
        if news.is_none_or(|(known, said)| known != film || said != why) {
            tracing::warn!(file = %path.display(), why, "not put up");
        }
    }

    async fn take_down_missing(&self, films: &[Found]) -> bool {
        let gone: Vec<(PathBuf, ResourceId)> = {
            let shelf = self.shelf.read().unwrap_or_else(PoisonError::into_inner);
            let gone = shelf.titles.values().filter(|(known, _)| !films.contains(known));
            gone.map(|(known, title)| (known.path.clone(), title.link.id)).collect()
        };
        for (path, id) in &gone {
            self.shelf.write().unwrap_or_else(PoisonError::into_inner).titles.remove(path);
            // The same film under another name is still up.
            if self.title(id).is_some() {
                continue;
            }
            if let Err(error) = self.controller.remove(*id, false).await {
                tracing::warn!(%error, "a film that is gone can't be taken down");
            }
            tracing::info!(file = %path.display(), "taken down");
        }
        !gone.is_empty()
    }

    async fn put_up(&self, film: &Found, cancelled: &Arc<AtomicBool>) -> Result<Title, String> {
        let name = film.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !is_file_name(&name) {
            return Err("its name has characters that no link can carry; rename it".into());
        }
        let (shelf, reading) = (Arc::clone(&self.shelf), name.clone());
        let progress = move |progress: ImportProgress| {
            let mut shelf = shelf.write().unwrap_or_else(PoisonError::into_inner);
            shelf.reading = Some((reading.clone(), progress.done, progress.total));
        };
        let shared = self.controller.share(&film.path, &[], progress, Arc::clone(cancelled)).await;
        let transfer = shared.map_err(|error| error.to_string())?;
        let length = self.lengths.of(&film.path).await;
        Ok(Title { title: title_of(&name), link: transfer.link().clone(), length, path: film.path.clone() })
    }

    /// Tells the trackers which addresses stand for which links.
    fn claim(&self) {
        let claims: Vec<_> = self
            .titles()
            .iter()
            .filter_map(|title| {
                let url = self.address_of(&title.link.id)?.into();
                Some(Claim { url, link: title.link.to_string() })
            })
            .collect();
        for tracker in &self.controller.settings().trackers {
            self.controller.claim(tracker, claims.clone());
        }
    }
}

/// `my_holiday.mp4` is "my holiday" to people.
fn title_of(name: &str) -> String {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let spaced = stem.replace(['_', '.'], " ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    if words.is_empty() { name.to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::title_of;

    #[test]
    fn titles_are_for_people() {
        assert_eq!(title_of("Big_Buck.Bunny.mp4"), "Big Buck Bunny");
        assert_eq!(title_of("大兔子.mkv"), "大兔子");
        assert_eq!(title_of("_.mp4"), "_.mp4");
    }
}
