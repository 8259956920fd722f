//! The lab and the simulation agree on a small scenario: what real programs do in real networks is what the
//! model says of them, within what one run differs from the next.

#![allow(clippy::unwrap_used)]

use std::{path::Path, process::Command};

use nearcast_scenario::Scenario;
use nearcast_simulation::{Brain, run};
use serde_json::Value;

/// By how much the two may differ, either way: runs of the lab differ among themselves, too.
const AGREEMENT: std::ops::Range<f64> = 0.5..2.0;

#[test]
fn the_lab_and_the_simulation_agree() {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Command::new(env!("CARGO_BIN_EXE_nearcast-lab"));
    lab.args(["run", "--runs", "1", "--system", "nearcast", "--scenario", "small", "--folder"]);
    let done = lab.arg(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}");
    if said.starts_with("skipped") {
        eprintln!("{}", said.trim());
        return;
    }
    let figures = std::fs::read_to_string(folder.path().join("runs.jsonl")).unwrap();
    let real: Value = serde_json::from_str(figures.lines().next().unwrap()).unwrap();
    assert!(real["failure"].is_null(), "{real:#}");
    for reader in real["readers"].as_array().unwrap() {
        assert_eq!(reader["whole"], true, "{reader:#}");
    }

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/small.toml");
    let modelled = run(&Scenario::load(&path).unwrap(), Brain::Shipped, 1);
    assert_eq!(modelled.through_share, 1.0);

    let film = real["film_bytes"].as_f64().unwrap();
    let borders = real["borders"].as_array().unwrap();
    let east = borders.iter().find(|border| border["network"] == "east").unwrap();
    let real_copies = east["payload_into"].as_f64().unwrap() / film;
    let modelled_copies = modelled.networks.iter().find(|network| network.name == "east").unwrap().copies_in;
    // What the operator reads off the tracker's page is what the kernel has counted, but for headers.
    let bytes = |of: &Value| of.as_f64().unwrap();
    let (own, elsewhere) = (bytes(&east["reported"]["own_group"]), bytes(&east["reported"]["elsewhere"]));
    let (by_reports, by_counters) =
        (own / (own + elsewhere), 1.0 - bytes(&east["into"]) / bytes(&east["lines_into"]));
    assert!(
        (by_reports - by_counters).abs() <= 0.04,
        "{by_reports:.3} kept inside by reports, {by_counters:.3} by the counters"
    );
    let nodes = real["nodes"].as_array().unwrap();
    let source = nodes.iter().find(|node| node["kind"] == "publisher").unwrap();
    let real_source = source["gave"].as_f64().unwrap() / film;
    for (what, real, modelled) in [
        ("copies over the border", real_copies, modelled_copies),
        ("copies from the source", real_source, modelled.source_copies),
    ] {
        assert!(
            AGREEMENT.contains(&(real / modelled)),
            "{what}: {real:.2} in the lab, {modelled:.2} modelled"
        );
    }
}
