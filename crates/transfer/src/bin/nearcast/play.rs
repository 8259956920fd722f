//! `nearcast play`

use std::{io::ErrorKind, process::ExitCode, sync::Arc};

use anyhow::{Context, bail};
use nearcast_network::Signals;
use nearcast_schedule::Fetch;
use nearcast_transfer::{Keep, Reader, Resolved, Transfer, plain::PlainFile};
use tokio::{io::AsyncWriteExt, process::Child};

use crate::{
    cli::{Options, Play},
    node::{Node, with_node},
    shown::came_from,
};

pub async fn play(options: &Options, play: &Play) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let outcome = with_node(options, &mut signals, async |node| serve(node, play).await).await?;
    // Bytes that were cut short must not look like a whole film to whoever reads them.
    let cut_short = if play.stdout { ExitCode::from(130) } else { ExitCode::SUCCESS };
    Ok(outcome.unwrap_or(cut_short))
}

/// What is played: a verified resource, or a plain file.
enum Film {
    Verified(Transfer),
    Plain(Arc<PlainFile>),
}

async fn serve(node: &mut Node, play: &Play) -> anyhow::Result<ExitCode> {
    let (keep, fetch) = match play.memory {
        true => (Keep::Memory, Fetch::AroundPlayhead),
        false => (Keep::Disk, Fetch::WholeInBackground),
    };
    let film = match node.resolve(&play.opening).await? {
        Resolved::Link(link) => {
            let transfer = node.controller.open(&link, keep, fetch).await?;
            if let Some(room) = play.room {
                transfer.set_room(Some(room * 1_000_000)).await;
            }
            Film::Verified(transfer)
        }
        Resolved::Plain(url) => {
            eprintln!("{url} leads to no nearcast: link; it is played as a plain file");
            let file = PlainFile::open(url).await?;
            Film::Plain(Arc::new(if play.memory { file } else { file.kept_in(node.controller.folder()) }))
        }
    };
    if play.stdout {
        let reader = match &film {
            Film::Verified(transfer) => transfer.reader(),
            Film::Plain(file) => Reader::plain(Arc::clone(file)),
        };
        node.local(None).await?;
        // What keeps it waiting is told meanwhile.
        return tokio::select! {
            pushed = push(&reader) => pushed,
            followed = follow(&film) => followed.map(|()| ExitCode::FAILURE),
        };
    }
    let address = match &film {
        Film::Verified(transfer) => {
            let local = node.local(None).await?;
            local.url_of(transfer.link())
        }
        Film::Plain(file) => {
            let local = node.local(Some(Arc::clone(file))).await?;
            local.url_of_plain(file)
        }
    };
    said!("{address}");
    let Some(player) = &play.player else {
        follow(&film).await?;
        return Ok(ExitCode::SUCCESS);
    };
    let mut player = start(player, &address)?;
    let ended = tokio::select! {
        ended = player.wait() => ended.context("the player can't be waited for")?,
        followed = follow(&film) => {
            followed?;
            player.wait().await?
        }
    };
    if !ended.success() {
        eprintln!("the player ended with {ended}");
    }
    if !play.once && matches!(film, Film::Verified(_)) {
        eprintln!("still shared on; Ctrl-C ends it");
        std::future::pending::<()>().await;
    }
    Ok(if ended.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says what a person should know while it plays; ends only when the transfer fails.
async fn follow(film: &Film) -> anyhow::Result<()> {
    let Film::Verified(transfer) = film else { return std::future::pending().await };
    let mut watch = transfer.watch();
    let mut said = None;
    let mut told_complete = false;
    loop {
        let progress = watch.borrow_and_update().clone();
        if let Some(stopped) = progress.stopped {
            return Err(stopped.into());
        }
        let trouble = progress.trouble.clone();
        if let Some(trouble) = trouble.as_ref().filter(|trouble| trouble.needs_another_link()) {
            bail!("{trouble}");
        }
        if trouble.as_ref().map(std::mem::discriminant) != said.as_ref().map(std::mem::discriminant) {
            if let Some(trouble) = &trouble {
                eprintln!("{trouble}");
            }
            said = trouble;
        }
        if progress.complete() && !told_complete {
            told_complete = true;
            let from = came_from(progress.received);
            let from = if from.is_empty() { String::new() } else { format!(" ({from})") };
            eprintln!("all of it is here{from}; shared on until stopped (Ctrl-C)");
        }
        if watch.changed().await.is_err() {
            bail!("the transfer was closed");
        }
    }
}

fn start(command: &str, address: &str) -> anyhow::Result<Child> {
    let mut words = command.split_whitespace();
    let program = words.next().context("--player needs a command, such as mpv")?;
    let started = tokio::process::Command::new(program).args(words).arg(address).kill_on_drop(true).spawn();
    started.with_context(|| format!("can't start the player {program}; is it installed?"))
}

/// Writes the film to standard output at the reader's pace (R4, *push*).
async fn push(reader: &Reader) -> anyhow::Result<ExitCode> {
    let mut out = tokio::io::stdout();
    let (mut at, mut buffer) = (0, vec![0; 256 * 1024]);
    while at < reader.size() {
        let read = reader.read_at(at, &mut buffer).await?;
        if read == 0 {
            break;
        }
        match out.write_all(&buffer[..read]).await {
            Ok(()) => at += read as u64,
            // Whoever read has had enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            Err(error) => return Err(error).context("can't write to standard output"),
        }
    }
    match out.flush().await {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("can't write to standard output")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
