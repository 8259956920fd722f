//! MaxMind databases of autonomous systems: GeoLite2-ASN and what others publish in its form.

use std::net::IpAddr;

use ipnet::IpNet;
use maxminddb::{MaxMindDbError, Reader, WithinOptions};
use serde::Deserialize;

use super::{GroupTable, canonical, system};

/// What stands before a database's description, in its last 128 KiB (MaxMind DB file format 2.0).
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
const DESCRIPTION: usize = 128 * 1024;

/// Whether a file is of this kind.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    let end = &bytes[bytes.len().saturating_sub(DESCRIPTION)..];
    end.windows(MARKER.len()).any(|part| part == MARKER)
}

#[derive(Deserialize)]
struct System<'a> {
    autonomous_system_number: Option<u32>,
    #[serde(borrow)]
    autonomous_system_organization: Option<&'a str>,
}

/// Adds all networks that have a system, and says how many.
pub(super) fn add(table: &mut GroupTable, bytes: &[u8]) -> Result<usize, MaxMindDbError> {
    let database = Reader::from_source(bytes)?;
    let mut added = 0;
    for network in database.networks(WithinOptions::default())? {
        let network = network?;
        let Some(system_) = network.decode::<System<'_>>()? else { continue };
        let Some(place) = system_.autonomous_system_number.and_then(system) else { continue };
        let prefix = network.network()?;
        if let Some(prefix) = prefix_of(prefix.ip(), prefix.prefix()) {
            table.insert(canonical(prefix), place);
            table.name(place.group, system_.autonomous_system_organization.unwrap_or_default());
            added += 1;
        }
    }
    Ok(added)
}

/// A database of both families has IPv4 in the first 2^32 addresses of IPv6.
fn prefix_of(address: IpAddr, length: u8) -> Option<IpNet> {
    match address {
        IpAddr::V6(six) if length >= 96 && six.to_bits() >> 32 == 0 => {
            IpNet::new(IpAddr::V4((six.to_bits() as u32).into()), length - 96).ok()
        }
        _ => IpNet::new(address, length).ok(),
    }
}

#[cfg(test)]
mod tests;
