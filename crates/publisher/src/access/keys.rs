//! The keys that sign links: made, rotated and revoked.
//!
//! ```text
//! <state>/signing-keys.json       the keys' secrets, readable by their owner alone
//! <state>/signing-keys.lock       held while they are changed
//! ```
//!
//! A new key is made when the newest is a month old; each signs for three months, so that a link of up to two months
//! can always be signed. The file is read anew for each link: links are made seldom, and `rotate-keys` is another
//! process.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use data_encoding::BASE64URL_NOPAD;
use nearcast_network::Keypair;
use nearcast_protocol::{
    Guard, LinkToken, PeerId, ResourceId, Token,
    token::{KEY, SigningKey, Term},
};
use serde::{Deserialize, Serialize};

use super::guard_of;

const FILE: &str = "signing-keys.json";
const LOCK: &str = "signing-keys.lock";
const VERSION: u32 = 1;
/// Far more than any number of keys takes.
const MAX_FILE: u64 = 1 << 20;
/// How long a key signs and is believed.
const LIFE: u64 = 90 * DAY;
/// The age at which the next one takes over.
const ROTATED: u64 = 30 * DAY;
const DAY: u64 = 24 * 3600;
/// How long a link may be good at most.
pub const LONGEST: Duration = Duration::from_secs(LIFE - ROTATED);

/// Why no link can be signed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file can't be read or written.
    #[error("the signing keys {path} can't be used: {source}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file holds no keys. It is left as it is.
    #[error("the signing keys {path} can't be read ({reason}); restore the file, or remove it to make new keys", path = .path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The identity is of a kind that can't sign.
    #[error("the publisher's identity is no Ed25519 key, and only such a one can protect films")]
    Identity,
    /// The link would outlast every key.
    #[error("a link can be good for {} days at most", LONGEST.as_secs() / DAY)]
    TooLong,
}

/// The signing keys in a publisher's state folder.
pub struct Keys {
    folder: PathBuf,
    identity: Keypair,
    guard: Guard,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    version: u32,
    /// Keys that begin before this are revoked.
    floor: u64,
    keys: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize)]
struct StoredKey {
    secret: String,
    from: u64,
    until: u64,
}

impl std::fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredKey({} to {})", self.from, self.until)
    }
}

/// What a rotation has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    /// Keys that still count, the new one among them.
    pub good: usize,
    /// When the new one ends, in seconds since 1970.
    pub until: u64,
}

impl Keys {
    /// The keys in `folder`, which `identity` guards.
    ///
    /// # Errors
    /// When the identity can't sign.
    pub fn new(folder: &Path, identity: Keypair) -> Result<Self, KeyError> {
        let guard = guard_of(&identity).ok_or(KeyError::Identity)?;
        Ok(Self { folder: folder.to_owned(), identity, guard })
    }

    /// Who guards.
    pub fn guard(&self) -> Guard {
        self.guard
    }

    /// Makes the first key if there is none, or the next one if it is time.
    ///
    /// # Errors
    /// When the file can't be read or written.
    pub fn prepare(&self) -> Result<(), KeyError> {
        self.current(now()).map(drop)
    }

    /// Keys that begin before this time are revoked.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn floor(&self) -> Result<u64, KeyError> {
        Ok(self.read()?.map_or(0, |stored| stored.floor))
    }

    /// A token for a link that is good until then (seconds since 1970).
    ///
    /// # Errors
    /// When that is too far off, or the keys can't be used.
    pub fn token(&self, resource: ResourceId, until: u64) -> Result<Token, KeyError> {
        self.link_token(resource, until)?.to_token().ok_or(KeyError::Identity)
    }

    /// A token that this publisher shows itself, good for a moment.
    ///
    /// # Errors
    /// As [`Keys::token`].
    pub fn bound_token(&self, resource: ResourceId, peer: PeerId) -> Result<Token, KeyError> {
        let token = self.link_token(resource, now() + 3600)?;
        token.bind(peer).and_then(|bound| bound.to_token()).ok_or(KeyError::Identity)
    }

    fn link_token(&self, resource: ResourceId, until: u64) -> Result<LinkToken, KeyError> {
        let now = now();
        if until > now.saturating_add(LONGEST.as_secs()) {
            return Err(KeyError::TooLong);
        }
        let key = self.current(now)?;
        key.token(resource, Term { from: now, until }, rand::random()).ok_or(KeyError::Identity)
    }

    /// Takes a new key into use. Links of the old ones stay good, unless they are revoked.
    ///
    /// # Errors
    /// When the file can't be read or written.
    pub fn rotate(&self, revoke: bool) -> Result<Rotated, KeyError> {
        let _lock = self.lock()?;
        self.rotate_locked(now(), revoke)
    }

    fn rotate_locked(&self, now: u64, revoke: bool) -> Result<Rotated, KeyError> {
        let mut stored = self.read()?.unwrap_or(Stored { version: VERSION, floor: 0, keys: Vec::new() });
        let newest = stored.keys.iter().map(|key| key.from).max();
        // Later than any other, so that a floor tells them apart.
        let from = newest.map_or(now, |newest| now.max(newest + 1)).max(stored.floor);
        let secret: [u8; KEY] = rand::random();
        let until = from + LIFE;
        stored.keys.push(StoredKey { secret: BASE64URL_NOPAD.encode(&secret), from, until });
        if revoke {
            stored.floor = from;
        }
        let floor = stored.floor;
        stored.keys.retain(|key| key.until > now && key.from >= floor);
        self.write(&stored)?;
        Ok(Rotated { good: stored.keys.len(), until })
    }

    /// The key that signs now.
    fn current(&self, now: u64) -> Result<SigningKey, KeyError> {
        if let Some(key) = self.newest(now)? {
            return Ok(key);
        }
        let _lock = self.lock()?;
        // Another process may have made it meanwhile.
        if let Some(key) = self.newest(now)? {
            return Ok(key);
        }
        self.rotate_locked(now, false)?;
        self.newest(now)?.ok_or_else(|| self.broken("the key that was just made isn't there"))
    }

    /// The newest key, unless it is time for the next one.
    fn newest(&self, now: u64) -> Result<Option<SigningKey>, KeyError> {
        let Some(stored) = self.read()? else { return Ok(None) };
        let young = stored.keys.iter().filter(|key| key.from >= stored.floor && now < key.from + ROTATED);
        let Some(key) = young.max_by_key(|key| key.from) else { return Ok(None) };
        let secret =
            BASE64URL_NOPAD.decode(key.secret.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        let secret = secret.ok_or_else(|| self.broken("a secret isn't 32 bytes"))?;
        let term = Term { from: key.from, until: key.until };
        let key = SigningKey::certify(&self.identity, secret, term, stored.floor);
        key.map(Some).ok_or(KeyError::Identity)
    }

    fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    fn read(&self) -> Result<Option<Stored>, KeyError> {
        let path = self.path();
        let bytes = match fs::metadata(&path) {
            Ok(metadata) if metadata.len() > MAX_FILE => return Err(self.broken("it is too long")),
            Ok(_) => fs::read(&path),
            Err(error) => Err(error),
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(KeyError::File { path, source }),
        };
        let stored: Stored =
            serde_json::from_slice(&bytes).map_err(|error| self.broken(&error.to_string()))?;
        if stored.version != VERSION {
            return Err(
                self.broken(&format!("version {} is not one that this program reads", stored.version))
            );
        }
        Ok(Some(stored))
    }

    /// All or nothing, and never readable by others: a temporary file has mode 0600 from its first moment.
    fn write(&self, stored: &Stored) -> Result<(), KeyError> {
        let path = self.path();
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            file.write_all(&serde_json::to_vec_pretty(stored)?)?;
            self.give(file.as_file())?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            #[cfg(unix)]
            File::open(&self.folder)?.sync_all()?;
            Ok(())
        };
        write().map_err(|source| KeyError::File { path: path.clone(), source })
    }

    fn lock(&self) -> Result<File, KeyError> {
        let path = self.folder.join(LOCK);
        let lock = || {
            fs::create_dir_all(&self.folder)?;
            let file = File::options().write(true).create(true).truncate(false).open(&path)?;
            self.give(&file)?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(|source| KeyError::File { path: path.clone(), source })
    }

    /// Gives a new file to the owner of the folder: an administrator signs links beside a service that runs as
    /// somebody else.
    fn give(&self, file: &File) -> io::Result<()> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::{MetadataExt as _, fchown};
            let (owner, own) = (fs::metadata(&self.folder)?, file.metadata()?);
            if (owner.uid(), owner.gid()) != (own.uid(), own.gid()) {
                // Who may not is no administrator, and needn't.
                fchown(file, Some(owner.uid()), Some(owner.gid())).ok();
            }
        }
        Ok(())
    }

    fn broken(&self, reason: &str) -> KeyError {
        KeyError::Broken { path: self.path(), reason: reason.to_owned() }
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use nearcast_protocol::{TokenError, token::Verifier};

    use super::*;

    const FILM: ResourceId = ResourceId::from_bytes([7; 32]);

    fn keys(folder: &Path) -> Keys {
        Keys::new(folder, Keypair::ed25519_from_bytes([1; 32]).unwrap()).unwrap()
    }

    fn good(keys: &Keys, token: &Token, floor: u64) -> Result<(), TokenError> {
        let mut verifier = Verifier::default();
        verifier.raise(keys.guard(), floor);
        verifier.check_link(token, keys.guard(), &FILM, now()).map(drop)
    }

    #[test]
    fn rotated_keys_stay_good_and_revoked_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path());
        let old = keys.token(FILM, now() + DAY).unwrap();
        assert_eq!(keys.rotate(false).unwrap().good, 2);
        let new = keys.token(FILM, now() + DAY).unwrap();
        assert_eq!((good(&keys, &old, keys.floor().unwrap()), good(&keys, &new, 0)), (Ok(()), Ok(())));
        assert_eq!(keys.rotate(true).unwrap().good, 1);
        let newest = keys.token(FILM, now() + DAY).unwrap();
        let floor = keys.floor().unwrap();
        assert_eq!(good(&keys, &newest, floor), Ok(()));
        assert_eq!(good(&keys, &old, floor), Err(TokenError::KeyRetired));
        assert_eq!(good(&keys, &new, floor), Err(TokenError::KeyRetired));
    }

    #[test]
    fn a_key_signs_for_a_month_and_the_next_one_takes_over() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path());
        let (then, guard) = (1_800_000_000, keys.guard());
        let first = *keys.current(then).unwrap().certificate();
        assert_eq!(*keys.current(then + ROTATED - 1).unwrap().certificate(), first);
        let second = *keys.current(then + ROTATED).unwrap().certificate();
        assert_ne!(second.key, first.key);
        assert_eq!((first.guard, first.term.until), (guard, then + LIFE));
        // The longest link that the first has signed is good to its end.
        assert!(then + ROTATED - 1 + LONGEST.as_secs() <= first.term.until);
        keys.current(then + LIFE).unwrap();
        assert!(keys.read().unwrap().unwrap().keys.iter().all(|key| key.until > then + LIFE));
    }

    #[test]
    fn no_link_outlasts_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path());
        assert!(keys.token(FILM, now() + LONGEST.as_secs() - 5).is_ok());
        assert!(matches!(keys.token(FILM, now() + LONGEST.as_secs() + 60), Err(KeyError::TooLong)));
    }

    #[test]
    fn programs_that_begin_at_once_agree_on_one_key() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| keys(folder.path()).prepare().unwrap());
            }
        });
        assert_eq!(keys(folder.path()).read().unwrap().unwrap().keys.len(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_them() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        keys(folder.path()).prepare().unwrap();
        let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_broken_file_is_an_error_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        for contents in ["", "{}", "{\"version\":2,\"floor\":0,\"keys\":[]}"] {
            fs::write(&path, contents).unwrap();
            let error = keys(folder.path()).token(FILM, now()).unwrap_err();
            assert!(matches!(error, KeyError::Broken { .. }), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), contents);
        }
    }
}
