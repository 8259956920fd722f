//! The lab's scenarios with a fault in them, once each: whatever goes wrong, the film goes on and ends right.
//!
//! Only invariants are asserted, never times. Skipped, with a message, where no namespaces can be made.

#![allow(clippy::unwrap_used)]

use std::process::Command;

use serde_json::Value;

/// Runs a scenario with our own programs and gives its figures; nothing where that can't be done.
fn run(scenario: &str) -> Option<Value> {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Command::new(env!("CARGO_BIN_EXE_nearcast-lab"));
    lab.args(["run", "--runs", "1", "--system", "nearcast", "--scenario", scenario, "--folder"]);
    let done = lab.arg(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}");
    if said.starts_with("skipped") {
        eprintln!("{}", said.trim());
        return None;
    }
    let figures = std::fs::read_to_string(folder.path().join("runs.jsonl")).unwrap();
    let figures: Value = serde_json::from_str(figures.lines().next().unwrap()).unwrap();
    assert!(figures["failure"].is_null(), "{figures:#}");
    Some(figures)
}

fn nothing_is_lost(figures: &Value) {
    let measured = &figures["measured"];
    assert!(measured["error"].is_null() && measured["runs_ms"].is_number(), "{measured:#}");
    for reader in figures["readers"].as_array().unwrap() {
        assert_eq!(reader["whole"], true, "{reader:#}");
    }
}

#[test]
fn killed_frozen_and_unplugged_neighbours_end_no_film() {
    let Some(figures) = run("killed") else { return };
    nothing_is_lost(&figures);
}

#[test]
fn a_liar_is_found_out() {
    let Some(figures) = run("liar") else { return };
    nothing_is_lost(&figures);
    // The honest give the film, the liar at most what it could push before its first proof failed.
    let nodes = figures["nodes"].as_array().unwrap();
    let gave = |kind: &str| -> u64 {
        nodes.iter().filter(|node| node["kind"] == kind).filter_map(|node| node["gave"].as_u64()).sum()
    };
    assert!(gave("liar") * 10 < gave("holder"), "{nodes:#?}");
}

#[test]
fn a_restarted_tracker_is_filled_again() {
    let Some(figures) = run("tracker-restart") else { return };
    nothing_is_lost(&figures);
    assert_eq!(figures["readers"].as_array().unwrap().len(), 1, "the latecomer was served");
}

#[test]
fn a_border_that_was_cut_and_healed_delays_and_loses_nothing() {
    let Some(figures) = run("border-cut") else { return };
    nothing_is_lost(&figures);
}
