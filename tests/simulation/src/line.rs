//! A line in one direction: what is given to it leaves in that order, at its rate.

use std::time::Duration;

/// A first-in, first-out server of bytes. Its queue has no end: how much waits in it is up to those who ask.
#[derive(Debug, Clone)]
pub(crate) struct Pipe {
    /// Bytes/s; none is no limit.
    rate: Option<u64>,
    free_at: Duration,
    /// Bytes of film that went through.
    pub carried: u64,
}

impl Pipe {
    pub fn new(rate: Option<u64>) -> Self {
        Self { rate, free_at: Duration::ZERO, carried: 0 }
    }

    pub fn is_limited(&self) -> bool {
        self.rate.is_some()
    }

    /// From now on it carries this much. What is in it already keeps its time.
    pub fn slow(&mut self, rate: u64) {
        self.rate = Some(rate);
    }

    /// When the last of so many bytes, given to it now, is through.
    pub fn pass(&mut self, now: Duration, bytes: u64) -> Duration {
        self.carried += bytes;
        let Some(rate) = self.rate else { return now };
        let nanos = u128::from(on_the_wire(bytes)) * 1_000_000_000 / u128::from(rate.max(1));
        let time = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.free_at = self.free_at.max(now) + time;
        self.free_at
    }
}

/// What so many bytes of film take on a line, with proofs, encryption and the headers of all layers: 4 %
/// more, which is a guess and no measurement.
fn on_the_wire(bytes: u64) -> u64 {
    bytes + bytes / 25
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_after_another_at_the_line_s_rate() {
        let mut pipe = Pipe::new(Some(104_000));
        assert_eq!(pipe.pass(Duration::ZERO, 50_000), Duration::from_millis(500));
        assert_eq!(pipe.pass(Duration::ZERO, 50_000), Duration::from_millis(1000));
        assert_eq!(pipe.pass(Duration::from_secs(5), 50_000), Duration::from_millis(5500));
        assert_eq!(Pipe::new(None).pass(Duration::from_secs(1), 50_000), Duration::from_secs(1));
        assert_eq!(pipe.carried, 150_000);
    }
}
