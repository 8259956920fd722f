//! Hashing a file: its id, and the tree that proves its blocks, on all cores and in bounded memory.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    vec::IntoIter,
};

use bao_tree::{io::sync::ReadAt, iter::BaoChunk};
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use nearcast_protocol::{BLOCK_BYTES, Geometry, ResourceId};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::{disk::file::Stamp, store::StoreError, tree::tree};

/// What one core reads and hashes at a time: large enough that the system calls don't count.
const SEGMENT: u64 = 64 * BLOCK_BYTES;
/// How much is hashed between two reports, and between two looks at whether to stop: 8 MiB, a few
/// milliseconds. At most this much of the file is in memory.
const BATCH: u64 = 8 * SEGMENT;

/// How far the hashing of a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportProgress {
    /// Bytes hashed.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Why a file couldn't be hashed.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// A folder, a device or a pipe.
    #[error("{path} is not a file", path = .0.display())]
    NotAFile(PathBuf),
    /// Someone wrote to the file meanwhile.
    #[error("{path} changed while it was read: add it when it is finished", path = .0.display())]
    Changed(PathBuf),
    /// The caller asked to stop.
    #[error("stopped before the file was read to its end")]
    Cancelled,
    /// The disk failed or is full.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The id of a file, and its size in bytes. Reports progress at least every 8 MiB.
///
/// # Errors
/// See [`HashError`].
pub fn hash_file(
    path: &Path,
    progress: &(dyn Fn(ImportProgress) + Sync),
) -> Result<(ResourceId, u64), HashError> {
    let hashed = hash_to(path, Path::new(""), &mut io::sink(), progress, &AtomicBool::new(false))?;
    Ok((hashed.id, hashed.stamp.size))
}

/// The same, and writes the tree's pairs to `pairs`: what a web source needs beside the file.
///
/// # Errors
/// See [`HashError`].
pub fn hash_with_pairs(
    path: &Path,
    pairs: &Path,
    progress: &(dyn Fn(ImportProgress) + Sync),
) -> Result<(ResourceId, u64), HashError> {
    let io = |error| StoreError::io(pairs, error);
    let mut file = io::BufWriter::new(File::create(pairs).map_err(io)?);
    let hashed = hash_to(path, pairs, &mut file, progress, &AtomicBool::new(false))?;
    file.flush().map_err(io)?;
    Ok((hashed.id, hashed.stamp.size))
}

/// A file that was hashed, as it was before and after.
pub(crate) struct Hashed {
    pub id: ResourceId,
    pub stamp: Stamp,
}

/// Hashes the file at `path`; its tree goes to `outboard`, which is the file at `outboard_path`.
pub(crate) fn hash_to(
    path: &Path,
    outboard_path: &Path,
    outboard: &mut dyn Write,
    progress: &(dyn Fn(ImportProgress) + Sync),
    cancelled: &AtomicBool,
) -> Result<Hashed, HashError> {
    let io = |error| StoreError::io(path, error);
    // Asked by path first: opening a pipe would wait for its other end.
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(HashError::NotAFile(path.to_owned()));
    }
    let file = File::open(path).map_err(io)?;
    let stamp = file.metadata().and_then(|metadata| Stamp::of(&metadata)).map_err(io)?;
    let changed = || HashError::Changed(path.to_owned());
    let hash =
        write_outboard(&file, stamp.size, outboard, progress, cancelled).map_err(|stop| match stop {
            Stop::Read(error) if error.kind() == io::ErrorKind::UnexpectedEof => changed(),
            Stop::Read(error) => io(error).into(),
            Stop::Write(error) => StoreError::io(outboard_path, error).into(),
            Stop::Cancelled => HashError::Cancelled,
        })?;
    // By path, so that a file that was put in its place is noticed as well.
    let after = std::fs::metadata(path).and_then(|metadata| Stamp::of(&metadata)).map_err(|_| changed())?;
    if after != stamp {
        return Err(changed());
    }
    Ok(Hashed { id: ResourceId::from_bytes(*hash.as_bytes()), stamp })
}

/// Why [`write_outboard`] stopped early.
#[derive(Debug)]
pub(crate) enum Stop {
    Read(io::Error),
    Write(io::Error),
    Cancelled,
}

/// Writes the tree of `data` in post-order, and gives the root's hash.
pub(crate) fn write_outboard(
    data: &(impl ReadAt + Sync),
    size: u64,
    outboard: &mut dyn Write,
    progress: &(dyn Fn(ImportProgress) + Sync),
    cancelled: &AtomicBool,
) -> Result<blake3::Hash, Stop> {
    let geometry = Geometry::new(size);
    if geometry.count() == 1 {
        let mut bytes = vec![0; size as usize];
        data.read_exact_at(0, &mut bytes).map_err(Stop::Read)?;
        progress(ImportProgress { done: size, total: size });
        return Ok(blake3::hash(&bytes));
    }
    let mut leaves = Leaves { data, size, done: 0, ready: Vec::new().into_iter(), progress, cancelled };
    let mut unmerged: Vec<ChainingValue> = Vec::new();
    for node in tree(geometry).post_order_chunks_iter() {
        let value = match node {
            BaoChunk::Leaf { .. } => leaves.next()?,
            BaoChunk::Parent { is_root, .. } => {
                let (Some(right), Some(left)) = (unmerged.pop(), unmerged.pop()) else { break };
                outboard.write_all(&left).and_then(|()| outboard.write_all(&right)).map_err(Stop::Write)?;
                if is_root {
                    return Ok(merge_subtrees_root(&left, &right, Mode::Hash));
                }
                merge_subtrees_non_root(&left, &right, Mode::Hash)
            }
        };
        unmerged.push(value);
    }
    // Post-order ends with the root, which returned above.
    Err(Stop::Read(io::ErrorKind::InvalidData.into()))
}

/// The hashes of the blocks, in order, computed a batch at a time.
struct Leaves<'a, R> {
    data: &'a R,
    size: u64,
    done: u64,
    ready: IntoIter<ChainingValue>,
    progress: &'a (dyn Fn(ImportProgress) + Sync),
    cancelled: &'a AtomicBool,
}

impl<R: ReadAt + Sync> Leaves<'_, R> {
    fn next(&mut self) -> Result<ChainingValue, Stop> {
        if let Some(value) = self.ready.next() {
            return Ok(value);
        }
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Stop::Cancelled);
        }
        let end = (self.done + BATCH).min(self.size);
        let segments = self.done / SEGMENT..end.div_ceil(SEGMENT);
        let hashed: Result<Vec<_>, _> = segments
            .into_par_iter()
            .map_init(Vec::new, |buffer, segment| self.hash_segment(segment, buffer))
            .collect();
        self.ready = hashed.map_err(Stop::Read)?.concat().into_iter();
        self.done = end;
        (self.progress)(ImportProgress { done: end, total: self.size });
        self.ready.next().ok_or_else(|| Stop::Read(io::ErrorKind::UnexpectedEof.into()))
    }

    fn hash_segment(&self, segment: u64, buffer: &mut Vec<u8>) -> io::Result<Vec<ChainingValue>> {
        let start = segment * SEGMENT;
        buffer.resize((self.size - start).min(SEGMENT) as usize, 0);
        self.data.read_exact_at(start, buffer)?;
        let blocks = (start..).step_by(BLOCK_BYTES as usize).zip(buffer.chunks(BLOCK_BYTES as usize));
        let hash = |(offset, block): (u64, &[u8])| {
            blake3::Hasher::new().set_input_offset(offset).update(block).finalize_non_root()
        };
        Ok(blocks.map(hash).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bao_tree::io::sync::outboard_post_order;
    use proptest::prelude::{ProptestConfig, proptest};

    use super::*;
    use crate::testing::bytes;

    fn check(size: u64) {
        let data = bytes(size);
        let mut expected = Vec::new();
        let root = outboard_post_order(data.as_slice(), tree(Geometry::new(size)), &mut expected).unwrap();
        assert_eq!(root, blake3::hash(&data));
        let mut pairs = Vec::new();
        let never = AtomicBool::new(false);
        let hash = write_outboard(&data, size, &mut pairs, &|_| {}, &never).unwrap();
        assert_eq!(hash, root, "{size} bytes");
        assert!(pairs == expected, "another outboard for {size} bytes");
    }

    #[test]
    fn agrees_with_blake3_and_bao_at_every_edge() {
        for size in [0, 1, 1023, 1024, 1025] {
            check(size);
        }
        for blocks in [1, 2, 3, 4, 5, 7, 8, 9, 63, 64, 65, 127, 128, 129, 511, 512, 513, 1023, 1025] {
            for size in [blocks * BLOCK_BYTES - 1, blocks * BLOCK_BYTES, blocks * BLOCK_BYTES + 1] {
                check(size);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn agrees_with_blake3_and_bao(size in 0u64..5 << 20) {
            check(size);
        }
    }

    #[test]
    fn reports_and_stops() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("film");
        let data = bytes(3 * BATCH + 1);
        std::fs::write(&path, &data).unwrap();
        let reports = Mutex::new(Vec::new());
        let (id, size) = hash_file(&path, &|progress| reports.lock().unwrap().push(progress.done)).unwrap();
        assert_eq!((id.as_bytes(), size), (blake3::hash(&data).as_bytes(), data.len() as u64));
        assert_eq!(*reports.lock().unwrap(), [BATCH, 2 * BATCH, 3 * BATCH, 3 * BATCH + 1]);

        let cancelled = AtomicBool::new(false);
        let stop = |_| cancelled.store(true, Ordering::Relaxed);
        let stopped = hash_to(&path, Path::new(""), &mut io::sink(), &stop, &cancelled);
        assert!(matches!(stopped, Err(HashError::Cancelled)));
    }

    #[test]
    fn a_file_that_changes_meanwhile_has_no_id() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("film");
        std::fs::write(&path, bytes(2 * BATCH)).unwrap();
        let write = |_| std::fs::write(&path, b"another").unwrap();
        assert!(matches!(hash_file(&path, &write), Err(HashError::Changed(_))));
        std::fs::write(&path, bytes(2 * BATCH)).unwrap();
        let remove = |progress: ImportProgress| {
            if progress.done == progress.total {
                std::fs::remove_file(&path).unwrap();
            }
        };
        assert!(matches!(hash_file(&path, &remove), Err(HashError::Changed(_))));
    }

    #[test]
    fn only_files_are_hashed() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(hash_file(folder.path(), &|_| {}), Err(HashError::NotAFile(_))));
        #[cfg(unix)]
        assert!(matches!(hash_file(Path::new("/dev/zero"), &|_| {}), Err(HashError::NotAFile(_))));
        let missing = hash_file(&folder.path().join("none"), &|_| {}).unwrap_err();
        assert!(missing.to_string().contains("none"), "{missing}");
    }
}
