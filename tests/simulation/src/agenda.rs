//! What is to happen, in the order of its time.

use std::{cmp::Ordering, collections::BinaryHeap, time::Duration};

/// Things to come. Of those at the same time, the one noted first comes first.
pub(crate) struct Agenda<T> {
    heap: BinaryHeap<Noted<T>>,
    noted: u64,
}

struct Noted<T> {
    at: Duration,
    number: u64,
    what: T,
}

impl<T> Agenda<T> {
    pub fn new() -> Self {
        Self { heap: BinaryHeap::new(), noted: 0 }
    }

    pub fn note(&mut self, at: Duration, what: T) {
        self.noted += 1;
        self.heap.push(Noted { at, number: self.noted, what });
    }

    pub fn next(&mut self) -> Option<(Duration, T)> {
        self.heap.pop().map(|noted| (noted.at, noted.what))
    }
}

impl<T> Noted<T> {
    fn key(&self) -> (Duration, u64) {
        (self.at, self.number)
    }
}

impl<T> PartialEq for Noted<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Noted<T> {}

impl<T> PartialOrd for Noted<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The earliest is the greatest, as a heap gives out the greatest first.
impl<T> Ord for Noted<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}
