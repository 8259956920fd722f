//! Files that are there whole, as before or as after.

use std::{
    io::{self, Write},
    path::Path,
};

/// Writes a file so that a crash leaves the old one or the new one. Makes its folder where it is missing.
///
/// # Errors
/// When the disk won't; the old file is untouched then.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
