//! Forgetting what is denied or no longer tracked, a few nodes at a time.

use crate::{access::Access, node::Slot, swarm::Swarm};

/// How far a purge has come. Each change of the lists begins a new one.
#[derive(Debug, Default)]
pub struct Purging {
    next: Slot,
    /// Nodes that were forgotten.
    pub nodes: usize,
    /// Holdings that were taken from nodes that stay.
    pub holdings: usize,
}

impl Swarm {
    /// Forgets some of the nodes that are denied and takes from others what isn't tracked; remembers where to
    /// go on. `true` if there are no more. Looking at a node or at one of its holdings takes one of the budget.
    pub fn purge_some(&mut self, access: &Access, purging: &mut Purging, mut budget: usize) -> bool {
        while budget > 0 && purging.next < self.nodes.end() {
            let slot = purging.next;
            purging.next += 1;
            budget = budget.saturating_sub(1 + self.purge(slot, access, purging));
        }
        purging.next >= self.nodes.end()
    }

    fn purge(&mut self, slot: Slot, access: &Access, purging: &mut Purging) -> usize {
        let Some(node) = self.nodes.get(slot) else { return 0 };
        let held = self.lists.get(&node.held);
        let looked_at = held.len();
        if node.identity.peer().is_some_and(|peer| access.denies_node(&peer, node.observed)) {
            self.forget(slot);
            purging.nodes += 1;
            return looked_at;
        }
        let ids = held.iter().filter_map(|number| Some(self.resources.get(number.number())?.0));
        let gone: Vec<_> = ids.filter(|id| access.denies_film(id).is_some()).collect();
        for id in &gone {
            self.let_go_of(slot, id);
        }
        purging.holdings += gone.len();
        looked_at
    }
}
