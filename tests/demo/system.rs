//! Everything but the viewer.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nearcast_tests::{Neighbour, Publisher, Tracker};
use tempfile::TempDir;

/// A tracker, a publisher and eight neighbours; they end with it.
pub struct System {
    pub tracker: String,
    pub link: String,
    _publisher: Publisher,
    _neighbours: Vec<Neighbour>,
    _tracker: Tracker,
    folder: TempDir,
}

impl System {
    /// Starts it with one film. Each neighbour and the publisher upload at most `upload`.
    ///
    /// # Errors
    /// When a program isn't built or doesn't start.
    pub fn start(film: &Path, upload: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let at = folder.path();
        // The publisher gets a folder with the film alone in it.
        let films = at.join("films");
        std::fs::create_dir(&films)?;
        let name = film.file_name().context("the film has no name")?;
        if std::fs::hard_link(film, films.join(name)).is_err() {
            std::fs::copy(film, films.join(name))?;
        }
        println!("starting a tracker with two networks, 127.1.0.0/16 and 127.2.0.0/16");
        let tracker = Tracker::start(&at.join("tracker"), "/ip4/127.0.0.1/tcp/0")?;
        println!("starting a publisher, five neighbours in the viewer's network and three in the other");
        let addresses =
            (1..=5).map(|n| format!("127.1.0.{n}")).chain((1..=3).map(|n| format!("127.2.0.{n}")));
        let neighbours = addresses
            .map(|ip| Neighbour::start(at, &ip, &tracker.address, film, Some(upload)))
            .collect::<Result<Vec<_>>>()?;
        let publisher = Publisher::start(at, "127.3.0.1", &tracker.address, &films, 1, Some(upload))?;
        let link = neighbours.first().context("no neighbours")?.link.clone();
        println!("catalogue at {}\nplaying {link}", publisher.site);
        Ok(Self {
            tracker: tracker.address.clone(),
            link,
            _publisher: publisher,
            _neighbours: neighbours,
            _tracker: tracker,
            folder,
        })
    }

    /// A folder of the viewer's, empty at first.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
