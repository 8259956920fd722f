//! Videos of this computer that their owner shares: read one after another where they lie, and offered from then on.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use nearcast_protocol::{Link, ResourceId};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{
    atomic, opening,
    screen::{Code, Message, Share, ShareState},
};

/// Whoever has more to share wants a publisher.
const MOST: usize = 200;
/// Before that a rate says nothing.
const RATE_AFTER: Duration = Duration::from_secs(1);

/// The videos that are shared.
#[derive(Debug)]
pub(crate) struct Shares {
    file: PathBuf,
    list: Vec<Shared>,
    next: u32,
    unsaved: bool,
}

/// What is remembered of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Kept {
    path: PathBuf,
    /// As the file was when it was read: another one is another video.
    size: u64,
    modified: Option<SystemTime>,
    id: Option<String>,
    #[serde(default)]
    sent: u64,
}

#[derive(Debug)]
struct Shared {
    /// Names it on the screen; each reading has a new one, so that a late answer to the last is noticed.
    number: u32,
    kept: Kept,
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting,
    Reading { done: Arc<AtomicU64>, called_off: CallOff, since: Instant },
    Shared(Box<Link>),
    Failed(Message),
}

/// A file that is to be read now.
pub(crate) struct Task {
    pub number: u32,
    pub path: PathBuf,
    /// What it was when it was read last, if it hasn't changed since.
    pub known: Option<ResourceId>,
    /// What it was before it was changed.
    pub outdated: Option<ResourceId>,
    pub done: Arc<AtomicU64>,
    pub called_off: CallOff,
}

/// Ends a reading, for those who wait and for those who look now and then.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallOff {
    pub token: CancellationToken,
    pub flag: Arc<AtomicBool>,
}

impl CallOff {
    fn call(&self) {
        self.flag.store(true, Ordering::Relaxed);
        self.token.cancel();
    }
}

impl Shares {
    /// Takes up the list in `folder`. One that can't be read is put aside, and said.
    pub fn open(folder: &Path) -> (Self, Option<String>) {
        let file = folder.join("shares.json");
        let (kept, trouble) = match std::fs::read(&file) {
            Ok(bytes) => match serde_json::from_slice::<Vec<Kept>>(&bytes) {
                Ok(kept) => (kept, None),
                Err(error) => {
                    let aside = folder.join("shares.json.broken");
                    let place = std::fs::rename(&file, &aside).map_or(&file, |()| &aside);
                    let trouble =
                        format!("the list of shared videos in {} can't be read: {error}", place.display());
                    (Vec::new(), Some(trouble))
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), None),
            Err(error) => (Vec::new(), Some(format!("{}: {error}", file.display()))),
        };
        let mut shares = Self { file, list: Vec::new(), next: 0, unsaved: false };
        for kept in kept.into_iter().take(MOST) {
            let number = shares.number();
            shares.list.push(Shared { number, kept, state: State::Waiting });
        }
        (shares, trouble)
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// A file is to be shared. One that is known is looked at anew.
    ///
    /// # Errors
    /// A message for the screen when it can't be.
    pub fn add(&mut self, path: &Path) -> Result<(), Message> {
        let wrong =
            |reason: String| Message { code: Code::BadFile, detail: format!("{}: {reason}", path.display()) };
        let path = std::fs::canonicalize(path).map_err(|error| wrong(error.to_string()))?;
        let metadata = std::fs::metadata(&path).map_err(|error| wrong(error.to_string()))?;
        if !metadata.is_file() {
            return Err(wrong("this is no file".into()));
        }
        let number = self.number();
        self.unsaved = true;
        if let Some(known) = self.list.iter_mut().find(|share| share.kept.path == path) {
            if matches!(known.state, State::Failed(_)) {
                (known.number, known.state) = (number, State::Waiting);
            }
            return Ok(());
        }
        if self.list.len() >= MOST {
            return Err(wrong(format!("{MOST} videos are shared already; stop sharing one first")));
        }
        let kept = Kept { path, size: metadata.len(), modified: metadata.modified().ok(), id: None, sent: 0 };
        self.list.push(Shared { number, kept, state: State::Waiting });
        Ok(())
    }

    /// The next one to read, if none is being read.
    pub fn begin(&mut self) -> Option<Task> {
        if self.list.iter().any(|share| matches!(share.state, State::Reading { .. })) {
            return None;
        }
        loop {
            let share = self.list.iter_mut().find(|share| matches!(share.state, State::Waiting))?;
            let path = share.kept.path.clone();
            let metadata = match std::fs::metadata(&path) {
                Ok(metadata) => metadata,
                Err(error) => {
                    share.state = State::Failed(gone(&path, &error.to_string()));
                    continue;
                }
            };
            let mut outdated = None;
            if !share.kept.is(&metadata) {
                // The new stamp must never stand beside the old content's id.
                outdated = share.kept.id.take().and_then(|id| id.parse().ok());
                share.kept.size = metadata.len();
                share.kept.modified = metadata.modified().ok();
                self.unsaved = true;
            }
            let known = share.kept.id.as_ref().and_then(|id| id.parse().ok());
            let (done, called_off) = (Arc::<AtomicU64>::default(), CallOff::default());
            share.state = State::Reading {
                done: Arc::clone(&done),
                called_off: called_off.clone(),
                since: Instant::now(),
            };
            return Some(Task { number: share.number, path, known, outdated, done, called_off });
        }
    }

    /// A reading has ended. `false` if nobody waits for it any more.
    pub fn ended(&mut self, number: u32, outcome: Result<Link, Message>) -> bool {
        let Some(share) = self.list.iter_mut().find(|share| share.number == number) else { return false };
        self.unsaved = true;
        share.state = match outcome {
            Ok(link) => {
                share.kept.id = Some(link.id.to_string());
                State::Shared(Box::new(link))
            }
            Err(message) => State::Failed(message),
        };
        true
    }

    /// Shares one no longer. Gives what it was, unless another file is the same.
    pub fn stop(&mut self, number: u32) -> Option<ResourceId> {
        let at = self.list.iter().position(|share| share.number == number)?;
        let share = self.list.remove(at);
        self.unsaved = true;
        if let State::Reading { called_off, .. } = &share.state {
            called_off.call();
        }
        let id = share.kept.id?;
        let twin = self.list.iter().any(|other| other.kept.id.as_ref() == Some(&id));
        (!twin).then_some(id)?.parse().ok()
    }

    /// All are offered anew: the network or the tracker is another.
    pub fn again(&mut self) {
        let mut list = std::mem::take(&mut self.list);
        for share in &mut list {
            match &share.state {
                State::Failed(_) => continue,
                State::Reading { called_off, .. } => called_off.call(),
                State::Waiting | State::Shared(_) => {}
            }
            (share.number, share.state) = (self.number(), State::Waiting);
        }
        self.list = list;
    }

    /// Looks whether the files are still what they were, and gives what is to be offered no longer.
    pub fn look(&mut self) -> Vec<ResourceId> {
        let mut gone_ids = Vec::new();
        for share in &mut self.list {
            let State::Shared(link) = &share.state else { continue };
            let reason = match std::fs::metadata(&share.kept.path) {
                Ok(metadata) if share.kept.is(&metadata) => continue,
                Ok(_) => "it was changed since it was shared; share it again to get a new link".to_owned(),
                Err(error) => error.to_string(),
            };
            gone_ids.push(link.id);
            share.state = State::Failed(gone(&share.kept.path, &reason));
        }
        gone_ids
    }

    /// More of one was sent.
    pub fn sent(&mut self, id: &str, more: u64) {
        let mut of_it = self.list.iter_mut().filter(|share| share.kept.id.as_deref() == Some(id));
        if let Some(share) = of_it.next() {
            share.kept.sent = share.kept.sent.saturating_add(more);
            self.unsaved = true;
        }
    }

    /// As the screen shows them, the last one first; `peers` says how many are connected for one.
    pub fn shown(&self, peers: impl Fn(&ResourceId) -> usize) -> Vec<Share> {
        let shown = self.list.iter().rev().map(|share| {
            let mut connected = 0;
            let state = match &share.state {
                State::Waiting => ShareState::Waiting,
                State::Reading { done, since, .. } => {
                    let done = done.load(Ordering::Relaxed).min(share.kept.size);
                    ShareState::Reading { done, left_ms: left_ms(done, share.kept.size, since.elapsed()) }
                }
                State::Shared(link) => {
                    connected = peers(&link.id);
                    ShareState::Shared { link: link.to_string() }
                }
                State::Failed(message) => ShareState::Failed { message: message.clone() },
            };
            let name = share.kept.path.file_name().unwrap_or_default().to_string_lossy();
            Share {
                id: share.number,
                title: opening::title(&name),
                path: share.kept.path.to_string_lossy().into_owned(),
                size: share.kept.size,
                state,
                peers: connected,
                sent: share.kept.sent,
            }
        });
        shown.collect()
    }

    /// Writes the list down if it has changed.
    ///
    /// # Errors
    /// When the disk won't.
    pub fn save(&mut self) -> io::Result<()> {
        if !self.unsaved {
            return Ok(());
        }
        let kept: Vec<_> = self.list.iter().map(|share| &share.kept).collect();
        atomic::write(&self.file, &serde_json::to_vec_pretty(&kept)?)?;
        self.unsaved = false;
        Ok(())
    }
}

impl Kept {
    fn is(&self, metadata: &std::fs::Metadata) -> bool {
        self.size == metadata.len() && self.modified == metadata.modified().ok()
    }
}

fn gone(path: &Path, reason: &str) -> Message {
    Message { code: Code::BadFile, detail: format!("{}: {reason}", path.display()) }
}

fn left_ms(done: u64, size: u64, passed: Duration) -> Option<u64> {
    let rate = (passed >= RATE_AFTER && done > 0).then(|| done as f64 / passed.as_secs_f64())?;
    Some((size.saturating_sub(done) as f64 / rate * 1000.0) as u64)
}

#[cfg(test)]
mod tests;
