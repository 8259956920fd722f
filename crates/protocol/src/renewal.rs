//! Renewing a lease by one datagram.
//!
//! A handshake costs a tracker half a millisecond, and a million nodes renew every few minutes. So with a
//! lease comes a [`Ticket`], over the connection that proved who the node is: a key that only the two know.
//! A renewal is one datagram sealed with it, and its answer another, which is never longer than what it
//! answers and goes nowhere but where that came from: nobody can use a tracker to flood another.
//!
//! The tracker keeps nothing for it. The key is made from a secret of its own, the node's identity and the
//! address it is observed at; and the *mark* of a lease, which each renewal changes, keeps an old datagram
//! from renewing again and a report from being counted twice.
//!
//! All numbers are big-endian.
//!
//! | Renewal | Bytes | Answer | Bytes |
//! | --- | --- | --- | --- |
//! | `ncR1` | 4 | `ncA1` | 4 |
//! | the node's Ed25519 key | 32 | what became of it | 1 |
//! | mark of the lease it has | 4 | mark of the lease it has now | 4 |
//! | spare upload, kbit/s | 4 | how long it holds, ms | 4 |
//! | bytes received: own group, others, publishers | 24 | seal | 16 |
//! | seal | 16 | | |

use minicbor::{Decode, Encode};

use crate::{PeerId, tracker::Received};

/// Bytes of a renewal.
pub const RENEWAL: usize = BODY + SEAL;
/// Bytes of an answer: fewer, so that nobody gains by asking in another's name.
pub const ANSWER: usize = ANSWER_BODY + SEAL;

const SEAL: usize = 16;
const BODY: usize = 68;
const ANSWER_BODY: usize = 13;
const RENEWAL_MAGIC: [u8; 4] = *b"ncR1";
const ANSWER_MAGIC: [u8; 4] = *b"ncA1";
/// What stands before the key in an Ed25519 peer id: identity multihash of its protobuf form (libp2p peer id
/// specification).
const ED25519: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// What a node needs to renew its lease by datagram; it comes with the lease.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Ticket {
    /// The UDP port of the tracker.
    #[n(0)]
    pub port: u16,
    /// What renewals are sealed with.
    #[n(1)]
    pub key: Key,
    /// The mark of the lease.
    #[n(2)]
    pub mark: u32,
}

/// A key that one node and its tracker share.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Key(
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    [u8; 32],
);

/// A node's Ed25519 key, which its peer id holds.
pub type NodeKey = [u8; 32];

/// A renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// Who renews.
    pub node: NodeKey,
    /// The mark of the lease it has.
    pub mark: u32,
    /// Upload it could still give, in kbit/s.
    pub spare_upload: u32,
    /// What it received since it last renewed.
    pub received: Received,
}

/// The answer to a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// What became of it.
    pub outcome: Outcome,
    /// The mark of the lease that the node has now; 0 if it has none.
    pub mark: u32,
    /// How long that lease holds from now, in ms; 0 if there is none.
    pub lease_ms: u32,
}

/// What became of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It counts.
    Renewed,
    /// It doesn't, because the lease has another mark: an earlier copy counted, or the node renewed otherwise.
    OtherMark,
    /// The tracker doesn't know the node: it has to register.
    Unknown,
}

/// A datagram as it arrived, not proved yet.
#[derive(Debug, Clone, Copy)]
pub struct Sealed<'a> {
    body: &'a [u8; BODY],
    seal: &'a [u8; SEAL],
}

impl Key {
    /// A key for one node: what is told of it goes into it, so that none fits another node.
    pub fn of(secret: &[u8; 32], node: &NodeKey, address: std::net::IpAddr) -> Self {
        let mut about = blake3::Hasher::new_keyed(secret);
        about.update(node);
        match address.to_canonical() {
            std::net::IpAddr::V4(four) => about.update(&four.octets()),
            std::net::IpAddr::V6(six) => about.update(&six.octets()),
        };
        Self(*about.finalize().as_bytes())
    }

    fn seal(&self, parts: [&[u8]; 2]) -> blake3::Hash {
        let mut sealed = blake3::Hasher::new_keyed(&self.0);
        parts.iter().for_each(|part| {
            sealed.update(part);
        });
        sealed.finalize()
    }

    /// Compares in the same time whatever the seal is.
    fn fits(&self, parts: [&[u8]; 2], seal: &[u8; SEAL]) -> bool {
        let right = self.seal(parts);
        let differing = right.as_bytes().iter().zip(seal).fold(0, |bits, (one, other)| bits | (one ^ other));
        differing == 0
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("port", &self.port).finish_non_exhaustive()
    }
}

/// The key in a peer id; `None` if it is of another kind, which no node of ours is.
pub fn node_key(peer: &PeerId) -> Option<NodeKey> {
    peer.to_bytes().strip_prefix(&ED25519)?.try_into().ok()
}

impl Renewal {
    /// The datagram.
    pub fn seal(&self, key: &Key) -> [u8; RENEWAL] {
        let mut all = [0; RENEWAL];
        let Received { own_group, other_groups, publishers } = self.received;
        let numbers = [own_group, other_groups, publishers].map(u64::to_be_bytes);
        let parts = [
            &RENEWAL_MAGIC[..],
            &self.node,
            &self.mark.to_be_bytes(),
            &self.spare_upload.to_be_bytes(),
            numbers.as_flattened(),
        ];
        fill(&mut all, &parts.concat());
        let seal = key.seal([&all[..BODY], &[]]);
        fill(&mut all[BODY..], &seal.as_bytes()[..SEAL]);
        all
    }
}

impl<'a> Sealed<'a> {
    /// Reads a datagram that may be a renewal.
    pub fn read(datagram: &'a [u8]) -> Option<Self> {
        let (body, seal) = datagram.split_first_chunk::<BODY>()?;
        let seal = seal.try_into().ok()?;
        body.starts_with(&RENEWAL_MAGIC).then_some(Self { body, seal })
    }

    /// Who it says that it is from.
    pub fn node(&self) -> NodeKey {
        take(self.body, 4)
    }

    /// What it says, if the seal is right.
    pub fn open(&self, key: &Key) -> Option<Renewal> {
        let number = |at| u64::from_be_bytes(take(self.body, at));
        let received = Received { own_group: number(44), other_groups: number(52), publishers: number(60) };
        key.fits([self.body, &[]], self.seal).then(|| Renewal {
            node: self.node(),
            mark: u32::from_be_bytes(take(self.body, 36)),
            spare_upload: u32::from_be_bytes(take(self.body, 40)),
            received,
        })
    }

    /// The answer's datagram; it fits this very renewal.
    pub fn answer(&self, key: &Key, answer: Answer) -> [u8; ANSWER] {
        let mut all = [0; ANSWER];
        let outcome = match answer.outcome {
            Outcome::Renewed => 0,
            Outcome::OtherMark => 1,
            Outcome::Unknown => 2,
        };
        let parts =
            [&ANSWER_MAGIC[..], &[outcome], &answer.mark.to_be_bytes(), &answer.lease_ms.to_be_bytes()];
        fill(&mut all, &parts.concat());
        let seal = key.seal([&all[..ANSWER_BODY], self.seal]);
        fill(&mut all[ANSWER_BODY..], &seal.as_bytes()[..SEAL]);
        all
    }
}

impl Answer {
    /// Reads a datagram that may answer this one; `None` if it doesn't.
    pub fn open(datagram: &[u8], key: &Key, asked: &[u8; RENEWAL]) -> Option<Self> {
        let (body, seal) = datagram.split_first_chunk::<ANSWER_BODY>()?;
        let seal: &[u8; SEAL] = seal.try_into().ok()?;
        if !body.starts_with(&ANSWER_MAGIC) || !key.fits([body, &asked[BODY..]], seal) {
            return None;
        }
        let outcome = match body[4] {
            0 => Outcome::Renewed,
            1 => Outcome::OtherMark,
            2 => Outcome::Unknown,
            _ => return None,
        };
        Some(Self {
            outcome,
            mark: u32::from_be_bytes(take(body, 5)),
            lease_ms: u32::from_be_bytes(take(body, 9)),
        })
    }
}

fn fill(all: &mut [u8], from: &[u8]) {
    all.iter_mut().zip(from).for_each(|(byte, from)| *byte = *from);
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut taken = [0; N];
    fill(&mut taken, bytes.get(at..).unwrap_or_default());
    taken
}

#[cfg(test)]
mod tests {
    use proptest::{
        collection::vec,
        prelude::{any, prop_assert, prop_assert_eq, proptest},
    };

    use super::*;

    const SECRET: [u8; 32] = [7; 32];

    fn renewal(node: NodeKey, mark: u32, spare_upload: u32, bytes: (u64, u64, u64)) -> Renewal {
        let received = Received { own_group: bytes.0, other_groups: bytes.1, publishers: bytes.2 };
        Renewal { node, mark, spare_upload, received }
    }

    #[test]
    fn an_answer_is_shorter_than_what_it_answers() {
        const { assert!(ANSWER < RENEWAL) }
    }

    #[test]
    fn a_peer_id_holds_its_key() {
        let pair = libp2p_identity::Keypair::generate_ed25519();
        let key = pair.public().try_into_ed25519().unwrap().to_bytes();
        assert_eq!(node_key(&pair.public().to_peer_id()), Some(key));
        assert_eq!(node_key(&PeerId::random()), None);
    }

    #[test]
    fn a_key_fits_one_node_at_one_address() {
        let (one, other) = ([1; 32], [2; 32]);
        let (here, there) = ("203.0.113.1".parse().unwrap(), "203.0.113.2".parse().unwrap());
        let key = Key::of(&SECRET, &one, here);
        assert_eq!(key, Key::of(&SECRET, &one, "::ffff:203.0.113.1".parse().unwrap()));
        for different in
            [Key::of(&SECRET, &other, here), Key::of(&SECRET, &one, there), Key::of(&[8; 32], &one, here)]
        {
            assert_ne!(key, different);
        }
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_read(
            node in any::<NodeKey>(),
            numbers in any::<(u32, u32, (u64, u64, u64))>(),
            (outcome, mark, lease_ms) in (0usize..3, any::<u32>(), any::<u32>()),
        ) {
            let key = Key::of(&SECRET, &node, "2001:db8::1".parse().unwrap());
            let sent = renewal(node, numbers.0, numbers.1, numbers.2);
            let datagram = sent.seal(&key);
            let sealed = Sealed::read(&datagram).unwrap();
            prop_assert_eq!((sealed.node(), sealed.open(&key)), (node, Some(sent)));
            let outcome = [Outcome::Renewed, Outcome::OtherMark, Outcome::Unknown][outcome];
            let answer = Answer { outcome, mark, lease_ms };
            let back = sealed.answer(&key, answer);
            prop_assert_eq!(Answer::open(&back, &key, &datagram), Some(answer));
            let another = renewal(node, numbers.0 ^ 1, numbers.1, numbers.2).seal(&key);
            prop_assert_eq!(Answer::open(&back, &key, &another), None);
        }

        #[test]
        fn any_changed_bit_is_noticed(node in any::<NodeKey>(), bit in 0..8 * RENEWAL, back in 0..8 * ANSWER) {
            let key = Key::of(&SECRET, &node, "10.0.0.1".parse().unwrap());
            let sent = renewal(node, 1, 2, (3, 4, 5)).seal(&key);
            let mut changed = sent;
            changed[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Sealed::read(&changed).and_then(|sealed| sealed.open(&key)).is_none());
            let answer = Answer { outcome: Outcome::Renewed, mark: 9, lease_ms: 1000 };
            let mut answer = Sealed::read(&sent).unwrap().answer(&key, answer);
            answer[back / 8] ^= 1 << (back % 8);
            prop_assert_eq!(Answer::open(&answer, &key, &sent), None);
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in vec(any::<u8>(), 0..200)) {
            let key = Key::of(&SECRET, &[0; 32], "10.0.0.1".parse().unwrap());
            prop_assert!(Sealed::read(&bytes).and_then(|sealed| sealed.open(&key)).is_none());
            prop_assert_eq!(Answer::open(&bytes, &key, &[0; RENEWAL]), None);
        }
    }
}
