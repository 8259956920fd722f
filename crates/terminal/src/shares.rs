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
            let as_it_was = share.kept.is(&metadata);
            share.kept.size = metadata.len();
            share.kept.modified = metadata.modified().ok();
            let known = share.kept.id.as_ref().filter(|_| as_it_was).and_then(|id| id.parse().ok());
            let (done, called_off) = (Arc::<AtomicU64>::default(), CallOff::default());
            share.state = State::Reading {
                done: Arc::clone(&done),
                called_off: called_off.clone(),
                since: Instant::now(),
            };
            return Some(Task { number: share.number, path, known, done, called_off });
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
mod tests {
    use super::*;

    fn link(name: &str) -> Link {
        let id = "a".repeat(52).parse().unwrap();
        Link { id, name: name.into(), size: 3, trackers: Vec::new(), sources: Vec::new(), token: None }
    }

    #[test]
    fn one_is_read_at_a_time_and_the_list_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one.mp4"), folder.path().join("other.mp4"));
        std::fs::write(&one, "one").unwrap();
        std::fs::write(&other, "other").unwrap();
        let (mut shares, trouble) = Shares::open(folder.path());
        assert!(trouble.is_none() && shares.is_empty());
        shares.add(&one).unwrap();
        shares.add(&other).unwrap();
        shares.add(&one).unwrap();
        assert_eq!(shares.shown(|_| 0).len(), 2, "the same file is shared once");
        let first = shares.begin().unwrap();
        assert!(shares.begin().is_none() && first.known.is_none());
        assert!(shares.ended(first.number, Ok(link("one.mp4"))));
        let second = shares.begin().unwrap();
        assert!(shares.ended(second.number, Err(gone(&other, "broken"))));
        shares.sent(&link("").id.to_string(), 7);
        shares.save().unwrap();

        let (mut again, _) = Shares::open(folder.path());
        let task = again.begin().unwrap();
        assert_eq!(task.known, Some(link("").id), "what hasn't changed isn't read again");
        assert_eq!(again.shown(|_| 0)[1].sent, 7);
        std::fs::write(&one, "another").unwrap();
        let (mut changed, _) = Shares::open(folder.path());
        assert!(changed.begin().unwrap().known.is_none());
    }

    #[test]
    fn a_changed_file_is_offered_no_longer_and_can_be_shared_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.mp4");
        std::fs::write(&path, "one").unwrap();
        let (mut shares, _) = Shares::open(folder.path());
        shares.add(&path).unwrap();
        let task = shares.begin().unwrap();
        shares.ended(task.number, Ok(link("one.mp4")));
        assert!(shares.look().is_empty());
        std::fs::write(&path, "longer").unwrap();
        assert_eq!(shares.look(), [link("").id]);
        assert!(matches!(shares.shown(|_| 0)[0].state, ShareState::Failed { .. }));
        shares.add(&path).unwrap();
        assert!(shares.begin().unwrap().known.is_none());
        assert!(!shares.ended(task.number, Ok(link("late"))), "the answer to an old reading");
    }

    #[test]
    fn what_stops_or_starts_anew_is_called_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.mp4");
        std::fs::write(&path, "one").unwrap();
        let (mut shares, _) = Shares::open(folder.path());
        shares.add(&path).unwrap();
        let task = shares.begin().unwrap();
        shares.again();
        assert!(task.called_off.token.is_cancelled());
        let task = shares.begin().unwrap();
        assert!(shares.ended(task.number, Ok(link("one.mp4"))));
        assert_eq!(shares.stop(task.number), Some(link("").id));
        assert!(shares.is_empty() && shares.add(Path::new("/none/such")).is_err());
    }

    #[test]
    fn a_list_that_cant_be_read_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("shares.json"), "[{").unwrap();
        let (shares, trouble) = Shares::open(folder.path());
        assert!(shares.is_empty() && trouble.unwrap().contains("shares.json.broken"));
    }
}
