//! What has been read of a plain file, so that going back in it asks the server for nothing.

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use rangemap::RangeSet;

/// Of longer files the rest is read anew.
const MOST: u64 = 4 << 30;
/// So much stays free on the disk.
const FREE: u64 = 1 << 30;
/// The free space is looked at once for so many bytes.
const LOOK: u64 = 16 << 20;

/// A file that has no name: it is gone with the program, however that ends.
pub(super) struct Cache {
    file: File,
    folder: PathBuf,
    held: RangeSet<u64>,
    written: u64,
    looked: u64,
    /// Nothing more is taken in.
    full: bool,
}

impl Cache {
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        let file = tempfile::tempfile_in(folder)?;
        Ok(Self {
            file,
            folder: folder.to_owned(),
            held: RangeSet::new(),
            written: 0,
            looked: 0,
            full: false,
        })
    }

    /// Takes in what came; what finds no place isn't remembered.
    pub(super) fn put(&mut self, at: u64, bytes: &[u8]) {
        let all = at..at + bytes.len() as u64;
        let new: Vec<Range<u64>> = self.held.gaps(&all).collect();
        for gap in new {
            if self.full || !self.has_room(gap.end - gap.start) {
                self.full = true;
                return;
            }
            let part = |end: u64| usize::try_from(end - at).unwrap_or(usize::MAX);
            let Some(part) = bytes.get(part(gap.start)..part(gap.end)) else { return };
            if let Err(error) = self.file.write_all_at(part, gap.start) {
                tracing::debug!(%error, "a plain file is kept no further");
                self.full = true;
                return;
            }
            self.held.insert(gap);
        }
    }

    fn has_room(&mut self, bytes: u64) -> bool {
        self.written += bytes;
        if self.written >= self.looked {
            self.looked = self.written + LOOK;
            let free = fs4::available_space(&self.folder);
            if free.is_ok_and(|free| free < FREE + LOOK) {
                return false;
            }
        }
        self.written <= MOST
    }

    /// Reads what is there from `offset` on; nothing if that isn't.
    pub(super) fn get(&self, offset: u64, buffer: &mut [u8]) -> Option<usize> {
        let there = self.held.get(&offset)?.end - offset;
        let length = buffer.len().min(usize::try_from(there).unwrap_or(usize::MAX));
        self.file.read_exact_at(&mut buffer[..length], offset).ok()?;
        Some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_there_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = Cache::new(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it has no name");
        let mut buffer = [0; 8];
        assert_eq!(cache.get(0, &mut buffer), None);
        cache.put(10, b"abcdef");
        cache.put(14, b"EFgh");
        assert_eq!((cache.get(9, &mut buffer), cache.get(18, &mut buffer)), (None, None));
        assert_eq!(cache.get(12, &mut buffer), Some(6));
        assert_eq!(&buffer[..6], b"cdefgh", "what is there stays");
        cache.full = true;
        cache.put(100, b"more");
        assert_eq!(cache.get(100, &mut buffer), None);
        assert_eq!(cache.get(10, &mut buffer), Some(8));
    }
}
