//! The part of an address that one site has: /24 in IPv4, /48 in IPv6.

use std::{collections::HashMap, net::IpAddr};

/// A /24 or a /48.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Prefix(u64);

impl Prefix {
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            // A /48 has no highest bit of 64.
            IpAddr::V4(ip) => Self(1 << 63 | u64::from(ip.to_bits() >> 8)),
            IpAddr::V6(ip) => Self((ip.to_bits() >> 80) as u64),
        }
    }

    /// It as a number, never 0.
    pub fn number(self) -> u64 {
        self.0.max(1)
    }

    /// Its place among 256 (Fibonacci hashing).
    pub fn crowd(self) -> usize {
        (self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize
    }
}

/// How many nodes each prefix has.
#[derive(Debug, Default)]
pub(crate) struct Prefixes(HashMap<Prefix, u32>);

impl Prefixes {
    pub fn nodes(&self, address: IpAddr) -> usize {
        self.0.get(&Prefix::of(address)).copied().unwrap_or_default() as usize
    }

    pub fn enter(&mut self, address: IpAddr) {
        *self.0.entry(Prefix::of(address)).or_default() += 1;
    }

    pub fn leave(&mut self, address: IpAddr) {
        let prefix = Prefix::of(address);
        if let Some(nodes) = self.0.get_mut(&prefix) {
            *nodes = nodes.saturating_sub(1);
            if *nodes == 0 {
                self.0.remove(&prefix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_shares_a_prefix() {
        let same =
            |one: &str, other: &str| Prefix::of(one.parse().unwrap()) == Prefix::of(other.parse().unwrap());
        assert!(same("10.0.0.1", "10.0.0.255") && same("10.0.0.1", "::ffff:10.0.0.9"));
        assert!(same("2001:db8:1::1", "2001:db8:1:ffff::1"));
        assert!(!same("10.0.0.1", "10.0.1.1") && !same("2001:db8:1::1", "2001:db8:2::1"));
        assert!(!same("0.0.10.1", "0:0:a::1"));
    }

    #[test]
    fn who_has_left_isn_t_counted() {
        let (mut prefixes, one) = (Prefixes::default(), "10.0.0.1".parse().unwrap());
        prefixes.enter(one);
        prefixes.enter("10.0.0.2".parse().unwrap());
        assert_eq!(prefixes.nodes(one), 2);
        prefixes.leave(one);
        prefixes.leave(one);
        prefixes.leave(one);
        assert!(prefixes.nodes(one) == 0 && prefixes.0.is_empty());
    }
}
