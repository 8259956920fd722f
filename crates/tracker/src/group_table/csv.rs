//! An operator's own table: `prefix,group[,name[,region[,distance]]]`.
//!
//! A first line that names the fields is passed over, and `#` begins a comment. What contradicts an earlier
//! line is an error: somebody wrote it by hand.

use std::{collections::HashMap, net::IpAddr};

use ipnet::IpNet;
use nearcast_protocol::Group;

use super::{GroupTable, Place, canonical, distances};

pub(super) const EXPECTED: &str = "prefix,group[,name[,region[,distance]]], such as 203.0.113.0/24,7,Campus";

/// A table and what one file has said so far.
pub(super) struct Reading<'a> {
    table: &'a mut GroupTable,
    said: HashMap<IpNet, Place>,
    header_may_come: bool,
}

impl<'a> Reading<'a> {
    pub fn new(table: &'a mut GroupTable) -> Self {
        Self { table, said: HashMap::new(), header_may_come: true }
    }

    pub fn add(&mut self, line: &str) -> Result<(), String> {
        let line = line.split('#').next().unwrap_or_default().trim();
        let header = line.split(',').next().is_some_and(|first| unquoted(first) == "prefix");
        if header && std::mem::take(&mut self.header_may_come) {
            return Ok(());
        }
        self.header_may_come = false;
        let torn = |field: &str| field.trim().starts_with('"') != field.trim().ends_with('"');
        if line.split(',').any(torn) {
            return Err("a name holds a comma, or a quote is missing".into());
        }
        let mut fields = line.split(',').map(unquoted);
        let mut next = || fields.next().unwrap_or_default();
        let (prefix, group, name, region, distance) = (next(), next(), next(), next(), next());
        if fields.next().is_some() {
            return Err("there are more than five fields".into());
        }
        let parsed = prefix.parse().ok().or_else(|| prefix.parse::<IpAddr>().ok().map(IpNet::from));
        let prefix = canonical(parsed.ok_or_else(|| format!("{prefix:?} is no address prefix"))?);
        let group = match group.parse() {
            Ok(0) => return Err("group 0 stands for unknown networks and can't be given".into()),
            Ok(number) => Group(number),
            Err(_) => return Err(format!("{group:?} is no group number (1 to {})", u32::MAX)),
        };
        let distance = if distance.is_empty() { None } else { Some(distances::parse(distance)?) };
        let place = Place { group, region: self.region(region)? };
        if let Some(before) = self.said.insert(prefix, place).filter(|before| *before != place) {
            return Err(match before.group == group {
                true => format!("{prefix} is in another region already"),
                false => format!("{prefix} is in group {} already", before.group),
            });
        }
        self.table.insert(prefix, place);
        self.table.name(group, name);
        if let Some(distance) = distance {
            self.table.said.set_border(group, distance);
        }
        Ok(())
    }

    fn region(&mut self, name: &str) -> Result<u32, String> {
        if name.is_empty() {
            return Ok(0);
        }
        let regions = &mut self.table.regions;
        let next = u32::try_from(regions.len() + 1).map_err(|_| "there are too many regions")?;
        Ok(*regions.entry(name.to_owned()).or_insert(next))
    }
}

/// A field without the space and the quotes that spreadsheets put around it.
pub(super) fn unquoted(field: &str) -> &str {
    field.trim().trim_matches('"').trim()
}
