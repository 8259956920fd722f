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
/// More resources than these can't be remembered: their numbers wouldn't fit.
const NUMBERS: Number = 1 << 24;

/// A [`Number`] as nodes remember what they hold: in three bytes, since it is most of what is remembered of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Short([u8; 3]);

impl Short {
    pub fn of(number: Number) -> Self {
        let [_, high, middle, low] = number.to_be_bytes();
        Self([high, middle, low])
    }

    pub fn number(self) -> Number {
        let [high, middle, low] = self.0;
        Number::from_be_bytes([0, high, middle, low])
    }
}

pub(crate) struct Resources {
    resources: Slab<Resource>,
    numbers: Index,
}

struct Resource {
    id: ResourceId,
    holders: Holders,
    /// Those that can't be dialled from outside, at home at their observed addresses. Most resources have none.
    behind: Option<Box<Holders>>,
}

/// Where a node stands among the holders of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stand {
    pub key: Key,
    /// Among those that can't be dialled from outside.
    pub behind: bool,
}

impl Resource {
    fn holders(&self, behind: bool) -> Option<&Holders> {
        if behind { self.behind.as_deref() } else { Some(&self.holders) }
    }

    fn set(&mut self, holder: Holder, behind: bool) -> bool {
        if behind { self.behind.get_or_insert_default().set(holder) } else { self.holders.set(holder) }
    }

    fn remove(&mut self, stand: Stand) -> bool {
        if !stand.behind {
            return self.holders.remove(stand.key);
        }
        let removed = self.behind.as_mut().is_some_and(|behind| behind.remove(stand.key));
        self.behind.take_if(|behind| behind.is_empty());
        removed
    }
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

    /// Its holders that can't be dialled from outside, at home at their observed addresses.
    pub fn behind(&self, number: Number) -> Option<&Holders> {
        self.resources.get(number as usize)?.holders(true)
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

    /// A holder, if it is one.
    pub fn holder(&self, number: Number, stand: Stand) -> Option<Holder> {
        self.resources.get(number as usize)?.holders(stand.behind)?.get(stand.key)
    }

    /// Gives a number to a resource that has none and is about to be held. `None` if numbers have run out.
    pub fn insert(&mut self, id: &ResourceId) -> Option<Number> {
        let number = u32::try_from(self.resources.vacant_key()).ok().filter(|number| *number < NUMBERS)?;
        self.resources.insert(Resource { id: *id, holders: Holders::default(), behind: None });
        let resources = &self.resources;
        self.numbers.insert(id, number, |number| resources.get(number as usize).map(|known| &known.id));
        Some(number)
    }

    /// Takes a holder in, or notes how much it holds now. `true` if it is new.
    pub fn set(&mut self, number: Number, holder: Holder, behind: bool) -> bool {
        let resource = self.resources.get_mut(number as usize);
        resource.is_some_and(|resource| resource.set(holder, behind))
    }

    /// Moves a holder elsewhere.
    pub fn shift(&mut self, number: Number, from: Stand, home: HomeId, behind: bool, role: Role) {
        let Some(resource) = self.resources.get_mut(number as usize) else { return };
        if let Some(holder) = resource.holders(from.behind).and_then(|holders| holders.get(from.key)) {
            resource.remove(from);
            resource.set(Holder::new(home, holder.slot(), role, holder.permille()), behind);
        }
    }

    /// Takes a holder out; with the last one the resource is forgotten. `false` if it isn't one.
    pub fn remove(&mut self, number: Number, stand: Stand) -> bool {
        let Some(resource) = self.resources.get_mut(number as usize) else { return false };
        let removed = resource.remove(stand);
        if resource.holders.is_empty() && resource.behind.is_none() {
            self.numbers.remove(&resource.id, |other| other == number);
            self.resources.try_remove(number as usize);
        }
        removed
    }
}
