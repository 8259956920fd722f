//! Giving nodes the places that a new group table says, a few at a time.

use crate::{group_table::GroupTable, holder::Key, home::Home, node::Slot, resources::Stand, swarm::Swarm};

/// How far a regrouping has come. Each new table begins a new one.
#[derive(Debug, Default)]
pub struct Regrouping {
    next: Slot,
}

impl Swarm {
    /// Gives every node the place that a new group table says.
    pub fn regroup(&mut self, table: &GroupTable) {
        while !self.regroup_some(table, &mut Regrouping::default(), usize::MAX) {}
    }

    /// Gives some nodes the place that a new group table says, and remembers where to go on. `true` if
    /// there are no more. Looking at a node takes one of the budget and moving one of its holdings another;
    /// a node is never moved in part.
    pub fn regroup_some(
        &mut self,
        table: &GroupTable,
        regrouping: &mut Regrouping,
        mut budget: usize,
    ) -> bool {
        while budget > 0 {
            if regrouping.next >= self.nodes.end() {
                return true;
            }
            let cost = 1 + self.move_home(regrouping.next, table);
            budget = budget.saturating_sub(cost);
            regrouping.next += 1;
        }
        regrouping.next >= self.nodes.end()
    }

    /// Gives one node its place, and says how many holdings went with it.
    fn move_home(&mut self, slot: Slot, table: &GroupTable) -> usize {
        let Some(node) = self.nodes.get_mut(slot) else { return 0 };
        let place = table.place_of(node.observed);
        node.region = place.region;
        // In this order, so that a home that stays isn't given up in between.
        let Some(home) = self.homes.enter(Home::at(node.observed, place)) else { return 0 };
        let left = std::mem::replace(&mut node.home, home);
        self.homes.leave(left);
        // Who can't be dialled from outside stands with those behind its address, whatever the table says.
        if left == home || node.dialled.hidden() {
            return 0;
        }
        let held = self.lists.get(&node.held);
        let stand = Stand { key: Key::new(left, slot), behind: false };
        for number in held {
            self.resources.shift(number.number(), stand, home, false, node.role);
        }
        held.len()
    }
}
