//! Tokens of protected resources: a link's token lets its bearer watch, and what travels the network is bound to
//! one terminal (DESIGN §5.7).
//!
//! ```text
//! guard ──certifies──▶ signing key ──signs──▶ (resource, times, one-off key) ──signs──▶ the terminal's peer id
//!                                              └ a link's token: with the one-off secret
//!                                                                └ a bound token: with this signature instead
//! ```
//!
//! A publisher's identity is its *guard*. It certifies signing keys that are used for some weeks, and a signing key
//! signs a one-off key for each link. The link carries the one-off key's secret, so whoever has the link may watch
//! until it expires. Before a terminal says anything to the network it *binds* the token: it signs its own peer id
//! with the one-off secret and sends all but the secret. This is done offline, as macaroons and Biscuit attenuate.
//! Peer ids are proved by every connection, so a bound token is of no use to a tracker or peer that has seen it.
//!
//! A certificate also says from when on the guard's certificates count ([`Certificate::floor`]). Revoking a key
//! raises that time in the next one: whoever meets one valid token of the new key refuses the old ones from then on.
//!
//! All times are seconds since 1970; the clock is passed in. Keys and signatures are Ed25519 (RFC 8032).

mod error;
mod verifier;

use std::{fmt, str::FromStr};

use data_encoding::BASE64URL_NOPAD;
use libp2p_identity::{Keypair, PeerId, ed25519};
use minicbor::{
    Decoder, Encoder,
    data::Type,
    decode::Error as DecodeError,
    encode::{Error as EncodeError, Write},
};

pub use self::{error::TokenError, verifier::Verifier};
use crate::{ResourceId, Token};

/// How many bytes an Ed25519 key has, public or secret.
pub const KEY: usize = 32;
const SIGNATURE: usize = 64;
/// What all tokens begin with: who guards, which key signed, what for, and the one-off key.
const CHAIN: usize = CERTIFICATE + 32 + 2 * 8 + KEY + SIGNATURE;
const CERTIFICATE: usize = 2 * KEY + 3 * 8 + SIGNATURE;
/// The longest peer id: a SHA-256 or an Ed25519 key in its multihash, with some room.
const MAX_PEER: usize = 64;

/// What stands before an Ed25519 key in a peer id (libp2p peer id specification).
const ED25519_KEY: [u8; 4] = [0x08, 0x01, 0x12, 0x20];

const LINK: u8 = 1;
const BOUND: u8 = 2;

const SIGNS_KEY: &[u8] = b"nearcast token 1: signing key";
const SIGNS_LINK: &[u8] = b"nearcast token 1: link";
const SIGNS_PEER: &[u8] = b"nearcast token 1: bound to";
const SWARM: &str = "nearcast 2026 protected swarm 1";
/// The end of the id of every protected swarm. No file's hash ends so but by a chance of 2^-64.
const SWARM_END: [u8; 8] = *b"guarded\0";

/// Who guards a protected resource: the Ed25519 key of a publisher's identity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Guard([u8; KEY]);

impl Guard {
    /// The guard that a peer id stands for; `None` if the id isn't that of an Ed25519 key.
    ///
    /// That the bytes are a point of the curve isn't looked at: whoever has the peer id has proved it, and under
    /// any other bytes no token is good. A tracker does this for every question.
    pub fn of(peer: &PeerId) -> Option<Self> {
        let key = peer.as_ref().digest().strip_prefix(&ED25519_KEY)?;
        key.try_into().ok().map(Self)
    }

    /// The guard with this public key.
    pub const fn from_bytes(key: [u8; KEY]) -> Self {
        Self(key)
    }

    /// Its public key.
    pub const fn as_bytes(&self) -> &[u8; KEY] {
        &self.0
    }

    /// Its peer id, by which people and connections know it; `None` if the bytes are no key.
    pub fn peer_id(&self) -> Option<PeerId> {
        let key = ed25519::PublicKey::try_from_bytes(&self.0).ok()?;
        Some(libp2p_identity::PublicKey::from(key).to_peer_id())
    }

    /// The id under which a tracker keeps the holders of a resource that this guard protects. It is none that a
    /// file could have ([`is_protected_swarm`]), so nobody can ask for it without showing a token.
    pub fn swarm_of(&self, resource: &ResourceId) -> ResourceId {
        let mut hasher = blake3::Hasher::new_derive_key(SWARM);
        hasher.update(&self.0).update(resource.as_bytes());
        let mut id = *hasher.finalize().as_bytes();
        id[KEY - SWARM_END.len()..].copy_from_slice(&SWARM_END);
        ResourceId::from_bytes(id)
    }

    fn key(&self) -> Result<ed25519::PublicKey, TokenError> {
        ed25519::PublicKey::try_from_bytes(&self.0).map_err(|_| TokenError::Tampered)
    }
}

/// Whether an id is one of [`Guard::swarm_of`] rather than a file's.
pub fn is_protected_swarm(id: &ResourceId) -> bool {
    id.as_bytes().ends_with(&SWARM_END)
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.peer_id() {
            Some(peer) => peer.fmt(f),
            None => f.write_str(&data_encoding::HEXLOWER.encode(&self.0)),
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guard({self})")
    }
}

impl FromStr for Guard {
    type Err = TokenError;

    /// Reads the peer id that [`Guard`] displays as.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        text.parse().ok().and_then(|peer| Self::of(&peer)).ok_or(TokenError::Unreadable)
    }
}

/// A guard, or none, on the wire.
pub mod guard_on_wire {
    use super::{DecodeError, Decoder, EncodeError, Encoder, Guard, Type, Write};

    /// Writes its key, or null.
    pub fn encode<Ctx, W: Write>(
        guard: &Option<Guard>,
        e: &mut Encoder<W>,
        _: &mut Ctx,
    ) -> Result<(), EncodeError<W::Error>> {
        match guard {
            Some(guard) => e.bytes(&guard.0)?.ok(),
            None => e.null()?.ok(),
        }
    }

    /// Reads a guard. What once was a flag here, without a guard's name, is no guard.
    pub fn decode<Ctx>(d: &mut Decoder<'_>, _: &mut Ctx) -> Result<Option<Guard>, DecodeError> {
        match d.datatype()? {
            Type::Null => d.null().map(|()| None),
            Type::Bool => d.bool().map(|_| None),
            _ => {
                let key = d.bytes()?.try_into();
                key.map(|key| Some(Guard(key))).map_err(|_| DecodeError::message("a guard has 32 bytes"))
            }
        }
    }
}

/// A key of a publisher that signs links, with the guard's word for it.
pub struct SigningKey {
    pair: ed25519::Keypair,
    certificate: Certificate,
}

/// From when to when something counts, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// From this second on.
    pub from: u64,
    /// Up to this second and no longer.
    pub until: u64,
}

/// A guard's word for a signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certificate {
    /// Who speaks.
    pub guard: Guard,
    /// The signing key's public half.
    pub key: [u8; KEY],
    /// When the key may be used.
    pub term: Term,
    /// Certificates of this guard whose term begins before this are revoked.
    pub floor: u64,
    signature: [u8; SIGNATURE],
}

impl SigningKey {
    /// Certifies the key with this secret. `None` if the identity isn't of the Ed25519 kind.
    pub fn certify(guard: &Keypair, secret: [u8; KEY], term: Term, floor: u64) -> Option<Self> {
        let guard = guard.clone().try_into_ed25519().ok()?;
        let pair = pair_of(secret)?;
        let (name, key) = (Guard(guard.public().to_bytes()), pair.public().to_bytes());
        let mut certificate = Certificate { guard: name, key, term, floor, signature: [0; SIGNATURE] };
        certificate.signature = sign(&guard, SIGNS_KEY, &certificate.claim())?;
        Some(Self { pair, certificate })
    }

    /// The guard's word for it.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// A token for a link to `resource`, good for `term`. `one_off` is the secret of a key that nothing else uses.
    pub fn token(&self, resource: ResourceId, term: Term, one_off: [u8; KEY]) -> Option<LinkToken> {
        let public = pair_of(one_off)?.public().to_bytes();
        let mut chain = Chain {
            certificate: self.certificate,
            resource,
            term,
            one_off: public,
            signature: [0; SIGNATURE],
        };
        chain.signature = sign(&self.pair, SIGNS_LINK, &chain.claim())?;
        Some(LinkToken { chain, secret: one_off })
    }
}

/// What every token says, and what stands for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    certificate: Certificate,
    resource: ResourceId,
    term: Term,
    one_off: [u8; KEY],
    signature: [u8; SIGNATURE],
}

/// A token as a link carries it: whoever has it may watch. It is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkToken {
    chain: Chain,
    secret: [u8; KEY],
}

/// A token as the network sees it: good for one terminal only.
#[derive(Clone, PartialEq, Eq)]
pub struct BoundToken {
    chain: Chain,
    peer: PeerId,
    signature: [u8; SIGNATURE],
}

impl LinkToken {
    /// Reads a link's token and checks that nothing in it was changed. Times aren't looked at.
    ///
    /// # Errors
    /// [`TokenError::Unreadable`], or [`TokenError::Tampered`].
    pub fn read(token: &Token) -> Result<Self, TokenError> {
        let bytes = bytes_of(token)?;
        let [LINK, rest @ ..] = &*bytes else { return Err(TokenError::Unreadable) };
        let (chain, secret) = rest.split_at_checked(CHAIN).ok_or(TokenError::Unreadable)?;
        let token = Self {
            chain: Chain::read(chain)?,
            secret: secret.try_into().map_err(|_| TokenError::Unreadable)?,
        };
        token.chain.verify()?;
        let public = pair_of(token.secret).map(|pair| pair.public().to_bytes());
        if public == Some(token.chain.one_off) { Ok(token) } else { Err(TokenError::Tampered) }
    }

    /// Who guards.
    pub fn guard(&self) -> Guard {
        self.chain.certificate.guard
    }

    /// What it lets its bearer watch.
    pub fn resource(&self) -> ResourceId {
        self.chain.resource
    }

    /// From when to when.
    pub fn term(&self) -> Term {
        self.chain.term
    }

    /// As it stands in a link.
    pub fn to_token(&self) -> Option<Token> {
        let mut bytes = vec![LINK];
        self.chain.write(&mut bytes);
        bytes.extend(self.secret);
        Token::new(BASE64URL_NOPAD.encode(&bytes))
    }

    /// The token that `peer` may show to others.
    pub fn bind(&self, peer: PeerId) -> Option<BoundToken> {
        let claim = binding(&self.chain, &peer);
        let signature = sign(&pair_of(self.secret)?, SIGNS_PEER, &claim)?;
        Some(BoundToken { chain: self.chain.clone(), peer, signature })
    }
}

impl fmt::Debug for LinkToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkToken(for {}, until {})", self.chain.resource, self.chain.term.until)
    }
}

impl BoundToken {
    /// Reads a bound token. Nothing in it is believed yet: that is [`Verifier::check`]'s.
    ///
    /// # Errors
    /// [`TokenError::Unreadable`]; [`TokenError::NotBound`] for a link's token, which must not travel.
    pub fn read(token: &Token) -> Result<Self, TokenError> {
        let bytes = bytes_of(token)?;
        let rest = match &*bytes {
            [BOUND, rest @ ..] => rest,
            [LINK, ..] => return Err(TokenError::NotBound),
            _ => return Err(TokenError::Unreadable),
        };
        let (chain, rest) = rest.split_at_checked(CHAIN).ok_or(TokenError::Unreadable)?;
        let (length, rest) = rest.split_first().ok_or(TokenError::Unreadable)?;
        let length = usize::from(*length);
        if length > MAX_PEER {
            return Err(TokenError::Unreadable);
        }
        let (peer, signature) = rest.split_at_checked(length).ok_or(TokenError::Unreadable)?;
        Ok(Self {
            chain: Chain::read(chain)?,
            peer: PeerId::from_bytes(peer).map_err(|_| TokenError::Unreadable)?,
            signature: signature.try_into().map_err(|_| TokenError::Unreadable)?,
        })
    }

    /// As it travels.
    pub fn to_token(&self) -> Option<Token> {
        let mut bytes = vec![BOUND];
        self.chain.write(&mut bytes);
        let peer = self.peer.to_bytes();
        bytes.push(u8::try_from(peer.len()).ok()?);
        bytes.extend(peer);
        bytes.extend(self.signature);
        Token::new(BASE64URL_NOPAD.encode(&bytes))
    }

    fn verify_binding(&self) -> Result<(), TokenError> {
        verify(&self.chain.one_off, SIGNS_PEER, &binding(&self.chain, &self.peer), &self.signature)
    }
}

impl fmt::Debug for BoundToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoundToken(for {}, bound to {})", self.chain.resource, self.peer)
    }
}

impl Certificate {
    /// What the guard signs.
    fn claim(&self) -> Vec<u8> {
        let mut claim = Vec::with_capacity(CERTIFICATE);
        claim.extend(self.guard.0);
        claim.extend(self.key);
        for time in [self.term.from, self.term.until, self.floor] {
            claim.extend(time.to_be_bytes());
        }
        claim
    }
}

impl Chain {
    /// What the signing key signs.
    fn claim(&self) -> Vec<u8> {
        let mut claim = Vec::with_capacity(CHAIN);
        claim.extend(self.certificate.claim());
        claim.extend(self.certificate.signature);
        claim.extend(self.resource.as_bytes());
        for time in [self.term.from, self.term.until] {
            claim.extend(time.to_be_bytes());
        }
        claim.extend(self.one_off);
        claim
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.claim());
        bytes.extend(self.signature);
    }

    fn read(mut bytes: &[u8]) -> Result<Self, TokenError> {
        let bytes = &mut bytes;
        let (guard, key) = (Guard(take(bytes)?), take(bytes)?);
        let term = Term { from: time(bytes)?, until: time(bytes)? };
        let (floor, signature) = (time(bytes)?, take(bytes)?);
        let certificate = Certificate { guard, key, term, floor, signature };
        let resource = ResourceId::from_bytes(take(bytes)?);
        let term = Term { from: time(bytes)?, until: time(bytes)? };
        Ok(Self { certificate, resource, term, one_off: take(bytes)?, signature: take(bytes)? })
    }

    /// Whether guard and signing key say what stands here: two signatures.
    fn verify(&self) -> Result<(), TokenError> {
        let certificate = &self.certificate;
        certificate.guard.key()?;
        verify(&certificate.guard.0, SIGNS_KEY, &certificate.claim(), &certificate.signature)?;
        verify(&certificate.key, SIGNS_LINK, &self.claim(), &self.signature)
    }

    /// Whether it counts at this time, if certificates do that begin at `floor` or later.
    fn check_times(&self, now: u64, floor: u64) -> Result<(), TokenError> {
        let key = &self.certificate.term;
        if now >= key.until || key.from < floor {
            return Err(TokenError::KeyRetired);
        }
        let from = self.term.from.max(key.from);
        if now.saturating_add(TOLERANCE) < from {
            return Err(TokenError::Early { from });
        }
        if now >= self.term.until {
            return Err(TokenError::Expired { at: self.term.until });
        }
        Ok(())
    }
}

/// How far a clock may be behind the publisher's, in seconds. An end needs none: what a clock's error adds to or
/// takes from a link's days is no harm, but a link must be good at once when it is made.
const TOLERANCE: u64 = 300;

fn binding(chain: &Chain, peer: &PeerId) -> Vec<u8> {
    let mut claim = chain.claim();
    claim.extend(chain.signature);
    claim.extend(peer.to_bytes());
    claim
}

fn bytes_of(token: &Token) -> Result<Vec<u8>, TokenError> {
    BASE64URL_NOPAD.decode(token.as_str().as_bytes()).map_err(|_| TokenError::Unreadable)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], TokenError> {
    let (first, rest) = bytes.split_first_chunk().ok_or(TokenError::Unreadable)?;
    *bytes = rest;
    Ok(*first)
}

fn time(bytes: &mut &[u8]) -> Result<u64, TokenError> {
    take(bytes).map(u64::from_be_bytes)
}

fn pair_of(mut secret: [u8; KEY]) -> Option<ed25519::Keypair> {
    ed25519::SecretKey::try_from_bytes(&mut secret).ok().map(ed25519::Keypair::from)
}

fn sign(pair: &ed25519::Keypair, what: &[u8], claim: &[u8]) -> Option<[u8; SIGNATURE]> {
    pair.sign(&[what, claim].concat()).try_into().ok()
}

fn verify(key: &[u8; KEY], what: &[u8], claim: &[u8], signature: &[u8]) -> Result<(), TokenError> {
    let key = ed25519::PublicKey::try_from_bytes(key).map_err(|_| TokenError::Tampered)?;
    if key.verify(&[what, claim].concat(), signature) { Ok(()) } else { Err(TokenError::Tampered) }
}

#[cfg(test)]
mod tests;
