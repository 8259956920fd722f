//! The films that a scenario can name.

use std::time::Duration;

use serde::Deserialize;

/// A film that `scripts/film` makes. Sizes and lengths are what it makes, for the simulation; the lab plays
/// the file itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Film {
    /// 30 s of mp4, the index first.
    Short,
    /// Ten minutes of mp4, the index first.
    Mp4,
    /// Ten minutes of mp4, the index last.
    Mp4IndexLast,
}

impl Film {
    /// Its name for `scripts/film`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Mp4 => "mp4",
            Self::Mp4IndexLast => "mp4-index-last",
        }
    }

    /// Its size in bytes.
    pub fn size(self) -> u64 {
        match self {
            Self::Short => SHORT_SIZE,
            Self::Mp4 | Self::Mp4IndexLast => LONG_SIZE,
        }
    }

    /// How long it is.
    pub fn length(self) -> Duration {
        Duration::from_secs(match self {
            Self::Short => 30,
            Self::Mp4 | Self::Mp4IndexLast => 600,
        })
    }

    /// Its mean rate in bytes/s.
    pub fn rate(self) -> u64 {
        self.size() / self.length().as_secs()
    }

    /// Whether a player has to read its end before its beginning makes sense.
    pub fn index_last(self) -> bool {
        self == Self::Mp4IndexLast
    }
}

const SHORT_SIZE: u64 = 22_718_619;
const LONG_SIZE: u64 = 454_346_195;
