//! Upload limits by the hour of the day, local time: `22:00-07:00 = unlimited`.

use std::{fmt, str::FromStr, time::Duration};

use jiff::civil::Time;
use nearcast_transfer::rate::Rate;
use serde::Deserialize;

/// Nobody waits longer than this to look at the clock again: it may be set, or the machine asleep.
const LONGEST: Duration = Duration::from_secs(300);

/// A limit for a part of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Hours {
    from: Time,
    to: Time,
    /// Bytes/s; `None` is without a limit.
    rate: Option<u64>,
}

/// Why hours can't be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} are no hours: {why}; write 22:00-07:00 = 200Mbit, or = unlimited")]
pub struct HoursError {
    text: String,
    why: &'static str,
}

impl FromStr for Hours {
    type Err = HoursError;

    fn from_str(text: &str) -> Result<Self, HoursError> {
        let wrong = |why| HoursError { text: text.chars().take(60).collect(), why };
        let (hours, rate) = text.split_once('=').ok_or(wrong("there is no ="))?;
        let (from, to) = hours.split_once('-').ok_or(wrong("there is no - between two times"))?;
        let time = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            let (hour, minute) = (hour.parse().ok()?, minute.parse().ok()?);
            // The end of the day, as people write it.
            if (hour, minute) == (24, 0) {
                Some(Time::midnight())
            } else {
                Time::new(hour, minute, 0, 0).ok()
            }
        };
        let (from, to) = time(from).zip(time(to)).ok_or(wrong("a time goes from 00:00 to 24:00"))?;
        let rate = match rate.trim() {
            "unlimited" => None,
            rate => Some(rate.parse::<Rate>().map_err(|_| wrong("the limit is no rate"))?.bytes),
        };
        Ok(Self { from, to, rate })
    }
}

impl TryFrom<String> for Hours {
    type Error = HoursError;

    fn try_from(text: String) -> Result<Self, HoursError> {
        text.parse()
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from.strftime("%H:%M"), self.to.strftime("%H:%M"));
        match self.rate {
            Some(rate) => write!(f, "{from}-{to} = {} bytes/s", rate),
            None => write!(f, "{from}-{to} = unlimited"),
        }
    }
}

impl Hours {
    /// Whether the time lies within; hours may go over midnight, and from a time to itself is the whole day.
    fn covers(&self, time: Time) -> bool {
        if self.from < self.to {
            (self.from..self.to).contains(&time)
        } else {
            time >= self.from || time < self.to
        }
    }
}

/// The limit at a time of day, in bytes/s: that of the first hours it lies in, else `otherwise`.
pub fn limit_at(hours: &[Hours], time: Time, otherwise: Option<u64>) -> Option<u64> {
    hours.iter().find(|hours| hours.covers(time)).map_or(otherwise, |hours| hours.rate)
}

/// How long the limit may hold from a time of day on, before one has to look again.
pub fn until_change(hours: &[Hours], time: Time) -> Duration {
    let seconds = |time: Time| {
        u64::from(u32::try_from(time.hour()).unwrap_or(0)) * 3600
            + u64::from(u32::try_from(time.minute()).unwrap_or(0)) * 60
            + u64::from(u32::try_from(time.second()).unwrap_or(0))
    };
    let edges = hours.iter().flat_map(|hours| [hours.from, hours.to]).map(seconds);
    let ahead = edges.map(|edge| (edge + 86_400 - seconds(time)) % 86_400).filter(|ahead| *ahead > 0);
    ahead.min().map_or(LONGEST, Duration::from_secs).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i8, minute: i8) -> Time {
        Time::new(hour, minute, 0, 0).unwrap()
    }

    #[test]
    fn the_night_goes_over_midnight() {
        let hours =
            ["22:00-07:00 = unlimited", "12:00-13:30=10Mbit"].map(|text| text.parse::<Hours>().unwrap());
        let day = Some(1_000_000);
        for (time, limit) in [
            (at(21, 59), day),
            (at(22, 0), None),
            (at(23, 59), None),
            (at(0, 0), None),
            (at(6, 59), None),
            (at(7, 0), day),
            (at(12, 0), Some(1_250_000)),
            (at(13, 30), day),
        ] {
            assert_eq!(limit_at(&hours, time, day), limit, "{time}");
        }
        assert_eq!(until_change(&hours, at(21, 59)), Duration::from_secs(60));
        assert_eq!(until_change(&hours, at(22, 0)), LONGEST);
        assert_eq!(until_change(&[], at(22, 0)), LONGEST);
    }

    #[test]
    fn the_first_hours_win_and_a_day_is_a_day() {
        let hours =
            ["08:00-24:00 = 1Mbit", "00:00-00:00 = unlimited"].map(|text| text.parse::<Hours>().unwrap());
        assert_eq!(limit_at(&hours, at(8, 0), Some(1)), Some(125_000));
        assert_eq!(limit_at(&hours, at(7, 59), Some(1)), None);
    }

    #[test]
    fn nonsense_is_told_apart() {
        for text in ["", "22-07 = 1Mbit", "22:00-07:00", "25:00-07:00 = 1Mbit", "22:00-07:00 = fast"] {
            let error = text.parse::<Hours>().unwrap_err().to_string();
            assert!(error.contains("22:00-07:00 = 200Mbit"), "{error}");
        }
    }
}
