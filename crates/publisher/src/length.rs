//! How long a film is: asked of `nearcast-player probe` in a process of its own, since a decoder may crash
//! on a bad film and the publisher must not.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde::Deserialize;
use tokio::process::Command;

/// The longest a look at one film may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks for lengths, if the player is installed.
#[derive(Debug, Clone)]
pub struct Lengths {
    program: OsString,
}

#[derive(Deserialize)]
struct Probed {
    duration_ms: Option<u64>,
}

impl Lengths {
    /// Uses the player beside this program, else the one on the path.
    pub fn new() -> Self {
        let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("nearcast-player")));
        let program = beside.filter(|path: &PathBuf| path.is_file());
        Self { program: program.map_or_else(|| "nearcast-player".into(), Into::into) }
    }

    /// The film's length; `None` if it can't be told.
    pub async fn of(&self, film: &Path) -> Option<Duration> {
        let mut probe = Command::new(&self.program);
        probe.arg("probe").arg("--").arg(film);
        probe.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, probe.output()).await;
        let output = match output {
            Ok(Ok(output)) if output.status.success() => output,
            Ok(Ok(output)) => {
                tracing::info!(film = %film.display(), status = %output.status, "no length could be read");
                return None;
            }
            Ok(Err(error)) => {
                tracing::info!(%error, "nearcast-player isn't there, so no lengths are shown");
                return None;
            }
            Err(_) => {
                tracing::warn!(film = %film.display(), "reading the length took too long");
                return None;
            }
        };
        let probed: Probed = serde_json::from_slice(&output.stdout).ok()?;
        probed.duration_ms.map(Duration::from_millis)
    }
}

impl Default for Lengths {
    fn default() -> Self {
        Self::new()
    }
}
