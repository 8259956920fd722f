//! A film that is sent in: streamed into the folder, and there only once it is whole.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use axum::{
    Json,
    body::Body,
    extract::{Path as Named, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use nearcast_protocol::link::is_file_name;
use serde_json::json;
use tokio::{
    fs::{self, File},
    io::AsyncWriteExt,
};

use super::{Desk, wrong};

/// Where a film lies until it is whole: on the same disk, and hidden, so that nobody takes it for one.
const BEGUN: &str = ".nearcast-uploads";
/// Folders in folders, at most.
const DEPTH: usize = 8;

/// Why a film isn't taken.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(
        "{0:?} is no path of a film in the folder: folders and a name, without .., and nothing that begins with a dot"
    )]
    Path(String),
    #[error("{0} is there already; send it under another name, or with ?replace=1")]
    There(String),
    #[error("a film may have {0} bytes at most (upload_limit in the settings)")]
    Large(u64),
    #[error("it ended after {0} bytes of {1}; nothing of it is kept")]
    Short(u64, u64),
    #[error("it broke off: {0}; nothing of it is kept")]
    Broken(axum::Error),
    #[error("it can't be written: {0}")]
    Write(#[from] io::Error),
}

impl Refused {
    fn status(&self) -> StatusCode {
        match self {
            Self::Path(_) | Self::Short(..) | Self::Broken(_) => StatusCode::BAD_REQUEST,
            Self::There(_) => StatusCode::CONFLICT,
            Self::Large(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Write(error) if error.kind() == io::ErrorKind::StorageFull => {
                StatusCode::INSUFFICIENT_STORAGE
            }
            Self::Write(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Removes what was begun by a run that was killed.
pub(crate) async fn clear(folder: &Path) {
    match fs::remove_dir_all(folder.join(BEGUN)).await {
        Ok(()) => tracing::info!("films that were sent in half are removed"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(%error, "films that were sent in half can't be removed"),
    }
}

/// `PUT /api/files/<path>`.
pub(super) async fn put(
    State(desk): State<Desk>,
    Named(path): Named<String>,
    axum::extract::RawQuery(query): axum::extract::RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let replace = query.is_some_and(|query| query.split('&').any(|part| part == "replace=1"));
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    match take(&desk.settings.folder, &path, replace, desk.settings.largest, length, body).await {
        Ok((at, bytes)) => {
            tracing::info!(file = %at.display(), bytes, "a film was sent in");
            if let Err(error) = desk.library.rescan().await {
                return wrong(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
            }
            (StatusCode::CREATED, Json(json!({ "path": at, "bytes": bytes }))).into_response()
        }
        Err(refused) => wrong(refused.status(), refused.to_string()),
    }
}

/// The place of a path in the folder, if it is one.
fn place(folder: &Path, path: &str) -> Result<PathBuf, Refused> {
    let wrong = || Refused::Path(path.chars().take(80).collect());
    let mut at = folder.to_owned();
    let mut depth = 0;
    for part in Path::new(path).components() {
        let Component::Normal(name) = part else { return Err(wrong()) };
        let name =
            name.to_str().filter(|name| is_file_name(name) && !name.starts_with('.')).ok_or_else(wrong)?;
        at.push(name);
        depth += 1;
    }
    if depth == 0 || depth > DEPTH || path.ends_with('/') || path.len() > 1000 {
        return Err(wrong());
    }
    Ok(at)
}

async fn take(
    folder: &Path,
    path: &str,
    replace: bool,
    largest: u64,
    length: Option<u64>,
    body: Body,
) -> Result<(PathBuf, u64), Refused> {
    let at = place(folder, path)?;
    if length.is_some_and(|length| length > largest) {
        return Err(Refused::Large(largest));
    }
    if !replace && fs::try_exists(&at).await? {
        return Err(Refused::There(path.to_owned()));
    }
    let parent = at.parent().unwrap_or(folder);
    fs::create_dir_all(parent).await?;
    // A folder that is a link could lead anywhere.
    if !fs::canonicalize(parent).await?.starts_with(fs::canonicalize(folder).await?) {
        return Err(Refused::Path(path.to_owned()));
    }
    let begun = folder.join(BEGUN);
    fs::create_dir_all(&begun).await?;
    let half = Half(begun.join(blake3::Hash::from_bytes(rand::random()).to_hex().as_str()));
    let bytes = write(&half.0, largest, body).await?;
    if let Some(length) = length.filter(|length| *length != bytes) {
        return Err(Refused::Short(bytes, length));
    }
    if replace {
        fs::rename(&half.0, &at).await?;
    } else {
        // A rename would replace what another has sent meanwhile; a second name doesn't.
        match fs::hard_link(&half.0, &at).await {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Refused::There(path.to_owned()));
            }
            // Not every file system has second names.
            Err(_) => fs::rename(&half.0, &at).await?,
        }
    }
    if let Ok(folder) = File::open(parent).await {
        folder.sync_all().await?;
    }
    Ok((at, bytes))
}

async fn write(path: &Path, largest: u64, body: Body) -> Result<u64, Refused> {
    let mut file = File::create_new(path).await?;
    let (mut bytes, mut body) = (0_u64, body.into_data_stream());
    while let Some(part) = body.next().await {
        let part = part.map_err(Refused::Broken)?;
        bytes = bytes.saturating_add(part.len() as u64);
        if bytes > largest {
            return Err(Refused::Large(largest));
        }
        file.write_all(&part).await?;
    }
    file.flush().await?;
    file.sync_all().await?;
    Ok(bytes)
}

/// A film that isn't whole, or has its name by now; goes when it is dropped.
struct Half(PathBuf);

impl Drop for Half {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_in_the_folder() {
        let folder = Path::new("/films");
        assert_eq!(place(folder, "系列/a.mp4").unwrap(), Path::new("/films/系列/a.mp4"));
        for path in [
            "",
            "/",
            "..",
            "../a.mp4",
            "a/../../b.mp4",
            "/etc/passwd",
            ".a.mp4",
            "a/.b/c.mp4",
            "a/",
            "a\u{0}b.mp4",
            "a\nb.mp4",
            "1/2/3/4/5/6/7/8/9.mp4",
        ] {
            assert!(place(folder, path).is_err(), "{path:?}");
        }
    }

    #[tokio::test]
    async fn a_film_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let send = |path: &'static str, replace, largest, length, bytes: &'static str| async move {
            take(at, path, replace, largest, length, Body::from(bytes)).await
        };
        assert_eq!(send("a/b.mp4", false, 9, Some(4), "film").await.unwrap().1, 4);
        assert!(matches!(send("a/b.mp4", false, 9, None, "other").await, Err(Refused::There(_))));
        assert!(send("a/b.mp4", true, 9, None, "other").await.is_ok());
        assert_eq!(std::fs::read(at.join("a/b.mp4")).unwrap(), b"other");
        assert!(matches!(send("c.mp4", false, 3, None, "film").await, Err(Refused::Large(3))));
        assert!(matches!(send("c.mp4", false, 3, Some(4), "film").await, Err(Refused::Large(3))));
        assert!(matches!(send("c.mp4", false, 9, Some(6), "film").await, Err(Refused::Short(4, 6))));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("/tmp", at.join("out")).unwrap();
            assert!(matches!(send("out/c.mp4", false, 9, None, "film").await, Err(Refused::Path(_))));
        }
        assert!(!at.join("c.mp4").exists());
        assert_eq!(std::fs::read_dir(at.join(BEGUN)).unwrap().count(), 0);
    }
}
