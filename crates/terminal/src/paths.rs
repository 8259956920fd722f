//! Where the terminal keeps what.

use std::path::{Path, PathBuf};

use directories::{ProjectDirs, UserDirs};

/// The folders of one user, or of one `--root`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Settings.
    pub config: PathBuf,
    /// What is remembered: history, today's upload.
    pub data: PathBuf,
    /// What can be made anew: posters.
    pub cache: PathBuf,
    films: PathBuf,
}

impl Paths {
    /// The folders that the system names for this user; none without a home.
    pub fn of_user() -> Option<Self> {
        let project = ProjectDirs::from("", "", "nearcast")?;
        let data = project.data_local_dir().to_owned();
        let videos = UserDirs::new().and_then(|user| user.video_dir().map(|videos| videos.join("Nearcast")));
        Some(Self {
            config: project.config_dir().to_owned(),
            cache: project.cache_dir().to_owned(),
            films: videos.unwrap_or_else(|| data.join("films")),
            data,
        })
    }

    /// Everything under one folder.
    pub fn under(root: &Path) -> Self {
        let data = root.join("data");
        Self { config: root.join("config"), cache: root.join("cache"), films: data.join("films"), data }
    }

    /// Where films are kept unless the user says otherwise.
    pub fn default_films(&self) -> PathBuf {
        self.films.clone()
    }
}
