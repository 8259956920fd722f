//! All registered nodes, by slot and by peer id.

use nearcast_protocol::PeerId;
use slab::Slab;

use crate::{
    holder::SLOTS,
    identity::Identity,
    index::Index,
    node::{Node, Slot},
};

pub(crate) struct Nodes {
    nodes: Slab<Node>,
    slots: Index,
}

impl Nodes {
    pub fn new() -> Self {
        Self { nodes: Slab::new(), slots: Index::new() }
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// One more than the highest slot there has been.
    pub fn end(&self) -> Slot {
        u32::try_from(self.nodes.capacity()).unwrap_or(SLOTS)
    }

    pub fn get(&self, slot: Slot) -> Option<&Node> {
        self.nodes.get(slot as usize)
    }

    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut Node> {
        self.nodes.get_mut(slot as usize)
    }

    pub fn slot_of(&self, peer: &PeerId) -> Option<Slot> {
        self.slot_of_identity(&Identity::of(peer))
    }

    pub fn slot_of_identity(&self, identity: &Identity) -> Option<Slot> {
        self.slots.get(identity, |slot| self.get(slot).is_some_and(|node| node.identity == *identity))
    }

    /// Takes in a node that isn't known.
    ///
    /// # Errors
    /// The node, if slots have run out.
    pub fn insert(&mut self, node: Node) -> Result<Slot, Node> {
        let Some(slot) = u32::try_from(self.nodes.vacant_key()).ok().filter(|slot| *slot < SLOTS) else {
            return Err(node);
        };
        let identity = node.identity.clone();
        self.nodes.insert(node);
        let nodes = &self.nodes;
        self.slots.insert(&identity, slot, |slot| nodes.get(slot as usize).map(|node| &node.identity));
        Ok(slot)
    }

    pub fn remove(&mut self, slot: Slot) -> Option<Node> {
        let node = self.nodes.try_remove(slot as usize)?;
        self.slots.remove(&node.identity, |other| other == slot);
        Some(node)
    }
}
