//! `nearcast get`

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use indicatif::HumanBytes;
use nearcast_network::Signals;
use nearcast_protocol::{Link, ResourceId};
use nearcast_schedule::Fetch;
use nearcast_transfer::{Keep, Progress, Reader, Resolved, Transfer, plain::PlainFile};
use tokio::io::AsyncWriteExt;

use crate::{
    cli::{Get, Options},
    node::{Node, with_node},
    shown::{Shown, came_from},
};

pub async fn get(options: &Options, get: &Get) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let outcome = with_node(options, &mut signals, async |node| fetch(node, get).await).await?;
    Ok(outcome.unwrap_or_else(|| {
        eprintln!("stopped; what was fetched of a nearcast: link is kept, the same command goes on with it");
        ExitCode::from(130)
    }))
}

async fn fetch(node: &mut Node, get: &Get) -> anyhow::Result<ExitCode> {
    let link = match node.resolve(&get.opening).await? {
        Resolved::Link(link) => link,
        Resolved::Plain(url) => {
            let file = Arc::new(PlainFile::open(url).await?);
            let target = target(get, file.name())?;
            return plain(&file, &target).await;
        }
    };
    let target = target(get, &link.name)?;
    let transfer = node.controller.open(&link, Keep::Disk, Fetch::Whole).await?;
    node.local(None).await?;
    wait(&transfer, &link, get.patience).await?;
    save(node, link.id, &target)
        .await
        .with_context(|| format!("the film is complete but can't be saved as {}", target.display()))?;
    let progress = transfer.progress();
    let from = came_from(progress.received);
    let from = if from.is_empty() { "was held already".to_owned() } else { format!("from {from}") };
    eprintln!("{}: {} verified, {from}", link.name, HumanBytes(link.size));
    said!("{}", target.display());
    if get.seed {
        eprintln!("shared on until stopped (Ctrl-C)");
        std::future::pending::<()>().await;
    }
    Ok(ExitCode::SUCCESS)
}

/// Saves the film beside its place and moves it there, so that a file it replaces is never half gone.
async fn save(node: &Node, id: ResourceId, target: &Path) -> anyhow::Result<()> {
    if !target.exists() {
        return Ok(node.controller.export(id, target).await?);
    }
    let part = beside(target);
    node.controller.export(id, &part).await?;
    Ok(tokio::fs::rename(&part, target).await?)
}

/// A name beside the target that nobody else uses.
fn beside(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!("{name}.{}.part", std::process::id()))
}

/// Waits for the last byte and shows how far it is.
async fn wait(transfer: &Transfer, link: &Link, patience: u64) -> anyhow::Result<()> {
    let shown = Shown::new(&link.name, link.size);
    let mut watch = transfer.watch();
    let mut last = (0, tokio::time::Instant::now());
    loop {
        let progress: Progress = watch.borrow_and_update().clone();
        shown.transfer(&progress);
        if let Some(stopped) = progress.stopped {
            shown.done();
            return Err(stopped.into());
        }
        if progress.complete() {
            shown.done();
            return Ok(());
        }
        if let Some(trouble) = progress.trouble.as_ref().filter(|trouble| trouble.needs_another_link()) {
            shown.done();
            bail!("{trouble}");
        }
        let arrived = progress.received.all();
        if arrived != last.0 {
            last = (arrived, tokio::time::Instant::now());
        }
        let give_up = Duration::from_secs(if patience == 0 { u64::MAX / 4 } else { patience });
        let changed = tokio::time::timeout_at(later(last.1, give_up), watch.changed()).await;
        match changed {
            Ok(Ok(())) => {}
            Ok(Err(_)) => bail!("the transfer was closed"),
            Err(_) => {}
        }
        if last.1.elapsed() >= give_up {
            shown.done();
            let why = progress
                .trouble
                .map(|trouble| trouble.to_string())
                .or(progress.waiting.map(|wait| wait.to_string()));
            let why = why.unwrap_or_else(|| "the peers send nothing".into());
            bail!("nothing has arrived for {patience} s: {why}. What was fetched is kept");
        }
    }
}

fn later(from: tokio::time::Instant, by: Duration) -> tokio::time::Instant {
    from.checked_add(by).unwrap_or_else(|| from + Duration::from_secs(86_400))
}

fn target(get: &Get, name: &str) -> anyhow::Result<PathBuf> {
    let target = match &get.output {
        Some(output) if output.is_dir() => output.join(name),
        Some(output) => output.clone(),
        None => PathBuf::from(name),
    };
    if target.exists() && !get.force {
        bail!("{} is there already; --force replaces it", target.display());
    }
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        bail!("there is no folder {}", folder.display());
    }
    Ok(target)
}

/// Saves a plain file: nothing verifies it, and it is nobody's to share.
async fn plain(file: &Arc<PlainFile>, target: &Path) -> anyhow::Result<ExitCode> {
    eprintln!("{} leads to no nearcast: link; it is saved as a plain file, not verified", file.url());
    let part = beside(target);
    let shown = Shown::new(file.name(), file.size());
    let reader = Reader::plain(Arc::clone(file));
    let cannot = || format!("can't write {}", part.display());
    let mut out = tokio::fs::File::create(&part).await.with_context(cannot)?;
    let (mut at, mut buffer) = (0, vec![0; 256 * 1024]);
    while at < file.size() {
        let read = reader.read_at(at, &mut buffer).await?;
        if read == 0 {
            bail!("{} ended early", file.url());
        }
        out.write_all(&buffer[..read]).await.with_context(cannot)?;
        at += read as u64;
        shown.show(at, "from the web");
    }
    out.flush().await.with_context(cannot)?;
    out.sync_all().await.with_context(cannot)?;
    tokio::fs::rename(&part, target).await.with_context(|| format!("can't write {}", target.display()))?;
    shown.done();
    said!("{}", target.display());
    Ok(ExitCode::SUCCESS)
}
