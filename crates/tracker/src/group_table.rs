//! The group table (IP-网络组号对照表): address prefix → group.
//!
//! A line is `prefix,group[,name[,region]]`; a first line that names the fields is passed over, and `#`
//! begins a comment. The longest prefix wins. Both families may stand in one table; what is IPv4 mapped into
//! IPv6 counts as the IPv4 it is. Private and loopback addresses are addresses like others.

use std::{
    collections::{BTreeMap, HashMap},
    fmt, fs, io,
    net::{IpAddr, Ipv6Addr},
    path::{Path, PathBuf},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nearcast_protocol::Group;
use prefix_trie::PrefixMap;

/// How many bad lines an error names.
const LINES_TOLD: usize = 5;

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
    #[error("the group table {path} can't be read", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Some lines make no sense.
    #[error("the group table {path} can't be used", path = path.display())]
    Lines {
        /// The file.
        path: PathBuf,
        /// The lines.
        source: BadLines,
    },
}

/// The lines of a table that make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct BadLines(Vec<(usize, String)>);

impl fmt::Display for BadLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(lines) = self;
        for (number, problem) in lines.iter().take(LINES_TOLD) {
            write!(f, "line {number}: {problem}; ")?;
        }
        if lines.len() > LINES_TOLD {
            write!(f, "and {} more lines; ", lines.len() - LINES_TOLD)?;
        }
        f.write_str("expected prefix,group[,name[,region]], such as 203.0.113.0/24,7,Campus")
    }
}

impl GroupTable {
    /// Reads a table from a file.
    ///
    /// # Errors
    /// When the file can't be read or a line makes no sense; each such line is named.
    pub fn read(path: &Path) -> Result<Self, GroupTableError> {
        let text = fs::read_to_string(path)
            .map_err(|source| GroupTableError::Read { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|source| GroupTableError::Lines { path: path.to_owned(), source })
    }

    /// Reads a table from its text.
    ///
    /// # Errors
    /// When a line makes no sense; each such line is named.
    pub fn parse(text: &str) -> Result<Self, BadLines> {
        let (mut table, mut regions, mut bad) = (Self::default(), HashMap::new(), Vec::new());
        let mut header_may_come = true;
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let header = line.split(',').next().is_some_and(|first| unquoted(first) == "prefix");
            if header && std::mem::take(&mut header_may_come) {
                continue;
            }
            header_may_come = false;
            if let Err(problem) = table.add(line, &mut regions) {
                bad.push((number + 1, problem));
            }
        }
        if bad.is_empty() { Ok(table) } else { Err(BadLines(bad)) }
    }

    fn add(&mut self, line: &str, regions: &mut HashMap<String, u32>) -> Result<(), String> {
        let torn = |field: &str| field.trim().starts_with('"') != field.trim().ends_with('"');
        if line.split(',').any(torn) {
            return Err("a name holds a comma, or a quote is missing".into());
        }
        let mut fields = line.split(',').map(unquoted);
        let mut next = || fields.next().unwrap_or_default();
        let (prefix, group, name, region) = (next(), next(), next(), next());
        if fields.next().is_some() {
            return Err("there are more than four fields".into());
        }
        let prefix = prefix_of(prefix)?;
        let group = match group.parse() {
            Ok(0) => return Err("group 0 stands for unknown networks and can't be given".into()),
            Ok(number) => Group(number),
            Err(_) => return Err(format!("{group:?} is no group number (1 to {})", u32::MAX)),
        };
        let region = if region.is_empty() {
            0
        } else {
            let next = u32::try_from(regions.len() + 1).map_err(|_| "there are too many regions")?;
            *regions.entry(region.to_owned()).or_insert(next)
        };
        let place = Place { group, region };
        let before = match prefix {
            IpNet::V4(prefix) => self.four.insert(prefix, place),
            IpNet::V6(prefix) => self.six.insert(prefix, place),
        };
        if let Some(before) = before.filter(|before| *before != place) {
            return Err(match before.group == group {
                true => format!("{prefix} is in another region already"),
                false => format!("{prefix} is in group {} already", before.group),
            });
        }
        self.prefixes += usize::from(before.is_none());
        if !name.is_empty() {
            self.names.entry(group).or_insert_with(|| name.to_owned());
        }
        Ok(())
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

/// A prefix, or an address as the longest prefix; bits beyond the prefix are dropped.
fn prefix_of(text: &str) -> Result<IpNet, String> {
    let parsed = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let prefix: IpNet = parsed.ok_or_else(|| format!("{text:?} is no address prefix"))?;
    Ok(match prefix {
        IpNet::V6(six) if six.prefix_len() >= MAPPED && is_mapped(six.network()) => {
            let address = six.network().to_canonical();
            IpNet::new(address, six.prefix_len() - MAPPED).map_err(|error| error.to_string())?
        }
        prefix => prefix.trunc(),
    })
}

/// The bits that IPv4 mapped into IPv6 begins with (RFC 4291, 2.5.5.2).
const MAPPED: u8 = 96;

fn is_mapped(address: Ipv6Addr) -> bool {
    address.to_ipv4_mapped().is_some()
}

/// A field without the space and the quotes that spreadsheets put around it.
fn unquoted(field: &str) -> &str {
    field.trim().trim_matches('"').trim()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::{
        collection::vec,
        prelude::{any, prop_assert_eq, proptest},
    };

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
    fn what_spreadsheets_make_of_it() {
        let table = "\u{feff}# ours\r\n\"prefix\",\"group\"\r\n\"10.0.0.0/8\",\"1\",\"North campus\"\r\n";
        let table = GroupTable::parse(table).unwrap();
        assert_eq!((group(&table, "10.1.1.1"), table.name_of(Group(1))), (1, Some("North campus")));
    }

    #[test]
    fn mapped_prefixes_are_the_ipv4_ones_they_are() {
        let table = GroupTable::parse("::ffff:10.0.0.0/104,1\n::/0,2\n10.1.0.9/16,3\n").unwrap();
        assert_eq!((group(&table, "10.2.0.1"), group(&table, "::ffff:10.2.0.1")), (1, 1));
        assert_eq!((group(&table, "10.1.0.1"), group(&table, "11.0.0.1"), group(&table, "::1")), (3, 0, 2));
    }

    #[test]
    fn the_same_said_twice_is_no_contradiction() {
        let table = GroupTable::parse("10.0.0.0/8,1,A\n10.0.0.0/8,1,B\n").unwrap();
        assert_eq!((table.len(), table.name_of(Group(1))), (1, Some("A")));
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, line, problem) in [
            ("10.0.0.0/8,1\nnonsense,2", 2, "\"nonsense\" is no address prefix"),
            ("10.0.0.0/33,1", 1, "\"10.0.0.0/33\" is no address prefix"),
            ("# first\n\n10.0.0.0/8,north", 3, "\"north\" is no group number"),
            ("10.0.0.0/8,-1", 1, "\"-1\" is no group number"),
            ("10.0.0.0/8,0", 1, "group 0 stands for unknown networks"),
            ("10.0.0.0/8", 1, "\"\" is no group number"),
            ("10.0.0.0/8,1\nprefix,group", 2, "\"prefix\" is no address prefix"),
            ("10.0.0.0/8,1,\"Campus, North\"", 1, "a name holds a comma"),
            ("10.0.0.0/8,1,Campus,North,Europe", 1, "more than four fields"),
            ("10.0.0.0/8,1\n10.9.0.0/8,2", 2, "10.0.0.0/8 is in group 1 already"),
            ("10.0.0.0/8,1,,a\n10.0.0.0/8,1,,b", 2, "10.0.0.0/8 is in another region already"),
        ] {
            let said = GroupTable::parse(text).err().unwrap().to_string();
            assert!(
                said.starts_with(&format!("line {line}: ")) && said.contains(problem),
                "{text:?}: {said}"
            );
            assert!(said.ends_with("such as 203.0.113.0/24,7,Campus"), "{said}");
        }
    }

    #[test]
    fn every_bad_line_is_named_up_to_a_few() {
        let said = GroupTable::parse("a\n10.0.0.0/8,1\nb\n").err().unwrap().to_string();
        assert!(said.contains("line 1: ") && said.contains("line 3: ") && !said.contains("line 2"), "{said}");
        let said = GroupTable::parse(&"nonsense\n".repeat(1_000)).err().unwrap().to_string();
        assert!(
            said.contains("line 5: ") && said.contains("and 995 more lines") && said.len() < 500,
            "{said}"
        );
    }

    #[test]
    fn a_file_that_can_t_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        let gone = GroupTable::read(&path).err().unwrap();
        assert!(gone.to_string().contains("table.csv"));
        fs::write(&path, "10.0.0.0/8").unwrap();
        assert!(matches!(GroupTable::read(&path), Err(GroupTableError::Lines { .. })));
        fs::write(&path, "10.0.0.0/8,1").unwrap();
        assert_eq!(GroupTable::read(&path).unwrap().len(), 1);
    }

    #[test]
    fn the_demo_s_table_is_sound() {
        let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/groups-demo.csv");
        let table = GroupTable::read(&table).unwrap();
        for (address, expected) in [("127.1.0.9", 1), ("127.2.255.1", 2), ("127.3.0.1", 3), ("127.0.0.1", 0)]
        {
            assert_eq!(group(&table, address), expected, "{address}");
        }
        assert_eq!(table.name_of(Group(2)), Some("South campus"));
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
