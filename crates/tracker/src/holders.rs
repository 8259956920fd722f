//! Who holds one resource, by home, with counts that are exact at all times.

use std::collections::HashMap;

use indexmap::IndexSet;
use nearcast_protocol::Role;
use rand::{Rng, seq::index};

use crate::node::{Home, Slot};

/// The holders of one resource. Nothing here is counted by looking through it.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    all: IndexSet<Slot>,
    /// Those who hold all of it.
    complete: IndexSet<Slot>,
    complete_terminals: usize,
    homes: HashMap<Home, AtHome>,
}

#[derive(Debug, Default)]
struct AtHome {
    members: IndexSet<Slot>,
    complete_terminals: usize,
}

impl Holders {
    pub fn add(&mut self, slot: Slot, home: Home, role: Role, complete: bool) {
        self.all.insert(slot);
        let at_home = self.homes.entry(home).or_default();
        at_home.members.insert(slot);
        if complete && self.complete.insert(slot) && role == Role::Terminal {
            self.complete_terminals += 1;
            at_home.complete_terminals += 1;
        }
    }

    /// Takes out who was added with this home and role.
    pub fn remove(&mut self, slot: Slot, home: Home, role: Role) {
        self.all.swap_remove(&slot);
        let complete_terminal = self.complete.swap_remove(&slot) && role == Role::Terminal;
        self.complete_terminals -= usize::from(complete_terminal);
        if let Some(at_home) = self.homes.get_mut(&home) {
            at_home.members.swap_remove(&slot);
            at_home.complete_terminals -= usize::from(complete_terminal);
            if at_home.members.is_empty() {
                self.homes.remove(&home);
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn total(&self) -> usize {
        self.all.len()
    }

    pub fn at(&self, home: Home) -> usize {
        self.homes.get(&home).map_or(0, |at_home| at_home.members.len())
    }

    pub fn complete_terminals(&self) -> usize {
        self.complete_terminals
    }

    pub fn complete_terminals_at(&self, home: Home) -> usize {
        self.homes.get(&home).map_or(0, |at_home| at_home.complete_terminals)
    }

    pub fn contains(&self, slot: Slot) -> bool {
        self.all.contains(&slot)
    }

    pub fn is_complete(&self, slot: Slot) -> bool {
        self.complete.contains(&slot)
    }

    /// At most `amount` of those at this home, never `without`, in random order.
    pub fn sample_at(
        &self,
        home: Home,
        without: Option<Slot>,
        amount: usize,
        rng: &mut impl Rng,
    ) -> Vec<Slot> {
        let at_home = self.homes.get(&home);
        at_home.map(|at_home| sample(&at_home.members, without, amount, rng)).unwrap_or_default()
    }

    /// At most `amount` of those at other homes, never `without`, each as likely as any other, in random
    /// order. Costs as much as `amount` and the number at `home` together: fit for a small home.
    pub fn sample_outside(
        &self,
        home: Home,
        without: Option<Slot>,
        amount: usize,
        rng: &mut impl Rng,
    ) -> Vec<Slot> {
        let inside = self.homes.get(&home).map(|at_home| &at_home.members);
        let drawn = sample(&self.all, without, amount + self.at(home), rng);
        let outside = drawn.into_iter().filter(|slot| inside.is_none_or(|inside| !inside.contains(slot)));
        outside.take(amount).collect()
    }

    /// One of those who hold all of it, but not `without`.
    pub fn sample_complete(&self, without: Option<Slot>, rng: &mut impl Rng) -> Option<Slot> {
        sample(&self.complete, without, 1, rng).first().copied()
    }
}

fn sample(members: &IndexSet<Slot>, without: Option<Slot>, amount: usize, rng: &mut impl Rng) -> Vec<Slot> {
    // One more than needed, so that leaving one out leaves enough.
    let places = index::sample(rng, members.len(), (amount + 1).min(members.len()));
    let drawn = places.into_iter().filter_map(|place| members.get_index(place)).copied();
    drawn.filter(|slot| Some(*slot) != without).take(amount).collect()
}

#[cfg(test)]
mod tests {
    use nearcast_protocol::Group;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn as_many_are_drawn_from_outside_as_there_are_up_to_the_amount() {
        let mut holders = Holders::default();
        let mut dice = StdRng::seed_from_u64(1);
        let home = |group| Home::Group(Group(group));
        for slot in 0..60 {
            let group = if slot < 40 { 1 } else { 2 + u32::from(slot % 2 == 0) };
            holders.add(slot, home(group), Role::Terminal, false);
        }
        for (amount, without, expected) in [(5, None, 5), (20, None, 20), (30, None, 20), (30, Some(50), 19)]
        {
            for _ in 0..50 {
                let mut drawn = holders.sample_outside(home(1), without, amount, &mut dice);
                assert_eq!(drawn.len(), expected, "{amount} without {without:?}");
                assert!(drawn.iter().all(|slot| *slot >= 40 && Some(*slot) != without));
                drawn.sort_unstable();
                drawn.dedup();
                assert_eq!(drawn.len(), expected);
            }
        }
    }
}
