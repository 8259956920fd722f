//! One password for all protected films, and a brake on guessing it.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::NotAdmitted;

/// Wrong passwords that an address may send before it has to wait.
const FREE: u32 = 5;
/// The first wait; each further wrong one doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Addresses that are remembered; when there are more, those that needn't wait are forgotten, or else all.
const REMEMBERED: usize = 10_000;
/// The longest password that is looked at, in bytes.
const LONGEST: usize = 1024;

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The file can't be read.
    #[error("the password in {path} can't be read: {source}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is none in it.
    #[error("the first line of {path} is empty; it is to be the password", path = .0.display())]
    Empty(PathBuf),
}

/// Checks passwords.
pub struct Passwords {
    /// Hashes compare in constant time.
    hash: blake3::Hash,
    wrong: Mutex<HashMap<Option<IpAddr>, Wrong>>,
}

#[derive(Clone, Copy)]
struct Wrong {
    times: u32,
    until: Instant,
}

impl Passwords {
    /// The password in the first line of a file.
    ///
    /// # Errors
    /// When there is none.
    pub fn read(path: &Path) -> Result<Self, PasswordError> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| PasswordError::File { path: path.to_owned(), source })?;
        match text.lines().next() {
            Some(password) if !password.is_empty() => Ok(Self::new(password)),
            _ => Err(PasswordError::Empty(path.to_owned())),
        }
    }

    /// This password.
    pub fn new(password: &str) -> Self {
        Self { hash: blake3::hash(password.as_bytes()), wrong: Mutex::default() }
    }

    pub(super) fn check(&self, password: &str, from: Option<IpAddr>) -> Result<(), NotAdmitted> {
        self.check_at(Instant::now(), password, from)
    }

    fn check_at(&self, now: Instant, password: &str, from: Option<IpAddr>) -> Result<(), NotAdmitted> {
        let from = from.map(subscriber);
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked too soon, even the right one isn't looked at: else the wait would tell it.
        if let Some(known) = wrong.get(&from).filter(|known| known.until > now) {
            return Err(NotAdmitted::TooMany(known.until - now));
        }
        if password.len() <= LONGEST && blake3::hash(password.as_bytes()) == self.hash {
            wrong.remove(&from);
            return Ok(());
        }
        if wrong.len() >= REMEMBERED {
            wrong.retain(|_, known| known.until > now);
            if wrong.len() >= REMEMBERED {
                wrong.clear();
            }
        }
        let known = wrong.entry(from).or_insert(Wrong { times: 0, until: now });
        known.times = known.times.saturating_add(1);
        if known.times >= FREE {
            let wait = FIRST_WAIT * 2_u32.saturating_pow((known.times - FREE).min(16));
            known.until = now + wait.min(LONGEST_WAIT);
        }
        Err(NotAdmitted::Password)
    }
}

/// One subscriber's many IPv6 addresses are one.
fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_is_slowed_for_who_guesses() {
        let (passwords, mut now) = (Passwords::new("近 secret"), Instant::now());
        let (guesser, other) = (Some([192, 0, 2, 1].into()), Some([192, 0, 2, 2].into()));
        assert!(passwords.check_at(now, "近 secret", guesser).is_ok());
        for _ in 0..FREE {
            assert!(matches!(passwords.check_at(now, "guess", guesser), Err(NotAdmitted::Password)));
        }
        let mut waits = Vec::new();
        for _ in 0..12 {
            let Err(NotAdmitted::TooMany(wait)) = passwords.check_at(now, "近 secret", guesser) else {
                panic!()
            };
            waits.push(wait.as_secs());
            now += wait;
            assert!(matches!(passwords.check_at(now, "guess", guesser), Err(NotAdmitted::Password)));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert!(passwords.check_at(now, "近 secret", other).is_ok());
        now += LONGEST_WAIT;
        assert!(passwords.check_at(now, "近 secret", guesser).is_ok());
        assert!(passwords.check_at(now, "", guesser).is_err());
    }

    #[test]
    fn a_flood_of_guessers_is_bounded() {
        let (passwords, now) = (Passwords::new("a"), Instant::now());
        for number in 0..25_000_u32 {
            passwords.check_at(now, "b", Some(IpAddr::V4(number.into()))).unwrap_err();
        }
        assert!(passwords.wrong.lock().unwrap().len() <= REMEMBERED);
    }

    #[test]
    fn the_file_s_first_line_is_the_password() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        assert!(matches!(Passwords::read(&path), Err(PasswordError::File { .. })));
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(Passwords::read(&path), Err(PasswordError::Empty(_))));
        std::fs::write(&path, "open sesame\r\nmore\n").unwrap();
        assert!(Passwords::read(&path).unwrap().check("open sesame", None).is_ok());
    }
}
