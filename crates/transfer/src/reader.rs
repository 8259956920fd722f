//! Reading a resource while it arrives: the player interface's *pull* (R4).

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use nearcast_content::StoreError;
use nearcast_protocol::BLOCK_BYTES;
use tokio::sync::{Notify, watch};

use crate::{
    plain::{PlainError, PlainFile},
    progress::Stopped,
    transfer::{Command, Transfer},
};

/// Why bytes can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The transfer has ended without them.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The web server of a plain file fails.
    #[error(transparent)]
    Plain(#[from] PlainError),
}

/// A blocking read was interrupted, or failed.
#[derive(Debug, thiserror::Error)]
pub enum Interrupted {
    /// [`Reader::interrupt`] is on.
    #[error("the read was interrupted")]
    Flushing,
    /// The bytes can't be had.
    #[error(transparent)]
    Failed(#[from] ReadError),
}

/// Where one reader is, for the schedule.
#[derive(Debug, Clone)]
pub(crate) struct Position {
    /// The last read.
    pub bytes: Range<u64>,
    /// Since when it waits, if it does.
    pub waiting: Option<Instant>,
    /// The playback rate; 0 while paused.
    pub rate: f64,
    /// Whether this has changed since the schedule was told.
    pub news: bool,
}

/// Where all readers of a transfer are. Only the newest read of each counts, so nothing queues up.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    positions: Mutex<(u32, BTreeMap<u32, Position>)>,
    pub bit_rate: watch::Sender<Option<u64>>,
    pub changed: Notify,
}

impl Readers {
    fn with<T>(&self, act: impl FnOnce(&mut (u32, BTreeMap<u32, Position>)) -> T) -> T {
        act(&mut self.positions.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn open(&self) -> u32 {
        let number = self.with(|(next, positions)| {
            *next += 1;
            positions.insert(*next, Position { bytes: 0..0, waiting: None, rate: 1.0, news: true });
            *next
        });
        self.changed.notify_one();
        number
    }

    fn close(&self, number: u32) {
        self.with(|(_, positions)| positions.remove(&number));
        self.changed.notify_one();
    }

    fn update(&self, number: u32, act: impl FnOnce(&mut Position) -> bool) {
        let news = self.with(|(_, positions)| {
            positions.get_mut(&number).is_some_and(|position| {
                let news = act(position);
                position.news |= news;
                news
            })
        });
        if news {
            self.changed.notify_one();
        }
    }

    /// Whether anybody reads.
    pub fn any(&self) -> bool {
        self.with(|(_, positions)| !positions.is_empty())
    }

    /// The positions of all readers; the news is taken.
    pub fn take(&self) -> BTreeMap<u32, Position> {
        self.with(|(_, positions)| {
            let copy = positions.clone();
            positions.values_mut().for_each(|position| position.news = false);
            copy
        })
    }

    fn waiting(&self, number: u32) -> Option<Instant> {
        self.with(|(_, positions)| positions.get(&number).and_then(|position| position.waiting))
    }
}

/// Reads one resource at any place; waits for what isn't there yet. Dropping it frees the schedule of its
/// wishes.
pub struct Reader {
    bytes: Bytes,
    interrupted: watch::Sender<bool>,
    runtime: tokio::runtime::Handle,
}

enum Bytes {
    Verified { number: u32, transfer: Transfer },
    Plain(Arc<PlainFile>),
}

impl Reader {
    pub(crate) fn verified(transfer: Transfer, runtime: tokio::runtime::Handle) -> Self {
        let number = transfer.readers().open();
        let bytes = Bytes::Verified { number, transfer };
        Self { bytes, interrupted: watch::Sender::new(false), runtime }
    }

    /// A reader of a plain file on the web. Must be called within a Tokio runtime.
    pub fn plain(file: Arc<PlainFile>) -> Self {
        let runtime = tokio::runtime::Handle::current();
        Self { bytes: Bytes::Plain(file), interrupted: watch::Sender::new(false), runtime }
    }

    /// The resource's size in bytes; the link's claim until it is proved.
    pub fn size(&self) -> u64 {
        match &self.bytes {
            Bytes::Verified { transfer, .. } => transfer.link().size,
            Bytes::Plain(file) => file.size(),
        }
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        match &self.bytes {
            Bytes::Verified { transfer, .. } => &transfer.link().name,
            Bytes::Plain(file) => file.name(),
        }
    }

    /// Reads at `offset` into `buffer` as soon as at least one byte is verified, and as many as are there
    /// then; 0 only at the end.
    ///
    /// # Errors
    /// When the bytes can never come: the transfer has ended, or the disk fails.
    pub async fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, ReadError> {
        match &self.bytes {
            Bytes::Verified { number, transfer } => read(transfer, *number, offset, buffer).await,
            Bytes::Plain(file) => Ok(file.read_at(offset, buffer).await?),
        }
    }

    /// [`Reader::read_at`] for a thread that may block, such as a demuxer's.
    ///
    /// # Errors
    /// [`Interrupted::Flushing`] as long as [`Reader::interrupt`] is on.
    pub fn read_blocking(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Interrupted> {
        let mut interrupted = self.interrupted.subscribe();
        if *interrupted.borrow_and_update() {
            return Err(Interrupted::Flushing);
        }
        let outcome = self.runtime.block_on(async {
            tokio::select! {
                biased;
                read = self.read_at(offset, buffer) => Some(read),
                _ = interrupted.wait_for(|on| *on) => None,
            }
        });
        match outcome {
            Some(read) => Ok(read?),
            None => {
                self.forget_wait();
                Err(Interrupted::Flushing)
            }
        }
    }

    /// Ends a blocking read now and refuses further ones until switched off.
    pub fn interrupt(&self, on: bool) {
        self.interrupted.send_replace(on);
    }

    /// Tells the schedule how fast the film is consumed: its bit rate in bit/s.
    pub fn set_bit_rate(&self, bits: u64) {
        if let Bytes::Verified { transfer, .. } = &self.bytes {
            transfer.readers().bit_rate.send_replace(Some(bits));
            transfer.readers().changed.notify_one();
        }
    }

    /// Tells the schedule the playback rate; 0 while paused.
    pub fn set_rate(&self, rate: f64) {
        if let Bytes::Verified { number, transfer } = &self.bytes {
            transfer.readers().update(*number, |position| {
                let news = position.rate != rate;
                position.rate = rate;
                news
            });
        }
    }

    /// Since when a read of this reader waits, if one does.
    pub fn waiting_since(&self) -> Option<Instant> {
        match &self.bytes {
            Bytes::Verified { number, transfer } => transfer.readers().waiting(*number),
            Bytes::Plain(file) => file.waiting_since(),
        }
    }

    /// The transfer behind it, unless it reads a plain file.
    pub fn transfer(&self) -> Option<&Transfer> {
        match &self.bytes {
            Bytes::Verified { transfer, .. } => Some(transfer),
            Bytes::Plain(_) => None,
        }
    }

    fn forget_wait(&self) {
        if let Bytes::Verified { number, transfer } = &self.bytes {
            transfer.readers().update(*number, |position| position.waiting.take().is_some());
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Bytes::Verified { number, transfer } = &self.bytes {
            transfer.readers().close(*number);
        }
    }
}

async fn read(transfer: &Transfer, number: u32, offset: u64, buffer: &mut [u8]) -> Result<usize, ReadError> {
    let store = transfer.store();
    let wanted = offset..offset.saturating_add(buffer.len() as u64).min(transfer.link().size);
    if wanted.is_empty() {
        return Ok(0);
    }
    let mut arrivals = transfer.arrivals();
    // A wait that is dropped half-way (a closed HTTP connection) must not go on being urgent.
    let waiting = Waiting { transfer, number };
    loop {
        // Marked as seen before the store is asked: what arrives in between wakes the wait below.
        arrivals.borrow_and_update();
        let stopped = transfer.stopped();
        // The first read of a block may hash it, and a disk may be slow: others on this thread needn't wait.
        match tokio::task::block_in_place(|| store.read_at(offset, buffer)) {
            Ok(read) => {
                waiting.report(offset..offset + read as u64, false);
                return Ok(read);
            }
            Err(StoreError::NotHeld { .. }) => {}
            // Fetched anew, and waited for like any other that isn't there.
            Err(StoreError::Damaged { blocks, .. }) if stopped.is_none() => {
                transfer.tell(Command::Damaged(blocks)).await;
            }
            Err(error) => return Err(error.into()),
        }
        if let Some(stopped) = stopped {
            return Err(stopped.into());
        }
        waiting.report(wanted.clone(), true);
        if arrivals.changed().await.is_err() {
            return Err(Stopped::Closed.into());
        }
    }
}

struct Waiting<'a> {
    transfer: &'a Transfer,
    number: u32,
}

impl Waiting<'_> {
    fn report(&self, bytes: Range<u64>, waits: bool) {
        self.transfer.readers().update(self.number, |position| {
            let block = |bytes: &Range<u64>| bytes.end / BLOCK_BYTES;
            let moved = block(&position.bytes) != block(&bytes);
            let news = moved || position.waiting.is_some() != waits;
            position.bytes = bytes;
            position.waiting = if waits { position.waiting.or_else(|| Some(Instant::now())) } else { None };
            news
        });
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.transfer.readers().update(self.number, |position| position.waiting.take().is_some());
    }
}
