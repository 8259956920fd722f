//! What a status page shows: the films with most holders and the networks with most nodes, looked up a few at
//! a time and never more than the first of each.

use std::{cmp::Reverse, collections::BinaryHeap};

use nearcast_protocol::{Group, ResourceId};

use crate::{home::Home, swarm::Swarm};

/// How many films and how many networks are shown.
pub const SHOWN: usize = 50;

/// A look at the whole memory, as far as it has come.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    next_film: usize,
    next_home: usize,
    films: BinaryHeap<Reverse<Film>>,
    networks: BinaryHeap<Reverse<(u32, Group)>>,
    unknown: u32,
}

/// A film and who holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Film {
    /// How many hold some of it.
    pub holders: u32,
    /// How many terminals hold all of it.
    pub complete: u32,
    /// Its id.
    pub id: ResourceId,
}

impl Survey {
    /// The films with most holders, those first.
    pub fn films(&self) -> Vec<Film> {
        self.films.clone().into_sorted_vec().into_iter().map(|Reverse(film)| film).collect()
    }

    /// The known networks with most nodes, those first.
    pub fn networks(&self) -> Vec<(Group, u32)> {
        let sorted = self.networks.clone().into_sorted_vec();
        sorted.into_iter().map(|Reverse((nodes, group))| (group, nodes)).collect()
    }

    /// How many nodes are in no network that the table knows.
    pub fn unknown(&self) -> u32 {
        self.unknown
    }
}

fn keep<T: Ord>(heap: &mut BinaryHeap<Reverse<T>>, one: T) {
    if heap.len() < SHOWN {
        heap.push(Reverse(one));
    } else if let Some(mut least) = heap.peek_mut().filter(|least| least.0 < one) {
        *least = Reverse(one);
    }
}

impl Swarm {
    /// Looks at so many films or homes more; `true` if there are no more.
    pub fn survey_some(&self, survey: &mut Survey, budget: usize) -> bool {
        let films = self.resources.span();
        let to = films.min(survey.next_film.saturating_add(budget));
        for number in survey.next_film..to {
            if let Some((id, all)) = self.resources.tally(number) {
                let film = Film { holders: all.holders, complete: all.complete_terminals, id };
                keep(&mut survey.films, film);
            }
        }
        survey.next_film = to;
        if to < films {
            return false;
        }
        let homes = self.homes.span();
        let to = homes.min(survey.next_home.saturating_add(budget));
        for id in survey.next_home..to {
            match self.homes.at(id) {
                Some((Home::Group(group), nodes)) => keep(&mut survey.networks, (nodes, group)),
                Some((Home::Address(_), nodes)) => survey.unknown = survey.unknown.saturating_add(nodes),
                None => {}
            }
        }
        survey.next_home = to;
        to >= homes
    }
}
