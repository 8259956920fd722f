//! What the user has set, kept on disk so that a crash leaves the old settings or the new ones.

use std::{
    io,
    path::{Path, PathBuf},
};

use nearcast_protocol::Multiaddr;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::atomic;

/// A film has a gigabyte, soon.
const LEAST_LIMIT: u64 = 1_000_000_000;
/// Less would hold a neighbour's request for minutes.
const LEAST_RATE: u64 = 8 * 1024;

/// What the user has set. Fields that an older file lacks have their defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct Settings {
    /// `en` or `zh-CN`.
    pub language: Language,
    /// Of everything but the player, which is always dark.
    pub theme: Theme,
    /// Where films are kept; empty means the proposed folder.
    pub folder: String,
    /// The most bytes that films may take there.
    #[ts(type = "number")]
    pub limit: u64,
    /// Whether what is held is shared on.
    pub share: bool,
    /// The upload limit in bytes/s; none means no limit.
    #[ts(type = "number | null")]
    pub upload: Option<u64>,
    /// The download limit in bytes/s.
    #[ts(type = "number | null")]
    pub download: Option<u64>,
    /// Trackers asked besides those that links name, as multiaddrs.
    pub trackers: Vec<String>,
    /// Whether links to shared videos name this computer as their tracker, even if there are others. They are good in
    /// its own network alone.
    pub own_tracker: bool,
    /// Trackers whose links play without a question.
    pub trusted: Vec<String>,
    /// Whether neighbours are looked for on the local network (mDNS).
    pub neighbours: bool,
    /// Whether the router is asked to lead strangers here (UPnP).
    pub map_ports: bool,
    /// Whether uploads give way to whatever else is on the line.
    pub give_way: bool,
    /// What closing the window does.
    pub on_close: OnClose,
    /// Whether films start where one stopped.
    pub resume: bool,
    /// Whether watched films are listed at home.
    pub history: bool,
    /// 0 to 1, as the ear hears it.
    pub volume: f64,
    /// No sound.
    pub muted: bool,
    /// Whether the controls stay on the screen.
    pub keep_controls: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            language: Language::En,
            theme: Theme::System,
            folder: String::new(),
            limit: 20_000_000_000,
            share: true,
            upload: None,
            download: None,
            trackers: Vec::new(),
            own_tracker: false,
            trusted: Vec::new(),
            neighbours: true,
            map_ports: true,
            give_way: true,
            on_close: OnClose::Ask,
            resume: true,
            history: true,
            volume: 1.0,
            muted: false,
            keep_controls: false,
        }
    }
}

/// A language of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub enum Language {
    /// English.
    #[serde(rename = "en")]
    En,
    /// Simplified Chinese.
    #[serde(rename = "zh-CN")]
    ZhCn,
}

/// Light or dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Theme {
    /// As the system.
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

/// What closing the window does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum OnClose {
    /// Asks.
    Ask,
    /// Goes on sharing in the background.
    Keep,
    /// Quits.
    Quit,
}

/// Why settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A tracker's address isn't one.
    #[error("{0:?} is not a tracker's address; one looks like /ip4/203.0.113.5/tcp/4401")]
    Tracker(String),
    /// The folder isn't named from the top.
    #[error("{0:?} is not a whole path to a folder")]
    Folder(String),
    /// The file can't be read as settings.
    #[error("the settings could not be read ({reason}) and are now in {}; Nearcast asks anew", aside.display())]
    Broken {
        /// What is wrong with it.
        reason: String,
        /// Where it was put.
        aside: PathBuf,
    },
    /// The disk won't.
    #[error("the settings can't be kept in {}: {source}", file.display())]
    Disk {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Settings {
    /// With a volume that can be heard.
    pub(crate) fn heard(mut self) -> Self {
        self.volume = if self.volume.is_nan() { 1.0 } else { self.volume.clamp(0.0, 1.0) };
        self
    }

    /// The settings as they can be used: numbers within their limits, addresses and paths that are some.
    ///
    /// # Errors
    /// What the user has to put right.
    pub fn checked(mut self) -> Result<Self, SettingsError> {
        self = self.heard();
        self.limit = self.limit.max(LEAST_LIMIT);
        self.upload = self.upload.map(|rate| rate.max(LEAST_RATE));
        self.download = self.download.map(|rate| rate.max(LEAST_RATE));
        if !self.folder.is_empty() && !Path::new(&self.folder).is_absolute() {
            return Err(SettingsError::Folder(self.folder));
        }
        self.trackers = self.trackers.into_iter().map(|text| text.trim().to_owned()).collect();
        self.trackers.retain(|text| !text.is_empty());
        match self.trackers.iter().find(|text| text.parse::<Multiaddr>().is_err()) {
            Some(wrong) => Err(SettingsError::Tracker(wrong.clone())),
            None => Ok(self),
        }
    }
}

/// The file that settings are kept in.
#[derive(Debug)]
pub struct SettingsFile(PathBuf);

impl SettingsFile {
    /// Opens the file. Without one it is the first start. One that can't be read is put aside, so that nothing in it
    /// is lost, and it is a first start too: sharing needs an answer that is known.
    pub fn open(file: &Path) -> (Self, Option<Settings>, Option<SettingsError>) {
        let read = match std::fs::read(file) {
            Ok(bytes) => serde_json::from_slice::<Settings>(&bytes).map_err(|error| error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return (Self(file.to_owned()), None, None);
            }
            Err(error) => Err(error.to_string()),
        };
        let read = read.and_then(|settings| settings.checked().map_err(|error| error.to_string()));
        match read {
            Ok(settings) => (Self(file.to_owned()), Some(settings), None),
            Err(reason) => {
                let aside = file.with_extension("json.broken");
                let error = match std::fs::rename(file, &aside) {
                    Ok(()) => SettingsError::Broken { reason, aside },
                    Err(source) => SettingsError::Disk { file: file.to_owned(), source },
                };
                (Self(file.to_owned()), None, Some(error))
            }
        }
    }

    /// Keeps settings: a crash leaves the old ones or the new ones.
    ///
    /// # Errors
    /// When the disk won't.
    pub fn save(&self, settings: &Settings) -> Result<(), SettingsError> {
        let failed = |source| SettingsError::Disk { file: self.0.clone(), source };
        let bytes = serde_json::to_vec_pretty(settings).map_err(|error| failed(error.into()))?;
        atomic::write(&self.0, &bytes).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn settings_come_back_and_what_an_older_file_lacks_has_its_default() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config/settings.json");
        let (file, none, error) = SettingsFile::open(&path);
        assert!(none.is_none() && error.is_none());
        let settings = Settings { share: false, upload: Some(100_000), ..Settings::default() };
        file.save(&settings).unwrap();
        assert_eq!(SettingsFile::open(&path).1, Some(settings));
        std::fs::write(&path, r#"{"language":"zh-CN","of_a_later_version":1}"#).unwrap();
        let read = SettingsFile::open(&path).1.unwrap();
        assert_eq!(read, Settings { language: Language::ZhCn, ..Settings::default() });
    }

    #[test]
    fn what_cant_be_used_is_named_or_put_right() {
        let with_tracker = Settings { trackers: vec![" nonsense ".into()], ..Settings::default() };
        assert!(with_tracker.checked().unwrap_err().to_string().contains("nonsense"));
        let with_folder = Settings { folder: "films".into(), ..Settings::default() };
        assert!(matches!(with_folder.checked(), Err(SettingsError::Folder(_))));
        let odd = Settings { volume: f64::NAN, limit: 0, upload: Some(0), ..Settings::default() };
        let put_right = odd.checked().unwrap();
        assert_eq!(
            (put_right.volume, put_right.limit, put_right.upload),
            (1.0, LEAST_LIMIT, Some(LEAST_RATE))
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_put_aside(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("settings.json");
            std::fs::write(&path, &bytes).unwrap();
            let (_, settings, _) = SettingsFile::open(&path);
            if settings.is_none() {
                prop_assert_eq!(std::fs::read(folder.path().join("settings.json.broken")).unwrap(), bytes);
            }
        }
    }
}
