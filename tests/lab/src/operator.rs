//! What a tracker's operator sees of a run: bytes by where they came from, as terminals report them.

use anyhow::{Context, Result};

use crate::{figures::Reported, net::Host};

/// Where a tracker of ours shows its figures, on its own machine.
pub const STATUS: &str = "127.0.0.1:4402";

/// What the terminals of a network have reported to the tracker on this machine.
///
/// # Errors
/// When the tracker doesn't say.
pub fn reported(tracker: &Host, network: &str) -> Result<Reported> {
    let page = tracker.space.output("curl", &["--silent", "--fail", &format!("http://{STATUS}/metrics")])?;
    read(&page, network).with_context(|| format!("the tracker's figures don't tell of {network}"))
}

fn read(page: &str, network: &str) -> Option<Reported> {
    let lines = page.lines().filter(|line| {
        line.starts_with("nearcast_tracker_network_received_bytes_total{")
            && line.contains(&format!("name=\"{network}\""))
    });
    let mut reported = None;
    for line in lines {
        let (labels, bytes) = line.rsplit_once(' ')?;
        let bytes = bytes.parse::<u64>().ok()?;
        let Reported { own_group, elsewhere } = reported.get_or_insert_default();
        match labels.contains("from=\"own_group\"") {
            true => *own_group += bytes,
            false => *elsewhere += bytes,
        }
    }
    reported
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_network_s_lines_are_summed() {
        let line = |name: &str, from: &str, bytes: u32| {
            format!(
                "nearcast_tracker_network_received_bytes_total{{group=\"2\",name=\"{name}\",from=\"{from}\"}} {bytes}\n"
            )
        };
        let page = ["# EOF\n".into(), line("east", "own_group", 9), line("west", "own_group", 7)].concat()
            + &line("east", "publishers", 1)
            + &line("east", "other_groups", 2);
        assert_eq!(read(&page, "east").unwrap(), Reported { own_group: 9, elsewhere: 3 });
        assert!(read(&page, "north").is_none());
    }
}
