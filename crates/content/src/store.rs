//! What every store does, wherever it keeps the bytes.

use std::{io, ops::Range, path::PathBuf};

use nearcast_protocol::{Blocks, Geometry, ResourceId};

/// One resource, held in whole or in part. Every byte that comes out was verified against the id.
///
/// Calls block on disks and hash what they touch: call them from a thread that may wait. A store is
/// used from several threads at once; encoding goes on while blocks are accepted.
pub trait Store: Send + Sync {
    /// What is stored.
    fn id(&self) -> ResourceId;

    /// The file as blocks, by the size that the link claims; see [`Store::size_proved`].
    fn geometry(&self) -> Geometry;

    /// The verified blocks that are held. None is before the size is proved.
    fn held(&self) -> Blocks;

    /// Whether the last block was verified at any time, and with it the size.
    fn size_proved(&self) -> bool;

    /// Whether every block is held.
    fn complete(&self) -> bool {
        self.held().contains_run(0..self.geometry().count())
    }

    /// Verifies `encoded`, the Bao encoding of the run `blocks` (parents and blocks in pre-order, no size
    /// in front), and stores what verifies. Gives the run.
    ///
    /// While the size isn't proved, only a run with the last block in it is taken, and nothing of it is
    /// kept unless that block verifies.
    ///
    /// # Errors
    /// See [`Fault`]. Blocks in front of the fault that verified are stored and named in the error.
    fn accept(&self, blocks: Range<u64>, encoded: &[u8]) -> Result<Blocks, AcceptError>;

    /// The Bao encoding of a run, [`crate::encoded_len`] bytes in memory at once. It is verified once
    /// more on the way out: a disk that rots must not get this node banned.
    ///
    /// # Errors
    /// [`StoreError::NotHeld`] unless all of the run is held. [`StoreError::Damaged`] if it was and is no
    /// longer what it was; what is damaged is no longer held, and can be fetched anew.
    fn encode(&self, blocks: Range<u64>) -> Result<Vec<u8>, StoreError>;

    /// The first bytes of the Bao encoding of a run, as far as they are parents that were verified: a peer needn't
    /// send them ([`common_parents`](crate::common_parents) at most, 64 bytes each). They are verified once more.
    fn known(&self, blocks: &Range<u64>) -> Vec<u8>;

    /// Gives up what is held of `blocks`, and gives its room back; gives what that was. What proves the rest stays,
    /// and so does the size.
    ///
    /// # Errors
    /// When the data is a file of the user's ([`StoreError::Imported`]), or the disk fails: then it is held no
    /// longer all the same.
    fn forget(&self, blocks: &Blocks) -> Result<Blocks, StoreError>;

    /// Reads verified bytes from `offset` on: as many as are held without a gap, up to the buffer's
    /// length. Gives 0 only at the end of a file whose size is proved, or for an empty buffer.
    ///
    /// # Errors
    /// [`StoreError::NotHeld`] if the first byte isn't held.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError>;

    /// Where the bytes lie. A file may have holes where [`Store::held`] has none.
    fn location(&self) -> Location;

    /// Makes what is held outlast a power cut, and the next opening quick.
    ///
    /// # Errors
    /// When the disk fails or is full.
    fn sync(&self) -> Result<(), StoreError>;
}

/// Where the bytes of a resource lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In this file.
    File(PathBuf),
    /// In memory, where programs of the same user find it as a file at this path while this process has it.
    Memory(PathBuf),
}

/// Why an encoding was not accepted, and what of it was.
#[derive(Debug, thiserror::Error)]
#[error("{fault}")]
pub struct AcceptError {
    /// The blocks of the run that verified, and are stored.
    pub verified: Blocks,
    /// What was wrong.
    #[source]
    pub fault: Fault,
}

/// What was wrong with an encoding, or with storing it.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Before anything else the last block has to prove the size.
    #[error("the size isn't proved yet: the run must hold the last block")]
    SizeUnproved,
    /// The last block didn't verify under the claimed size. The link may lie or the peer may; since no one
    /// can tell which, no peer is to be banned for it.
    #[error("the last block doesn't verify: the link's size of {claimed} bytes is probably wrong")]
    WrongSize {
        /// The size that the link claims, in bytes.
        claimed: u64,
    },
    /// The encoding ends early. The sender's fault.
    #[error("the encoding ends before the run does")]
    Short,
    /// The encoding goes on after the run. The sender's fault; the run itself verified.
    #[error("the encoding has {extra} bytes more than the run needs")]
    Long {
        /// How many bytes too many.
        extra: u64,
    },
    /// A block, or a hash above it, isn't what the id says. The sender's fault.
    #[error("block {block} doesn't verify against the resource id")]
    Wrong {
        /// The first block that didn't verify.
        block: u64,
    },
    /// It verified, but couldn't be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault {
    /// Whether whoever sent the encoding is to blame: no honest peer sends such a thing.
    pub fn blames_sender(&self) -> bool {
        matches!(self, Self::Short | Self::Long { .. } | Self::Wrong { .. })
    }
}

/// Why a store didn't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The block isn't held.
    #[error("block {block} isn't held")]
    NotHeld {
        /// The first block that is missing.
        block: u64,
    },
    /// The run is empty, or goes past the end.
    #[error("there is no run {run:?} in a file of {count} blocks")]
    NoSuchRun {
        /// What was asked for.
        run: Range<u64>,
        /// How many blocks there are.
        count: u64,
    },
    /// What was held is no longer what it was: the disk lost it, or someone wrote to the file.
    #[error("{count} blocks of {path} are damaged and will be fetched again", count = blocks.count(), path = path.display())]
    Damaged {
        /// The damaged file.
        path: PathBuf,
        /// The blocks that were given up.
        blocks: Blocks,
    },
    /// An imported file was changed, replaced, moved or deleted.
    #[error("{path} is no longer the file that was added: add it again", path = path.display())]
    Changed {
        /// The imported file.
        path: PathBuf,
    },
    /// An imported file belongs to the user and is never written to.
    #[error("{path} was added, not fetched, and is never written to", path = path.display())]
    Imported {
        /// The imported file.
        path: PathBuf,
    },
    /// The entry was removed from the library, or replaced by one with another size.
    #[error("the resource was removed from the library or its size was corrected: open it again")]
    Retired,
    /// No room is left.
    #[error("the disk that holds {folder} is full: free some space and go on", folder = folder.display())]
    DiskFull {
        /// The folder that couldn't be written to.
        folder: PathBuf,
    },
    /// The disk, or the system in between, failed.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file in question.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StoreError {
    /// The error of an input or output on `path`, with a full disk told apart from the rest.
    pub(crate) fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                let folder = path.parent().map_or_else(|| path.clone(), PathBuf::from);
                Self::DiskFull { folder }
            }
            _ => Self::Io { path, source },
        }
    }
}

/// The first block of a run that isn't held.
pub(crate) fn first_missing(held: &Blocks, run: &Range<u64>) -> Option<u64> {
    match held.run_at(run.start) {
        None => Some(run.start),
        Some(there) => (there.end < run.end).then_some(there.end),
    }
}

/// The bytes from `offset` on that a read of `length` may give; empty only at the end of a file of which
/// something is held, or if nothing is wanted.
pub(crate) fn readable(
    geometry: Geometry,
    held: &Blocks,
    offset: u64,
    length: usize,
) -> Result<Range<u64>, StoreError> {
    let at_end = offset >= geometry.size() && !held.is_empty();
    if at_end || length == 0 {
        return Ok(offset..offset);
    }
    let block = geometry.block_at(offset);
    let run = held.run_at(block).ok_or(StoreError::NotHeld { block })?;
    Ok(offset..geometry.bytes(run).end.min(offset.saturating_add(length as u64)))
}
