//! What was sent today.

use std::{
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use jiff::{Zoned, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::atomic;

/// Bytes sent since the last midnight of this place, across restarts.
#[derive(Debug)]
pub struct Today {
    file: PathBuf,
    count: Count,
    zone: TimeZone,
    kept: bool,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Count {
    day: Option<Date>,
    bytes: u64,
}

impl Today {
    /// Takes up the count in `file`; a file that can't be read counts from zero.
    pub fn open(file: &Path) -> Self {
        Self::open_in(file, TimeZone::system())
    }

    fn open_in(file: &Path, zone: TimeZone) -> Self {
        let count = std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self { file: file.to_owned(), count: count.unwrap_or_default(), zone, kept: true }
    }

    /// More bytes were sent.
    pub fn add(&mut self, bytes: u64, now: SystemTime) {
        if bytes == 0 {
            return;
        }
        let today = self.day(now);
        if self.count.day != today {
            self.count = Count { day: today, bytes: 0 };
        }
        self.count.bytes = self.count.bytes.saturating_add(bytes);
        self.kept = false;
    }

    /// Bytes sent on the day that `now` is in.
    pub fn bytes(&self, now: SystemTime) -> u64 {
        if self.count.day == self.day(now) { self.count.bytes } else { 0 }
    }

    /// Writes the count down, if it has changed.
    ///
    /// # Errors
    /// When the disk won't.
    pub fn save(&mut self) -> io::Result<()> {
        if !self.kept {
            atomic::write(&self.file, &serde_json::to_vec(&self.count)?)?;
            self.kept = true;
        }
        Ok(())
    }

    fn day(&self, now: SystemTime) -> Option<Date> {
        let moment = jiff::Timestamp::try_from(now).ok()?;
        Some(Zoned::new(moment, self.zone.clone()).date())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_new_day_of_this_place_starts_at_zero_and_a_restart_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/today.json");
        let zone = TimeZone::fixed(jiff::tz::offset(8));
        // 15:59 UTC is 23:59 there.
        let evening = UNIX_EPOCH + Duration::from_secs(15 * 3600 + 59 * 60);
        let night = evening + Duration::from_secs(120);
        let mut today = Today::open_in(&file, zone.clone());
        today.add(5, evening);
        today.save().unwrap();
        let mut today = Today::open_in(&file, zone.clone());
        today.add(6, evening);
        assert_eq!((today.bytes(evening), today.bytes(night)), (11, 0));
        today.add(7, night);
        assert_eq!(today.bytes(night), 7);
        std::fs::write(&file, "broken").unwrap();
        assert_eq!(Today::open_in(&file, zone).bytes(evening), 0);
    }
}
