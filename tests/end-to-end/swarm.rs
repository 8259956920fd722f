//! A file goes from many to one, from the own network first.

use std::fs;

use anyhow::{Context, Result};
use nearcast_tests::{Neighbour, Publisher, Tracker, random_file, run};
use serde_json::Value;

const MIB: usize = 1 << 20;

/// Runs `nearcast get` from `ip`, and returns what its trace says of where the bytes came from.
fn get(
    folder: &std::path::Path,
    ip: &str,
    tracker: &str,
    link: &str,
    more: &[&str],
) -> Result<std::process::Output> {
    let kept = folder.join(format!("viewer-{ip}"));
    let (kept, listen) = (kept.to_string_lossy().into_owned(), format!("/ip4/{ip}/tcp/0"));
    let output = folder.join(format!("got-{ip}")).to_string_lossy().into_owned();
    let mut arguments = vec!["get", link, "-o", &output, "--folder", &kept, "--listen", &listen];
    arguments.extend(["--tracker", tracker, "--no-neighbours"]);
    arguments.extend(more);
    run("nearcast", &arguments)
}

/// "own network 81 %, publisher 19 %" → 81.
fn own_share(said: &str) -> Option<u64> {
    let rest = said.split("own network ").nth(1)?;
    rest.split(' ').next()?.parse().ok()
}

#[test]
fn three_networks_one_film_byte_for_byte_and_the_own_network_first() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let films = at.join("films");
    fs::create_dir(&films)?;
    let film = films.join("a film, 第一.mp4");
    random_file(&film, 24 * MIB + 4321, 7)?;
    let tracker = Tracker::start(&at.join("tracker"), "/ip4/127.0.0.1/tcp/0")?;
    let publisher = Publisher::start(at, "127.3.0.1", &tracker.address, &films, 1, None)?;
    let mut neighbours = Vec::new();
    for ip in ["127.1.0.1", "127.1.0.2", "127.1.0.3", "127.2.0.1", "127.2.0.2", "127.3.0.2"] {
        neighbours.push(Neighbour::start(at, ip, &tracker.address, &film, None)?);
    }
    let link = &neighbours.first().context("nobody")?.link;
    assert!(neighbours.iter().all(|neighbour| &neighbour.link == link), "one file, one link");

    let got = get(at, "127.1.0.100", &tracker.address, link, &[])?;
    let said = String::from_utf8(got.stderr)?;
    assert!(got.status.success(), "{said}");
    assert!(fs::read(&film)? == fs::read(at.join("got-127.1.0.100"))?, "the copy differs");
    let own = own_share(&said).with_context(|| format!("no sources told: {said}"))?;
    assert!(own >= 80, "only {own} % came from the own network: {said}");
    drop(publisher);
    Ok(())
}

#[test]
fn what_was_fetched_is_shared_on_even_when_its_sources_are_gone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let film = at.join("film.mkv");
    random_file(&film, 5 * MIB, 8)?;
    let tracker = Tracker::start(&at.join("tracker"), "/ip4/127.0.0.1/tcp/0")?;
    let mut first = Neighbour::start(at, "127.1.1.1", &tracker.address, &film, None)?;
    let link = first.link.clone();
    let got = get(at, "127.1.1.2", &tracker.address, &link, &[])?;
    assert!(got.status.success(), "{}", String::from_utf8_lossy(&got.stderr));
    first.program.stop()?;
    // Another start, with nothing named: what is in the library is shared on.
    let kept = at.join("viewer-127.1.1.2");
    let mut again = nearcast_tests::Program::start(
        "nearcast",
        &[
            "share".as_ref(),
            "--folder".as_ref(),
            kept.as_os_str(),
            "--listen".as_ref(),
            "/ip4/127.1.1.2/tcp/0".as_ref(),
            "--no-neighbours".as_ref(),
        ],
    )?;
    again.wait_for("registered", |line| line.starts_with("registered with").then_some(()))?;
    let got = get(at, "127.2.1.3", &tracker.address, &link, &[])?;
    assert!(got.status.success(), "{}", String::from_utf8_lossy(&got.stderr));
    assert!(fs::read(&film)? == fs::read(at.join("got-127.2.1.3"))?);
    Ok(())
}

#[test]
fn two_who_fetch_at_once_both_get_it_and_waste_nothing() -> Result<()> {
    // Each gives the other what it has; how much that is, is chance as long as nobody plans for both. What is
    // certain: the source gives neither of them anything twice.
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let film = at.join("film.webm");
    random_file(&film, 6 * MIB, 9)?;
    let tracker = Tracker::start(&at.join("tracker"), "/ip4/127.0.0.1/tcp/0")?;
    let source = Neighbour::start(at, "127.3.2.1", &tracker.address, &film, Some("8Mbit"))?;
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| get(at, "127.1.2.1", &tracker.address, &source.link, &[]));
        let other = scope.spawn(|| get(at, "127.1.2.2", &tracker.address, &source.link, &[]));
        (one.join(), other.join())
    });
    for (ip, got) in [("127.1.2.1", one), ("127.1.2.2", other)] {
        let got = got.map_err(|_| anyhow::anyhow!("a thread failed"))??;
        assert!(got.status.success(), "{}", String::from_utf8_lossy(&got.stderr));
        assert!(fs::read(&film)? == fs::read(at.join(format!("got-{ip}")))?);
    }
    let status = run(
        "nearcast",
        &["status".as_ref(), "--json".as_ref(), "--folder".as_ref(), source.folder.as_os_str()],
    )?;
    let status: Value = serde_json::from_slice(&status.stdout)?;
    let uploaded = status[0]["uploaded"].as_u64().context("the source doesn't say what it uploaded")?;
    let copies = uploaded as f64 / (6 * MIB) as f64;
    // Hashes travel with the bytes: a few hundredths more.
    assert!(copies < 2.2, "the source gave {copies:.2} copies to two viewers");
    Ok(())
}
