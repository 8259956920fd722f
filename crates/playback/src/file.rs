//! A file on this machine, as [`Media`].

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use crate::{Media, MediaError};

/// A file on this machine: every byte is there from the start, so nothing ever waits.
#[derive(Debug)]
pub struct FileMedia {
    file: File,
    name: String,
    size: u64,
    interrupted: AtomicBool,
}

impl FileMedia {
    /// Opens the file at `path` for reading.
    ///
    /// # Errors
    /// Whatever the system says, and an error for anything that is not a regular file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Ok(Self { file, name, size: metadata.len(), interrupted: AtomicBool::new(false) })
    }
}

impl Media for FileMedia {
    fn size(&self) -> u64 {
        self.size
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, MediaError> {
        if self.interrupted.load(Ordering::Acquire) {
            return Err(MediaError::Interrupted);
        }
        loop {
            match self.file.read_at(buf, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(MediaError::Lost(format!("{} can't be read: {error}", self.name))),
                Ok(count) => return Ok(count),
            }
        }
    }

    fn interrupt(&self, on: bool) {
        self.interrupted.store(on, Ordering::Release);
    }

    fn set_bit_rate(&self, _bits_per_second: u64) {}

    fn set_rate(&self, _rate: f64) {}

    fn waiting(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_up_to_the_end_and_then_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a film.bin");
        std::fs::write(&path, b"0123456789").unwrap();
        let media = FileMedia::open(&path).unwrap();
        assert_eq!((media.size(), media.name().as_str()), (10, "a film.bin"));
        let mut buf = [0; 8];
        assert_eq!(media.read_at(6, &mut buf), Ok(4));
        assert_eq!(&buf[..4], b"6789");
        assert_eq!(media.read_at(10, &mut buf), Ok(0));
        media.interrupt(true);
        assert_eq!(media.read_at(0, &mut buf), Err(MediaError::Interrupted));
        media.interrupt(false);
        assert_eq!(media.read_at(0, &mut buf), Ok(8));
    }

    #[test]
    fn a_folder_is_not_a_film() {
        assert!(FileMedia::open(tempfile::tempdir().unwrap().path()).is_err());
    }
}
