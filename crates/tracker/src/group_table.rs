//! The group table (IP-网络组号对照表): address prefix → group.
//!
//! The longest prefix wins, and of those that are the same, the first that was read. Both families may stand
//! in one table; what is IPv4 mapped into IPv6 counts as the IPv4 it is. Private and loopback addresses are
//! addresses like others.
//!
//! | Format | Known by | A line, or what else there is |
//! | --- | --- | --- |
//! | `csv` | nothing else | `prefix,group[,name[,region[,distance]]]` |
//! | `ranges` | a first line with two addresses | `first,last,asn[,name]` |
//! | `pfx2as` | a first line with tabs | prefix, length, asn |
//! | `distances` | a first line with two group numbers | `group,group,distance` |
//! | `mmdb` | its marker | networks with `autonomous_system_number` |
//!
//! Distances are for choosing who is nearest outside a group. In `ranges`, `pfx2as` and `mmdb` the group is the number of the autonomous system (RFC 6793).

mod csv;
mod distances;
mod mmdb;
mod pfx2as;
mod ranges;

use std::{
    collections::{BTreeMap, HashMap},
    fmt, fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nearcast_protocol::Group;
use prefix_trie::PrefixMap;

pub use distances::Said;

/// How many bad lines an error names.
const LINES_TOLD: usize = 5;
/// What a packed file begins with (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

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
    regions: HashMap<String, u32>,
    said: Said,
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
    /// The file is packed.
    #[error("the group table {path} is packed; unpack it with gunzip first", path = path.display())]
    Packed {
        /// The file.
        path: PathBuf,
    },
    /// Some lines make no sense.
    #[error("the group table {path} can't be used", path = path.display())]
    Lines {
        /// The file.
        path: PathBuf,
        /// The lines.
        source: BadLines,
    },
    /// It seems to be a MaxMind database and isn't a sound one.
    #[error("the group table {path} can't be used: as a MaxMind database it makes no sense", path = path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: maxminddb::MaxMindDbError,
    },
    /// Nothing in it is of use.
    #[error(
        "the group table {path} can't be used: it has no network with autonomous_system_number; a database \
         of another kind, such as of cities, doesn't do",
        path = path.display()
    )]
    NoNetworks {
        /// The file.
        path: PathBuf,
    },
}

/// The lines of a table that make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct BadLines {
    lines: Vec<(usize, String)>,
    /// What a line should be like.
    expected: &'static str,
}

impl fmt::Display for BadLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lines, expected } = self;
        for (number, problem) in lines.iter().take(LINES_TOLD) {
            write!(f, "line {number}: {problem}; ")?;
        }
        if lines.len() > LINES_TOLD {
            write!(f, "and {} more lines; ", lines.len() - LINES_TOLD)?;
        }
        write!(f, "expected {expected}")
    }
}

impl GroupTable {
    /// Reads a table from a file in any of the formats.
    ///
    /// # Errors
    /// When the file can't be read or something in it makes no sense; each bad line is named.
    pub fn read(path: &Path) -> Result<Self, GroupTableError> {
        Self::read_all([path])
    }

    /// Reads one table from several files. Where two give the same prefix, the earlier one decides.
    ///
    /// # Errors
    /// As [`GroupTable::read`].
    pub fn read_all<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<Self, GroupTableError> {
        let mut table = Self::default();
        for path in paths {
            table.read_more(path)?;
        }
        Ok(table)
    }

    fn read_more(&mut self, path: &Path) -> Result<(), GroupTableError> {
        let path = || path.to_owned();
        let bytes = fs::read(path()).map_err(|source| GroupTableError::Read { path: path(), source })?;
        if bytes.starts_with(&GZIP) {
            return Err(GroupTableError::Packed { path: path() });
        }
        if path().extension().is_some_and(|ending| ending == "mmdb") || mmdb::is_one(&bytes) {
            let added = mmdb::add(self, &bytes);
            let added = added.map_err(|source| GroupTableError::Database { path: path(), source })?;
            return if added > 0 { Ok(()) } else { Err(GroupTableError::NoNetworks { path: path() }) };
        }
        let text = String::from_utf8(bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
            .map_err(|source| GroupTableError::Read { path: path(), source })?;
        self.add_text(&text).map_err(|source| GroupTableError::Lines { path: path(), source })
    }

    /// Reads a table from its text.
    ///
    /// # Errors
    /// When a line makes no sense; each such line is named.
    pub fn parse(text: &str) -> Result<Self, BadLines> {
        let mut table = Self::default();
        table.add_text(text)?;
        Ok(table)
    }

    /// Adds the lines of another text, as if of another file.
    ///
    /// # Errors
    /// As [`GroupTable::parse`].
    pub fn add(&mut self, text: &str) -> Result<(), BadLines> {
        self.add_text(text)
    }

    /// What it says of distances between networks.
    pub fn said(&self) -> &Said {
        &self.said
    }

    /// Adds the lines of a text, whose first line tells the format.
    fn add_text(&mut self, text: &str) -> Result<(), BadLines> {
        let lines = || {
            let lines = text.trim_start_matches('\u{feff}').lines().enumerate();
            let lines = lines.map(|(index, line)| (index + 1, line.trim()));
            lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        };
        let first = lines().next().map_or("", |(_, line)| line);
        let (lines, expected) = if pfx2as::is_one(first) {
            (each(lines(), |line| pfx2as::add(self, line)), pfx2as::EXPECTED)
        } else if ranges::is_one(first) {
            (each(lines(), |line| ranges::add(self, line)), ranges::EXPECTED)
        } else if distances::is_one(first) {
            (each(lines(), |line| distances::add(self, line)), distances::EXPECTED)
        } else {
            let mut reading = csv::Reading::new(self);
            (each(lines(), |line| reading.add(line)), csv::EXPECTED)
        };
        if lines.is_empty() { Ok(()) } else { Err(BadLines { lines, expected }) }
    }

    /// Puts a prefix into the table, unless it is there already.
    fn insert(&mut self, prefix: IpNet, place: Place) {
        let new = match prefix {
            IpNet::V4(prefix) => insert_new(&mut self.four, prefix, place),
            IpNet::V6(prefix) => insert_new(&mut self.six, prefix, place),
        };
        self.prefixes += usize::from(new);
    }

    /// Calls a group by a name, unless it has one already.
    fn name(&mut self, group: Group, name: &str) {
        if !name.is_empty() {
            self.names.entry(group).or_insert_with(|| name.to_owned());
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

fn insert_new<P: prefix_trie::Prefix>(map: &mut PrefixMap<P, Place>, prefix: P, place: Place) -> bool {
    let new = !map.contains_key(&prefix);
    if new {
        map.insert(prefix, place);
    }
    new
}

/// Adds each line, and says which make no sense.
fn each<'a>(
    lines: impl Iterator<Item = (usize, &'a str)>,
    mut add: impl FnMut(&'a str) -> Result<(), String>,
) -> Vec<(usize, String)> {
    lines.filter_map(|(number, line)| add(line).err().map(|problem| (number, problem))).collect()
}

/// A place without a region, in the group that has an autonomous system's number. `None` for 0, which no
/// system has (RFC 7607).
fn system(number: u32) -> Option<Place> {
    (number != 0).then_some(Place { group: Group(number), region: 0 })
}

/// The bits that IPv4 mapped into IPv6 begins with (RFC 4291, 2.5.5.2).
const MAPPED: u8 = 96;

/// A prefix as the table has it: bits beyond it are dropped, and mapped IPv4 is IPv4.
fn canonical(prefix: IpNet) -> IpNet {
    if let IpNet::V6(six) = prefix
        && six.prefix_len() >= MAPPED
        && let Some(four) = six.network().to_ipv4_mapped()
        && let Ok(four) = Ipv4Net::new(four, six.prefix_len() - MAPPED)
    {
        return four.trunc().into();
    }
    prefix.trunc()
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
            ("10.0.0.0/8,1,Campus,North,7,Europe", 1, "more than five fields"),
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
