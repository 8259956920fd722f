//! The three ways in which a player gets its bytes, from disk and from memory (R4).

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use nearcast_tests::{Neighbour, Program, Tracker, random_file, run};
use serde_json::Value;

struct Scene {
    folder: tempfile::TempDir,
    net: u8,
    _tracker: Tracker,
    neighbour: Neighbour,
    film: Vec<u8>,
}

impl Scene {
    fn new(net: u8, bytes: usize, upload: Option<&str>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (at, film) = (folder.path(), folder.path().join("film.mp4"));
        random_file(&film, bytes, net.into())?;
        let tracker = Tracker::start(&at.join("tracker"), "/ip4/127.0.0.1/tcp/0")?;
        let neighbour = Neighbour::start(at, &format!("127.1.{net}.1"), &tracker.address, &film, upload)?;
        let film = fs::read(film)?;
        Ok(Self { folder, net, _tracker: tracker, neighbour, film })
    }

    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let folder = self.folder.path().join(format!("viewer{}", more.concat()));
        let listen = format!("/ip4/127.1.{}.100/tcp/0", self.net);
        let folder = folder.to_string_lossy();
        let first =
            ["play", &self.neighbour.link, "--no-neighbours", "--listen", &listen, "--folder", &folder];
        first.iter().chain(more).map(|word| (*word).to_owned()).collect()
    }

    fn play(&self, more: &[&str]) -> Result<(Program, String)> {
        let mut viewer = Program::start("nearcast", &self.arguments(more))?;
        let address = viewer
            .wait_for("its address", |line| line.starts_with("http://127.0.0.1:").then(|| line.to_owned()))?;
        Ok((viewer, address))
    }
}

fn pulled(address: &str, range: &str) -> Result<Vec<u8>> {
    let output =
        Command::new("curl").args(["-sS", "--max-time", "100", "--range", range, address]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

/// What the controller says of the film at this moment.
fn report(address: &str) -> Result<Value> {
    let (resource, _) = address.rsplit_once('/').context("an odd address")?;
    Ok(serde_json::from_slice(&pulled(resource, "0-")?)?)
}

/// Reads at the location, and no more than the progress says is there.
fn read_in_place(report: &Value, film: &[u8]) -> Result<u64> {
    let path = Path::new(report["path"].as_str().context("no location")?);
    let bytes = fs::read(path)?;
    let mut read = 0;
    for range in report["verified"].as_array().context("no progress")? {
        let place =
            |end: &str| range[end].as_u64().and_then(|at| usize::try_from(at).ok()).context("an odd range");
        let (start, end) = (place("start")?, place("end")?);
        ensure!(bytes[start..end] == film[start..end], "{start}..{end} isn't right at {}", path.display());
        read += (end - start) as u64;
    }
    ensure!(report["held_bytes"] == read, "{report}");
    Ok(read)
}

#[test]
fn pushed_pulled_and_read_where_it_lies_from_disk_and_from_memory() -> Result<()> {
    // Slow enough that the reader in place finds a part of it.
    let scene = Scene::new(74, 12_000_000, Some("40Mbit"))?;
    for keep in [&[][..], &["--memory"]] {
        let (mut viewer, address) = scene.play(keep)?;
        let mut parts = 0;
        let pulling = std::thread::spawn({
            let address = address.clone();
            move || pulled(&address, "0-")
        });
        loop {
            let read = read_in_place(&report(&address)?, &scene.film)?;
            parts += u32::from(read > 0 && read < scene.film.len() as u64);
            if read == scene.film.len() as u64 {
                break;
            }
            ensure!(!(pulling.is_finished() && keep.is_empty() && read == 0), "nothing is held");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(parts > 0, "it was never read while it came");
        let all = pulling.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
        assert!(all == scene.film);
        assert!(viewer.stop()?.success());

        let pushed = run("nearcast", &scene.arguments(&[keep, &["--stdout"]].concat()))?;
        assert!(pushed.status.success() && pushed.stdout == scene.film);
    }
    Ok(())
}

#[test]
fn several_players_are_at_different_places_of_one_film() -> Result<()> {
    let scene = Scene::new(75, 64 << 20, None)?;
    for keep in [&["--room", "30"][..], &["--memory"], &[]] {
        let (mut viewer, address) = scene.play(keep)?;
        let players = ["0-19999999", "40000000-59999999", "15000000-30000000", "60000000-"].map(|range| {
            let address = address.clone();
            std::thread::spawn(move || Ok::<_, anyhow::Error>((range, pulled(&address, range)?)))
        });
        for player in players {
            let (range, bytes) = player.join().map_err(|_| anyhow::anyhow!("a player panicked"))??;
            let (first, last) = range.split_once('-').context("no range")?;
            let end = last.parse().map_or(scene.film.len(), |last: usize| last + 1);
            assert!(bytes == scene.film[first.parse()?..end], "{range} {keep:?}");
        }
        assert!(viewer.stop()?.success());
    }
    Ok(())
}
