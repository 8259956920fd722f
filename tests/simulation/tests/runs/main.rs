//! Whole runs of the lab's scenarios: what must hold of them whoever decides, and whatever goes wrong.

#![allow(clippy::unwrap_used)]

mod borders;
mod faults;
mod seeds;

use std::path::Path;

use nearcast_scenario::Scenario;

/// One of tests/scenarios.
fn scenario(name: &str) -> Scenario {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    Scenario::load(&folder.join(name).with_extension("toml")).unwrap()
}
