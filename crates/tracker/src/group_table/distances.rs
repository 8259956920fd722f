//! What an operator says of distances: `group,group,distance` in a file of its own, and a fifth field of a
//! network's line in the table.

use std::collections::HashMap;

use nearcast_protocol::Group;

use super::GroupTable;

pub(super) const EXPECTED: &str = "group,group,distance, such as 7,8,25";

/// Distances that an operator has said, in ms or in what it pays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    between: HashMap<Group, HashMap<Group, Way>>,
    borders: HashMap<Group, u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Way {
    distance: u16,
    /// Whether only the way back was said: the way there is then taken to be as long.
    back: bool,
}

impl Said {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.between.is_empty() && self.borders.is_empty()
    }

    /// How far one network is from another.
    pub fn between(&self, from: Group, to: Group) -> Option<u16> {
        self.between.get(&from)?.get(&to).map(|way| way.distance)
    }

    /// How far a network is from all others.
    pub fn border(&self, group: Group) -> Option<u16> {
        self.borders.get(&group).copied()
    }

    /// The networks whose distance from one is said.
    pub fn row(&self, from: Group) -> impl Iterator<Item = (Group, u16)> + '_ {
        self.between.get(&from).into_iter().flatten().map(|(to, way)| (*to, way.distance))
    }

    pub(super) fn set_border(&mut self, group: Group, distance: u16) {
        self.borders.entry(group).or_insert(distance);
    }
}

/// Whether a first line is of this format: a prefix is no plain number.
pub(super) fn is_one(line: &str) -> bool {
    let mut fields = line.split(',').map(super::csv::unquoted);
    let plain =
        |field: Option<&str>| field.is_some_and(|field| field == "group" || field.parse::<u32>().is_ok());
    plain(fields.next()) && plain(fields.next())
}

pub(super) fn add(table: &mut GroupTable, line: &str) -> Result<(), String> {
    let line = line.split('#').next().unwrap_or_default();
    let fields: Vec<_> = line.split(',').map(super::csv::unquoted).collect();
    let [from, to, distance] = fields[..] else {
        return Err(format!("there are {} fields", fields.len()));
    };
    if from == "group" {
        return Ok(());
    }
    let group = |field: &str| match field.parse() {
        Ok(number) if number != 0 => Ok(Group(number)),
        _ => Err(format!("{field:?} is no group number (1 to {})", u32::MAX)),
    };
    let (from, to, distance) = (group(from)?, group(to)?, parse(distance)?);
    if from == to {
        return Err(format!("group {from} is no distance from itself"));
    }
    // As with prefixes, the first to be read decides.
    let between = &mut table.said.between;
    let there = between.entry(from).or_default().entry(to).or_insert(Way { distance, back: false });
    if there.back {
        *there = Way { distance, back: false };
    }
    between.entry(to).or_default().entry(from).or_insert(Way { distance, back: true });
    Ok(())
}

pub(super) fn parse(field: &str) -> Result<u16, String> {
    field.parse().map_err(|_| format!("{field:?} is no distance (0 to {})", u16::MAX))
}
