//! Whether a token is good, without verifying the same signature again and again.

use std::{collections::HashMap, hash::Hash};

use libp2p_identity::PeerId;

use super::{BoundToken, Guard, LinkToken, TokenError};
use crate::{ResourceId, Token};

/// Chains and bound tokens that are remembered to be right, twice this many of each at most: 32 bytes each.
const REMEMBERED: usize = 8192;
/// Guards whose floor is remembered.
const GUARDS: usize = 1024;

/// Judges tokens. Pure: the clock is passed in.
///
/// A token costs three Ed25519 verifications when it is first seen, one if only the terminal is new, and none from
/// then on. What strangers make it remember is bounded.
pub struct Verifier {
    chains: Recent<[u8; 32], ()>,
    bound: Recent<[u8; 32], ()>,
    floors: Recent<Guard, u64>,
}

impl Default for Verifier {
    fn default() -> Self {
        Self { chains: Recent::new(REMEMBERED), bound: Recent::new(REMEMBERED), floors: Recent::new(GUARDS) }
    }
}

impl Verifier {
    /// Whether `peer`, whose identity its connection proves, may have `resource` at `now` (seconds since 1970), and
    /// who guards it. With `guard`, only that one's word counts.
    ///
    /// # Errors
    /// With a sentence for the person at the terminal.
    pub fn check(
        &mut self,
        token: Option<&Token>,
        guard: Option<Guard>,
        resource: &ResourceId,
        peer: &PeerId,
        now: u64,
    ) -> Result<Guard, TokenError> {
        let token = token.ok_or(TokenError::Missing)?;
        let bound = BoundToken::read(token)?;
        let mut chain_bytes = Vec::new();
        bound.chain.write(&mut chain_bytes);
        let chain = *blake3::hash(&chain_bytes).as_bytes();
        if self.chains.get(&chain).is_none() {
            bound.chain.verify()?;
            self.chains.put(chain, ());
        }
        let name = bound.chain.certificate.guard;
        if guard.is_some_and(|guard| guard != name) {
            return Err(TokenError::UnknownGuard);
        }
        if bound.chain.resource != *resource {
            return Err(TokenError::OtherResource);
        }
        let whole = *blake3::hash(token.as_str().as_bytes()).as_bytes();
        if self.bound.get(&whole).is_none() {
            bound.verify_binding()?;
            self.bound.put(whole, ());
        }
        if bound.peer != *peer {
            return Err(TokenError::OtherTerminal);
        }
        bound.chain.check_times(now, self.floor(name))?;
        self.raise(name, bound.chain.certificate.floor);
        Ok(name)
    }

    /// Whether a link's token, as its bearer shows it to the guard itself, is good for `resource` at `now`.
    ///
    /// # Errors
    /// With a sentence for the person who has the link.
    pub fn check_link(
        &mut self,
        token: &Token,
        guard: Guard,
        resource: &ResourceId,
        now: u64,
    ) -> Result<LinkToken, TokenError> {
        let token = LinkToken::read(token)?;
        if token.guard() != guard {
            return Err(TokenError::UnknownGuard);
        }
        if token.resource() != *resource {
            return Err(TokenError::OtherResource);
        }
        token.chain.check_times(now, self.floor(guard))?;
        Ok(token)
    }

    /// Certificates of this guard that begin before `floor` count no more.
    pub fn raise(&mut self, guard: Guard, floor: u64) {
        if floor > self.floor(guard) {
            self.floors.put(guard, floor);
        }
    }

    fn floor(&mut self, guard: Guard) -> u64 {
        self.floors.get(&guard).copied().unwrap_or_default()
    }
}

/// What was used lately, in two generations: when the younger is full, the older is forgotten.
struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    limit: usize,
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    fn new(limit: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), limit }
    }

    fn get(&mut self, key: &K) -> Option<&V> {
        if let Some(value) = self.old.remove(key) {
            self.put(*key, value);
        }
        self.young.get(key)
    }

    fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.limit {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_bounded() {
        let mut recent = Recent::new(100);
        recent.put(0, "kept");
        for number in 1..10_000 {
            recent.put(number, "passing");
            assert_eq!(recent.get(&0), Some(&"kept"), "{number}");
        }
        assert!(recent.young.len() + recent.old.len() <= 200);
        assert_eq!(recent.get(&1), None);
    }
}
