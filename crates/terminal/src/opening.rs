//! From what was typed, clicked or dropped to bytes that can be played.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use nearcast_content::LibraryError;
use nearcast_playback::{Fetched, FileMedia, Media};
use nearcast_protocol::{Link, Opening};
use nearcast_transfer::{
    Controller, ControllerError, Fetch, Keep, Reader, ResolveError, Resolved, Transfer, plain::PlainFile,
    resolve::Resolver,
};

use crate::screen::{Code, Message};

/// What a person gave to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A file of this machine.
    File(PathBuf),
    /// A link or a web address.
    Remote(Box<Opening>),
}

impl Target {
    /// Reads what was typed, dropped or given on the command line. Relative paths count from `base`.
    ///
    /// # Errors
    /// A message for the screen when it is nothing that can be opened.
    pub fn read(text: &str, base: &Path) -> Result<Self, Message> {
        let text = text.trim();
        if let Some(path) = file_url(text) {
            return Ok(Self::File(path));
        }
        match text.parse::<Opening>() {
            Ok(opening) => Ok(Self::Remote(Box::new(opening))),
            Err(error) => {
                let path = base.join(text);
                if !text.is_empty() && path.is_file() {
                    return Ok(Self::File(path));
                }
                Err(Message { code: Code::BadLink, detail: error.to_string() })
            }
        }
    }
}

fn file_url(text: &str) -> Option<PathBuf> {
    url::Url::parse(text).ok().filter(|url| url.scheme() == "file")?.to_file_path().ok()
}

/// A film that can be played.
pub struct Opened {
    /// Names it in the history.
    pub id: String,
    /// What it is called.
    pub title: String,
    /// What opens it again.
    pub again: String,
    /// Its link, if it has one.
    pub link: Option<Link>,
    /// Its bytes.
    pub media: Arc<dyn Media>,
    /// How it is fetched; none for plain files.
    pub transfer: Option<Transfer>,
    /// Whether it lies on this machine.
    pub local: bool,
}

/// Opens a file of this machine.
///
/// # Errors
/// A message for the screen.
pub fn file(path: &Path) -> Result<Opened, Message> {
    let wrong = |error: std::io::Error| Message {
        code: Code::BadFile,
        detail: format!("{}: {error}", path.display()),
    };
    let path = std::path::absolute(path).map_err(wrong)?;
    let media = FileMedia::open(&path).map_err(wrong)?;
    let again = path.to_string_lossy().into_owned();
    Ok(Opened {
        id: made_up_id("file", &again),
        title: title(&media.name()),
        again,
        link: None,
        media: Arc::new(media),
        transfer: None,
        local: true,
    })
}

/// Finds out what an opening stands for.
///
/// # Errors
/// A message for the screen.
pub async fn resolve(controller: &Controller, opening: &Opening) -> Result<Resolved, Message> {
    let trackers = &controller.settings().trackers;
    let resolved = match Resolver::new(controller.network(), trackers) {
        Ok(resolver) => resolver.resolve(opening).await,
        Err(error) => Err(error),
    };
    resolved.map_err(|error| {
        let code = match error {
            ResolveError::Link { .. } => Code::BadLink,
            _ => Code::BadAddress,
        };
        Message { code, detail: error.to_string() }
    })
}

/// Starts to fetch a resource of the network, of which `room` bytes may be held.
///
/// # Errors
/// A message for the screen.
pub async fn link(controller: &Controller, link: Link, room: u64) -> Result<Opened, Message> {
    let opened = controller.open(&link, Keep::Disk, Fetch::WholeInBackground).await;
    let transfer = opened.map_err(|error| {
        let code = match &error {
            ControllerError::SizeDiffers { .. } | ControllerError::Token(_) => Code::WrongLink,
            ControllerError::Library(LibraryError::OtherGuard) => Code::WrongLink,
            ControllerError::Library(LibraryError::WrongSize { .. }) => Code::WrongLink,
            ControllerError::Library(_) => Code::Disk,
            _ => Code::Other,
        };
        Message { code, detail: error.to_string() }
    })?;
    transfer.set_room(Some(room)).await;
    transfer.pause(false).await;
    Ok(Opened {
        id: link.id.to_string(),
        title: title(&link.name),
        again: link.to_string(),
        media: Arc::new(Fetched::new(transfer.reader())),
        transfer: Some(transfer),
        link: Some(link),
        local: false,
    })
}

/// Opens a plain file on the web; what is read of it is kept in `folder` while it is open.
///
/// # Errors
/// A message for the screen.
pub async fn plain(url: url::Url, again: String, folder: &Path) -> Result<Opened, Message> {
    let file = PlainFile::open(url.clone())
        .await
        .map_err(|error| Message { code: Code::BadAddress, detail: error.to_string() })?;
    let media = Fetched::new(Reader::plain(Arc::new(file.kept_in(folder))));
    Ok(Opened {
        id: made_up_id("url", url.as_str()),
        title: title(&media.name()),
        again,
        link: None,
        media: Arc::new(media),
        transfer: None,
        local: false,
    })
}

/// A file name as a title: without its ending, with spaces for the signs that stand for them.
pub fn title(name: &str) -> String {
    let stem = Path::new(name).file_stem().map_or(name.into(), |stem| stem.to_string_lossy());
    if stem.contains(' ') { stem.into_owned() } else { stem.replace(['_', '.', '-'], " ") }
}

fn made_up_id(kind: &str, text: &str) -> String {
    format!("{kind}-{}", &blake3::hash(text.as_bytes()).to_hex()[..32])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_a_file_url_and_a_link_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let film = folder.path().join("a film: 1.mp4");
        std::fs::write(&film, b"x").unwrap();
        assert_eq!(Target::read("a film: 1.mp4", folder.path()), Ok(Target::File(film.clone())));
        let url = url::Url::from_file_path(&film).unwrap();
        assert_eq!(Target::read(url.as_str(), Path::new("/")), Ok(Target::File(film)));
        assert!(matches!(Target::read("https://a.example/f", Path::new("/")), Ok(Target::Remote(_))));
        let wrong = Target::read("no-such-thing", folder.path()).unwrap_err();
        assert_eq!(wrong.code, Code::BadLink);
        assert_eq!(Target::read("", folder.path()).unwrap_err().code, Code::BadLink);
    }

    #[test]
    fn titles_read_like_titles() {
        assert_eq!(title("Big_Buck-Bunny.mp4"), "Big Buck Bunny");
        assert_eq!(title("Dr. Who.mkv"), "Dr. Who");
        assert_eq!(title("电影.mp4"), "电影");
    }
}
