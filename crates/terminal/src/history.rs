//! Recent films: where one stopped, their posters, how much was shared on.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::{atomic, screen::Recent};

/// Nobody scrolls further back.
const MOST: usize = 200;
/// Larger ones aren't ours.
const LARGEST_POSTER: u64 = 256 * 1024;
/// In shorter films nobody looks for the place where one stopped.
const RESUMED_FROM_MS: u64 = 5 * 60_000;
/// So near to its start or its end a film starts anew.
const START_MS: u64 = 10_000;
const END_MS: u64 = 30_000;

/// The recent films of one user.
#[derive(Debug)]
pub struct History {
    file: PathBuf,
    posters: PathBuf,
    films: Vec<Kept>,
    /// Posters as the screen gets them; read once.
    pictures: HashMap<String, Option<String>>,
    kept: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Kept {
    id: String,
    title: String,
    opening: String,
    size: Option<u64>,
    local: bool,
    #[serde(default)]
    position_ms: u64,
    #[serde(default)]
    duration_ms: Option<u64>,
    #[serde(default)]
    shared: u64,
    watched_at_ms: u64,
}

/// A film that is being watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Names it.
    pub id: String,
    /// What it is called.
    pub title: String,
    /// What opens it again: a link, a web address or a path.
    pub opening: String,
    /// Bytes of the whole.
    pub size: Option<u64>,
    /// Whether it is a file of this machine.
    pub local: bool,
}

impl History {
    /// Takes up what is in `folder`, with posters in another. A file that can't be read is put aside, and said.
    pub fn open(folder: &Path, posters: &Path) -> (Self, Option<String>) {
        let file = folder.join("history.json");
        let (films, trouble) = match std::fs::read(&file) {
            Ok(bytes) => match serde_json::from_slice::<Vec<Kept>>(&bytes) {
                Ok(films) => (films, None),
                Err(error) => {
                    let aside = folder.join("history.json.broken");
                    let moved = std::fs::rename(&file, &aside);
                    let place = if moved.is_ok() { &aside } else { &file };
                    (
                        Vec::new(),
                        Some(format!("the list of films in {} can't be read: {error}", place.display())),
                    )
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), None),
            Err(error) => (Vec::new(), Some(format!("{}: {error}", file.display()))),
        };
        let mut films: Vec<_> = films.into_iter().filter(|film| is_id(&film.id)).collect();
        films.truncate(MOST);
        let history = Self { file, posters: posters.to_owned(), films, pictures: HashMap::new(), kept: true };
        (history, trouble)
    }

    /// A film is being watched: it comes first. One that is longest ago may fall out.
    pub fn watched(&mut self, watched: Watched, now_ms: u64) {
        if !is_id(&watched.id) {
            return;
        }
        let known = self.films.iter().position(|film| film.id == watched.id).map(|at| self.films.remove(at));
        let Watched { id, title, opening, size, local } = watched;
        let film = match known {
            Some(known) => Kept { title, opening, size, local, watched_at_ms: now_ms, ..known },
            None => Kept {
                id,
                title,
                opening,
                size,
                local,
                position_ms: 0,
                duration_ms: None,
                shared: 0,
                watched_at_ms: now_ms,
            },
        };
        self.films.insert(0, film);
        for gone in self.films.drain(MOST.min(self.films.len())..) {
            remove_file(&poster_file(&self.posters, &gone.id));
        }
        self.kept = false;
    }

    /// Where the viewer is in a film, ms, and how long it is.
    pub fn at(&mut self, id: &str, position_ms: u64, duration_ms: Option<u64>) {
        let Some(film) = self.films.iter_mut().find(|film| film.id == id) else { return };
        let end = duration_ms
            .is_some_and(|length| position_ms + END_MS.min(length / 20) >= length || position_ms > length);
        let position_ms = if position_ms < START_MS || end { 0 } else { position_ms };
        if (film.position_ms, film.duration_ms) != (position_ms, duration_ms) {
            film.position_ms = position_ms;
            film.duration_ms = duration_ms.or(film.duration_ms);
            self.kept = false;
        }
    }

    /// Where to take a film up, ms; none for short films and from their starts.
    pub fn position(&self, id: &str) -> Option<u64> {
        let film = self.film(id)?;
        let long = film.duration_ms.is_none_or(|length| length >= RESUMED_FROM_MS);
        (long && film.position_ms > 0).then_some(film.position_ms)
    }

    /// When it was last watched, Unix ms; 0 for never.
    pub fn watched_at(&self, id: &str) -> u64 {
        self.film(id).map_or(0, |film| film.watched_at_ms)
    }

    /// More of it was shared on.
    pub fn shared(&mut self, id: &str, more: u64) {
        if let Some(film) = self.films.iter_mut().find(|film| film.id == id) {
            film.shared = film.shared.saturating_add(more);
            self.kept = false;
        }
    }

    /// Keeps a picture of it.
    pub fn poster(&mut self, id: &str, jpeg: &[u8]) {
        if self.film(id).is_none() {
            return;
        }
        match atomic::write(&poster_file(&self.posters, id), jpeg) {
            Ok(()) => {
                self.pictures.insert(id.into(), Some(data_url(jpeg)));
            }
            Err(error) => tracing::warn!(%error, "a poster can't be kept"),
        }
    }

    /// Whether there is a picture of it.
    pub fn has_poster(&self, id: &str) -> bool {
        is_id(id) && poster_file(&self.posters, id).exists()
    }

    /// Forgets it.
    pub fn remove(&mut self, id: &str) {
        if is_id(id) {
            self.films.retain(|film| film.id != id);
            self.pictures.remove(id);
            remove_file(&poster_file(&self.posters, id));
            self.kept = false;
        }
    }

    /// What opens it again.
    pub fn opening(&self, id: &str) -> Option<String> {
        self.film(id).map(|film| film.opening.clone())
    }

    /// Writes it down, if it has changed.
    ///
    /// # Errors
    /// When the disk won't.
    pub fn save(&mut self) -> io::Result<()> {
        if !self.kept {
            atomic::write(&self.file, &serde_json::to_vec_pretty(&self.films)?)?;
            self.kept = true;
        }
        Ok(())
    }

    /// The films as the screen shows them; `held` tells the verified bytes on disk.
    pub fn recent(&mut self, held: impl Fn(&str) -> u64) -> Vec<Recent> {
        let Self { films, pictures, posters, .. } = self;
        films
            .iter()
            .map(|film| Recent {
                id: film.id.clone(),
                title: film.title.clone(),
                poster: pictures
                    .entry(film.id.clone())
                    .or_insert_with(|| read_poster(posters, &film.id))
                    .clone(),
                position_ms: film.position_ms,
                duration_ms: film.duration_ms,
                size: film.size,
                held: held(&film.id),
                shared: film.shared,
                watched_at_ms: film.watched_at_ms,
                local: film.local,
            })
            .collect()
    }

    fn film(&self, id: &str) -> Option<&Kept> {
        self.films.iter().find(|film| film.id == id)
    }
}

/// Ids become file names.
fn is_id(id: &str) -> bool {
    (1..=80).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn poster_file(posters: &Path, id: &str) -> PathBuf {
    posters.join(format!("{id}.jpg"))
}

fn read_poster(posters: &Path, id: &str) -> Option<String> {
    let file = poster_file(posters, id);
    let small = std::fs::metadata(&file).ok()?.len() <= LARGEST_POSTER;
    small.then(|| std::fs::read(&file).ok()).flatten().map(|jpeg| data_url(&jpeg))
}

fn data_url(jpeg: &[u8]) -> String {
    format!("data:image/jpeg;base64,{}", BASE64.encode(jpeg))
}

fn remove_file(file: &Path) {
    if let Err(error) = std::fs::remove_file(file)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "a poster can't be removed");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn film(id: &str) -> Watched {
        Watched {
            id: id.into(),
            title: id.into(),
            opening: format!("/films/{id}"),
            size: Some(9),
            local: true,
        }
    }

    fn open(folder: &Path) -> History {
        let (history, trouble) = History::open(folder, &folder.join("posters"));
        assert_eq!(trouble, None);
        history
    }

    #[test]
    fn films_come_back_after_a_restart_the_last_one_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = open(folder.path());
        for (now, id) in ["a", "b", "a"].into_iter().enumerate() {
            history.watched(film(id), now as u64);
        }
        history.at("a", 60_000, Some(600_000));
        history.shared("a", 5);
        history.poster("a", b"jpeg");
        history.save().unwrap();
        let mut history = open(folder.path());
        let recent = history.recent(|_| 3);
        assert_eq!(recent.iter().map(|film| &*film.id).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((recent[0].shared, recent[0].held, recent[0].position_ms), (5, 3, 60_000));
        assert_eq!(recent[0].poster.as_deref(), Some("data:image/jpeg;base64,anBlZw=="));
        assert_eq!(history.position("a"), Some(60_000));
        history.remove("a");
        assert!(!history.has_poster("a"));
        assert_eq!(history.recent(|_| 0).len(), 1);
    }

    #[test]
    fn starts_ends_and_short_films_are_not_resumed() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = open(folder.path());
        history.watched(film("a"), 0);
        for (at, length, place) in [
            (9_000, 600_000, None),
            (11_000, 600_000, Some(11_000)),
            (569_000, 600_000, Some(569_000)),
            (571_000, 600_000, None),
            (700_000, 600_000, None),
            (100_000, 200_000, None),
        ] {
            history.at("a", at, Some(length));
            assert_eq!(history.position("a"), place, "{at} of {length}");
        }
    }

    #[test]
    fn the_list_is_bounded_and_names_no_other_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = open(folder.path());
        for n in 0..MOST + 5 {
            history.watched(film(&format!("f{n}")), n as u64);
        }
        history.watched(film("../etc"), 0);
        assert_eq!(history.recent(|_| 0).len(), MOST);
        assert!(history.opening("../etc").is_none() && history.opening("f0").is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_put_aside_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("history.json"), &bytes).unwrap();
            let (_, trouble) = History::open(folder.path(), folder.path());
            if trouble.is_some() {
                prop_assert_eq!(std::fs::read(folder.path().join("history.json.broken")).unwrap(), bytes);
            }
        }
    }
}
