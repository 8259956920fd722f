//! A film that arrives when the test says so.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use nearcast_playback::{Media, MediaError};

use super::watching::PATIENCE;

/// A film of which a part is withheld until it is released: what a reader of the controller is, without the
/// controller.
pub struct SlowMedia {
    name: String,
    film: Vec<u8>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    withheld: Range<usize>,
    lost: Option<String>,
    interrupted: bool,
    /// Reads that are blocked, by when they began; a number tells them apart.
    blocked: BTreeMap<u64, Instant>,
    reads: u64,
    bit_rate: Option<u64>,
    rate: Option<f64>,
}

impl SlowMedia {
    /// `withheld` is the part that isn't there yet, bytes.
    pub fn new(name: &str, film: Vec<u8>, withheld: Range<usize>) -> Self {
        let state = State { withheld, ..State::default() };
        Self { name: name.into(), film, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Everything is there.
    pub fn release(&self) {
        self.change(|state| state.withheld = 0..0);
    }

    /// What is withheld can never come.
    pub fn lose(&self, sentence: &str) {
        self.change(|state| state.lost = Some(sentence.into()));
    }

    /// Returns once a read is blocked.
    pub fn wait_until_blocked(&self) {
        let wait =
            self.changed.wait_timeout_while(self.lock(), PATIENCE, |state| state.blocked.is_empty()).unwrap();
        assert!(!wait.1.timed_out(), "no read was ever blocked");
    }

    pub fn bit_rate(&self) -> Option<u64> {
        self.lock().bit_rate
    }

    pub fn rate(&self) -> Option<f64> {
        self.lock().rate
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Media for SlowMedia {
    fn size(&self) -> u64 {
        self.film.len() as u64
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, MediaError> {
        let start = (offset as usize).min(self.film.len());
        let mut state = self.lock();
        state.reads += 1;
        let number = state.reads;
        let end = loop {
            if state.interrupted {
                return Err(MediaError::Interrupted);
            }
            if start == self.film.len() || !state.withheld.contains(&start) {
                let next_gap =
                    if start < state.withheld.start { state.withheld.start } else { self.film.len() };
                break next_gap.min(self.film.len()).min(start + buf.len());
            }
            if let Some(sentence) = &state.lost {
                return Err(MediaError::Lost(sentence.clone()));
            }
            state.blocked.insert(number, Instant::now());
            self.changed.notify_all();
            state = self.changed.wait(state).unwrap();
            state.blocked.remove(&number);
        };
        buf[..end - start].copy_from_slice(&self.film[start..end]);
        Ok(end - start)
    }

    fn interrupt(&self, on: bool) {
        self.change(|state| state.interrupted = on);
    }

    fn set_bit_rate(&self, bits_per_second: u64) {
        self.change(|state| state.bit_rate = Some(bits_per_second));
    }

    fn set_rate(&self, rate: f64) {
        self.change(|state| state.rate = Some(rate));
    }

    fn waiting(&self) -> Option<Duration> {
        self.lock().blocked.values().min().map(Instant::elapsed)
    }
}
