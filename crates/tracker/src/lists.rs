//! Many short lists of numbers in one piece of memory.
//!
//! A million `Vec`s of twenty numbers take half as much again as the numbers do, for their pointers and the
//! allocator's rounding. Here a list is 8 bytes and its numbers lie with all others'. A list that grows out
//! of its place moves, and its place goes to the next one of that size.

use std::marker::PhantomData;

/// Places are multiples of this many numbers.
const GRAIN: usize = 4;
/// Up to this many numbers a list has the smallest place it fits in; beyond, one at most an eighth too large,
/// so that there are few sizes and a freed place is soon taken.
const FINE: usize = 64;

/// Where a list lies. Only the [`Lists`] that made it can read it; it has to be freed there.
#[derive(Debug, Default)]
pub(crate) struct List<N> {
    /// In grains.
    at: u32,
    len: u16,
    of: PhantomData<N>,
}

/// All lists of one kind of number.
#[derive(Default)]
pub(crate) struct Lists<N> {
    numbers: Vec<N>,
    /// Free places by their size in grains.
    free: Vec<Vec<u32>>,
}

impl<N: Copy + Default + Ord> Lists<N> {
    pub fn get(&self, list: &List<N>) -> &[N] {
        let at = list.at as usize * GRAIN;
        self.numbers.get(at..at + usize::from(list.len)).unwrap_or_default()
    }

    /// Appends a number; `false` if the list is as long as lists get.
    pub fn push(&mut self, list: &mut List<N>, number: N) -> bool {
        let len = usize::from(list.len);
        let Ok(longer) = u16::try_from(len + 1) else { return false };
        if len == size(len) {
            self.move_to(list, len + 1);
        }
        list.len = longer;
        self.set(list, len, number);
        true
    }

    /// Takes a number out; the last takes its place.
    pub fn remove(&mut self, list: &mut List<N>, number: N) {
        let numbers = self.get(list);
        let Some(index) = numbers.iter().position(|held| *held == number) else { return };
        let (len, last) = (numbers.len() - 1, numbers.last().copied().unwrap_or_default());
        self.set(list, index, last);
        let before = size(len + 1);
        list.len -= 1;
        if size(len) < before {
            // `move_to` frees the place by the length, which must still be the old one's.
            list.len += 1;
            self.move_to(list, len);
            list.len -= 1;
        }
    }

    /// Takes out all of the numbers, which are sorted.
    pub fn remove_all(&mut self, list: &mut List<N>, numbers: &[N]) {
        if numbers.is_empty() {
            return;
        }
        let at = list.at as usize * GRAIN;
        let mut kept = 0;
        for index in 0..usize::from(list.len) {
            let Some(number) = self.numbers.get(at + index).copied() else { break };
            if numbers.binary_search(&number).is_err() {
                self.set(list, kept, number);
                kept += 1;
            }
        }
        if size(kept) < size(usize::from(list.len)) {
            // `move_to` frees the place by the length, which must still be the old one's.
            self.move_to(list, kept);
        }
        list.len = u16::try_from(kept).unwrap_or(list.len);
    }

    pub fn clear(&mut self, list: &mut List<N>) {
        let old = std::mem::take(list);
        self.release(old.at, size(usize::from(old.len)));
    }

    fn set(&mut self, list: &List<N>, index: usize, number: N) {
        if let Some(place) = self.numbers.get_mut(list.at as usize * GRAIN + index) {
            *place = number;
        }
    }

    /// Moves a list to a place for `len` numbers.
    fn move_to(&mut self, list: &mut List<N>, len: usize) {
        let old = std::mem::replace(&mut list.at, 0);
        let held = usize::from(list.len);
        if len > 0 {
            list.at = self.place(size(len));
            let from = old as usize * GRAIN;
            self.numbers.copy_within(from..from + held.min(len), list.at as usize * GRAIN);
        }
        self.release(old, size(held));
    }

    fn place(&mut self, size: usize) -> u32 {
        if let Some(at) = self.free.get_mut(size / GRAIN).and_then(Vec::pop) {
            return at;
        }
        let at = self.numbers.len();
        self.numbers.resize(at + size, N::default());
        // Four thousand million grains are 64 GB.
        u32::try_from(at / GRAIN).unwrap_or(u32::MAX)
    }

    fn release(&mut self, at: u32, size: usize) {
        if size > 0 {
            let grains = size / GRAIN;
            if self.free.len() <= grains {
                self.free.resize_with(grains + 1, Vec::new);
            }
            self.free[grains].push(at);
        }
    }
}

/// The place that a list of this many numbers has.
fn size(len: usize) -> usize {
    let step = if len <= FINE { GRAIN } else { len.next_power_of_two() / 8 };
    len.next_multiple_of(step)
}

#[cfg(test)]
mod tests {
    use proptest::{
        collection::vec,
        prelude::{any, prop_assert_eq, proptest},
    };

    use super::*;

    proptest! {
        #[test]
        fn as_so_many_vectors(steps in vec((0usize..4, 0u32..150, any::<u8>()), 0..2_000)) {
            let (mut lists, mut naive) = (Lists::default(), vec![Vec::new(); 4]);
            let mut places: Vec<List<u32>> = (0..4).map(|_| List::default()).collect();
            for (which, number, what) in steps {
                match what {
                    0 => {
                        lists.clear(&mut places[which]);
                        naive[which].clear();
                    }
                    1..=5 => {
                        let gone: Vec<u32> = (number..number + 40).collect();
                        lists.remove_all(&mut places[which], &gone);
                        naive[which].retain(|held| !gone.contains(held));
                    }
                    6..=50 => {
                        lists.remove(&mut places[which], number);
                        if let Some(index) = naive[which].iter().position(|held| *held == number) {
                            naive[which].swap_remove(index);
                        }
                    }
                    _ => {
                        assert!(lists.push(&mut places[which], number));
                        naive[which].push(number);
                    }
                }
                for (place, naive) in places.iter().zip(&naive) {
                    prop_assert_eq!(lists.get(place), &naive[..]);
                }
            }
            let taken: usize = places.iter().map(|place| size(place.len.into())).sum();
            let free: usize = lists.free.iter().enumerate().map(|(grains, all)| grains * GRAIN * all.len()).sum();
            prop_assert_eq!(taken + free, lists.numbers.len(), "a place is lost or given twice");
        }
    }

    #[test]
    fn what_is_freed_is_used_again() {
        let mut lists = Lists::default();
        let full = |lists: &mut Lists<u32>| {
            let mut list = List::default();
            (0..1500).for_each(|number| assert!(lists.push(&mut list, number)));
            list
        };
        let mut first = full(&mut lists);
        lists.clear(&mut first);
        let after_one = lists.numbers.len();
        for _ in 0..100 {
            let mut list = full(&mut lists);
            lists.clear(&mut list);
        }
        assert_eq!(lists.numbers.len(), after_one);
    }
}
