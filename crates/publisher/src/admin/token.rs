//! The token that orders are given with.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::Response,
};
use tokio::sync::Mutex;

use super::{Desk, wrong};

/// The file in the publisher's own folder.
const FILE: &str = "admin-token";
/// A token has 64 letters; a file with more isn't one.
const LONGEST: u64 = 1024;
/// Wrong tokens are answered one after another, each after this long.
const SLOW: Duration = Duration::from_secs(1);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file can't be read or made.
    #[error("the token for the administration, {path}, can't be used: {source}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds no token.
    #[error("{path} holds no token of at least 20 letters; delete it, and a new one is made", path = .path.display())]
    Short {
        /// The file.
        path: PathBuf,
    },
}

/// Knows the token, and keeps those waiting who don't.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Compared by its hash, which takes the same time whatever is wrong.
    token: blake3::Hash,
    slow: Mutex<()>,
}

impl Gate {
    /// Reads the token, and makes one if there is none.
    pub(crate) fn open(state: &Path) -> Result<Self, TokenError> {
        let path = state.join(FILE);
        let failed = |source| TokenError::File { path: path.clone(), source };
        let token = match File::open(&path) {
            Ok(file) => {
                let mut token = String::new();
                file.take(LONGEST).read_to_string(&mut token).map_err(failed)?;
                token.trim().to_owned()
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let token = blake3::Hash::from_bytes(rand::random()).to_hex().to_string();
                write_private(&path, &token).map_err(failed)?;
                token
            }
            Err(error) => return Err(failed(error)),
        };
        if token.len() < 20 {
            return Err(TokenError::Short { path });
        }
        Ok(Self { token: blake3::hash(token.as_bytes()), slow: Mutex::new(()) })
    }

    fn knows(&self, token: &str) -> bool {
        // `Hash` compares in constant time.
        blake3::hash(token.as_bytes()) == self.token
    }
}

fn write_private(path: &Path, token: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    writeln!(file, "{token}")?;
    file.sync_all()
}

/// Lets those in who show the token.
pub(crate) async fn checked(State(desk): State<Desk>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|shown| shown.to_str().ok());
    let token =
        shown.and_then(|shown| shown.split_once(' ')).filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
    match token {
        Some((_, token)) if desk.gate.knows(token.trim()) => return next.run(request).await,
        Some(_) => {
            let _turn = desk.gate.slow.lock().await;
            tokio::time::sleep(SLOW).await;
            tracing::warn!("an order came with a wrong token");
        }
        None => {}
    }
    let sentence =
        "give the token of the file admin-token in the publisher's own folder: Authorization: Bearer …";
    let mut answer = wrong(StatusCode::UNAUTHORIZED, sentence);
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_is_for_its_owner_alone() {
        let state = tempfile::tempdir().unwrap();
        Gate::open(&state.path().join("new")).unwrap();
        let path = state.path().join("new").join(FILE);
        let token = std::fs::read_to_string(&path).unwrap();
        let again = Gate::open(&state.path().join("new")).unwrap();
        assert!(again.knows(token.trim()) && !again.knows("") && !again.knows(&token[1..]));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(Gate::open(&state.path().join("new")), Err(TokenError::Short { .. })));
    }
}
