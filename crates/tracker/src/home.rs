//! Where nodes count as being at home.

use std::net::IpAddr;

use nearcast_protocol::Group;
use slab::Slab;

use crate::{group_table::Place, holder::HOMES, index::Index, swarm::Caller};

/// Where a node counts as being at home. Nodes of an unknown network are at home only with those behind the
/// very same address: an office that no table knows is still a neighbourhood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Home {
    Group(Group),
    Address(IpAddr),
}

/// The number that stands for a home.
pub(crate) type HomeId = u32;

impl Home {
    /// Where a caller is at home.
    pub fn of(caller: &Caller) -> Self {
        Self::at(caller.observed, caller.place)
    }

    pub fn at(observed: IpAddr, place: Place) -> Self {
        if place.group == Group::UNKNOWN { Self::Address(observed) } else { Self::Group(place.group) }
    }
}

/// All homes that some node has.
pub(crate) struct Homes {
    homes: Slab<(Home, u32)>,
    ids: Index,
}

impl Homes {
    pub fn new() -> Self {
        Self { homes: Slab::new(), ids: Index::new() }
    }

    pub fn get(&self, home: &Home) -> Option<HomeId> {
        self.ids.get(home, |id| self.homes.get(id as usize).is_some_and(|(known, _)| known == home))
    }

    /// No id is as high as this.
    pub fn span(&self) -> usize {
        self.homes.capacity()
    }

    /// A home and how many nodes it has, by id.
    pub fn at(&self, id: usize) -> Option<(Home, u32)> {
        self.homes.get(id).copied()
    }

    pub fn group(&self, id: HomeId) -> Group {
        match self.homes.get(id as usize) {
            Some((Home::Group(group), _)) => *group,
            _ => Group::UNKNOWN,
        }
    }

    /// One node more is at this home. `None` if there are as many homes as there can be.
    pub fn enter(&mut self, home: Home) -> Option<HomeId> {
        if let Some(id) = self.get(&home) {
            let (_, nodes) = self.homes.get_mut(id as usize)?;
            *nodes += 1;
            return Some(id);
        }
        let id = u32::try_from(self.homes.vacant_key()).ok().filter(|id| *id < HOMES)?;
        self.homes.insert((home, 1));
        let homes = &self.homes;
        self.ids.insert(&home, id, |id| homes.get(id as usize).map(|(home, _)| home));
        Some(id)
    }

    /// One node less is.
    pub fn leave(&mut self, id: HomeId) {
        let Some((home, nodes)) = self.homes.get_mut(id as usize) else { return };
        *nodes = nodes.saturating_sub(1);
        if *nodes == 0 {
            self.ids.remove(home, |other| other == id);
            self.homes.try_remove(id as usize);
        }
    }
}
