//! Several trackers that work as one (R8).
//!
//! A list of trackers is one tracker to whoever follows it: each resource has two homes in the list, the same
//! for everyone, found by rendezvous hashing (Thaler and Ravishankar, IEEE/ACM Transactions on Networking 6(1),
//! 1998). Holders register at both, so that either may fail, and while one does, the next in the order stands
//! in. A link's list and the user's own are two lists: others follow only the link's.

use nearcast_protocol::{Multiaddr, ResourceId};

/// Trackers of a list that a holder registers at.
const HOMES: usize = 2;

/// Lists of trackers; each works as one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trackers(Vec<Vec<Multiaddr>>);

impl Trackers {
    /// The lists; a tracker that is in two of them counts in the first.
    pub fn new(lists: impl IntoIterator<Item = Vec<Multiaddr>>) -> Self {
        let mut trackers = Self::default();
        for list in lists {
            trackers.add_list(&list);
        }
        trackers
    }

    /// Takes in the lists of others. `true` if there was anything new in them.
    pub fn add(&mut self, others: &Self) -> bool {
        // Each is taken in, whatever the one before it brought.
        others.0.iter().filter(|list| self.add_list(list)).count() > 0
    }

    fn add_list(&mut self, list: &[Multiaddr]) -> bool {
        let mut new: Vec<Multiaddr> = Vec::new();
        for tracker in list {
            if !new.contains(tracker) && self.all().all(|known| known != tracker) {
                new.push(tracker.clone());
            }
        }
        let news = !new.is_empty();
        if news {
            self.0.push(new);
        }
        news
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Multiaddr> {
        self.0.iter().flatten()
    }

    /// Each list in a resource's own order.
    pub fn ordered(&self, resource: &ResourceId) -> Vec<Vec<Multiaddr>> {
        let order = |list: &Vec<Multiaddr>| {
            let mut list = list.clone();
            list.sort_by_cached_key(|tracker| weight(resource, tracker));
            list
        };
        self.0.iter().map(order).collect()
    }

    /// Whether a holder of the resource registers at this tracker, while those that `fail` do. One that fails
    /// is tried as if it didn't.
    pub fn registers_at(
        &self,
        resource: &ResourceId,
        tracker: &Multiaddr,
        fails: impl Fn(&Multiaddr) -> bool,
    ) -> bool {
        self.0.iter().filter(|list| list.contains(tracker)).any(|list| {
            let weight_of_it = weight(resource, tracker);
            let before = |other: &&Multiaddr| *other != tracker && weight(resource, other) < weight_of_it;
            list.len() <= HOMES || list.iter().filter(before).filter(|other| !fails(other)).count() < HOMES
        })
    }

    /// The first of each list that doesn't fail: what is to be counted once is told to it.
    pub fn first(&self, resource: &ResourceId, fails: impl Fn(&Multiaddr) -> bool) -> Vec<Multiaddr> {
        let first = |list: Vec<Multiaddr>| list.iter().find(|one| !fails(one)).or(list.first()).cloned();
        self.ordered(resource).into_iter().filter_map(first).collect()
    }
}

/// The lower, the earlier. A tracker's identity counts if its address names it: it may have several addresses.
fn weight(resource: &ResourceId, tracker: &Multiaddr) -> [u8; 32] {
    let (address, peer) = nearcast_network::split_peer(tracker);
    let name = peer.map_or_else(|| address.to_vec(), |peer| peer.to_bytes());
    let mut hash = blake3::Hasher::new();
    hash.update(resource.as_bytes()).update(&name);
    *hash.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::{
        collection::{btree_set, vec},
        prelude::{any, prop_assert, prop_assert_eq, proptest},
    };

    use super::*;

    fn tracker(number: u16) -> Multiaddr {
        format!("/ip4/127.0.0.1/tcp/{number}").parse().unwrap()
    }

    fn homes(trackers: &Trackers, resource: &ResourceId, failing: &BTreeSet<u16>) -> BTreeSet<u16> {
        let failing: Vec<_> = failing.iter().map(|number| tracker(*number)).collect();
        let numbers = 1..=20;
        let home = |number: &u16| {
            trackers.registers_at(resource, &tracker(*number), |other| failing.contains(other))
        };
        numbers.filter(home).collect()
    }

    proptest! {
        #[test]
        fn whatever_fails_two_that_work_know_it(
            list in btree_set(1u16..=20, 1..12),
            failing in btree_set(1u16..=20, 0..12),
            resource in any::<[u8; 32]>(),
            shuffle in any::<bool>(),
        ) {
            let resource = ResourceId::from_bytes(resource);
            let mut addresses: Vec<_> = list.iter().map(|number| tracker(*number)).collect();
            if shuffle {
                addresses.reverse();
            }
            let trackers = Trackers::new([addresses]);
            let homes = homes(&trackers, &resource, &failing);
            let working = list.difference(&failing).count();
            prop_assert_eq!(homes.difference(&failing).count(), working.min(2));
            prop_assert!(homes.is_subset(&list));
        }

        #[test]
        fn one_that_fails_moves_only_what_it_had(resources in vec(any::<[u8; 32]>(), 1..20), fails in 1u16..=5) {
            let trackers = Trackers::new([(1..=5).map(tracker).collect::<Vec<_>>()]);
            for resource in resources.into_iter().map(ResourceId::from_bytes) {
                let before = homes(&trackers, &resource, &BTreeSet::new());
                let after = homes(&trackers, &resource, &BTreeSet::from([fails]));
                if before.contains(&fails) {
                    prop_assert!(before.is_subset(&after), "one more stands in");
                } else {
                    prop_assert_eq!(before, after);
                }
            }
        }
    }

    #[test]
    fn resources_are_spread_evenly() {
        let trackers = Trackers::new([(1..=5).map(tracker).collect::<Vec<_>>()]);
        let mut load: BTreeMap<Multiaddr, usize> = BTreeMap::new();
        for number in 0..5_000u32 {
            let resource = ResourceId::from_bytes(*blake3::hash(&number.to_be_bytes()).as_bytes());
            let first = trackers.first(&resource, |_| false);
            *load.entry(first[0].clone()).or_default() += 1;
        }
        assert!(load.len() == 5 && load.values().all(|many| (850..1150).contains(many)), "{load:?}");
    }

    #[test]
    fn lists_stay_apart_and_name_each_once() {
        let mut trackers =
            Trackers::new([vec![tracker(1), tracker(2), tracker(1)], vec![tracker(2), tracker(3)]]);
        assert_eq!(trackers.0, [vec![tracker(1), tracker(2)], vec![tracker(3)]]);
        assert!(!trackers.add(&Trackers::new([vec![tracker(3)], vec![tracker(1)]])));
        assert!(trackers.add(&Trackers::new([vec![tracker(3), tracker(4)]])));
        assert_eq!(trackers.all().count(), 4);
    }
}
