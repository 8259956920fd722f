//! The demo: the whole system on loopback, a real film, real programs, one viewer.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Parser;
use nearcast_tests::{Neighbour, Program, Publisher, Tracker};
use serde_json::{Value, json};

/// Plays a film from neighbours on loopback: a tracker, a publisher, five neighbours in the viewer's network
/// and three in another, and a player without a window. The last line is a JSON object with the figures.
#[derive(Parser)]
#[command(name = "nearcast-demo")]
struct Cli {
    /// The film.
    #[arg(long)]
    film: PathBuf,
    /// How fast each neighbour uploads.
    #[arg(long, default_value = "2Mbit")]
    upload: String,
    /// Seconds to play before and after the seek.
    #[arg(long, num_args = 2, default_values_t = [20, 10])]
    play: Vec<u64>,
    /// Where to seek, in seconds of the film.
    #[arg(long, default_value_t = 300)]
    seek: u64,
}

fn main() -> ExitCode {
    match demo(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demo(cli: &Cli) -> Result<()> {
    let film = std::path::absolute(&cli.film)?;
    if !film.is_file() {
        bail!("there is no film {}", film.display());
    }
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    // The publisher gets a folder with the film alone in it.
    let films = at.join("films");
    std::fs::create_dir(&films)?;
    let name = film.file_name().context("the film has no name")?;
    if std::fs::hard_link(&film, films.join(name)).is_err() {
        std::fs::copy(&film, films.join(name))?;
    }

    println!("starting a tracker with two networks, 127.1.0.0/16 and 127.2.0.0/16");
    let tracker = Tracker::start(&at.join("tracker"), "/ip4/127.0.0.1/tcp/0")?;
    println!("starting a publisher, five neighbours in the viewer's network and three in the other");
    let addresses = (1..=5).map(|n| format!("127.1.0.{n}")).chain((1..=3).map(|n| format!("127.2.0.{n}")));
    let neighbours = addresses
        .map(|ip| Neighbour::start(at, &ip, &tracker.address, &film, Some(&cli.upload)))
        .collect::<Result<Vec<_>>>()?;
    let publisher = Publisher::start(at, "127.3.0.1", &tracker.address, &films, 1, Some(&cli.upload))?;
    let link = &neighbours.first().context("no neighbours")?.link;
    println!("catalogue at {}\nplaying {link}", publisher.site);

    let figures = play(cli, link, &at.join("viewer"), &tracker.address)?;
    report(&figures)?;
    Ok(())
}

fn play(cli: &Cli, link: &str, folder: &std::path::Path, tracker: &str) -> Result<Value> {
    let folder = folder.to_string_lossy().into_owned();
    let (seek, play) = (cli.seek.to_string(), cli.play[0].to_string());
    let after = cli.play[1].to_string();
    let arguments = [
        "measure",
        link,
        "--folder",
        &folder,
        "--listen",
        "/ip4/127.1.0.100/tcp/0",
        "--tracker",
        tracker,
        "--no-neighbours",
        "--play",
        &play,
        "--seek",
        &seek,
        "--play-after-seek",
        &after,
        "--json",
    ];
    let mut player = Program::start("nearcast-player", &arguments)?;
    let figures = player.wait_for("its figures", |line| serde_json::from_str::<Value>(line).ok())?;
    let status = player.wait(Duration::from_secs(30))?;
    if !status.success() {
        bail!("the player failed with {status}:\n{}", player.words());
    }
    Ok(figures)
}

fn report(figures: &Value) -> Result<()> {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    if let Some(error) = figures["error"].as_str() {
        bail!("{error}");
    }
    let seek = figures["seeks"].get(0).context("the player didn't seek")?;
    let bytes = &figures["bytes"];
    let (own, other, publisher) =
        (number(&bytes["own_group"]), number(&bytes["other_groups"]), number(&bytes["publisher"]));
    println!(
        "first picture after {} ms, after the seek {} ms; {} stalls of {} ms in all",
        figures["first_picture_ms"], seek["picture_ms"], figures["stalls"], figures["stalled_ms"],
    );
    println!(
        "{:.1} MB from the own network, {:.1} MB from the other, {:.1} MB from the publisher",
        own as f64 / 1e6,
        other as f64 / 1e6,
        publisher as f64 / 1e6,
    );
    let line = json!({
        "first_picture_ms": figures["first_picture_ms"],
        "seek_picture_ms": seek["picture_ms"],
        "stalls": figures["stalls"],
        "stalled_ms": figures["stalled_ms"],
        "bytes": { "own_group": own, "other_groups": other, "publisher": publisher },
        "verified": figures["verified"],
    });
    println!("{line}");
    Ok(())
}
