//! Who and what is served: the list of films that alone are tracked, and the lists of what is denied.
//!
//! One entry a line; `#` begins a comment. A resource id is its 52 letters, a peer id its `12D3…`, a prefix
//! `203.0.113.0/24` or an address. In a list of films a whole link does too.

use std::{
    collections::HashSet,
    fmt, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nearcast_protocol::{Link, PeerId, ResourceId, token::is_protected_swarm};
use prefix_trie::PrefixSet;

/// How many bad lines an error names.
const LINES_TOLD: usize = 5;

/// Who and what is served. The default is everyone and everything.
#[derive(Default)]
pub struct Access {
    /// The only films that are tracked; `None` for all.
    listed: Option<HashSet<ResourceId>>,
    films: HashSet<ResourceId>,
    peers: HashSet<PeerId>,
    four: PrefixSet<Ipv4Net>,
    six: PrefixSet<Ipv6Net>,
}

/// Why a film isn't tracked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTracked {
    /// It isn't on the list of those that are.
    NotListed,
    /// It is denied.
    Denied,
}

/// Why a list can't be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file can't be read.
    #[error("the list {path} can't be read", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Some lines make no sense.
    #[error("the list {path} can't be used", path = path.display())]
    Lines {
        /// The file.
        path: PathBuf,
        /// The lines.
        source: BadEntries,
    },
}

/// The lines of a list that make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct BadEntries {
    lines: Vec<(usize, String)>,
    expected: &'static str,
}

impl fmt::Display for BadEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lines, expected } = self;
        for (number, entry) in lines.iter().take(LINES_TOLD) {
            // What is wrong may be a whole film.
            let shown: String = entry.chars().take(60).collect();
            write!(f, "line {number}: {shown:?} makes no sense; ")?;
        }
        if lines.len() > LINES_TOLD {
            write!(f, "and {} more lines; ", lines.len() - LINES_TOLD)?;
        }
        write!(f, "expected {expected}")
    }
}

impl Access {
    /// Reads the list of films that alone are tracked, if there is one, and those of what is denied.
    ///
    /// # Errors
    /// When a file can't be read or a line makes no sense; each bad line is named.
    pub fn read<'a>(
        listed: Option<&Path>,
        denied: impl IntoIterator<Item = &'a Path>,
    ) -> Result<Self, AccessError> {
        let mut access = Self::default();
        let path = |path: &Path| path.to_owned();
        let read = |file: &Path| {
            std::fs::read_to_string(file).map_err(|source| AccessError::Read { path: path(file), source })
        };
        let lines = |file: &Path, source| AccessError::Lines { path: path(file), source };
        if let Some(file) = listed {
            access.list(&read(file)?).map_err(|source| lines(file, source))?;
        }
        for file in denied {
            access.deny(&read(file)?).map_err(|source| lines(file, source))?;
        }
        Ok(access)
    }

    /// From now on only films that have been listed are tracked, these among them.
    ///
    /// # Errors
    /// With the lines that make no sense.
    pub fn list(&mut self, text: &str) -> Result<(), BadEntries> {
        let listed = self.listed.get_or_insert_default();
        let bad = each(text, |entry| {
            let link = || entry.parse::<Link>().ok().map(|link| link.id);
            listed.insert(entry.parse().ok().or_else(link)?);
            Some(())
        });
        outcome(bad, "a film's id or its nearcast: link on each line")
    }

    /// Denies what a text says.
    ///
    /// # Errors
    /// With the lines that make no sense.
    pub fn deny(&mut self, text: &str) -> Result<(), BadEntries> {
        let bad = each(text, |entry| {
            if let Ok(film) = entry.parse() {
                self.films.insert(film);
            } else if let Ok(peer) = entry.parse() {
                self.peers.insert(peer);
            } else {
                let address = || entry.parse::<IpAddr>().ok().map(|ip| IpNet::from(ip.to_canonical()));
                match entry.parse().ok().or_else(address)? {
                    IpNet::V4(prefix) => self.four.insert(prefix.trunc()),
                    IpNet::V6(prefix) => self.six.insert(prefix.trunc()),
                };
            }
            Some(())
        });
        outcome(bad, "a film's id, a peer id or an address prefix such as 203.0.113.0/24 on each line")
    }

    /// Whether a film isn't tracked, and why.
    pub fn denies_film(&self, film: &ResourceId) -> Option<NotTracked> {
        // What protected films are kept under is no film's id, and no message may name it.
        if is_protected_swarm(film) {
            return None;
        }
        if self.films.contains(film) {
            return Some(NotTracked::Denied);
        }
        let listed = self.listed.as_ref().is_none_or(|listed| listed.contains(film));
        (!listed).then_some(NotTracked::NotListed)
    }

    /// Whether a node isn't served.
    pub fn denies_node(&self, peer: &PeerId, address: IpAddr) -> bool {
        let denied = match address.to_canonical() {
            IpAddr::V4(ip) => self.four.get_lpm(&ip.into()).is_some(),
            IpAddr::V6(ip) => self.six.get_lpm(&ip.into()).is_some(),
        };
        denied || self.peers.contains(peer)
    }

    /// Whether everyone and everything is served.
    pub fn is_open(&self) -> bool {
        let nobody = self.films.is_empty() && self.peers.is_empty();
        self.listed.is_none() && nobody && self.four.is_empty() && self.six.is_empty()
    }

    /// How many films alone are tracked; `None` if all are.
    pub fn listed(&self) -> Option<usize> {
        self.listed.as_ref().map(HashSet::len)
    }

    /// How many films, peers and prefixes are denied.
    pub fn denied(&self) -> usize {
        self.films.len() + self.peers.len() + self.four.len() + self.six.len()
    }
}

/// Takes in each entry, and says which make no sense.
fn each(text: &str, mut take: impl FnMut(&str) -> Option<()>) -> Vec<(usize, String)> {
    let lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    let entries = lines.map(|(index, line)| {
        // An id, a prefix and a link's start have no #; a link's name has it only encoded.
        (index + 1, line.split_once('#').map_or(line, |(entry, _)| entry).trim())
    });
    let entries = entries.filter(|(_, entry)| !entry.is_empty());
    entries.filter(|(_, entry)| take(entry).is_none()).map(|(line, entry)| (line, entry.to_owned())).collect()
}

fn outcome(lines: Vec<(usize, String)>, expected: &'static str) -> Result<(), BadEntries> {
    if lines.is_empty() { Ok(()) } else { Err(BadEntries { lines, expected }) }
}

#[cfg(test)]
mod tests {
    use proptest::{
        prelude::{any, proptest},
        string::string_regex,
    };

    use super::*;

    fn film(byte: u8) -> ResourceId {
        ResourceId::from_bytes([byte; 32])
    }

    #[test]
    fn only_what_is_listed_is_tracked() {
        let mut access = Access::default();
        assert!(access.is_open() && access.denies_film(&film(1)).is_none());
        let link = format!("nearcast://{}/film.mp4?size=1000", film(2));
        access.list(&format!("\u{feff}# ours\r\n {} # the first\r\n\r\n{link}\r\n", film(1))).unwrap();
        assert_eq!((access.listed(), access.is_open()), (Some(2), false));
        assert!(access.denies_film(&film(1)).is_none() && access.denies_film(&film(2)).is_none());
        assert_eq!(access.denies_film(&film(3)), Some(NotTracked::NotListed));
        // An empty list lists nothing.
        let mut access = Access::default();
        access.list("").unwrap();
        assert_eq!(access.denies_film(&film(1)), Some(NotTracked::NotListed));
    }

    #[test]
    fn whatever_is_denied_is_denied() {
        let (bad, good) = (PeerId::random(), PeerId::random());
        let text =
            format!("{}\n{bad}\n10.1.2.3/16 # bits beyond it\n2001:db8::/32\n::ffff:192.0.2.1\n", film(1));
        let mut access = Access::default();
        access.deny(&text).unwrap();
        assert_eq!((access.denied(), access.listed()), (5, None));
        assert_eq!(access.denies_film(&film(1)), Some(NotTracked::Denied));
        assert!(access.denies_film(&film(2)).is_none());
        for (peer, address, denied) in [
            (&bad, "203.0.113.1", true),
            (&good, "203.0.113.1", false),
            (&good, "10.1.255.255", true),
            (&good, "::ffff:10.1.0.0", true),
            (&good, "10.2.0.0", false),
            (&good, "2001:db8::1", true),
            (&good, "2001:db9::1", false),
            (&good, "192.0.2.1", true),
            (&good, "192.0.2.2", false),
        ] {
            assert_eq!(access.denies_node(peer, address.parse().unwrap()), denied, "{address}");
        }
    }

    #[test]
    fn a_bad_line_is_named() {
        let text = format!("# ours\n{}\nfilm.mp4\n10.0.0.0/33\n", film(1));
        let said = Access::default().deny(&text).unwrap_err().to_string();
        assert!(said.starts_with("line 3: \"film.mp4\" makes no sense; line 4: \"10.0.0.0/33\""), "{said}");
        assert!(said.ends_with("203.0.113.0/24 on each line") && !said.contains("line 2"), "{said}");
        let said = Access::default().list("10.0.0.0/8").unwrap_err().to_string();
        assert!(said.contains("line 1") && said.contains("nearcast: link"), "{said}");
        let said = Access::default().list(&"x\n".repeat(1_000)).unwrap_err().to_string();
        assert!(said.contains("and 995 more lines") && said.len() < 500, "{said}");
    }

    #[test]
    fn a_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deny.txt");
        let gone = Access::read(None, [path.as_path()]).err().unwrap();
        assert!(gone.to_string().contains("deny.txt can't be read"));
        std::fs::write(&path, "10.0.0.0/8\n").unwrap();
        let access = Access::read(None, [path.as_path()]).unwrap();
        assert!(access.denies_node(&PeerId::random(), "10.9.9.9".parse().unwrap()));
        assert!(matches!(Access::read(Some(&path), []), Err(AccessError::Lines { .. })));
    }

    proptest! {
        #[test]
        fn any_text_is_a_list_or_an_error(text in string_regex("(?s).{0,200}").unwrap(), seed in any::<u8>()) {
            let text = format!("{text}\n{}\n", film(seed));
            let mut access = Access::default();
            access.deny(&text).ok();
            access.list(&text).ok();
            assert!(access.denies_film(&film(seed)).is_some(), "a bad line takes none of the others with it");
        }
    }
}
