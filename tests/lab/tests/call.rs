//! A call on the line of somebody who shares a film, in real namespaces. Skipped, with a message, where none can be
//! made.

#![allow(clippy::unwrap_used)]

use std::process::Command;

use serde_json::Value;

#[test]
fn an_upload_that_gives_way_is_noticed_less_and_goes_on() {
    let mut lab = Command::new(env!("CARGO_BIN_EXE_nearcast-lab"));
    let done = lab.args(["call", "--json", "--seconds", "8"]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}");
    if said.starts_with("skipped") {
        eprintln!("{}", said.trim());
        return;
    }
    let all: Value = serde_json::from_slice(&done.stdout).unwrap();
    let of = |number: usize, figure: &str| all[number][figure].as_f64().unwrap();
    let (whole, courteous) = (1, 2);
    assert!(of(courteous, "median_ms") < of(whole, "median_ms"), "{all:#}");
    assert!(of(courteous, "up") * 3.0 > of(whole, "up"), "{all:#}");
}
