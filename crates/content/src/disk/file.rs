//! The few things about files that the standard library leaves open.

use std::{
    ffi::OsString,
    fs::{File, Metadata},
    io::{self, Write as _},
    path::Path,
    time::UNIX_EPOCH,
};

use serde::{Deserialize, Serialize};

/// Tells whether a file was written to since: its size and its time of modification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970, 0 for anything before.
    pub seconds: u64,
    /// Nanoseconds on top, where the file system keeps them.
    pub nanoseconds: u32,
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> io::Result<Self> {
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self { size: metadata.len(), seconds: modified.as_secs(), nanoseconds: modified.subsec_nanos() })
    }
}

/// Writes all of `bytes` at `offset`, past any cursor, so that several threads can share the file.
#[cfg(unix)]
pub(crate) fn write_all_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

/// Writes all of `bytes` at `offset`; moves the cursor, which nothing here uses.
#[cfg(windows)]
pub(crate) fn write_all_at(file: &File, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Gives the room of these bytes back to the disk; they read as zeros then. A file system without holes keeps the room.
#[cfg(target_os = "linux")]
pub(crate) fn punch(file: &File, bytes: std::ops::Range<u64>) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    // Of an empty file's only block.
    if bytes.is_empty() {
        return Ok(());
    }
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match fallocate(file, flags, bytes.start, bytes.end - bytes.start) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
        other => Ok(other?),
    }
}

/// Holes aren't made here: the room is given back when the film goes.
#[cfg(not(target_os = "linux"))]
pub(crate) fn punch(_: &File, _: std::ops::Range<u64>) -> io::Result<()> {
    Ok(())
}

/// Replaces a small file such that, whenever the machine stops, there is the old one or the new one.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut beside = OsString::from(path);
    beside.push(".new");
    let mut file = File::create(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes the names in a folder outlast a power cut.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    // Elsewhere a folder can't be opened as a file, and the file system keeps its own journal.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Removes a file; it is fine if there was none.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
