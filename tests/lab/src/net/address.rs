//! Who has which address: network *i* is 10.(i+1).0.0/16, the middle is 10.0.0.0/16.

use std::net::Ipv4Addr;

/// The middle that all networks are joined by, on each of its cables.
pub const MIDDLE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// The tracker, which stands in the middle.
pub const TRACKER: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);

fn second(network: usize) -> u8 {
    u8::try_from(network + 1).unwrap_or(u8::MAX)
}

/// A network's router, on each of its cables.
pub fn router(network: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, second(network), 0, 1)
}

/// All of a network, as a prefix.
pub fn prefix(network: usize) -> String {
    format!("10.{}.0.0/16", second(network))
}

/// The outer address of the `number`th line of a network.
pub fn line(network: usize, number: usize) -> Ipv4Addr {
    let (third, fourth) = (1 + number / 200, 2 + number % 200);
    let byte = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
    Ipv4Addr::new(10, second(network), byte(third), byte(fourth))
}

/// The translator's own inner address, behind every translator the same.
pub const TRANSLATOR: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

/// The inner address of the `number`th node behind a translator.
pub fn inner(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 1, u8::try_from(number + 2).unwrap_or(u8::MAX))
}
