//! `nearcast share` and `nearcast hash`

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context;
use nearcast_content::{ImportProgress, hash_file, hash_with_pairs};
use nearcast_network::Signals;
use nearcast_transfer::Reached;

use crate::{
    cli::{Hash, Options, Share},
    node::{Node, with_node},
    shown::Shown,
};

pub async fn share(options: &Options, share: &Share) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let cancelled = Arc::new(AtomicBool::new(false));
    let raised = Raised(Arc::clone(&cancelled));
    let shared = with_node(options, &mut signals, async |node| {
        // Raised when the user ends it, so that a hash under way doesn't hold up the end.
        let _raised = raised;
        serve(node, &share.files, &cancelled).await
    });
    Ok(shared.await?.unwrap_or(ExitCode::SUCCESS))
}

/// Raises a flag when it is dropped.
struct Raised(Arc<AtomicBool>);

impl Drop for Raised {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn serve(node: &mut Node, files: &[PathBuf], cancelled: &Arc<AtomicBool>) -> anyhow::Result<ExitCode> {
    node.local(None).await?;
    let mut failed = 0;
    for file in files {
        match share_one(node, file, cancelled).await {
            Ok(link) => said!("{link}"),
            // One bad file must not keep the others from being shared.
            Err(error) => {
                eprintln!("nearcast: {error:#}");
                failed += 1;
            }
        }
    }
    if failed > 0 && failed == files.len() {
        return Ok(ExitCode::FAILURE);
    }
    if files.is_empty() {
        let held = node.controller.library();
        let complete = held.iter().filter(|entry| entry.complete).count();
        eprintln!("{} films are shared on, {complete} of them complete", held.len());
    }
    if node.controller.trackers().borrow().is_empty() {
        eprintln!(
            "no tracker is named: only neighbours on the local network will find this (--tracker ADDRESS)"
        );
    }
    follow_trackers(node).await;
    Ok(ExitCode::SUCCESS)
}

async fn share_one(node: &Node, file: &Path, cancelled: &Arc<AtomicBool>) -> anyhow::Result<String> {
    let size = std::fs::metadata(file).with_context(|| format!("can't share {}", file.display()))?.len();
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let shown = Arc::new(Shown::new(&name, size));
    let bar = Arc::clone(&shown);
    let progress = move |progress: ImportProgress| bar.show(progress.done, "hashing");
    let transfer = node.controller.share(file, &[], progress, Arc::clone(cancelled)).await?;
    shown.done();
    Ok(transfer.link().to_string())
}

/// Says when a tracker takes this node in, and when it doesn't; never ends.
async fn follow_trackers(node: &Node) {
    let mut states = node.controller.trackers();
    let mut said = BTreeMap::new();
    loop {
        let now = states.borrow_and_update().clone();
        for (tracker, state) in now {
            if state.lease.is_none() && state.trouble.is_none() {
                continue;
            }
            let reached = Reached::of([&state]);
            let news = (state.trouble.clone(), reached);
            let before = said.get(&tracker);
            if before == Some(&news) {
                continue;
            }
            match (&state.trouble, &state.lease) {
                (Some(trouble), _) => {
                    eprintln!("the tracker {tracker} is of no help: {trouble}; trying again")
                }
                (None, Some(lease)) => {
                    if before.is_none_or(|(trouble, _): &(Option<String>, Reached)| trouble.is_some()) {
                        eprintln!("registered with {tracker}, network {}", lease.group);
                    }
                    let before = before.map_or(Reached::Unknown, |(_, reached)| *reached);
                    match reached {
                        _ if reached == before => {}
                        Reached::Unknown => {}
                        Reached::FromWithin => eprintln!(
                            "others can't reach this node from outside, as {tracker} has found; it can still \
                             fetch, and share with those behind the same address"
                        ),
                        Reached::ByIntroduction => eprintln!(
                            "others may not be able to dial this node from outside: {tracker} introduces them to it"
                        ),
                        Reached::Directly if before == Reached::Unknown => {}
                        Reached::Directly => {
                            eprintln!("others can reach this node from outside now, as {tracker} has found")
                        }
                    }
                }
                (None, None) => {}
            }
            said.insert(tracker, news);
        }
        if states.changed().await.is_err() {
            return;
        }
    }
}

pub async fn hash(hash: &Hash) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    for file in &hash.files {
        let (path, name) = (file.clone(), file.display().to_string());
        let size = std::fs::metadata(file).with_context(|| format!("can't read {name}"))?.len();
        let pairs = hash.proofs.then(|| {
            let mut pairs = file.clone().into_os_string();
            pairs.push(".obao4");
            PathBuf::from(pairs)
        });
        let shown = Arc::new(Shown::new(&name, size));
        let bar = Arc::clone(&shown);
        let hashing = tokio::task::spawn_blocking(move || {
            let progress = |progress: ImportProgress| bar.show(progress.done, "hashing");
            match pairs {
                Some(pairs) => hash_with_pairs(&path, &pairs, &progress),
                None => hash_file(&path, &progress),
            }
        });
        let (id, size) = tokio::select! {
            hashed = hashing => hashed.context("hashing was cut short")??,
            () = signals.stop() => return Ok(ExitCode::from(130)),
        };
        shown.done();
        said!("{id}  {size}  {name}");
    }
    Ok(ExitCode::SUCCESS)
}
