//! Which kinds of address translation let peers reach each other today: each kind tried with each, in real
//! namespaces, by real handshakes. Skipped, with a message, where no namespaces can be made.
//!
//! What changes here changes the table in ARCHITECTURE.md, too.

#![allow(clippy::unwrap_used)]

use std::process::Command;

use serde_json::{Value, json};

#[test]
fn who_reaches_whom_is_as_the_table_says() {
    let mut lab = Command::new(env!("CARGO_BIN_EXE_nearcast-lab"));
    let done = lab.args(["reach", "--json"]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}");
    if said.starts_with("skipped") {
        eprintln!("{}", said.trim());
        return;
    }
    let columns: Value = serde_json::from_slice(&done.stdout).unwrap();
    let columns = columns.as_array().unwrap();
    // Who lets strangers in; whom the tracker can dial, and so lists to them; who gets a film from it all the same,
    // since the tracker introduces the two.
    let expected = [
        ("open", true, true, [true; 5]),
        ("full-cone", true, true, [true; 5]),
        // It lets in the address that it has called, and that is the tracker's.
        ("address-restricted", false, true, [true; 5]),
        // Nobody can say which port of a symmetric one will be the next.
        ("port-restricted", false, false, [true, true, true, true, false]),
        ("symmetric", false, false, [true, true, true, false, false]),
    ];
    assert_eq!(columns.len(), expected.len());
    for (column, (kind, reached, listed, fetched)) in columns.iter().zip(expected) {
        assert_eq!(column["fetched"], json!(fetched), "{column:#}");
        assert_eq!((&column["kind"], &column["dialled_back"]), (&json!(kind), &json!(listed)), "{column:#}");
        let strangers = column["strangers"].as_array().unwrap();
        assert_eq!(strangers.len(), expected.len());
        for met in strangers {
            assert_eq!(met, &json!({ "listed": listed, "tcp": reached, "quic": reached }), "{column:#}");
        }
        // Whoever is behind the same translator gets the local address, and needs nothing else.
        let beside =
            if kind == "open" { json!(null) } else { json!({ "listed": true, "tcp": true, "quic": true }) };
        assert_eq!(column["beside"], beside, "{column:#}");
    }
}
