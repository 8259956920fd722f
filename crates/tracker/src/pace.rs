//! How often one address may ask: a token bucket each, so that one client can't take the tracker from all.

use std::{collections::HashMap, net::IpAddr, time::Duration};

/// Requests that may come at once.
const BURST: f64 = 300.0;
/// Requests a second in the long run. An office behind one address has many viewers, so this is generous.
const RATE: f64 = 60.0;
/// Addresses that are remembered; beyond it those that are full again are forgotten.
const REMEMBERED: usize = 100_000;

/// The buckets of all addresses. IPv6 counts by /64, which is one subscriber's.
#[derive(Debug, Default)]
pub struct Pace {
    buckets: HashMap<IpAddr, (f64, Duration)>,
}

impl Pace {
    /// Whether a request may be answered now; if not, how long to wait.
    ///
    /// # Errors
    /// The wait.
    pub fn take(&mut self, now: Duration, address: IpAddr) -> Result<(), Duration> {
        if self.buckets.len() >= REMEMBERED {
            self.buckets.retain(|_, (left, since)| filled(*left, *since, now) < BURST);
        }
        let (left, since) = self.buckets.entry(subscriber(address)).or_insert((BURST, now));
        let filled = filled(*left, *since, now);
        *since = now;
        if filled < 1.0 {
            *left = filled;
            return Err(Duration::from_secs_f64((1.0 - filled) / RATE));
        }
        *left = filled - 1.0;
        Ok(())
    }
}

fn filled(left: f64, since: Duration, now: Duration) -> f64 {
    (left + now.saturating_sub(since).as_secs_f64() * RATE).min(BURST)
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

    #[test]
    fn a_flood_is_slowed_and_its_neighbour_is_not() {
        let (mut pace, now) = (Pace::default(), Duration::from_secs(5));
        let (flood, other): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let taken = (0..10_000).filter(|_| pace.take(now, flood).is_ok()).count();
        assert_eq!(taken, BURST as usize);
        assert!(pace.take(now, other).is_ok());
        let wait = pace.take(now, flood).unwrap_err();
        assert!(pace.take(now + wait, flood).is_ok());
        let later = now + wait + Duration::from_secs(1);
        let taken = (0..10_000).filter(|_| pace.take(later, flood).is_ok()).count();
        assert_eq!(taken, RATE as usize);
    }

    #[test]
    fn a_subscriber_s_many_ipv6_addresses_are_one() {
        let (mut pace, now) = (Pace::default(), Duration::ZERO);
        let address = |n: u32| format!("2001:db8::{n:x}").parse().unwrap();
        let taken = (1..2_000).filter(|n| pace.take(now, address(*n)).is_ok()).count();
        assert_eq!(taken, BURST as usize);
    }
}
