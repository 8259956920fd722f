//! How far networks are from one another: what "nearest route" goes by (R3).
//!
//! An operator's word comes first, then what terminals have measured, then what a network's own line of the
//! group table says of it. All count in milliseconds of round trip, or in whatever an operator pays for and
//! writes instead.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use nearcast_protocol::Group;

use crate::{group_table::Said, prefix::Prefix};

/// Reports before a measured distance is believed, and prefixes that they have to come from: one liar has
/// neither.
const REPORTS: u8 = 20;
const PREFIXES: usize = 5;
/// How much a new report counts.
const WEIGHT: f32 = 1.0 / 16.0;
/// Networks that distances are measured to, for each network; and networks altogether.
const MEASURED_EACH: usize = 256;
const MEASURED: usize = 20_000;
/// The nearest that are looked at first when a list is filled up.
const NEAREST: usize = 8;
/// Longer than any route; what is reported beyond it is a clogged line.
const LONGEST: Duration = Duration::from_secs(2);

/// What is known of distances between networks.
#[derive(Debug, Default)]
pub(crate) struct Distances {
    said: Said,
    measured: HashMap<Group, Vec<(Group, Measured)>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    /// In ms.
    average: f32,
    reports: u8,
    /// Where reports came from, the first five.
    prefixes: [u64; PREFIXES],
}

impl Measured {
    fn believed(&self) -> bool {
        self.reports >= REPORTS && self.prefixes.iter().all(|prefix| *prefix != 0)
    }

    fn add(&mut self, prefix: u64, ms: f32) {
        if !self.prefixes.contains(&prefix)
            && let Some(free) = self.prefixes.iter_mut().find(|known| **known == 0)
        {
            *free = prefix;
        }
        // The first reports are averaged evenly.
        let weight = WEIGHT.max(1.0 / (f32::from(self.reports) + 1.0));
        self.average += (ms - self.average) * weight;
        self.reports = self.reports.saturating_add(1);
    }
}

/// The distances from one network.
#[derive(Clone, Copy)]
pub(crate) struct From<'a> {
    distances: &'a Distances,
    group: Group,
}

impl Distances {
    /// Takes an operator's word in place of what was said before.
    pub fn say(&mut self, said: Said) {
        self.said = said;
    }

    /// Notes a round trip that a terminal has measured.
    pub fn measure(&mut self, from: Group, to: Group, reporter: IpAddr, round_trip: Duration) {
        let known = from != Group::UNKNOWN && to != Group::UNKNOWN && from != to;
        if !known || round_trip > LONGEST {
            return;
        }
        if self.measured.len() >= MEASURED && !self.measured.contains_key(&from) {
            return;
        }
        let row = self.measured.entry(from).or_default();
        let at = match row.binary_search_by_key(&to, |(group, _)| *group) {
            Ok(at) => at,
            Err(_) if row.len() >= MEASURED_EACH => return,
            Err(at) => {
                row.insert(at, (to, Measured::default()));
                at
            }
        };
        if let Some((_, measured)) = row.get_mut(at) {
            measured.add(Prefix::of(reporter).number(), round_trip.as_secs_f32() * 1000.0);
        }
    }

    /// The distances from one network; `None` if none is known.
    pub fn from(&self, group: Group) -> Option<From<'_>> {
        let known = !self.said.is_empty() || self.measured.contains_key(&group);
        (known && group != Group::UNKNOWN).then_some(From { distances: self, group })
    }
}

impl From<'_> {
    /// How far another network is.
    pub fn to(&self, group: Group) -> Option<u16> {
        let said = &self.distances.said;
        said.between(self.group, group).or_else(|| self.measured(group)).or_else(|| {
            let (ours, theirs) = (said.border(self.group), said.border(group));
            (ours.is_some() || theirs.is_some())
                .then(|| ours.unwrap_or_default().saturating_add(theirs.unwrap_or_default()))
        })
    }

    fn measured(&self, group: Group) -> Option<u16> {
        let row = self.distances.measured.get(&self.group)?;
        let at = row.binary_search_by_key(&group, |(group, _)| *group).ok()?;
        row.get(at).filter(|(_, measured)| measured.believed()).map(|(_, measured)| measured.average as u16)
    }

    /// The nearest networks of which a distance was said or measured, the nearest first.
    pub fn nearest(&self) -> Vec<Group> {
        let said = self.distances.said.row(self.group).map(|(group, _)| group);
        let measured = self.distances.measured.get(&self.group).into_iter().flatten();
        let measured = measured.filter(|(_, measured)| measured.believed()).map(|(group, _)| *group);
        let mut near: Vec<_> =
            said.chain(measured).filter_map(|group| Some((self.to(group)?, group.0))).collect();
        near.sort_unstable();
        near.dedup();
        near.into_iter().take(NEAREST).map(|(_, group)| Group(group)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group_table::GroupTable;

    fn measure(distances: &mut Distances, reporters: u8, each: usize, ms: u64) {
        for _ in 0..each {
            for reporter in 0..reporters {
                let address = IpAddr::from([10, 0, reporter, 1]);
                distances.measure(Group(1), Group(2), address, Duration::from_millis(ms));
            }
        }
    }

    #[test]
    fn a_measurement_is_believed_if_many_made_it() {
        let mut distances = Distances::default();
        assert!(distances.from(Group(1)).is_none());
        measure(&mut distances, 4, 50, 10);
        assert_eq!(distances.from(Group(1)).unwrap().to(Group(2)), None, "from four prefixes only");
        measure(&mut distances, 5, 1, 10);
        assert_eq!(distances.from(Group(1)).unwrap().to(Group(2)), Some(10));
        assert_eq!(distances.from(Group(1)).unwrap().nearest(), [Group(2)]);
        measure(&mut distances, 5, 30, 200);
        let now = distances.from(Group(1)).unwrap().to(Group(2)).unwrap();
        assert!((190..=200).contains(&now), "it follows: {now}");
        measure(&mut distances, 5, 30, 60_000);
        assert_eq!(distances.from(Group(1)).unwrap().to(Group(2)), Some(now), "no route is that long");
    }

    #[test]
    fn an_operator_s_word_comes_first_and_a_network_s_own_last() {
        let table = "10.1.0.0/16,1\n10.2.0.0/16,2,,,30\n10.3.0.0/16,3\n";
        let mut table = GroupTable::parse(table).unwrap();
        let mut distances = Distances::default();
        distances.say(table.said().clone());
        let to = |distances: &Distances, group| distances.from(Group(1)).unwrap().to(Group(group));
        assert_eq!((to(&distances, 2), to(&distances, 3)), (Some(30), None));
        measure(&mut distances, 9, 9, 12);
        assert_eq!(to(&distances, 2), Some(12));
        table.add("group,group,distance\n1,2,7\n1,3,5\n").unwrap();
        distances.say(table.said().clone());
        assert_eq!((to(&distances, 2), to(&distances, 3)), (Some(7), Some(5)));
        assert_eq!(distances.from(Group(1)).unwrap().nearest(), [Group(3), Group(2)]);
        assert_eq!(distances.from(Group(3)).unwrap().to(Group(1)), Some(5), "the way back is as long");
    }

    #[test]
    fn memory_is_bounded_whatever_is_reported() {
        let mut distances = Distances::default();
        let (address, ms) = (IpAddr::from([10, 0, 0, 1]), Duration::from_millis(1));
        for to in 2..2_000 {
            distances.measure(Group(1), Group(to), address, ms);
        }
        assert_eq!(distances.measured[&Group(1)].len(), MEASURED_EACH);
        for from in 2..2 * MEASURED as u32 {
            distances.measure(Group(from), Group(1), address, ms);
        }
        assert_eq!(distances.measured.len(), MEASURED);
    }
}
