//! How often one address may ask, and for how many different films: token buckets, so that one client can't
//! take the tracker from all, and nobody can go through a long list of films to learn who holds each.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    net::IpAddr,
    time::Duration,
};

use nearcast_protocol::{PeerId, ResourceId};

use crate::{
    limits::{Bucket, Limits},
    prefix::Prefix,
};

/// Addresses, peers or prefixes that are remembered; beyond it those whose buckets are full are forgotten.
const REMEMBERED: usize = 100_000;
/// How often room is looked for at most.
const SWEPT: Duration = Duration::from_secs(1);
/// A prefix may ask for so many times as many different films as a node.
const NODES_A_PREFIX: u32 = 50;
/// So many films that a node asked for last are free: viewers ask for the same one again and again.
const RECENT: usize = 16;

/// Buckets by key, at most so many as are remembered.
#[derive(Debug)]
struct Buckets<K, M> {
    all: HashMap<K, (Bucket, M)>,
    /// When room was last looked for: it takes a millisecond.
    swept: Option<Duration>,
}

impl<K: Eq + Hash, M: Default> Buckets<K, M> {
    fn new() -> Self {
        Self { all: HashMap::new(), swept: None }
    }

    /// The bucket of a key, full if it is new; `None` if there is no room for another.
    fn of(&mut self, key: K, now: Duration, rate: f64, burst: f64) -> Option<&mut (Bucket, M)> {
        if self.all.len() >= REMEMBERED && !self.all.contains_key(&key) {
            if self.swept.is_none_or(|swept| now >= swept + SWEPT) {
                self.swept = Some(now);
                self.all.retain(|_, (bucket, _)| bucket.holds(now, rate, burst) < burst);
            }
            if self.all.len() >= REMEMBERED {
                return None;
            }
        }
        Some(self.all.entry(key).or_insert_with(|| (Bucket::full(now, burst), M::default())))
    }
}

/// The buckets of all who ask. IPv6 addresses count by /64, which is one subscriber's.
#[derive(Debug)]
pub struct Pace {
    limits: Limits,
    addresses: Buckets<IpAddr, ()>,
    peers: Buckets<PeerId, Recent>,
    prefixes: Buckets<Prefix, ()>,
    hasher: RandomState,
}

/// Hashes of the films asked for last.
#[derive(Debug, Default)]
struct Recent {
    films: [u32; RECENT],
    next: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Pace {
    /// Nobody has asked yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            addresses: Buckets::new(),
            peers: Buckets::new(),
            prefixes: Buckets::new(),
            hasher: RandomState::new(),
        }
    }

    /// Goes by other limits from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Whether a request may be answered now; if not, how long to wait.
    ///
    /// # Errors
    /// The wait.
    pub fn take(&mut self, now: Duration, address: IpAddr) -> Result<(), Duration> {
        let (rate, burst) = (f64::from(self.limits.pace), f64::from(self.limits.burst));
        match self.addresses.of(subscriber(address), now, rate, burst) {
            Some((bucket, ())) => bucket.take(now, rate, burst),
            // More addresses ask at once than there is room to remember: those that come now have to wait.
            None => Err(Duration::from_secs(1)),
        }
    }

    /// Whether a node may ask for this film now; if not, how long to wait. Those it asked for last are free.
    ///
    /// # Errors
    /// The wait.
    pub fn ask(
        &mut self,
        now: Duration,
        peer: &PeerId,
        address: IpAddr,
        film: &ResourceId,
    ) -> Result<(), Duration> {
        let burst = f64::from(self.limits.distinct);
        let rate = burst / 60.0;
        // Never 0, which stands for none.
        let hash = self.hasher.hash_one(film) as u32 | 1;
        let mut known = self.peers.of(*peer, now, rate, burst);
        // Before its prefix is asked, so that a greedy node takes nothing from its neighbours. One that there is
        // no room for counts with its prefix alone.
        if let Some((bucket, recent)) = &mut known {
            if recent.films.contains(&hash) {
                return Ok(());
            }
            bucket.take(now, rate, burst)?;
        }
        let (wide, many) = (rate * f64::from(NODES_A_PREFIX), burst * f64::from(NODES_A_PREFIX));
        match self.prefixes.of(Prefix::of(address), now, wide, many) {
            Some((bucket, ())) => bucket.take(now, wide, many)?,
            None => return Err(Duration::from_secs(1)),
        }
        if let Some((_, recent)) = known {
            if let Some(film) = recent.films.get_mut(recent.next) {
                *film = hash;
            }
            recent.next = (recent.next + 1) % RECENT;
        }
        Ok(())
    }
}

fn subscriber(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn film(number: u32) -> ResourceId {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        ResourceId::from_bytes(id)
    }

    #[test]
    fn a_flood_is_slowed_and_its_neighbour_is_not() {
        let (mut pace, now) = (Pace::default(), Duration::from_secs(5));
        let Limits { pace: rate, burst, .. } = Limits::default();
        let (flood, other): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let taken = (0..10_000).filter(|_| pace.take(now, flood).is_ok()).count();
        assert_eq!(taken, burst as usize);
        assert!(pace.take(now, other).is_ok());
        let wait = pace.take(now, flood).unwrap_err();
        assert!(pace.take(now + wait, flood).is_ok());
        let later = now + wait + Duration::from_secs(1);
        let taken = (0..10_000).filter(|_| pace.take(later, flood).is_ok()).count();
        assert_eq!(taken, rate as usize);
    }

    #[test]
    fn a_subscriber_s_many_ipv6_addresses_are_one() {
        let (mut pace, now) = (Pace::default(), Duration::ZERO);
        let address = |n: u32| format!("2001:db8::{n:x}").parse().unwrap();
        let taken = (1..2_000).filter(|n| pace.take(now, address(*n)).is_ok()).count();
        assert_eq!(taken, Limits::default().burst as usize);
    }

    #[test]
    fn a_long_list_of_films_can_t_be_gone_through() {
        let (mut pace, now) = (Pace::default(), Duration::from_secs(5));
        let distinct = Limits::default().distinct;
        let (peer, home): (_, IpAddr) = (PeerId::random(), "10.0.0.1".parse().unwrap());
        let asked = (0..10_000).filter(|n| pace.ask(now, &peer, home, &film(*n)).is_ok()).count();
        assert_eq!(asked, distinct as usize);
        // What it watches it may go on asking for.
        assert!((0..1_000).all(|_| pace.ask(now, &peer, home, &film(distinct - 1)).is_ok()));
        let wait = pace.ask(now, &peer, home, &film(distinct)).unwrap_err();
        assert!(pace.ask(now + wait, &peer, home, &film(distinct)).is_ok());
    }

    #[test]
    fn new_identities_don_t_help_those_of_one_prefix() {
        let (mut pace, now) = (Pace::default(), Duration::from_secs(5));
        let most = Limits::default().distinct * NODES_A_PREFIX;
        let asked = (0..2 * most).filter(|n| {
            let home = IpAddr::from([10, 0, 0, *n as u8]);
            pace.ask(now, &PeerId::random(), home, &film(*n)).is_ok()
        });
        assert_eq!(asked.count(), most as usize);
        let elsewhere = "10.0.1.1".parse().unwrap();
        assert!(pace.ask(now, &PeerId::random(), elsewhere, &film(1)).is_ok());
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let (mut pace, now) = (Pace::default(), Duration::ZERO);
        let address = |n: usize| IpAddr::from((n as u32).to_be_bytes());
        let taken = (0..REMEMBERED + 5).filter(|n| pace.take(now, address(*n)).is_ok()).count();
        assert_eq!((taken, pace.addresses.all.len()), (REMEMBERED, REMEMBERED));
        // A moment later those that asked once are forgotten.
        assert!(pace.take(now + Duration::from_secs(1), address(REMEMBERED)).is_ok());
        assert_eq!(pace.addresses.all.len(), 1);
    }
}
