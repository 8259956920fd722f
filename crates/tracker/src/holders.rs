//! Who holds one resource, by home, with counts that are exact at all times.
//!
//! The holders lie sorted by home in chunks of bounded length. So those of one home lie together and are read
//! in one go, any one of all can be drawn by chance without looking at others, and taking one in or out moves
//! no more than a chunk. Homes with many holders have their counts kept; others are counted where they lie.

use std::collections::HashMap;

use rand::Rng;

use crate::{
    holder::{Holder, Key},
    home::HomeId,
};

/// The most holders in a chunk: 4 KB.
pub(crate) const CHUNK: usize = 512;
/// The most holders of one home that are counted where they lie.
const COUNTED: usize = 256;
/// A home with fewer than this has its counts no longer kept; less than [`COUNTED`], so that one who comes
/// and goes doesn't start it anew each time.
const KEPT: u32 = 128;

/// How many, of which.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub holders: u32,
    /// Terminals that hold all of it.
    pub complete_terminals: u32,
}

/// The holders of one resource.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    /// None is empty.
    chunks: Vec<Chunk>,
    all: Tally,
    /// Most resources have none.
    kept: Option<Box<Kept>>,
}

/// The counts of homes that have many.
#[derive(Debug, Default)]
struct Kept {
    homes: HashMap<HomeId, Tally>,
}

#[derive(Debug)]
struct Chunk {
    first: Key,
    /// How many of these hold all of it.
    complete: u16,
    holders: Vec<Holder>,
}

impl Tally {
    fn add(&mut self, holder: Holder) {
        self.holders += 1;
        self.complete_terminals += u32::from(holder.complete_terminal());
    }

    fn take(&mut self, holder: Holder) {
        self.holders -= 1;
        self.complete_terminals -= u32::from(holder.complete_terminal());
    }
}

impl Holders {
    /// Takes a holder in, or notes how much it holds now. `true` if it is new.
    pub fn set(&mut self, holder: Holder) -> bool {
        if self.chunks.is_empty() {
            self.chunks.reserve_exact(1);
            self.chunks.push(Chunk { first: holder.key(), complete: 0, holders: Vec::new() });
        }
        let mut at = self.chunk_of(holder.key());
        if self.chunks.get(at).is_some_and(|chunk| chunk.holders.len() >= CHUNK) {
            self.split(at);
            at = self.chunk_of(holder.key());
        }
        let Some(chunk) = self.chunks.get_mut(at) else { return false };
        let before = chunk.set(holder);
        self.all.add(holder);
        if let Some(before) = before {
            self.all.take(before);
        }
        self.tell_home(holder, before);
        before.is_none()
    }

    /// Takes a holder out. `false` if it isn't one.
    pub fn remove(&mut self, key: Key) -> bool {
        let at = self.chunk_of(key);
        let Some(taken) = self.chunks.get_mut(at).and_then(|chunk| chunk.remove(key)) else { return false };
        self.all.take(taken);
        if let Some(kept) = &mut self.kept
            && let Some(tally) = kept.homes.get_mut(&taken.home())
        {
            tally.take(taken);
            if tally.holders < KEPT {
                kept.homes.remove(&taken.home());
                if kept.homes.is_empty() {
                    self.kept = None;
                }
            }
        }
        self.join(at);
        true
    }

    pub fn get(&self, key: Key) -> Option<Holder> {
        let chunk = self.chunks.get(self.chunk_of(key))?;
        let index = chunk.holders.binary_search_by_key(&key, |holder| holder.key()).ok()?;
        chunk.holders.get(index).copied()
    }

    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Those of all homes.
    pub fn all(&self) -> Tally {
        self.all
    }

    /// Those of one home.
    pub fn at(&self, home: HomeId) -> Tally {
        if let Some(tally) = self.kept.as_ref().and_then(|kept| kept.homes.get(&home)) {
            return *tally;
        }
        let mut tally = Tally::default();
        self.run(home).flatten().for_each(|holder| tally.add(*holder));
        tally
    }

    /// Those of one home as they lie, in pieces.
    pub fn run(&self, home: HomeId) -> impl Iterator<Item = &[Holder]> {
        let (start, end) = (Key::start(home), Key::end(home));
        let chunks = self.chunks.get(self.chunk_of(start)..).unwrap_or_default();
        chunks.iter().take_while(move |chunk| chunk.first < end).map(move |chunk| chunk.between(start, end))
    }

    /// All as they lie, in pieces.
    pub fn pieces(&self) -> impl Iterator<Item = &[Holder]> {
        self.chunks.iter().map(|chunk| &chunk.holders[..])
    }

    /// Draws about so many of those at a home, each as likely as any other at each draw, so that the same may
    /// be drawn twice. Fit for a home with more than a chunk's holders.
    pub fn draw_at(&self, home: HomeId, many: usize, rng: &mut impl Rng, into: &mut Vec<Holder>) {
        let (from, to) = (self.chunk_of(Key::start(home)), self.chunk_of(Key::end(home)));
        let before = into.len();
        draw(self.chunks.get(from..=to).unwrap_or_default(), many, rng, into);
        // The first and the last chunk may have others too.
        let mut kept = before;
        for index in before..into.len() {
            into.swap(kept, index);
            kept += usize::from(into.get(kept).is_some_and(|holder| holder.home() == home));
        }
        into.truncate(kept);
    }

    /// Draws so many of all, each as likely as any other at each draw, so that the same may be drawn twice.
    /// Fit for more than a chunk's holders.
    pub fn draw(&self, many: usize, rng: &mut impl Rng, into: &mut Vec<Holder>) {
        draw(&self.chunks, many, rng, into);
    }

    /// One who holds all of it, except `without`, from about a place that chance chooses.
    pub fn draw_complete(&self, without: Option<Key>, rng: &mut impl Rng) -> Option<Holder> {
        let fits = |holder: &&Holder| holder.complete() && Some(holder.key()) != without;
        let from = rng.random_range(0..self.chunks.len().max(1));
        let around = self.chunks.iter().cycle().skip(from).take(self.chunks.len());
        around.filter(|chunk| chunk.complete > 0).find_map(|chunk| {
            let from = rng.random_range(0..chunk.holders.len().max(1));
            chunk.holders.iter().cycle().skip(from).take(chunk.holders.len()).find(fits).copied()
        })
    }

    /// Keeps the count of a holder's home, if there is much to count.
    fn tell_home(&mut self, holder: Holder, before: Option<Holder>) {
        let home = holder.home();
        if let Some(tally) = self.kept.as_mut().and_then(|kept| kept.homes.get_mut(&home)) {
            tally.add(holder);
            if let Some(before) = before {
                tally.take(before);
            }
        } else if before.is_none() && self.all.holders as usize > COUNTED {
            let tally = self.at(home);
            if tally.holders as usize > COUNTED {
                self.kept.get_or_insert_default().homes.insert(home, tally);
            }
        }
    }

    /// The chunk that a key is in, if it is in any.
    fn chunk_of(&self, key: Key) -> usize {
        self.chunks.partition_point(|chunk| chunk.first <= key).saturating_sub(1)
    }

    fn split(&mut self, at: usize) {
        let Some(chunk) = self.chunks.get_mut(at) else { return };
        let upper = chunk.holders.split_off(chunk.holders.len() / 2);
        chunk.holders.shrink_to_fit();
        chunk.count();
        if let Some(first) = upper.first() {
            let mut upper = Chunk { first: first.key(), complete: 0, holders: upper };
            upper.holders.shrink_to_fit();
            upper.count();
            self.chunks.insert(at + 1, upper);
        }
    }

    /// Joins a chunk with a neighbour if both together are less than half a chunk, so that drawing seldom
    /// misses and memory is given back.
    fn join(&mut self, at: usize) {
        let len = |at: usize| self.chunks.get(at).map(|chunk| chunk.holders.len());
        let fits = |lower: usize| match (len(lower), len(lower + 1)) {
            (Some(one), Some(other)) => one + other <= CHUNK / 2,
            _ => false,
        };
        let lower = [Some(at), at.checked_sub(1)].into_iter().flatten().find(|lower| fits(*lower));
        if let Some(lower) = lower {
            let upper = self.chunks.remove(lower + 1);
            if let Some(chunk) = self.chunks.get_mut(lower) {
                chunk.holders.reserve_exact(upper.holders.len());
                chunk.holders.extend(upper.holders);
                chunk.count();
            }
        } else if len(at) == Some(0) {
            self.chunks.remove(at);
        }
    }
}

/// The room that so many holders are given: little more than they take, and in few sizes, so that the room that
/// one grows out of fits the next.
fn room(holders: usize) -> usize {
    holders.next_multiple_of(if holders <= 64 { 4 } else { 16 })
}

impl Chunk {
    /// Puts a holder in place of what was known of it.
    fn set(&mut self, holder: Holder) -> Option<Holder> {
        self.complete += u16::from(holder.complete());
        match self.holders.binary_search_by_key(&holder.key(), |holder| holder.key()) {
            Ok(index) => {
                let before = self.holders.get_mut(index).map(|known| std::mem::replace(known, holder))?;
                self.complete -= u16::from(before.complete());
                Some(before)
            }
            Err(index) => {
                if self.holders.len() == self.holders.capacity() {
                    let len = self.holders.len();
                    self.holders.reserve_exact(room(len + 1) - len);
                }
                self.holders.insert(index, holder);
                self.first = self.first.min(holder.key());
                None
            }
        }
    }

    fn remove(&mut self, key: Key) -> Option<Holder> {
        let index = self.holders.binary_search_by_key(&key, |holder| holder.key()).ok()?;
        let taken = self.holders.remove(index);
        self.complete -= u16::from(taken.complete());
        if self.holders.capacity() > 2 * room(self.holders.len()) {
            self.holders.shrink_to(room(self.holders.len()));
        }
        if let Some(first) = self.holders.first() {
            self.first = first.key();
        }
        Some(taken)
    }

    fn count(&mut self) {
        let complete = self.holders.iter().filter(|holder| holder.complete()).count();
        self.complete = u16::try_from(complete).unwrap_or(u16::MAX);
        if let Some(first) = self.holders.first() {
            self.first = first.key();
        }
    }

    fn between(&self, start: Key, end: Key) -> &[Holder] {
        let place = |key: Key| self.holders.partition_point(|holder| holder.key() < key);
        self.holders.get(place(start)..place(end)).unwrap_or_default()
    }
}

/// Draws among those in some chunks: every place of every chunk is as likely, and some are empty.
///
/// Each holder lies in cold memory. First it is found out which are to be read, for which the chunks' lengths
/// are enough; then they are read one after the other without waiting, so that many come in at once.
fn draw(chunks: &[Chunk], mut many: usize, rng: &mut impl Rng, into: &mut Vec<Holder>) {
    let mut met = [(0u32, 0u16); BATCH];
    // More than a quarter of all places are taken, so this is more than enough; no chance may take for ever.
    let mut tries = 16 * many;
    while many > 0 && tries > 0 {
        let (enough, mut found) = (many.min(BATCH), 0);
        while found < enough && tries > 0 {
            tries -= 1;
            let random = rng.next_u64();
            // The upper half chooses the chunk (Lemire 2019, without the last correction), the lower the place.
            let (chunk, place) = (((random >> 32) * chunks.len() as u64) >> 32, random as usize % CHUNK);
            let taken = chunks.get(chunk as usize).map_or(0, |chunk| chunk.holders.len());
            // Written in any case, and written over if nobody is there: no guess of the processor goes wrong.
            if let Some(next) = met.get_mut(found) {
                *next = (chunk as u32, place as u16);
            }
            found += usize::from(place < taken);
        }
        into.extend(met.iter().take(found).filter_map(|(chunk, place)| {
            chunks.get(*chunk as usize)?.holders.get(usize::from(*place)).copied()
        }));
        many -= found;
    }
}

/// So many are found out before any is read.
const BATCH: usize = 256;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use nearcast_protocol::Role;
    use proptest::{
        collection::vec,
        prelude::{ProptestConfig, any, prop_assert_eq, proptest},
    };
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn sound(holders: &Holders) {
        let all: Vec<_> = holders.pieces().flatten().map(|holder| holder.key()).collect();
        assert!(all.is_sorted());
        assert_eq!(all.len(), holders.all.holders as usize);
        for (at, chunk) in holders.chunks.iter().enumerate() {
            assert!(!chunk.holders.is_empty() && chunk.holders.len() <= CHUNK);
            assert_eq!(chunk.first, chunk.holders[0].key());
            let complete = chunk.holders.iter().filter(|holder| holder.complete()).count();
            assert_eq!(usize::from(chunk.complete), complete);
            let next = holders.chunks.get(at + 1).map_or(CHUNK, |next| next.holders.len());
            assert!(chunk.holders.len() + next > CHUNK / 2, "half empty chunks are joined");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn counts_are_those_of_a_naive_map(
            // Whole crowds come and go, so that chunks split and join and counts begin and end to be kept.
            crowds in vec((0u32..4, 0u32..3_000, 1u32..400, 0u16..4), 1..60),
            seed in any::<u64>(),
        ) {
            let (mut holders, mut naive) = (Holders::default(), BTreeMap::new());
            let mut dice = StdRng::seed_from_u64(seed);
            for (home, from, many, what) in crowds {
                for slot in from..from + many {
                    let key = Key::new(home, slot);
                    if what == 0 {
                        prop_assert_eq!(holders.remove(key), naive.remove(&key).is_some());
                    } else {
                        let role = if slot % 3 == 0 { Role::Publisher } else { Role::Terminal };
                        let holder = Holder::new(home, slot, role, 499 + what * 167);
                        prop_assert_eq!(holders.set(holder), naive.insert(key, holder).is_none());
                    }
                }
                sound(&holders);
                let mut all = Tally::default();
                for home in 0..5 {
                    let inside = naive.range(Key::start(home)..Key::end(home)).map(|(_, holder)| *holder);
                    let mut tally = Tally::default();
                    inside.clone().for_each(|holder| tally.add(holder));
                    prop_assert_eq!(holders.at(home), tally);
                    prop_assert_eq!(holders.run(home).flatten().copied().collect::<Vec<_>>(), inside.collect::<Vec<_>>());
                    all.holders += tally.holders;
                    all.complete_terminals += tally.complete_terminals;
                    let mut drawn = Vec::new();
                    holders.draw_at(home, 20, &mut dice, &mut drawn);
                    for drawn in drawn {
                        assert!(drawn.home() == home && naive.get(&drawn.key()) == Some(&drawn));
                    }
                }
                prop_assert_eq!(holders.all(), all);
                prop_assert_eq!(holders.is_empty(), naive.is_empty());
                let mut complete = naive.values().filter(|holder| holder.complete());
                let without = complete.next().map(|holder| holder.key());
                let drawn = holders.draw_complete(without, &mut dice);
                prop_assert_eq!(drawn.is_some(), complete.next().is_some());
                assert!(drawn.is_none_or(|drawn| drawn.complete() && Some(drawn.key()) != without));
            }
        }
    }

    #[test]
    fn each_is_as_likely_as_any_other() {
        let mut holders = Holders::default();
        for slot in 0..2_000 {
            // Every third home has many, the others one each.
            let home = if slot % 3 == 0 { 1 } else { 10 + slot };
            holders.set(Holder::new(home, slot, Role::Terminal, 500));
        }
        let mut dice = StdRng::seed_from_u64(3);
        let (mut drawn, mut times) = (Vec::new(), vec![0u32; 2_000]);
        while drawn.len() < 200_000 {
            holders.draw(1_000, &mut dice, &mut drawn);
        }
        drawn.iter().take(200_000).for_each(|holder| times[holder.slot() as usize] += 1);
        // A hundred each; the standard deviation is ten.
        assert!(times.iter().all(|times| (50..150).contains(times)), "{times:?}");
    }
}
