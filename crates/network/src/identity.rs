//! The node's key pair on disk.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use libp2p::identity::Keypair;

/// Far more than any key takes; a longer file is something else.
const MAX_FILE: u64 = 4096;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file can't be read, or its folder can't be made.
    #[error("the identity {path} can't be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no file yet, and none can be written.
    #[error("the identity {path} can't be created: {source}")]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file holds no key. It is left as it is, since a lost identity can't be made again.
    #[error("the identity {path} holds no key ({reason}); restore it, or remove it to become a new peer")]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads the key pair at `path`, or makes one there on first use (Ed25519, in libp2p's protobuf form,
/// readable by its owner alone). The file appears whole or not at all, and of two programs that start at
/// once, both get the same key.
///
/// # Errors
/// When the file can't be read or created, or is broken; a broken file is never overwritten.
pub fn identity_on_disk(path: &Path) -> Result<Keypair, IdentityError> {
    match read(path)? {
        Some(keypair) => Ok(keypair),
        None => {
            create(path).map_err(|source| IdentityError::Create { path: path.into(), source })?;
            let gone = || IdentityError::Read { path: path.into(), source: io::ErrorKind::NotFound.into() };
            read(path)?.ok_or_else(gone)
        }
    }
}

fn read(path: &Path) -> Result<Option<Keypair>, IdentityError> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(IdentityError::Read { path: path.into(), source }),
    }
    let broken = |reason: String| IdentityError::Broken { path: path.into(), reason };
    if bytes.is_empty() {
        return Err(broken("it is empty".into()));
    }
    if bytes.len() as u64 > MAX_FILE {
        return Err(broken(format!("it has more than {MAX_FILE} bytes")));
    }
    Keypair::from_protobuf_encoding(&bytes).map(Some).map_err(|error| broken(error.to_string()))
}

fn create(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let bytes = Keypair::generate_ed25519().to_protobuf_encoding().map_err(io::Error::other)?;
    // A temporary file has mode 0600 from its first moment, so the key is never readable by others.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&bytes)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_file_is_the_same_peer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/identity");
        let first = identity_on_disk(&path).unwrap();
        let second = identity_on_disk(&path).unwrap();
        assert_eq!(first.public().to_peer_id(), second.public().to_peer_id());
        let other = identity_on_disk(&folder.path().join("other")).unwrap();
        assert_ne!(first.public().to_peer_id(), other.public().to_peer_id());
        // No temporary file is left behind.
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn programs_that_start_at_once_agree() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity");
        let peers: Vec<_> = std::thread::scope(|scope| {
            let start = || identity_on_disk(&path).unwrap().public().to_peer_id();
            let starts: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            starts.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(peers.iter().all(|peer| *peer == peers[0]));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity");
        identity_on_disk(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_broken_file_is_an_error_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity");
        for contents in [&b""[..], b"not a key", &[0u8; 9000]] {
            fs::write(&path, contents).unwrap();
            let error = identity_on_disk(&path).unwrap_err();
            assert!(matches!(error, IdentityError::Broken { .. }), "{error}");
            assert!(error.to_string().contains(path.to_str().unwrap()));
            assert_eq!(fs::read(&path).unwrap(), contents);
        }
        let folder_in_the_way = identity_on_disk(folder.path()).unwrap_err();
        assert!(matches!(folder_in_the_way, IdentityError::Read { .. }), "{folder_in_the_way}");
    }
}
