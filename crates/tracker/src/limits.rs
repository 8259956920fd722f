//! How much anyone may ask, and how much memory it may all take.

use std::time::Duration;

/// How much anyone may ask, and how much memory it may all take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests a second that one address may make in the long run. An office behind one address has many
    /// viewers, so this is generous.
    pub pace: u32,
    /// Requests that one address may make at once.
    pub burst: u32,
    /// Different resources that one node may ask for in a minute.
    pub distinct: u32,
    /// Bytes of the whole process above which nothing more is remembered; 0 for no bound.
    pub memory: u64,
}

/// Why limits make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// Nobody could ask anything.
    #[error("{name} = 0 lets nobody ask anything; choose at least 1")]
    Nothing {
        /// The limit.
        name: &'static str,
    },
}

impl Default for Limits {
    fn default() -> Self {
        Self { pace: 60, burst: 300, distinct: 120, memory: 2_048_000_000 }
    }
}

impl Limits {
    /// The same limits, if they make sense.
    ///
    /// # Errors
    /// With the one that doesn't.
    pub fn checked(self) -> Result<Self, LimitsError> {
        let all = [("pace", self.pace), ("burst", self.burst), ("distinct", self.distinct)];
        match all.into_iter().find(|(_, limit)| *limit == 0) {
            Some((name, _)) => Err(LimitsError::Nothing { name }),
            None => Ok(self),
        }
    }
}

/// A bucket that fills at a rate and never holds more than a burst.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    left: f64,
    since: Duration,
}

impl Bucket {
    /// A full one.
    pub fn full(now: Duration, burst: f64) -> Self {
        Self { left: burst, since: now }
    }

    /// What is in it, filling at `rate` a second.
    pub fn holds(&self, now: Duration, rate: f64, burst: f64) -> f64 {
        (self.left + now.saturating_sub(self.since).as_secs_f64() * rate).min(burst)
    }

    /// Takes one out.
    ///
    /// # Errors
    /// How long until there is one.
    pub fn take(&mut self, now: Duration, rate: f64, burst: f64) -> Result<(), Duration> {
        let holds = self.holds(now, rate, burst);
        *self = Self { left: holds, since: now };
        if holds < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - holds) / rate));
        }
        self.left = holds - 1.0;
        Ok(())
    }
}
