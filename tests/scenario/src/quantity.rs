//! Rates, times and shares as a person writes them: `20Mbit`, `1.5s`, `2%`.

use std::{str::FromStr, time::Duration};

use serde::Deserialize;

/// Why a quantity can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no {what}: expected a number and {units}, such as {example}")]
pub struct BadQuantity {
    found: String,
    what: &'static str,
    units: &'static str,
    example: &'static str,
}

/// Bits per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Rate(pub u64);

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(try_from = "String")]
pub struct Time(pub Duration);

/// A share of the whole, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Deserialize)]
#[serde(try_from = "String")]
pub struct Share(pub f64);

impl Rate {
    /// In bytes per second.
    pub fn bytes(self) -> u64 {
        self.0 / 8
    }
}

/// The number and the rest, if the number is one of everyday life.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let number = text[..end].parse::<f64>().ok().filter(|number| *number <= 1e12)?;
    Some((number, text[end..].trim()))
}

impl FromStr for Rate {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        let bits = split(text).and_then(|(number, unit)| {
            let scale = match unit {
                "bit" => 1.0,
                "kbit" => 1e3,
                "Mbit" => 1e6,
                "Gbit" => 1e9,
                _ => return None,
            };
            Some((number * scale) as u64).filter(|bits| (8_000..=100_000_000_000).contains(bits))
        });
        let units = "bit, kbit, Mbit or Gbit, from 8 kbit to 100 Gbit";
        bits.map(Self).ok_or(BadQuantity { found: text.into(), what: "rate", units, example: "20Mbit" })
    }
}

impl FromStr for Time {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        let time = split(text).and_then(|(number, unit)| {
            let seconds = match unit {
                "ms" => number / 1e3,
                "s" => number,
                "min" => number * 60.0,
                _ => return None,
            };
            Some(seconds).filter(|seconds| *seconds <= 86_400.0).map(Duration::from_secs_f64)
        });
        let units = "ms, s or min, up to a day";
        time.map(Self).ok_or(BadQuantity { found: text.into(), what: "time", units, example: "1.5s" })
    }
}

impl FromStr for Share {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        let share = split(text).filter(|(number, unit)| *unit == "%" && *number <= 100.0);
        let bad = BadQuantity { found: text.into(), what: "share", units: "%, up to 100 %", example: "2%" };
        share.map(|(number, _)| Self(number / 100.0)).ok_or(bad)
    }
}

macro_rules! from_string {
    ($($name:ty),*) => {$(
        impl TryFrom<String> for $name {
            type Error = BadQuantity;

            fn try_from(text: String) -> Result<Self, BadQuantity> {
                text.parse()
            }
        }
    )*};
}

from_string!(Rate, Time, Share);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantities_are_read_as_they_are_meant() {
        assert_eq!("20Mbit".parse(), Ok(Rate(20_000_000)));
        assert_eq!("2.5 Mbit".parse(), Ok(Rate(2_500_000)));
        assert_eq!("1.5s".parse(), Ok(Time(Duration::from_millis(1500))));
        assert_eq!("20ms".parse(), Ok(Time(Duration::from_millis(20))));
        assert_eq!("2%".parse(), Ok(Share(0.02)));
    }

    #[test]
    fn nonsense_is_named() {
        for wrong in ["", "20", "fast", "-3Mbit", "1e99Mbit", "20MB", "1bit", "..Mbit"] {
            let error = wrong.parse::<Rate>().unwrap_err().to_string();
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
        }
        assert!("3h".parse::<Time>().is_err() && "101%".parse::<Share>().is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_a_reader_panic(text in ".{0,40}") {
            let _ = (text.parse::<Rate>(), text.parse::<Time>(), text.parse::<Share>());
        }
    }
}
