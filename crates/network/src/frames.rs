//! A piece stream: frames in both directions, counted and held to the rate limits.

use std::{io, sync::Arc};

use bytes::BytesMut;
use libp2p::Stream;
use nearcast_protocol::{
    Multiaddr, PeerId,
    pieces::{Class, Frame, MAX_FRAGMENT},
    wire::WireError,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf},
    sync::OwnedSemaphorePermit,
};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _};

use crate::limit::{Limit, Ticket};

/// Room made for each read: one fragment and its frame around it.
const READ: usize = MAX_FRAGMENT + 1024;
/// Queued bytes beyond which [`FrameSender::feed`] writes without being asked: two fragments.
const QUEUE: usize = 2 * MAX_FRAGMENT;

/// Fragments a second that a limited upload is cut into, and the least bytes of one.
const FRAGMENTS: u64 = 64;
const LEAST_FRAGMENT: usize = 4 * 1024;

/// A long-lived stream of `/nearcast/pieces/1` frames with one peer. It ends for the other side when both
/// halves are dropped.
#[derive(Debug)]
pub struct PieceStream {
    /// Who is at the other end; proved by the connection.
    pub peer: PeerId,
    /// Where the other end is, for a ban by address or a log. As dialled, or as observed.
    pub remote: Option<Multiaddr>,
    /// The way out.
    pub send: FrameSender,
    /// The way in.
    pub receive: FrameReceiver,
}

/// The limits of both directions, shared by all streams of a node.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) upload: Arc<Limit>,
    pub(crate) download: Arc<Limit>,
}

/// The sending half of a [`PieceStream`]. Read and write in separate tasks: two peers that both write
/// before they read wait for each other.
#[derive(Debug)]
pub struct FrameSender {
    half: WriteHalf<Compat<Stream>>,
    queued: BytesMut,
    upload: Arc<Limit>,
    /// Payload bytes that the limit has let through and that weren't sent yet.
    allowed: usize,
    _place: Arc<Option<OwnedSemaphorePermit>>,
}

/// The receiving half of a [`PieceStream`].
#[derive(Debug)]
pub struct FrameReceiver {
    half: ReadHalf<Compat<Stream>>,
    buffer: BytesMut,
    /// Decoded, but not yet let through by the limit.
    held: Option<Frame>,
    ended: bool,
    download: Arc<Limit>,
    _place: Arc<Option<OwnedSemaphorePermit>>,
}

/// Why a piece stream ended.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The connection or the stream is gone.
    #[error("the stream broke off: {0}")]
    Broken(#[from] io::Error),
    /// The peer doesn't keep to the protocol.
    #[error("the peer sent something that is no frame: {0}")]
    Malformed(#[from] WireError),
    /// The stream ended in the middle of a frame.
    #[error("the stream ended inside a frame, {0} bytes into it")]
    CutShort(usize),
    /// The caller's own mistake; nothing was sent.
    #[error("a data frame of {0} payload bytes; the limit is {MAX_FRAGMENT}")]
    TooLarge(usize),
}

impl PieceStream {
    /// Frames over a negotiated stream. `place` is what the stream counts against, if it is inbound.
    pub(crate) fn new(
        peer: PeerId,
        remote: Multiaddr,
        stream: Stream,
        limits: &Limits,
        place: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let (receive, send) = tokio::io::split(stream.compat());
        let place = Arc::new(place);
        Self {
            peer,
            remote: Some(remote),
            send: FrameSender {
                half: send,
                queued: BytesMut::new(),
                upload: limits.upload.clone(),
                allowed: 0,
                _place: place.clone(),
            },
            receive: FrameReceiver {
                half: receive,
                buffer: BytesMut::new(),
                held: None,
                ended: false,
                download: limits.download.clone(),
                _place: place,
            },
        }
    }
}

impl FrameSender {
    /// Sends a frame at once: [`feed`](Self::feed), then [`flush`](Self::flush).
    ///
    /// # Errors
    /// As those two.
    pub async fn send(&mut self, frame: Frame) -> Result<(), StreamError> {
        self.feed(frame).await?;
        self.flush().await
    }

    /// A place in the order in which the node uploads, behind all that were given before.
    pub fn ticket(&self) -> Ticket {
        self.upload.ticket()
    }

    /// How much is best sent at once at the rate that uploads have now: what takes a slow line some milliseconds, so
    /// that what is more urgent gets between, and nothing queues up before the line.
    pub fn fragment(&self) -> usize {
        let rate = self.upload.rate().unwrap_or(u64::MAX);
        usize::try_from(rate / FRAGMENTS).unwrap_or(MAX_FRAGMENT).clamp(LEAST_FRAGMENT, MAX_FRAGMENT)
    }

    /// Waits until the upload limit lets `payload` bytes through, in the order of class and ticket among all
    /// streams of the node; the next [`Frame::Data`] of at most that many then goes out without waiting.
    /// Dropped before that, it takes nothing: so a request needn't stand behind a fragment that waits. What is
    /// queued is flushed before the wait.
    ///
    /// # Errors
    /// When the stream is broken.
    pub async fn allow(&mut self, payload: usize, class: Class, ticket: Ticket) -> Result<(), StreamError> {
        let lacking = payload.saturating_sub(self.allowed);
        if lacking > 0 && !self.upload.try_take(lacking) {
            self.flush().await?;
            self.upload.take_as(class, ticket, lacking).await;
        }
        self.allowed = self.allowed.max(payload);
        Ok(())
    }

    /// Queues a frame, so that several small ones go out together. [`Frame::Data`] waits for the upload
    /// limit. If the future is dropped, the frame is either not sent or goes out with the next one; the
    /// stream stays whole.
    ///
    /// # Errors
    /// When the stream is broken, or the payload is over [`MAX_FRAGMENT`].
    pub async fn feed(&mut self, frame: Frame) -> Result<(), StreamError> {
        let payload = payload(&frame);
        if payload > MAX_FRAGMENT {
            return Err(StreamError::TooLarge(payload));
        }
        if self.allowed >= payload {
            self.allowed -= payload;
        } else if !self.upload.try_take(payload) {
            // What is queued needn't wait for the limit as well.
            self.flush().await?;
            self.upload.take(payload).await;
        }
        frame.encode(&mut self.queued);
        if self.queued.len() >= QUEUE {
            self.write().await?;
        }
        Ok(())
    }

    /// Sends what is queued.
    ///
    /// # Errors
    /// When the stream is broken.
    pub async fn flush(&mut self) -> Result<(), StreamError> {
        self.write().await?;
        Ok(self.half.flush().await?)
    }

    /// Sends what is queued and ends this direction: the other side reads a clean end.
    ///
    /// # Errors
    /// When the stream is broken.
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        self.flush().await?;
        Ok(self.half.shutdown().await?)
    }

    async fn write(&mut self) -> io::Result<()> {
        // Takes off the queue exactly what is written, so it can be dropped at any await.
        while !self.queued.is_empty() {
            if self.half.write_buf(&mut self.queued).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}

impl FrameReceiver {
    /// The next frame; `None` at a clean end, and after an error. [`Frame::Data`] is held back by the
    /// download limit, and with it, through the stream's window, the sender. May be dropped at any time
    /// without losing a frame.
    ///
    /// # Errors
    /// When the stream breaks off or the peer sends something that is no frame. Nothing more will come.
    pub async fn next(&mut self) -> Result<Option<Frame>, StreamError> {
        if self.held.is_none() {
            self.held = match self.read().await {
                Ok(frame) => frame,
                Err(error) => {
                    self.ended = true;
                    return Err(error);
                }
            };
        }
        match self.held.as_ref().map_or(0, payload) {
            0 => {}
            payload => self.download.take(payload).await,
        }
        Ok(self.held.take())
    }

    async fn read(&mut self) -> Result<Option<Frame>, StreamError> {
        if self.ended {
            return Ok(None);
        }
        loop {
            if let Some(frame) = Frame::decode(&mut self.buffer)? {
                return Ok(Some(frame));
            }
            // `decode` has refused any length over the limit, so the buffer stays within two frames.
            self.buffer.reserve(READ);
            if self.half.read_buf(&mut self.buffer).await? == 0 {
                self.ended = true;
                let rest = self.buffer.len();
                return if rest == 0 { Ok(None) } else { Err(StreamError::CutShort(rest)) };
            }
        }
    }
}

fn payload(frame: &Frame) -> usize {
    match frame {
        Frame::Data(data) => data.payload.len(),
        _ => 0,
    }
}
