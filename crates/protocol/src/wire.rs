//! Bounded encoding and decoding: nothing is allocated on a stranger's word.
//!
//! Messages are CBOR (RFC 8949) arrays whose fields go by their place, so an old program skips those that a
//! newer one adds at the end; a field added later must be an `Option` or have a default. What a field can
//! hold is bounded by the constants here, and the whole by the length of its frame.

use minicbor::{
    Decode, Decoder, Encode, Encoder,
    decode::Error as DecodeError,
    encode::{Error as EncodeError, Write},
};

/// The longest tracker message, in bytes: a full list of peers with the longest addresses fits, so that no
/// node can make a list unsendable by what it registers.
pub const MAX_MESSAGE: usize = 512 * 1024;
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
    encode_to(message, &mut bytes);
    bytes
}

/// Appends a message as it is encoded.
pub fn encode_to<T: Encode<()>>(message: &T, bytes: &mut Vec<u8>) {
    // A `Vec` takes every write, and no encoder here refuses a value: there is no error to return.
    minicbor::encode(message, bytes).ok();
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
    use super::{Decode, DecodeError, Decoder, Encode, EncodeError, Encoder, Write};

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
    use super::{DecodeError, Decoder, EncodeError, Encoder, MAX_TEXT, Write};

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

    use super::{DecodeError, Decoder, EncodeError, Encoder, Write};

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

    use super::{DecodeError, Decoder, EncodeError, Encoder, MAX_ADDRESS, MAX_ADDRESSES, Write};

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
            // No bytes would be an address of no parts, which no one can dial.
            if bytes.is_empty() {
                return Err(DecodeError::message("an address is empty"));
            }
            if bytes.len() > MAX_ADDRESS {
                return Err(DecodeError::message("an address is too long"));
            }
            let address =
                Multiaddr::try_from(bytes.to_vec()).map_err(|_| DecodeError::message("not an address"))?;
            addresses.push(address);
        }
        Ok(addresses)
    }
}

/// A resource id as its 32 bytes.
impl<C> Encode<C> for crate::ResourceId {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
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

#[cfg(test)]
mod tests {
    use minicbor::data::Type;
    use multiaddr::Multiaddr;
    use proptest::{
        collection::vec,
        prelude::{any, prop_assert_eq, proptest},
    };

    use super::*;
    use crate::{ResourceId, Token, arbitrary::peer_addresses};

    #[derive(Debug, PartialEq, Encode, Decode)]
    struct Sample {
        #[n(0)]
        #[cbor(encode_with = "list::encode::<3, _, _, _>")]
        #[cbor(decode_with = "list::decode::<3, _, _>")]
        numbers: Vec<u32>,
        #[n(1)]
        #[cbor(with = "text")]
        words: String,
        #[n(2)]
        #[cbor(with = "addresses")]
        addresses: Vec<Multiaddr>,
    }

    fn sample() -> Sample {
        Sample { numbers: vec![1, 2], words: "近".into(), addresses: vec!["/dns/a/tcp/1".parse().unwrap()] }
    }

    /// A sample whose `part` is replaced by what `write` writes.
    fn with(part: u64, write: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Result<Sample, WireError> {
        let mut bytes = Vec::new();
        let mut e = Encoder::new(&mut bytes);
        e.array(3).unwrap();
        if part != 0 {
            e.array(0).unwrap();
        }
        if part == 2 {
            e.str("").unwrap();
        }
        write(&mut e);
        if part == 0 {
            e.str("").unwrap();
        }
        if part != 2 {
            e.array(0).unwrap();
        }
        decode(&bytes, MAX_MESSAGE)
    }

    fn malformed(found: Result<Sample, WireError>, words: &str) {
        let error = found.expect_err(words);
        assert!(matches!(error, WireError::Malformed(_)), "{error}");
        assert!(error.to_string().contains(words), "{error} isn't {words}");
    }

    #[test]
    fn reads_what_it_writes() {
        assert_eq!(decode::<Sample>(&encode(&sample()), MAX_MESSAGE).unwrap(), sample());
        let parts = |d: &mut Encoder<&mut Vec<u8>>| {
            d.array(3).unwrap().u32(1).unwrap().u32(2).unwrap().u32(3).unwrap();
        };
        assert_eq!(with(0, parts).unwrap().numbers, [1, 2, 3]);
    }

    #[test]
    fn a_message_over_the_limit_is_refused_unread() {
        let bytes = encode(&sample());
        let error = decode::<Sample>(&bytes, bytes.len() - 1).unwrap_err();
        assert!(matches!(error, WireError::TooLong { length, limit } if length == limit + 1), "{error}");
    }

    #[test]
    fn a_list_that_is_too_long_is_refused() {
        malformed(with(0, |e| drop(e.encode([1, 2, 3, 4]))), "a list is too long");
        malformed(with(2, |e| drop(e.encode(vec![0u8; MAX_ADDRESSES + 1]))), "too many addresses");
    }

    #[test]
    fn a_list_that_lies_about_its_length_costs_nothing() {
        // Room for 2^61 items could never be had: trying would end the process.
        malformed(with(0, |e| drop(e.array(1 << 61))), "a list is too long");
        malformed(with(2, |e| drop(e.array(u64::MAX))), "too many addresses");
        malformed(with(0, |e| drop(e.begin_array().unwrap().end())), "a list of unknown length");
        malformed(with(2, |e| drop(e.begin_array().unwrap().end())), "addresses of unknown number");
        let short = [0x83, 0x83, 1, 2];
        assert!(matches!(decode::<Sample>(&short, MAX_MESSAGE), Err(WireError::Malformed(_))));
        let text_of_4_gib = [0x83, 0x80, 0x7a, 0xff, 0xff, 0xff, 0xff, b'a'];
        assert!(matches!(decode::<Sample>(&text_of_4_gib, MAX_MESSAGE), Err(WireError::Malformed(_))));
    }

    #[test]
    fn a_text_is_text_of_bounded_length() {
        let longest = "é".repeat(MAX_TEXT / 2);
        assert_eq!(with(1, |e| drop(e.str(&longest))).unwrap().words, longest);
        malformed(with(1, |e| drop(e.str(&format!("{longest}a")))), "a text is too long");
        assert!(with(1, |e| drop(e.bytes(b"words"))).is_err());
        let not_utf8 = [0x83, 0x80, 0x62, 0xc3, 0x28, 0x80];
        assert!(decode::<Sample>(&not_utf8, MAX_MESSAGE).is_err());
    }

    #[test]
    fn an_address_is_an_address_of_bounded_length() {
        let address = |bytes: &[u8]| with(2, |e| drop(e.array(1).unwrap().bytes(bytes)));
        let long: Multiaddr = format!("/dns/{}/tcp/1", "d".repeat(MAX_ADDRESS)).parse().unwrap();
        malformed(address(long.as_ref()), "an address is too long");
        malformed(address(&[0xff, 0xff]), "not an address");
        malformed(address(&[]), "an address is empty");
    }

    #[test]
    fn what_is_written_stays_within_the_limits_of_what_is_read() {
        let many = Sample {
            numbers: (0..9).collect(),
            addresses: vec!["/dns/a/tcp/1".parse().unwrap(); 2 * MAX_ADDRESSES],
            ..sample()
        };
        let read: Sample = decode(&encode(&many), MAX_MESSAGE).unwrap();
        assert_eq!((read.numbers.len(), read.addresses.len()), (3, MAX_ADDRESSES));
    }

    #[test]
    fn ids_and_tokens_have_their_lengths() {
        let bytes = |length: usize| encode(&minicbor::bytes::ByteVec::from(vec![7; length]));
        assert!(decode::<ResourceId>(&bytes(32), MAX_MESSAGE).is_ok());
        assert!(decode::<ResourceId>(&bytes(31), MAX_MESSAGE).is_err());
        assert!(decode::<ResourceId>(&bytes(33), MAX_MESSAGE).is_err());
        assert!(decode::<Token>(&encode(&"t".repeat(MAX_TOKEN)), MAX_MESSAGE).is_ok());
        assert!(decode::<Token>(&encode(&"t".repeat(MAX_TOKEN + 1)), MAX_MESSAGE).is_err());
    }

    #[test]
    fn a_field_of_a_later_version_is_skipped_however_it_is_nested() {
        let mut bytes = encode(&sample());
        assert_eq!(bytes.first(), Some(&0x83), "an array of three");
        bytes[0] = 0x84;
        // An array in an array in an array …: as deep as a message can hold.
        bytes.resize(MAX_MESSAGE - 1, 0x81);
        bytes.push(0);
        assert_eq!(decode::<Sample>(&bytes, MAX_MESSAGE).unwrap(), sample());
        bytes.fill(0x9f);
        assert!(decode::<Sample>(&bytes, MAX_MESSAGE).is_err());
    }

    proptest! {
        #[test]
        fn peers_and_addresses_survive(peer in peer_addresses()) {
            let bytes = encode(&peer);
            prop_assert_eq!(Decoder::new(&bytes).datatype().unwrap(), Type::Array);
            prop_assert_eq!(decode::<crate::PeerAddress>(&bytes, MAX_MESSAGE).unwrap(), peer);
        }

        #[test]
        fn any_bytes_give_an_answer(bytes in vec(any::<u8>(), 0..300)) {
            let _ = decode::<Sample>(&bytes, MAX_MESSAGE);
            let _ = decode::<crate::PeerAddress>(&bytes, MAX_MESSAGE);
        }
    }
}
