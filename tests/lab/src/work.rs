//! What the programs of a space do to the machine, and what can be done to them.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use rustix::process::{Signal, kill_process};

use crate::net::Space;

/// Sends a signal to all of them.
///
/// # Errors
/// When the kernel doesn't tell which there are.
pub fn signal(space: &Space, signal: Signal) -> Result<()> {
    for pid in space.processes()? {
        // It may have ended by itself.
        kill_process(pid, signal).ok();
    }
    Ok(())
}

/// Seconds of processor time and bytes of anonymous memory, all of them together.
///
/// # Errors
/// When the kernel doesn't tell which there are.
pub fn work(space: &Space) -> Result<(f64, u64)> {
    let mut sum = (0.0, 0);
    for pid in space.processes()? {
        let folder = Path::new("/proc").join(pid.as_raw_nonzero().to_string());
        // It may have ended by itself.
        if let (Ok(cpu), Ok(memory)) = (cpu(&folder), memory(&folder)) {
            sum = (sum.0 + cpu, sum.1 + memory);
        }
    }
    Ok(sum)
}

/// proc(5): fields 14 to 17 of `stat`, in hundredths of a second; children that have ended count.
fn cpu(folder: &Path) -> Result<f64> {
    let text = fs::read_to_string(folder.join("stat"))?;
    // The name, in brackets, may hold anything.
    let (_, fields) = text.rsplit_once(')').context("stat is odd")?;
    let ticks = fields.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() / 100.0)
}

fn memory(folder: &Path) -> Result<u64> {
    let text = fs::read_to_string(folder.join("status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("no RssAnon")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}
