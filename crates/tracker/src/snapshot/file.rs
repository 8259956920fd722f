//! The file: its sections, its hash.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::IpAddr,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use minicbor::{Decode, Encode};
use nearcast_protocol::{
    Group, PeerId, ResourceId,
    tracker::{Claim, Holding, Received, Registration},
    wire,
};

use super::{
    SnapshotError,
    walk::{Passed, Seen},
};
use crate::{dialled::Verdict, rules::MAX_PER_NODE};

/// What a file of ours begins with.
const NAME: &[u8; 17] = b"nearcast-tracker\n";
/// Of the format. One more for each change that an older program can't read.
pub(crate) const VERSION: u16 = 1;
const BEGIN: usize = NAME.len() + 2;
const HASH: usize = blake3::OUT_LEN;
/// The longest section: what is passed by at once, with the longest addresses and URLs, is a third of it.
const LONGEST: usize = 16 << 20;
/// No clock of a tracker shows more: a hundred years.
pub(super) const LATEST: Duration = Duration::from_secs(100 * 366 * 86_400);

/// When a file was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Head {
    /// By the wall, in ms since 1970.
    #[n(0)]
    pub(super) written: u64,
    /// By the tracker's clock, in ms.
    #[n(1)]
    pub(super) clock: u64,
}

impl Head {
    pub(super) fn now(clock: Duration) -> Self {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { written: milliseconds(wall), clock: milliseconds(clock) }
    }
}

#[derive(Encode, Decode)]
enum Section {
    #[n(0)]
    Head(#[n(0)] Head),
    #[n(1)]
    Received(#[n(0)] Vec<Sum>),
    /// Films are numbered as they are first named, over the whole file.
    #[n(2)]
    Nodes(#[n(0)] Vec<ResourceId>, #[n(1)] Vec<Node>),
    #[n(3)]
    Claims(#[n(0)] Vec<Claims>),
    /// How many nodes there were.
    #[n(4)]
    End(#[n(0)] u64),
}

#[derive(Encode, Decode)]
struct Sum(#[n(0)] Group, #[n(1)] Received);

#[derive(Encode, Decode)]
struct Node {
    #[n(0)]
    #[cbor(with = "wire::peer_id")]
    peer: PeerId,
    #[n(1)]
    observed: IpAddr,
    #[n(2)]
    reported: u32,
    #[n(3)]
    ends: u64,
    #[n(4)]
    registration: Registration,
    #[n(5)]
    held: Vec<(u32, u16)>,
    #[n(6)]
    verdict: Option<Verdict>,
}

#[derive(Encode, Decode)]
struct Claims {
    #[n(0)]
    #[cbor(with = "wire::peer_id")]
    peer: PeerId,
    #[n(1)]
    claims: Vec<Claim>,
}

/// What a file holds, piece by piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contents {
    /// When it was written. Comes first, and once.
    Head(Head),
    /// What the nodes of a group have received.
    Received(Group, Received),
    /// A node.
    Node(Box<Kept>),
    /// What a publisher claims; it has come before.
    Claims(PeerId, Vec<Claim>),
}

/// A node as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub(super) peer: PeerId,
    pub(super) observed: IpAddr,
    pub(super) reported: u32,
    pub(super) ends: u64,
    pub(super) registration: Registration,
    pub(super) verdict: Option<Verdict>,
}

/// Why a file can't be read.
enum ReadError {
    Io(io::Error),
    Snapshot(SnapshotError),
}

impl ReadError {
    fn at(self, path: &Path) -> SnapshotError {
        match self {
            Self::Io(source) => SnapshotError::Io { path: path.to_owned(), source },
            Self::Snapshot(error) => error,
        }
    }
}

impl From<SnapshotError> for ReadError {
    fn from(error: SnapshotError) -> Self {
        Self::Snapshot(error)
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Snapshot(SnapshotError::Damaged),
            _ => Self::Io(error),
        }
    }
}

/// Writes a file from its beginning to its end.
pub(super) struct Writer<W> {
    out: W,
    hash: blake3::Hasher,
    films: HashMap<ResourceId, u32>,
    nodes: u64,
}

impl<W: Write> Writer<W> {
    pub fn begin(out: W, head: &Head) -> io::Result<Self> {
        let mut writer = Self { out, hash: blake3::Hasher::new(), films: HashMap::new(), nodes: 0 };
        writer.put(NAME)?;
        writer.put(&VERSION.to_be_bytes())?;
        writer.section(&Section::Head(*head))?;
        Ok(writer)
    }

    pub fn received(&mut self, received: Vec<(Group, Received)>) -> io::Result<()> {
        let sums = received.into_iter().map(|(group, received)| Sum(group, received)).collect();
        self.section(&Section::Received(sums))
    }

    pub fn some(&mut self, passed: Passed) -> io::Result<()> {
        self.nodes += passed.nodes.len() as u64;
        let mut films = Vec::new();
        let mut number = |film: ResourceId| {
            let next = u32::try_from(self.films.len()).unwrap_or(u32::MAX);
            *self.films.entry(film).or_insert_with(|| {
                films.push(film);
                next
            })
        };
        let node = |Seen { peer, observed, reported, ends, registration, held, verdict }: Seen| {
            let held = held.into_iter().map(|(film, permille)| (number(film), permille)).collect();
            Node { peer, observed, reported, ends, registration, held, verdict }
        };
        let nodes: Vec<_> = passed.nodes.into_iter().map(node).collect();
        if !nodes.is_empty() {
            self.section(&Section::Nodes(films, nodes))?;
        }
        if !passed.claims.is_empty() {
            let claims = passed.claims.into_iter().map(|(peer, claims)| Claims { peer, claims });
            self.section(&Section::Claims(claims.collect()))?;
        }
        Ok(())
    }

    pub fn end(mut self) -> io::Result<W> {
        self.section(&Section::End(self.nodes))?;
        self.out.write_all(self.hash.finalize().as_bytes())?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn section(&mut self, section: &Section) -> io::Result<()> {
        let bytes = wire::encode(section);
        let length = u32::try_from(bytes.len()).ok().filter(|length| *length as usize <= LONGEST);
        let length = length.ok_or_else(|| io::Error::other("a section is too long"))?;
        self.put(&length.to_be_bytes())?;
        self.put(&bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.out.write_all(bytes)
    }
}

/// Reads a file through and says whether its bytes are those that were written.
pub(super) fn verify(from: impl Read, path: &Path) -> Result<(), SnapshotError> {
    whole(from).map_err(|error| error.at(path))
}

fn whole(mut from: impl Read) -> Result<(), ReadError> {
    let mut begin = Vec::with_capacity(BEGIN);
    from.by_ref().take(BEGIN as u64).read_to_end(&mut begin)?;
    // What is cut short within its name may as well be another's.
    let version = begin.strip_prefix(NAME).ok_or(SnapshotError::Foreign)?;
    let mut hash = blake3::Hasher::new();
    hash.update(&begin);
    // The last bytes of what was read may be the hash.
    let mut last = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        last.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let sure = last.len().saturating_sub(HASH);
        hash.update(last.get(..sure).unwrap_or_default());
        last.drain(..sure);
    }
    if last.len() != HASH || hash.finalize() != *last.as_slice() {
        return Err(SnapshotError::Damaged.into());
    }
    match <[u8; 2]>::try_from(version).map(u16::from_be_bytes) {
        Ok(VERSION) => Ok(()),
        Ok(version) => Err(SnapshotError::Version(version).into()),
        Err(_) => Err(SnapshotError::Damaged.into()),
    }
}

fn read_on(mut from: impl Read, mut told: impl FnMut(Contents)) -> Result<(), ReadError> {
    let mut begin = [0; BEGIN];
    from.read_exact(&mut begin)?;
    let mut films: Vec<ResourceId> = Vec::new();
    let mut nodes = 0;
    let mut begun = false;
    loop {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > LONGEST {
            return Err(SnapshotError::Senseless("a section is too long").into());
        }
        // Grows with what there is, not with what was announced.
        let mut section = Vec::new();
        from.by_ref().take(length as u64).read_to_end(&mut section)?;
        if section.len() < length {
            return Err(SnapshotError::Damaged.into());
        }
        let section = wire::decode(&section, LONGEST)
            .map_err(|_| SnapshotError::Senseless("a section can't be read"))?;
        if begun == matches!(section, Section::Head(_)) {
            return Err(SnapshotError::Senseless("it doesn't begin with when it was written").into());
        }
        begun = true;
        match section {
            Section::Head(head) => told(Contents::Head(head)),
            Section::Received(sums) => {
                sums.into_iter().for_each(|Sum(group, received)| told(Contents::Received(group, received)));
            }
            Section::Nodes(more, some) => {
                films.extend(more);
                nodes += some.len() as u64;
                for node in some {
                    told(Contents::Node(Box::new(kept(node, &films)?)));
                }
            }
            Section::Claims(some) => {
                some.into_iter().for_each(|Claims { peer, claims }| told(Contents::Claims(peer, claims)));
            }
            Section::End(expected) if expected == nodes => return Ok(()),
            Section::End(_) => return Err(SnapshotError::Senseless("nodes are missing").into()),
        }
    }
}

/// Reads a file piece by piece. Its hash isn't looked at: whoever isn't sure of the bytes has to verify them
/// first. Memory is taken for what is there, never for what is announced.
///
/// # Errors
/// When the bytes make no sense or end too soon; what came before has been told.
pub fn read(from: impl Read, path: &Path, told: impl FnMut(Contents)) -> Result<(), SnapshotError> {
    read_on(from, told).map_err(|error| error.at(path))
}

fn kept(node: Node, films: &[ResourceId]) -> Result<Kept, SnapshotError> {
    let Node { peer, observed, reported, ends, mut registration, held, verdict } = node;
    if held.len() > MAX_PER_NODE {
        return Err(SnapshotError::Senseless("a node holds too much"));
    }
    let holding = |(number, permille): (u32, u16)| {
        let resource = *films.get(number as usize)?;
        Some(Holding { resource, permille, guard: None })
    };
    let holdings: Option<_> = held.into_iter().map(holding).collect();
    registration.holdings = holdings.ok_or(SnapshotError::Senseless("a node holds what has no name"))?;
    Ok(Kept { peer, observed, reported, ends, registration, verdict })
}
