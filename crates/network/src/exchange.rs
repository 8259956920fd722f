//! The tracker protocol on a stream: questions and their answers in the same order, each after its length
//! (4 bytes, big-endian). Whoever asks needn't wait for an answer before the next question.

use std::{io, net::IpAddr};

use nearcast_protocol::{
    Multiaddr, PeerId,
    tracker::Request,
    wire::{MAX_MESSAGE, WireError},
};
use tokio::sync::oneshot;

/// Questions that a node asks this tracker and that came together.
///
/// Dropped without answers, it ends the asker's stream.
#[derive(Debug)]
pub struct TrackerCall {
    /// Who asks; proved by the connection.
    pub peer: PeerId,
    /// The address the asker's connection comes from (R1), IPv4 even where it arrived mapped into IPv6.
    pub observed: IpAddr,
    /// The same with its port and transport.
    pub remote: Multiaddr,
    /// What is asked, in this order. At least one.
    pub requests: Vec<Request>,
    /// Empty; lent, so that a stream needs no other for each call.
    room: Vec<u8>,
    reply: oneshot::Sender<Vec<u8>>,
}

impl TrackerCall {
    /// Answers the questions in their order: `write` appends the encoded
    /// [`Answer`](nearcast_protocol::tracker::Answer) to each. Never waits; if the asker is gone, the answers
    /// are dropped.
    pub fn answer(self, mut write: impl FnMut(&Request, &mut Vec<u8>)) {
        let mut framed = self.room;
        for request in &self.requests {
            if frame(&mut framed, |bytes| write(request, bytes)).is_err() {
                return tracing::error!(peer = %self.peer, "an answer is longer than any message");
            }
        }
        self.reply.send(framed).ok();
    }

    /// Whether nobody hears the answers any more: the asker's stream has ended.
    pub fn is_unheard(&self) -> bool {
        self.reply.is_closed()
    }

    /// A call, and where its answers will arrive, as they go out.
    pub(crate) fn new(
        peer: PeerId,
        observed: IpAddr,
        remote: Multiaddr,
        requests: Vec<Request>,
        room: Vec<u8>,
    ) -> (Self, oneshot::Receiver<Vec<u8>>) {
        let (reply, answers) = oneshot::channel();
        (Self { peer, observed, remote, requests, room, reply }, answers)
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
    #[error("the question didn't come in time")]
    TooSlow,
}

/// Appends what `write` writes, with its length before it.
pub(crate) fn frame(bytes: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), WireError> {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    write(bytes);
    let length = bytes.len() - start - 4;
    if length > MAX_MESSAGE {
        bytes.truncate(start);
        return Err(WireError::TooLong { length, limit: MAX_MESSAGE });
    }
    if let Some(before) = bytes.get_mut(start..start + 4) {
        before.copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    }
    Ok(())
}

/// What has arrived on a stream. It grows with what arrives, not with what is announced.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    bytes: Vec<u8>,
    /// How much of it has been taken.
    taken: usize,
}

impl Arrived {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        // What is left of a message is moved but once for each time that something arrives.
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message.
    pub(crate) fn message(&mut self) -> Result<Option<&[u8]>, WireError> {
        let rest = self.bytes.get(self.taken..).unwrap_or_default();
        let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > MAX_MESSAGE {
            return Err(WireError::TooLong { length, limit: MAX_MESSAGE });
        }
        let message = rest.get(..length);
        self.taken += message.map_or(0, |_| 4 + length);
        Ok(message)
    }

    /// Whether a message has begun to arrive.
    pub(crate) fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{
        collection::vec,
        prelude::{any, prop_assert_eq, proptest},
    };

    use super::*;

    proptest! {
        #[test]
        fn messages_arrive_as_they_were_sent_however_they_are_cut(
            sent in vec(vec(any::<u8>(), 0..40), 0..20),
            pieces in vec(1usize..50, 1..20),
        ) {
            let mut bytes = Vec::new();
            for message in &sent {
                frame(&mut bytes, |into| into.extend_from_slice(message)).unwrap();
            }
            let (mut arrived, mut heard, mut rest) = (Arrived::default(), Vec::new(), &bytes[..]);
            for piece in pieces.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, later) = rest.split_at(rest.len().min(*piece));
                arrived.push(piece);
                rest = later;
                while let Some(message) = arrived.message().unwrap() {
                    heard.push(message.to_vec());
                }
            }
            prop_assert_eq!(heard, sent);
            assert!(arrived.is_empty());
        }
    }

    #[test]
    fn no_message_is_longer_than_the_limit() {
        let mut bytes = vec![7];
        assert!(frame(&mut bytes, |into| into.resize(MAX_MESSAGE + 6, 0)).is_err());
        assert_eq!(bytes, [7]);
        frame(&mut bytes, |into| into.resize(MAX_MESSAGE + 5, 0)).unwrap();
        let mut arrived = Arrived::default();
        arrived.push(&bytes[1..]);
        assert_eq!(arrived.message().unwrap().map(<[u8]>::len), Some(MAX_MESSAGE));
        arrived.push(&(MAX_MESSAGE as u32 + 1).to_be_bytes());
        assert!(matches!(arrived.message(), Err(WireError::TooLong { .. })));
    }
}
