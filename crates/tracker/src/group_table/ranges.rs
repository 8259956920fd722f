//! Ranges of addresses: `first,last,asn[,name]`, as `@ip-location-db/asn` and others have them.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use super::{GroupTable, canonical, system};

pub(super) const EXPECTED: &str = "first,last,asn[,name], such as 203.0.113.0,203.0.113.255,64500,Campus";

/// Whether a line is of this kind.
pub(super) fn is_one(line: &str) -> bool {
    let mut fields = line.split(',').map(address);
    matches!((fields.next(), fields.next()), (Some(Some(_)), Some(Some(_))))
}

pub(super) fn add(table: &mut GroupTable, line: &str) -> Result<(), String> {
    let mut fields = line.splitn(4, ',');
    let mut next = || fields.next().unwrap_or_default().trim();
    let (first, last, number, name) = (next(), next(), next(), next());
    let of = |text: &str| address(text).ok_or_else(|| format!("{text:?} is no address"));
    let (first, last) = (of(first)?, of(last)?);
    let number = number.trim_matches('"');
    let number = number.parse().map_err(|_| format!("{number:?} is no number of a system"))?;
    if first.is_ipv4() != last.is_ipv4() || first > last {
        return Err(format!("no range begins at {first} and ends at {last}"));
    }
    let Some(place) = system(number) else { return Ok(()) };
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            Ipv4Subnets::new(first, last, 0).for_each(|prefix| table.insert(prefix.into(), place));
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => Ipv6Subnets::new(first, last, 0)
            .for_each(|prefix| table.insert(canonical(IpNet::from(prefix)), place)),
        _ => {}
    }
    // A quoted name doubles the quotes in it (RFC 4180).
    let name = match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(name) => name.replace("\"\"", "\""),
        None => name.to_owned(),
    };
    table.name(place.group, &name);
    Ok(())
}

fn address(text: &str) -> Option<IpAddr> {
    text.trim().trim_matches('"').parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::{
        collection::vec,
        prelude::{any, prop_assert_eq, proptest},
    };

    use super::*;

    #[test]
    fn as_the_package_has_them() {
        let table = GroupTable::parse(
            "1.0.0.0,1.0.0.255,13335,\"Cloudflare, \"\"Inc.\"\"\"\n\
             202.96.128.0,202.96.191.255,4134,CHINANET\n9.9.9.0,9.9.9.255,0,nobody\n\
             2001:200::,2001:200:1b9:ffff:ffff:ffff:ffff:ffff,2500,WIDE Project\n",
        )
        .unwrap();
        let group = |address: &str| table.group_of(address.parse().unwrap()).0;
        assert_eq!((group("1.0.0.9"), group("1.0.1.0"), group("202.96.128.86")), (13335, 0, 4134));
        assert_eq!((group("2001:200:1b9::1"), group("2001:200:1ba::"), group("9.9.9.9")), (2500, 0, 0));
        assert_eq!(table.name_of(nearcast_protocol::Group(13335)), Some("Cloudflare, \"Inc.\""));
    }

    #[test]
    fn a_bad_range_is_named() {
        let good = "10.0.0.0,10.0.0.9,1\n";
        for (line, problem) in [
            ("10.0.0.9,10.0.0.0,1", "no range begins at 10.0.0.9"),
            ("10.0.0.9,2001:db8::,1", "no range begins at"),
            ("10.0.0.0,10.0.0.9,north", "\"north\" is no number of a system"),
            ("10.0.0.0,10.0.0.9", "\"\" is no number"),
            ("10.0.0.0,1", "\"1\" is no address"),
        ] {
            let said = GroupTable::parse(&format!("{good}{line}")).err().unwrap().to_string();
            assert!(said.starts_with("line 2: ") && said.contains(problem), "{line}: {said}");
        }
    }

    proptest! {
        #[test]
        fn exactly_the_range_is_in_the_table(one in any::<u128>(), other in any::<u128>(), six in any::<bool>()) {
            // Wide and narrow ones: both ends from the same few bits.
            let shift = (one % 128) as u32;
            let of = |bits: u128| -> IpAddr {
                if six { Ipv6Addr::from_bits(bits).into() } else { Ipv4Addr::from_bits(bits as u32).into() }
            };
            let (one, other) = (one, one ^ (other >> shift));
            let (first, last) = (of(one).min(of(other)), of(one).max(of(other)));
            let table = GroupTable::parse(&format!("{first},{last},7\n")).unwrap();
            let bits = |address: IpAddr| match address {
                IpAddr::V4(address) => address.to_bits().into(),
                IpAddr::V6(address) => address.to_bits(),
            };
            for (edge, inside) in [
                (Some(bits(first)), true),
                (Some(bits(last)), true),
                (bits(first).checked_sub(1), false),
                (bits(last).checked_add(1).filter(|bits| six || *bits <= u32::MAX.into()), false),
            ] {
                if let Some(edge) = edge {
                    prop_assert_eq!(table.group_of(of(edge)).0, if inside { 7 } else { 0 }, "{}", of(edge));
                }
            }
        }

        #[test]
        fn any_text_gives_an_answer(lines in vec("[0-9a-f:.,/_\t\"# ]{0,40}", 0..6), text in ".{0,80}") {
            let _ = GroupTable::parse(&lines.join("\n"));
            let _ = GroupTable::parse(&text);
        }
    }
}
