//! Who holds one resource, by home, with counts that are exact at all times.

use std::collections::HashMap;

use indexmap::IndexSet;
use nearcast_protocol::PeerId;
use rand::{Rng, seq::index};

use crate::node::Home;

/// The holders of one resource.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    homes: HashMap<Home, IndexSet<PeerId>>,
    total: usize,
    /// Who holds all of it.
    complete: IndexSet<PeerId>,
    complete_terminals: usize,
    complete_terminals_by_home: HashMap<Home, usize>,
}

impl Holders {
    pub fn add(&mut self, peer: PeerId, home: Home, complete: bool, terminal: bool) {
        if self.homes.entry(home).or_default().insert(peer) {
            self.total += 1;
        }
        if complete && self.complete.insert(peer) && terminal {
            self.complete_terminals += 1;
            *self.complete_terminals_by_home.entry(home).or_default() += 1;
        }
    }

    pub fn remove(&mut self, peer: &PeerId, home: Home, terminal: bool) {
        if let Some(members) = self.homes.get_mut(&home)
            && members.swap_remove(peer)
        {
            self.total -= 1;
            if members.is_empty() {
                self.homes.remove(&home);
            }
        }
        if self.complete.swap_remove(peer) && terminal {
            self.complete_terminals -= 1;
            if let Some(count) = self.complete_terminals_by_home.get_mut(&home) {
                *count -= 1;
                if *count == 0 {
                    self.complete_terminals_by_home.remove(&home);
                }
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    pub fn total(&self) -> usize {
        self.total
    }

    pub fn at(&self, home: Home) -> Option<&IndexSet<PeerId>> {
        self.homes.get(&home)
    }

    pub fn complete(&self) -> &IndexSet<PeerId> {
        &self.complete
    }

    pub fn complete_terminals(&self) -> usize {
        self.complete_terminals
    }

    pub fn complete_terminals_at(&self, home: Home) -> usize {
        self.complete_terminals_by_home.get(&home).copied().unwrap_or_default()
    }

    /// At most `amount` of those at other homes, each as likely as any other, in random order.
    pub fn sample_outside(&self, home: Home, amount: usize, rng: &mut impl Rng) -> Vec<PeerId> {
        let outside = self.total - self.at(home).map_or(0, IndexSet::len);
        let mut chosen: Vec<_> = index::sample(rng, outside, amount.min(outside)).into_iter().enumerate().collect();
        // One walk over the homes finds all places; afterwards the random order is restored.
        chosen.sort_unstable_by_key(|(_, place)| *place);
        let mut homes: Vec<_> = self.homes.iter().filter(|(other, _)| **other != home).collect();
        homes.sort_unstable_by_key(|(other, _)| **other);
        let mut found = Vec::with_capacity(chosen.len());
        let (mut before, mut chosen) = (0, chosen.into_iter().peekable());
        for (_, members) in homes {
            while let Some((order, place)) = chosen.next_if(|(_, place)| *place < before + members.len()) {
                found.extend(members.get_index(place - before).map(|peer| (order, *peer)));
            }
            before += members.len();
        }
        found.sort_unstable_by_key(|(order, _)| *order);
        found.into_iter().map(|(_, peer)| peer).collect()
    }
}

/// At most `amount` members but never `without`, in random order.
pub(crate) fn sample(
    members: &IndexSet<PeerId>,
    without: &PeerId,
    amount: usize,
    rng: &mut impl Rng,
) -> Vec<PeerId> {
    // One more than needed, so that leaving the asker out leaves enough.
    let places = index::sample(rng, members.len(), (amount + 1).min(members.len()));
    let chosen = places.into_iter().filter_map(|place| members.get_index(place)).copied();
    chosen.filter(|peer| peer != without).take(amount).collect()
}
