//! Bounded encoding and decoding: nothing is allocated on a stranger's word.
//!
//! Messages are CBOR maps keyed by small numbers, so an old program skips a field it doesn't know. What
//! a field can hold is bounded by the constants here, and the whole by the length of its frame.

use minicbor::{
    Decode, Decoder, Encode, Encoder,
    decode::Error as DecodeError,
    encode::{Error as EncodeError, Write},
};

/// The longest tracker message, in bytes.
pub const MAX_MESSAGE: usize = 128 * 1024;
/// The longest frame between peers, in bytes, its kind included.
pub const MAX_FRAME: usize = 72 * 1024;
/// The most addresses a peer is listed with.
pub const MAX_ADDRESSES: usize = 8;
/// The longest address in bytes.
pub const MAX_ADDRESS: usize = 256;
/// The longest token in bytes.
pub const MAX_TOKEN: usize = 1024;
/// The longest text of any other kind (a name, a URL, a sentence) in bytes.
pub const MAX_TEXT: usize = 4096;

/// Why bytes from the network are no message.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// A length field says more than is ever sent.
    #[error("a message of {length} bytes was announced; the limit is {limit}")]
    TooLong {
        /// What the length field said.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The bytes don't decode.
    #[error("the message can't be read: {0}")]
    Malformed(#[from] DecodeError),
    /// A kind of frame this version doesn't know.
    #[error("a frame of unknown kind {0}")]
    UnknownKind(u8),
    /// The frame ends before its fields do.
    #[error("the frame is cut short")]
    Short,
}

/// Encodes a message.
pub fn encode<T: Encode<()>>(message: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A `Vec` takes every write, and no encoder here refuses a value: there is no error to return.
    minicbor::encode(message, &mut bytes).ok();
    bytes
}

/// Decodes a whole message of at most `limit` bytes.
pub fn decode<'b, T: Decode<'b, ()>>(bytes: &'b [u8], limit: usize) -> Result<T, WireError> {
    if bytes.len() > limit {
        return Err(WireError::TooLong { length: bytes.len(), limit });
    }
    Ok(minicbor::decode(bytes)?)
}

/// A list of at most `N` items on the wire.
pub mod list {
    use super::{Decode, Decoder, Encode, Encoder, DecodeError, EncodeError, Write};

    /// Writes a list, cut at `N`.
    pub fn encode<const N: usize, T: Encode<Ctx>, Ctx, W: Write>(
        items: &[T],
        e: &mut Encoder<W>,
        context: &mut Ctx,
    ) -> Result<(), EncodeError<W::Error>> {
        let items = &items[..items.len().min(N)];
        e.array(items.len() as u64)?;
        items.iter().try_for_each(|item| item.encode(e, context))
    }

    /// Reads a list and refuses a longer one before reading its items.
    pub fn decode<'b, const N: usize, T: Decode<'b, Ctx>, Ctx>(
        d: &mut Decoder<'b>,
        context: &mut Ctx,
    ) -> Result<Vec<T>, DecodeError> {
        let length = d.array()?.ok_or_else(|| DecodeError::message("a list of unknown length"))?;
        if length > N as u64 {
            return Err(DecodeError::message("a list is too long"));
        }
        (0..length).map(|_| T::decode(d, context)).collect()
    }
}

/// A text of at most [`MAX_TEXT`] bytes.
pub mod text {
    use super::{Decoder, Encoder, MAX_TEXT, DecodeError, EncodeError, Write};

    /// Writes the text.
    pub fn encode<Ctx, W: Write>(
        text: &str,
        e: &mut Encoder<W>,
        _: &mut Ctx,
    ) -> Result<(), EncodeError<W::Error>> {
        e.str(text)?.ok()
    }

    /// Reads a text; a longer one is refused.
    pub fn decode<Ctx>(d: &mut Decoder<'_>, _: &mut Ctx) -> Result<String, DecodeError> {
        let text = d.str()?;
        if text.len() > MAX_TEXT {
            return Err(DecodeError::message("a text is too long"));
        }
        Ok(text.to_owned())
    }
}

/// A peer id as its bytes.
pub mod peer_id {
    use libp2p_identity::PeerId;

    use super::{Decoder, Encoder, DecodeError, EncodeError, Write};

    /// Writes the id.
    pub fn encode<Ctx, W: Write>(
        peer: &PeerId,
        e: &mut Encoder<W>,
        _: &mut Ctx,
    ) -> Result<(), EncodeError<W::Error>> {
        e.bytes(&peer.to_bytes())?.ok()
    }

    /// Reads an id.
    pub fn decode<Ctx>(d: &mut Decoder<'_>, _: &mut Ctx) -> Result<PeerId, DecodeError> {
        PeerId::from_bytes(d.bytes()?).map_err(|_| DecodeError::message("not a peer id"))
    }
}

/// A bounded list of addresses in their binary form.
pub mod addresses {
    use multiaddr::Multiaddr;

    use super::{Decoder, Encoder, MAX_ADDRESS, MAX_ADDRESSES, DecodeError, EncodeError, Write};

    /// Writes the first [`MAX_ADDRESSES`] addresses.
    pub fn encode<Ctx, W: Write>(
        addresses: &[Multiaddr],
        e: &mut Encoder<W>,
        _: &mut Ctx,
    ) -> Result<(), EncodeError<W::Error>> {
        let addresses = &addresses[..addresses.len().min(MAX_ADDRESSES)];
        e.array(addresses.len() as u64)?;
        addresses.iter().try_for_each(|address| e.bytes(address.as_ref())?.ok())
    }

    /// Reads at most [`MAX_ADDRESSES`] addresses of at most [`MAX_ADDRESS`] bytes.
    pub fn decode<Ctx>(d: &mut Decoder<'_>, _: &mut Ctx) -> Result<Vec<Multiaddr>, DecodeError> {
        let length = d.array()?.ok_or_else(|| DecodeError::message("addresses of unknown number"))?;
        if length > MAX_ADDRESSES as u64 {
            return Err(DecodeError::message("too many addresses"));
        }
        let mut addresses = Vec::new();
        for _ in 0..length {
            let bytes = d.bytes()?;
            if bytes.len() > MAX_ADDRESS {
                return Err(DecodeError::message("an address is too long"));
            }
            let address = Multiaddr::try_from(bytes.to_vec())
                .map_err(|_| DecodeError::message("not an address"))?;
            addresses.push(address);
        }
        Ok(addresses)
    }
}

/// A resource id as its 32 bytes.
impl<C> Encode<C> for crate::ResourceId {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.bytes(self.as_bytes())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for crate::ResourceId {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        let bytes = d.bytes()?;
        let hash = bytes.try_into().map_err(|_| DecodeError::message("a resource id has 32 bytes"))?;
        Ok(Self::from_bytes(hash))
    }
}
