//! Databases made here, since the published ones may not be handed on.

use nearcast_protocol::Group;
use proptest::{
    collection::vec,
    prelude::{any, proptest},
};

use super::*;

/// Writes a database of both families with 32-bit records (MaxMind DB file format 2.0).
fn database(networks: &[(&str, u32, &str)]) -> Vec<u8> {
    let (mut data, mut nodes) = (Vec::new(), vec![[0u64; 2]]);
    let mut places = Vec::new();
    for (_, number, name) in networks {
        places.push(data.len() as u64);
        data.push(7 << 5 | 2);
        text(&mut data, "autonomous_system_number");
        data.push(6 << 5 | 4);
        data.extend(number.to_be_bytes());
        text(&mut data, "autonomous_system_organization");
        text(&mut data, name);
    }
    // A record is a node's number, or 0 for nothing; the highest bit stands for data until all are counted.
    const DATA: u64 = 1 << 63;
    for ((prefix, ..), place) in networks.iter().zip(&places) {
        let prefix: IpNet = prefix.parse().unwrap();
        let (bits, length) = match prefix {
            IpNet::V4(four) => (u128::from(four.network().to_bits()), 96 + four.prefix_len()),
            IpNet::V6(six) => (six.network().to_bits(), six.prefix_len()),
        };
        let mut node = 0;
        for depth in 0..length {
            let side = (bits >> (127 - depth)) as usize & 1;
            if depth == length - 1 {
                nodes[node][side] = DATA | place;
            } else {
                if nodes[node][side] == 0 {
                    nodes[node][side] = nodes.len() as u64;
                    nodes.push([0; 2]);
                }
                node = nodes[node][side] as usize;
            }
        }
    }
    let count = nodes.len() as u64;
    let mut bytes = Vec::new();
    for record in nodes.into_iter().flatten() {
        let record = match record {
            0 => count,
            data if data & DATA != 0 => count + 16 + (data & !DATA),
            node => node,
        };
        bytes.extend((record as u32).to_be_bytes());
    }
    bytes.extend([0; 16]);
    bytes.extend(data);
    bytes.extend(MARKER);
    bytes.push(7 << 5 | 9);
    text(&mut bytes, "node_count");
    bytes.push(6 << 5 | 4);
    bytes.extend((count as u32).to_be_bytes());
    for (key, value) in [
        ("record_size", 32u16),
        ("ip_version", 6),
        ("binary_format_major_version", 2),
        ("binary_format_minor_version", 0),
    ] {
        text(&mut bytes, key);
        bytes.push(5 << 5 | 2);
        bytes.extend(value.to_be_bytes());
    }
    text(&mut bytes, "build_epoch");
    bytes.extend([1, 2, 1]);
    text(&mut bytes, "languages");
    bytes.extend([0, 4]);
    text(&mut bytes, "database_type");
    text(&mut bytes, "Test-ASN");
    text(&mut bytes, "description");
    bytes.push(7 << 5);
    bytes
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    if text.len() < 29 {
        bytes.push(2 << 5 | text.len() as u8);
    } else {
        bytes.extend([2 << 5 | 29, (text.len() - 29) as u8]);
    }
    bytes.extend(text.as_bytes());
}

const NETWORKS: [(&str, u32, &str); 4] = [
    ("1.0.0.0/24", 13335, "Cloudflare, Inc."),
    ("202.96.128.0/18", 4134, "Chinanet"),
    ("9.9.9.0/24", 0, "nobody"),
    ("2001:200::/32", 2500, "WIDE Project"),
];

#[test]
fn both_families_are_read() {
    let mut table = GroupTable::default();
    let bytes = database(&NETWORKS);
    assert!(is_one(&bytes));
    assert_eq!(add(&mut table, &bytes).unwrap(), 3);
    let group = |address: &str| table.group_of(address.parse().unwrap()).0;
    assert_eq!((group("1.0.0.1"), group("202.96.128.86"), group("9.9.9.9")), (13335, 4134, 0));
    assert_eq!((group("2001:200::1"), group("2001:201::1"), group("::1.0.0.1")), (2500, 0, 0));
    assert_eq!((table.name_of(Group(4134)), table.len()), (Some("Chinanet"), 3));
}

#[test]
fn a_file_of_this_kind_is_known_by_its_content_or_its_ending() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("systems"), database(&NETWORKS)).unwrap();
    assert_eq!(GroupTable::read(&at("systems")).unwrap().len(), 3);
    std::fs::write(at("none.mmdb"), database(&NETWORKS[2..3])).unwrap();
    let said = GroupTable::read(&at("none.mmdb")).err().unwrap().to_string();
    assert!(
        said.contains("none.mmdb") && said.contains("no network with autonomous_system_number"),
        "{said}"
    );
    std::fs::write(at("torn.mmdb"), &database(&NETWORKS)[..500]).unwrap();
    let said = GroupTable::read(&at("torn.mmdb")).err().unwrap().to_string();
    assert!(said.contains("torn.mmdb") && said.contains("makes no sense"), "{said}");
}

proptest! {
    #[test]
    fn a_damaged_one_gives_an_answer(damage in vec((any::<u16>(), any::<u8>()), 1..20)) {
        let mut bytes = database(&NETWORKS);
        for (place, value) in damage {
            let place = usize::from(place) % bytes.len();
            bytes[place] = value;
        }
        let _ = add(&mut GroupTable::default(), &bytes);
    }

    #[test]
    fn any_bytes_give_an_answer(bytes in vec(any::<u8>(), 0..500)) {
        let _ = is_one(&bytes);
        let _ = add(&mut GroupTable::default(), &bytes);
        let _ = add(&mut GroupTable::default(), &[&bytes[..], MARKER, &bytes[..]].concat());
    }
}
