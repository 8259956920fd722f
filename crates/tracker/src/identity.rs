//! A peer id in 32 bytes: libp2p's own type is 80, whatever is in it.

use nearcast_protocol::PeerId;

/// Multihash codes (multicodec table) of the two kinds of peer id.
const IDENTITY: u8 = 0x00;
const SHA2_256: u8 = 0x12;
/// What stands before an Ed25519 key in its protobuf form (libp2p peer id specification).
const ED25519: [u8; 4] = [0x08, 0x01, 0x12, 0x20];

/// A peer id as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Identity {
    /// The key itself: what every node of ours has.
    Ed25519([u8; 32]),
    /// 32 bytes that are no key of a known kind.
    Plain([u8; 32]),
    /// The hash of a longer key.
    Sha256([u8; 32]),
    /// Any other.
    Other(Box<PeerId>),
}

impl Identity {
    pub fn of(peer: &PeerId) -> Self {
        let hash = peer.as_ref();
        let digest = hash.digest();
        match (u8::try_from(hash.code()), digest.split_last_chunk::<32>()) {
            (Ok(IDENTITY), Some((before, key))) if *before == ED25519 => Self::Ed25519(*key),
            (Ok(IDENTITY), Some(([], plain))) => Self::Plain(*plain),
            (Ok(SHA2_256), Some(([], hash))) => Self::Sha256(*hash),
            _ => Self::Other(Box::new(*peer)),
        }
    }

    /// The peer id it stands for. `None` never happens: each form above is a valid one.
    pub fn peer(&self) -> Option<PeerId> {
        self.with_bytes(|bytes| PeerId::from_bytes(bytes).ok())
    }

    /// The peer id as its bytes.
    pub fn with_bytes<T>(&self, take: impl FnOnce(&[u8]) -> T) -> T {
        let (code, before, bytes): (_, &[u8], _) = match self {
            Self::Ed25519(bytes) => (IDENTITY, &ED25519, bytes),
            Self::Plain(bytes) => (IDENTITY, &[], bytes),
            Self::Sha256(bytes) => (SHA2_256, &[], bytes),
            Self::Other(peer) => return take(&peer.to_bytes()),
        };
        let length = before.len() + bytes.len();
        let mut all = [0; 2 + ED25519.len() + 32];
        all[0] = code;
        // At most 36.
        all[1] = length as u8;
        all[2..2 + before.len()].copy_from_slice(before);
        all[2 + before.len()..2 + length].copy_from_slice(bytes);
        take(&all[..2 + length])
    }

    /// The bytes that tell it from others.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Ed25519(bytes) | Self::Plain(bytes) | Self::Sha256(bytes) => bytes,
            Self::Other(peer) => (**peer).as_ref().digest(),
        }
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
        fn every_peer_id_comes_back(code in 0usize..3, digest in vec(any::<u8>(), 0..40)) {
            let code = [IDENTITY, SHA2_256, 0x13][code];
            let bytes = [&[code, digest.len() as u8], &digest[..]].concat();
            if let Ok(peer) = PeerId::from_bytes(&bytes) {
                prop_assert_eq!(Identity::of(&peer).peer(), Some(peer));
            }
        }

        #[test]
        fn the_usual_ones_take_no_more_than_their_key(key in any::<[u8; 32]>()) {
            for (code, before) in [(IDENTITY, &ED25519[..]), (IDENTITY, &[]), (SHA2_256, &[])] {
                let bytes = [&[code, 32 + before.len() as u8], before, &key[..]].concat();
                let peer = PeerId::from_bytes(&bytes).unwrap();
                let identity = Identity::of(&peer);
                assert!(!matches!(identity, Identity::Other(_)));
                prop_assert_eq!((identity.peer(), identity.bytes()), (Some(peer), &key[..]));
            }
        }
    }
}
