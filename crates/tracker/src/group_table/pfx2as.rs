//! CAIDA's *Routeviews prefix to AS* files: prefix, length and system, with tabs between.
//!
//! A prefix that several systems announce has them all, `7_8`, or as a set, `7,8`: the first is taken.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{GroupTable, canonical, system};

pub(super) const EXPECTED: &str = "a prefix, its length and a system with tabs between, as CAIDA has them";

/// Whether a line is of this kind.
pub(super) fn is_one(line: &str) -> bool {
    line.split_once('\t').is_some_and(|(prefix, _)| prefix.trim().parse::<IpAddr>().is_ok())
}

pub(super) fn add(table: &mut GroupTable, line: &str) -> Result<(), String> {
    let mut fields = line.split('\t').map(str::trim);
    let (Some(prefix), Some(length), Some(systems), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err("there aren't three fields".into());
    };
    let parsed = prefix.parse().ok().zip(length.parse().ok());
    let parsed = parsed.and_then(|(address, length): (IpAddr, u8)| IpNet::new(address, length).ok());
    let parsed = parsed.ok_or_else(|| format!("{prefix}/{length} is no address prefix"))?;
    let first = systems.split(['_', ',']).next().unwrap_or_default().trim_matches(['{', '}']);
    let number = first.parse().map_err(|_| format!("{systems:?} is no number of a system"))?;
    if let Some(place) = system(number) {
        table.insert(canonical(parsed), place);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_caida_has_them() {
        let table = GroupTable::parse(
            "1.0.0.0\t24\t13335\n1.0.4.0\t22\t38803_56203\n1.0.16.0\t20\t2519,7_9\n2001:200::\t32\t2500\n",
        )
        .unwrap();
        let group = |address: &str| table.group_of(address.parse().unwrap()).0;
        assert_eq!((group("1.0.0.1"), group("1.0.7.1"), group("1.0.31.1")), (13335, 38803, 2519));
        assert_eq!((group("2001:200::1"), group("1.0.1.1"), table.len()), (2500, 0, 4));
    }

    #[test]
    fn a_bad_line_is_named() {
        for (line, problem) in [
            ("1.0.0.0\t33\t1", "1.0.0.0/33 is no address prefix"),
            ("1.0.0.0\t24", "there aren't three fields"),
            ("1.0.0.0\t24\tx_1", "\"x_1\" is no number of a system"),
            ("1.0.0.0/24,1", "there aren't three fields"),
        ] {
            let said = GroupTable::parse(&format!("1.0.0.0\t24\t1\n{line}\n")).err().unwrap().to_string();
            assert!(said.starts_with("line 2: ") && said.contains(problem), "{line}: {said}");
            assert!(said.ends_with("as CAIDA has them"), "{said}");
        }
    }
}
