//! The group table (IP-网络组号对照表): address prefix → group.
//!
//! A line is `prefix,group[,name[,region]]`; `#` begins a comment. The longest prefix wins. Both families
//! may stand in one table; an IPv4 address mapped into IPv6 is looked up as the IPv4 address it is.

use std::{
    collections::BTreeMap,
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nearcast_protocol::Group;
use prefix_trie::PrefixMap;

/// Where an address belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// The network group.
    pub group: Group,
    /// The number of the region, 0 if the table names none.
    pub region: u32,
}

/// Address prefix → place.
#[derive(Default)]
pub struct GroupTable {
    four: PrefixMap<Ipv4Net, Place>,
    six: PrefixMap<Ipv6Net, Place>,
    names: BTreeMap<Group, String>,
    prefixes: usize,
}

/// Why a group table can't be used.
#[derive(Debug, thiserror::Error)]
pub enum GroupTableError {
    /// The file can't be read.
    #[error("the group table {path} can't be read: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line makes no sense.
    #[error("line {line} of the group table: {problem}; expected prefix,group[,name[,region]] such as 203.0.113.0/24,7,Campus")]
    Line {
        /// The line's number, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
}

impl GroupTable {
    /// Reads a table from a file.
    ///
    /// # Errors
    /// When the file can't be read or a line makes no sense; the line is named.
    pub fn read(path: &Path) -> Result<Self, GroupTableError> {
        let text = fs::read_to_string(path)
            .map_err(|source| GroupTableError::Read { path: path.to_owned(), source })?;
        Self::parse(&text)
    }

    /// Reads a table from its text.
    ///
    /// # Errors
    /// When a line makes no sense; the line is named.
    pub fn parse(text: &str) -> Result<Self, GroupTableError> {
        let mut table = Self::default();
        let mut regions: BTreeMap<String, u32> = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim().trim_start_matches('\u{feff}');
            let header = number == 0 && line.starts_with("prefix");
            if line.is_empty() || header {
                continue;
            }
            let added = table.add(line, &mut regions);
            added.map_err(|problem| GroupTableError::Line { line: number + 1, problem })?;
        }
        Ok(table)
    }

    fn add(&mut self, line: &str, regions: &mut BTreeMap<String, u32>) -> Result<(), String> {
        let mut fields = line.split(',').map(str::trim);
        let prefix = fields.next().unwrap_or_default();
        let prefix = prefix_of(prefix).ok_or_else(|| format!("{prefix:?} is no address prefix"))?;
        let group = fields.next().unwrap_or_default();
        let group = match group.parse() {
            Ok(0) => return Err("group 0 stands for unknown networks and can't be given".into()),
            Ok(number) => Group(number),
            Err(_) => return Err(format!("{group:?} is no group number")),
        };
        if let Some(name) = fields.next().filter(|name| !name.is_empty()) {
            self.names.entry(group).or_insert_with(|| name.to_owned());
        }
        let region = match fields.next().filter(|region| !region.is_empty()) {
            Some(region) => {
                let next = u32::try_from(regions.len()).unwrap_or(u32::MAX - 1) + 1;
                *regions.entry(region.to_owned()).or_insert(next)
            }
            None => 0,
        };
        let place = Place { group, region };
        let before = match prefix {
            IpNet::V4(prefix) => self.four.insert(prefix.trunc(), place),
            IpNet::V6(prefix) => self.six.insert(prefix.trunc(), place),
        };
        self.prefixes += usize::from(before.is_none());
        match before {
            Some(other) if other.group != group => {
                Err(format!("{prefix} is in group {} already", other.group))
            }
            _ => Ok(()),
        }
    }

    /// Where an address belongs; [`Group::UNKNOWN`] if no prefix holds it.
    pub fn place_of(&self, address: IpAddr) -> Place {
        let place = match address.to_canonical() {
            IpAddr::V4(address) => self.four.get_lpm(&Ipv4Net::from(address)).map(|(_, place)| *place),
            IpAddr::V6(address) => self.six.get_lpm(&Ipv6Net::from(address)).map(|(_, place)| *place),
        };
        place.unwrap_or_default()
    }

    /// The group of an address.
    pub fn group_of(&self, address: IpAddr) -> Group {
        self.place_of(address).group
    }

    /// What the table calls a group.
    pub fn name_of(&self, group: Group) -> Option<&str> {
        self.names.get(&group).map(String::as_str)
    }

    /// How many prefixes the table has.
    pub fn len(&self) -> usize {
        self.prefixes
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.prefixes == 0
    }
}

fn prefix_of(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::{collection::vec, prelude::{any, prop_assert_eq, proptest}};

    use super::*;

    fn group(table: &GroupTable, address: &str) -> u32 {
        table.group_of(address.parse().unwrap()).0
    }

    #[test]
    fn the_longest_prefix_wins_in_both_families() {
        let table = GroupTable::parse(
            "prefix,group,name,region\n\
             10.0.0.0/8, 1, Provider, north\n\
             10.1.0.0/16,2,Campus,south # a customer\n\
             \n10.1.2.3,3\n2001:db8::/32,4,,north\n2001:db8:1::/48,5\n",
        )
        .unwrap();
        assert_eq!(group(&table, "10.9.9.9"), 1);
        assert_eq!(group(&table, "10.1.9.9"), 2);
        assert_eq!(group(&table, "10.1.2.3"), 3);
        assert_eq!(group(&table, "11.0.0.1"), 0);
        assert_eq!(group(&table, "::ffff:10.1.0.1"), 2);
        assert_eq!(group(&table, "2001:db8::1"), 4);
        assert_eq!(group(&table, "2001:db8:1::1"), 5);
        assert_eq!(group(&table, "2001:db9::1"), 0);
        assert_eq!(table.name_of(Group(2)), Some("Campus"));
        assert_eq!(table.place_of("10.9.9.9".parse().unwrap()).region, 1);
        assert_eq!(table.place_of("2001:db8::1".parse().unwrap()).region, 1);
        assert_eq!(table.len(), 5);
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, line, problem) in [
            ("10.0.0.0/8,1\nnonsense,2", 2, "\"nonsense\" is no address prefix"),
            ("10.0.0.0/33,1", 1, "\"10.0.0.0/33\" is no address prefix"),
            ("# first\n\n10.0.0.0/8,north", 3, "\"north\" is no group number"),
            ("10.0.0.0/8,0", 1, "group 0 stands for unknown networks"),
            ("10.0.0.0/8", 1, "\"\" is no group number"),
            ("10.0.0.0/8,1\n10.0.0.0/8,2", 2, "10.0.0.0/8 is in group 1 already"),
        ] {
            let said = GroupTable::parse(text).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(said.contains(&format!("line {line} ")) && said.contains(problem), "{text:?}: {said}");
        }
        let gone = GroupTable::read(Path::new("/nowhere/table.csv")).err().unwrap();
        assert!(gone.to_string().contains("/nowhere/table.csv"));
    }

    proptest! {
        #[test]
        fn as_a_naive_search_finds_it(
            lines in vec((any::<u32>(), 0u8..=32, 1u32..9), 0..30),
            asked in vec(any::<u32>(), 1..30),
        ) {
            let mut naive: BTreeMap<(u32, u8), u32> = BTreeMap::new();
            for (address, length, group) in lines {
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                naive.entry((address & mask, length)).or_insert(group);
            }
            let text: String = naive
                .iter()
                .map(|((address, length), group)| format!("{}/{length},{group}\n", Ipv4Addr::from(*address)))
                .collect();
            let table = GroupTable::parse(&text).unwrap();
            let asked = asked.into_iter().chain(naive.keys().map(|(address, _)| *address));
            for address in asked.collect::<Vec<_>>() {
                let fits = |length: u8| u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0) & address;
                let longest = naive.iter().filter(|((prefix, length), _)| fits(*length) == *prefix);
                let expected = longest.max_by_key(|((_, length), _)| *length).map_or(0, |(_, group)| *group);
                prop_assert_eq!(table.group_of(Ipv4Addr::from(address).into()).0, expected);
            }
        }
    }
}
