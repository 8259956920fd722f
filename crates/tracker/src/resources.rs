//! All resources that somebody holds, by number and by id.

use nearcast_protocol::{ResourceId, Role};
use slab::Slab;

use crate::{
    holder::{Holder, Key},
    holders::{Holders, Tally},
    home::HomeId,
    index::Index,
};

/// The number that stands for a resource: its id is eight times as large.
pub(crate) type Number = u32;

pub(crate) struct Resources {
    resources: Slab<Resource>,
    numbers: Index,
}

struct Resource {
    id: ResourceId,
    holders: Holders,
}

impl Resources {
    pub fn new() -> Self {
        Self { resources: Slab::new(), numbers: Index::new() }
    }

    pub fn len(&self) -> usize {
        self.resources.len()
    }

    pub fn number_of(&self, id: &ResourceId) -> Option<Number> {
        let is = |number: Number| self.resources.get(number as usize).is_some_and(|known| known.id == *id);
        self.numbers.get(id, is)
    }

    pub fn holders(&self, number: Number) -> Option<&Holders> {
        self.resources.get(number as usize).map(|resource| &resource.holders)
    }

    /// A resource's id and its holders.
    pub fn get(&self, number: Number) -> Option<(ResourceId, &Holders)> {
        self.resources.get(number as usize).map(|resource| (resource.id, &resource.holders))
    }

    /// No number is as high as this.
    pub fn span(&self) -> usize {
        self.resources.capacity()
    }

    /// A resource and how many hold it, by number.
    pub fn tally(&self, number: usize) -> Option<(ResourceId, Tally)> {
        self.resources.get(number).map(|resource| (resource.id, resource.holders.all()))
    }

    pub fn is_held_by(&self, number: Number, key: Key) -> bool {
        self.holders(number).is_some_and(|holders| holders.get(key).is_some())
    }

    /// Gives a number to a resource that has none and is about to be held. `None` if numbers have run out.
    pub fn insert(&mut self, id: &ResourceId) -> Option<Number> {
        let number = u32::try_from(self.resources.vacant_key()).ok()?;
        self.resources.insert(Resource { id: *id, holders: Holders::default() });
        let resources = &self.resources;
        self.numbers.insert(id, number, |number| resources.get(number as usize).map(|known| &known.id));
        Some(number)
    }

    /// Takes a holder in, or notes how much it holds now. `true` if it is new.
    pub fn set(&mut self, number: Number, holder: Holder) -> bool {
        let resource = self.resources.get_mut(number as usize);
        resource.is_some_and(|resource| resource.holders.set(holder))
    }

    /// Moves a holder to another home.
    pub fn rehome(&mut self, number: Number, key: Key, home: HomeId, role: Role) {
        let Some(resource) = self.resources.get_mut(number as usize) else { return };
        if let Some(holder) = resource.holders.get(key) {
            resource.holders.remove(key);
            resource.holders.set(Holder::new(home, holder.slot(), role, holder.permille()));
        }
    }

    /// Takes a holder out; with the last one the resource is forgotten. `false` if it isn't one.
    pub fn remove(&mut self, number: Number, key: Key) -> bool {
        let Some(resource) = self.resources.get_mut(number as usize) else { return false };
        let removed = resource.holders.remove(key);
        if resource.holders.is_empty() {
            self.numbers.remove(&resource.id, |other| other == number);
            self.resources.try_remove(number as usize);
        }
        removed
    }
}
