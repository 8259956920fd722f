//! How many streams a node serves at once (R7 a): of one resource, and of all together. Both may change while it runs.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The bounds, and how many streams are open. A lowered bound closes none; it takes no more until there is room.
#[derive(Debug)]
pub(crate) struct Bounds {
    each: AtomicUsize,
    all: AtomicUsize,
    open: AtomicUsize,
}

impl Bounds {
    /// At most `each` of one resource, and `all` together.
    pub fn new(each: usize, all: Option<usize>) -> Self {
        let bounds = Self { each: AtomicUsize::new(0), all: AtomicUsize::new(0), open: AtomicUsize::new(0) };
        bounds.set(each, all);
        bounds
    }

    pub fn set(&self, each: usize, all: Option<usize>) {
        self.each.store(each, Ordering::Relaxed);
        self.all.store(all.unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    /// How many streams of one resource may be open.
    pub fn each(&self) -> usize {
        self.each.load(Ordering::Relaxed)
    }

    /// Whether a resource of which `served` streams are open may have one more.
    pub fn room(&self, served: usize) -> bool {
        served < self.each() && self.open.load(Ordering::Relaxed) < self.all.load(Ordering::Relaxed)
    }

    /// Of a resource, `now` streams are open in place of `before`.
    pub fn count(&self, before: usize, now: usize) {
        // Wraps round, and comes out right.
        self.open.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifty_of_one_and_not_one_more() {
        let bounds = Bounds::new(50, None);
        assert!(bounds.room(49) && !bounds.room(50));
        bounds.set(2, None);
        assert!(bounds.room(1) && !bounds.room(2));
    }

    #[test]
    fn of_all_together() {
        let bounds = Bounds::new(50, Some(3));
        bounds.count(0, 2);
        assert!(bounds.room(0), "another film has a place");
        bounds.count(0, 1);
        assert!(!bounds.room(0));
        // Two of the first leave.
        bounds.count(2, 0);
        assert!(bounds.room(1));
        bounds.set(50, Some(1));
        assert!(!bounds.room(0));
        bounds.set(50, None);
        assert!(bounds.room(0));
    }
}
