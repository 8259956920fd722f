//! Rates as people write them: `2Mbit`, `750kB`, `1.5MB/s`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de::Error as _};

/// A rate of bytes, written in bits (`2Mbit`) or bytes (`250kB`) a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Bytes a second; never 0.
    pub bytes: u64,
}

/// Why a text is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a rate such as 2Mbit, 750kB or 1.5MB/s")]
pub struct RateError(String);

const UNITS: [(&str, f64); 8] = [
    ("gbit", 125e6),
    ("mbit", 125e3),
    ("kbit", 125.0),
    ("gb", 1e9),
    ("mb", 1e6),
    ("kb", 1e3),
    ("bit", 0.125),
    ("b", 1.0),
];

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || RateError(text.chars().take(40).collect());
        let lower = text.trim().to_ascii_lowercase();
        let lower = lower.strip_suffix("/s").unwrap_or(&lower);
        let (number, factor) = UNITS
            .iter()
            .find_map(|(unit, factor)| Some((lower.strip_suffix(unit)?.trim_end(), factor)))
            .ok_or_else(wrong)?;
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let bytes = (number * factor).round();
        if !bytes.is_finite() || !(1.0..1e15).contains(&bytes) {
            return Err(wrong());
        }
        // In range, as just checked.
        Ok(Self { bytes: bytes as u64 })
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.bytes as f64 * 8.0;
        match bits {
            bits if bits >= 1e6 => write!(f, "{:.1} Mbit/s", bits / 1e6),
            bits => write!(f, "{:.0} kbit/s", bits / 1e3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, bytes) in [
            ("2Mbit", 250_000),
            ("2 mbit/s", 250_000),
            ("750kB", 750_000),
            ("1.5MB/s", 1_500_000),
            ("1Gbit", 125_000_000),
            ("8bit", 1),
            ("100b", 100),
        ] {
            assert_eq!(text.parse(), Ok(Rate { bytes }), "{text}");
        }
        for text in ["", "2", "Mbit", "-1MB", "0MB", "nanMB", "infMB", "1e300GB", "2 furlongs"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
