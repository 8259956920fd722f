//! No stranger sends this machine to a private address.

use std::{net::IpAddr, net::SocketAddr, sync::Arc, time::Duration};

use reqwest::{
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use url::{Host, Url};

use crate::resolve::{is_private, private_ip};

const CONNECT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(15);

/// Where a client may connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Wherever an address leads.
    Anywhere,
    /// To public addresses only, whatever a name resolves to at the moment of connecting.
    Public,
}

impl Reach {
    /// A client that follows no redirect by itself: where one leads is ours to judge.
    pub(crate) fn client(self) -> Result<reqwest::Client, reqwest::Error> {
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .user_agent(concat!("nearcast/", env!("CARGO_PKG_VERSION")));
        match self {
            Self::Anywhere => client,
            // A proxy would resolve names in its own way.
            Self::Public => client.no_proxy().dns_resolver(Arc::new(PublicOnly)),
        }
        .build()
    }

    /// Whether an address may be asked, as far as it says itself: a number is never resolved.
    pub(crate) fn covers(self, url: &Url) -> bool {
        self == Self::Anywhere
            || match url.host() {
                Some(Host::Ipv4(ip)) => is_public(ip.into()),
                Some(Host::Ipv6(ip)) => is_public(ip.into()),
                Some(Host::Domain(_)) => !is_private(url),
                None => false,
            }
    }
}

/// Whether an address is neither private nor reserved nor a way to such a one.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    if private_ip(ip) {
        return false;
    }
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            // RFC 6890: this network, protocol assignments, benchmarks, multicast, reserved.
            !(a == 0 || a >= 224 || (a, b, c) == (192, 0, 0) || (a == 198 && b & 0xfe == 18))
        }
        IpAddr::V6(ip) => {
            let parts = ip.segments();
            let inner = |high: u16, low: u16| {
                let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
                is_public(IpAddr::from([a, b, c, d]))
            };
            match parts {
                // Translated (RFC 6052), 6to4 (RFC 3056), and the obsolete way to write an IPv4 address.
                [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0, 0, high, low] => inner(high, low),
                [0x64, 0xff9b, ..] => false,
                [0x2002, high, low, ..] => inner(high, low),
                // Multicast, and the site-local of old.
                [first, ..] => first < 0xfec0,
            }
        }
    }
}

/// Resolves as the system does, and keeps silent about what isn't public.
struct PublicOnly;

#[derive(Debug, thiserror::Error)]
#[error("{0} leads to an address inside a private network")]
struct Inside(String);

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let public: Vec<_> = found.into_iter().filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(Inside(name).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_public() {
        for public in ["203.0.114.9", "2a00::1", "64:ff9b::808:808", "8.8.8.8"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for inside in [
            "127.0.0.1",
            "0.1.2.3",
            "10.0.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.0.8",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "ff02::1",
            "fe80::1",
            "fec0::1",
            "fd00::1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused() {
        // Whatever it is called, the system resolves it to this machine.
        let name: Name = "localhost".parse().unwrap();
        let refused = PublicOnly.resolve(name).await.err().unwrap();
        assert!(refused.to_string().contains("inside a private network"), "{refused}");
        let local = Url::parse("http://127.0.0.1/").unwrap();
        assert!(!Reach::Public.covers(&local) && Reach::Anywhere.covers(&local));
        assert!(!Reach::Public.covers(&Url::parse("http://[64:ff9b::7f00:1]/").unwrap()));
    }
}
