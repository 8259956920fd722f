//! `nearcast status`

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context;
use indicatif::HumanBytes;
use nearcast_content::{Library, LibraryError};
use nearcast_transfer::{Reached, local::Report};
use tokio::{task::spawn_blocking, time::sleep};

use crate::{
    cli::{Options, Status},
    node::{Running, folder, running},
};

/// How long a program on this machine may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub async fn status(options: &Options, status: &Status) -> anyhow::Result<ExitCode> {
    let folder = folder(options)?;
    let until = Instant::now() + PATIENCE;
    let entries = loop {
        if let Some(running) = running(&folder)
            && let Some(reports) = ask(&running.base).await
        {
            return tell(status, &running, &reports);
        }
        let path = folder.join("library");
        if !path.is_dir() {
            said!("nothing runs, and nothing is held in {}", folder.display());
            return Ok(ExitCode::SUCCESS);
        }
        let held = spawn_blocking(move || Library::open(&path).map(|library| library.entries())).await;
        match held.context("the library can't be read")? {
            // Somebody is starting or ending: a moment later it answers, or is gone.
            Err(LibraryError::InUse(_)) if Instant::now() < until => sleep(Duration::from_millis(50)).await,
            entries => break entries?,
        }
    };
    if status.json {
        let held: Vec<_> = entries
            .iter()
            .map(|entry| {
                serde_json::json!({
                    "id": entry.link.id.to_string(),
                    "link": entry.link.to_string(),
                    "name": entry.link.name,
                    "size": entry.link.size,
                    "held_bytes": entry.held_bytes,
                    "path": entry.path,
                })
            })
            .collect();
        said!("{}", serde_json::to_string_pretty(&held)?);
        return Ok(ExitCode::SUCCESS);
    }
    said!("nothing runs; {} films are held in {}", entries.len(), folder.display());
    for entry in &entries {
        said!("  {}  {}", share(entry.held_bytes, entry.link.size), entry.link.name);
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(status: &Status, running: &Running, reports: &[Report]) -> anyhow::Result<ExitCode> {
    if status.json {
        said!("{}", serde_json::to_string_pretty(reports)?);
        return Ok(ExitCode::SUCCESS);
    }
    said!("nearcast runs (process {}), {} films in use", running.pid, reports.len());
    if let Some(words) = reports.first().and_then(|report| reached(report.reached)) {
        said!("  {words}");
    }
    reports.iter().for_each(print);
    Ok(ExitCode::SUCCESS)
}

/// What the program at `base` reports; `None` if it is gone, or another one is there now.
async fn ask(base: &str) -> Option<Vec<Report>> {
    // The token in the address is for nobody in between.
    let web = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().ok()?;
    web.get(base).send().await.ok()?.error_for_status().ok()?.json().await.ok()
}

fn print(report: &Report) {
    said!("  {}  {}", share(report.held_bytes, report.size), report.name);
    let received = report.received;
    let all = received.own_group + received.other_groups + received.publisher;
    if all > 0 {
        said!(
            "      received {} (own network {}, other networks {}, publisher {}), {}/s now, {} peers",
            HumanBytes(all),
            HumanBytes(received.own_group),
            HumanBytes(received.other_groups),
            HumanBytes(received.publisher),
            HumanBytes(report.rate),
            report.peers,
        );
    }
    if report.uploaded > 0 {
        said!("      shared on {}", HumanBytes(report.uploaded));
    }
    if let Some(note) = &report.note {
        said!("      {note}");
    }
}

/// How viewers elsewhere get to this node, for a person.
fn reached(reached: Reached) -> Option<&'static str> {
    match reached {
        Reached::Unknown => None,
        Reached::Directly => Some("viewers elsewhere can dial this node"),
        Reached::ByIntroduction => Some("viewers elsewhere are introduced to this node by its tracker"),
        Reached::FromWithin => {
            Some("viewers elsewhere can't reach this node, those behind the same address can")
        }
    }
}

fn share(held: u64, size: u64) -> String {
    let percent = held.saturating_mul(100).checked_div(size).unwrap_or(100);
    format!("{percent:>3} % of {:<12}", HumanBytes(size).to_string())
}
