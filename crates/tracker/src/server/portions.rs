//! Long work on the memory, a portion at a time, with those who ask in between.

use std::time::{Duration, Instant};

use super::{Server, State};

/// How long those who ask may have to wait for one portion: it is made smaller or larger to fit. A node with
/// many holdings is one portion, however long it takes.
const AIM: Duration = Duration::from_micros(200);
/// How long those who ask have the memory to themselves in between, at least.
const BREATH: Duration = Duration::from_micros(200);
/// And so many times as long as a portion took. Those who ask may need half of the time: with much more taken
/// from them they would wait ever longer.
const BREATHS: u32 = 3;
/// What is done at first.
const FIRST: usize = 100;
/// Below, going to and fro would cost more than the work.
const LEAST: usize = 16;
const MOST: usize = 10_000;

/// How much is done at a time: what is looked at or copied costs one each.
#[derive(Debug)]
pub(crate) struct Portions {
    size: usize,
    last: Duration,
}

impl Default for Portions {
    fn default() -> Self {
        Self { size: FIRST, last: Duration::ZERO }
    }
}

impl Portions {
    /// Does one portion, while those who ask wait.
    pub(crate) fn next<T>(&mut self, server: &Server, work: impl FnOnce(&mut State, usize) -> T) -> T {
        let mut state = server.state();
        let began = Instant::now();
        let done = work(&mut state, self.size);
        drop(state);
        self.took(began.elapsed());
        done
    }

    /// Lets others come first, for several times as long as the last portion took.
    pub(crate) fn rest(&self) {
        // One that took very long was put off by the system: nobody was held up by the work.
        std::thread::sleep((BREATHS * self.last).clamp(BREATH, 10 * AIM));
    }

    fn took(&mut self, time: Duration) {
        self.last = time;
        // By halves and doubles: what one portion took says little of the next.
        if time > AIM {
            self.size = (self.size / 2).max(LEAST);
        } else if time < AIM / 4 {
            self.size = (self.size * 2).min(MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_come_to_fit() {
        for each in [Duration::from_nanos(50), Duration::from_micros(1), Duration::from_micros(8)] {
            let mut portions = Portions::default();
            (0..20).for_each(|_| portions.took(each * portions.size as u32));
            let time = each * portions.size as u32;
            assert!(time <= AIM && time >= AIM / 4, "{time:?} at {each:?}");
        }
        let mut portions = Portions::default();
        (0..20).for_each(|_| portions.took(Duration::from_secs(1)));
        assert_eq!(portions.size, LEAST);
        (0..20).for_each(|_| portions.took(Duration::ZERO));
        assert_eq!(portions.size, MOST);
    }
}
