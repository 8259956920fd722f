//! The tracker protocol on a stream: one request, one answer, each after its length (4 bytes, big-endian).

use std::{io, net::IpAddr};

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::Stream;
use nearcast_protocol::{
    Multiaddr, PeerId,
    tracker::{Answer, Request},
    wire::{self, MAX_MESSAGE, WireError},
};
use tokio::sync::oneshot;

/// A question that a node asks this tracker.
///
/// Dropped without an answer, it ends the asker's stream.
#[derive(Debug)]
pub struct TrackerCall {
    /// Who asks; proved by the connection.
    pub peer: PeerId,
    /// The address the asker's connection comes from (R1), IPv4 even where it arrived mapped into IPv6.
    pub observed: IpAddr,
    /// The same with its port and transport.
    pub remote: Multiaddr,
    /// What is asked.
    pub request: Request,
    reply: oneshot::Sender<Answer>,
}

impl TrackerCall {
    /// Answers. Never waits; if the asker is gone, the answer is dropped.
    pub fn answer(self, answer: Answer) {
        self.reply.send(answer).ok();
    }

    /// A call, and where its answer will arrive.
    pub(crate) fn new(
        peer: PeerId,
        observed: IpAddr,
        remote: Multiaddr,
        request: Request,
    ) -> (Self, oneshot::Receiver<Answer>) {
        let (reply, answer) = oneshot::channel();
        (Self { peer, observed, remote, request, reply }, answer)
    }
}

/// Why a message didn't go through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("nobody here takes such calls")]
    NotServed,
}

/// Asks on a fresh stream.
pub(crate) async fn ask(mut stream: Stream, request: Request) -> Result<Answer, ExchangeError> {
    write(&mut stream, &wire::encode(&request)).await?;
    let answer = wire::decode(&read(&mut stream).await?, MAX_MESSAGE)?;
    stream.close().await.ok();
    Ok(answer)
}

/// Reads what is asked on a stream.
pub(crate) async fn hear(stream: &mut Stream) -> Result<Request, ExchangeError> {
    Ok(wire::decode(&read(stream).await?, MAX_MESSAGE)?)
}

/// Answers on a stream and ends it.
pub(crate) async fn reply(mut stream: Stream, answer: &Answer) -> Result<(), ExchangeError> {
    write(&mut stream, &wire::encode(answer)).await?;
    Ok(stream.close().await?)
}

async fn write(stream: &mut Stream, message: &[u8]) -> Result<(), ExchangeError> {
    let length = message.len();
    if length > MAX_MESSAGE {
        return Err(WireError::TooLong { length, limit: MAX_MESSAGE }.into());
    }
    // One write, so that a small message is one packet.
    let mut framed = Vec::with_capacity(4 + length);
    framed.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend_from_slice(message);
    stream.write_all(&framed).await?;
    Ok(stream.flush().await?)
}

async fn read(stream: &mut Stream) -> Result<Vec<u8>, ExchangeError> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_MESSAGE {
        return Err(WireError::TooLong { length, limit: MAX_MESSAGE }.into());
    }
    // Grows with what arrives, not with what was announced.
    let mut message = Vec::new();
    stream.take(length as u64).read_to_end(&mut message).await?;
    if message.len() < length {
        return Err(WireError::Short.into());
    }
    Ok(message)
}
