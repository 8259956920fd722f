//! With the only tracker gone, a film is found through those whom one has met.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use nearcast_tests::{Program, Tracker, random_file, run};

/// The arguments of a terminal with this number.
fn terminal<'a>(act: &[&'a OsStr], listen: &'a str, folder: &'a Path) -> Vec<&'a OsStr> {
    let own = ["--no-neighbours", "--no-port-mapping", "--listen", listen, "--folder"];
    act.iter().copied().chain(own.map(OsStr::new)).chain([folder.as_os_str()]).collect()
}

/// `nearcast share`, and the links of the films in their order.
fn share(tracker: &str, listen: &str, folder: &Path, films: &[&PathBuf]) -> Result<(Program, Vec<String>)> {
    let mut act = vec![OsStr::new("share"), "--tracker".as_ref(), tracker.as_ref()];
    act.extend(films.iter().map(|film| film.as_os_str()));
    let mut program = Program::start("nearcast", &terminal(&act, listen, folder))?;
    let (mut links, mut registered) = (Vec::new(), false);
    let links = program.wait_for("its links and that it is registered", |line| {
        if line.starts_with("nearcast://") {
            links.push(line.trim().to_owned());
        }
        registered |= line.starts_with("registered with");
        (registered && links.len() == films.len()).then(|| links.clone())
    })?;
    Ok((program, links))
}

fn get(link: &str, listen: &str, folder: &Path, film: &Path) -> Result<()> {
    let out = folder.with_extension("got");
    let act = ["get", link, "--force", "--output"].map(OsStr::new);
    let act: Vec<_> = act.into_iter().chain([out.as_os_str()]).collect();
    let ended = run("nearcast", &terminal(&act, listen, folder))?;
    anyhow::ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    anyhow::ensure!(fs::read(film)? == fs::read(out)?, "the copy differs");
    Ok(())
}

#[test]
fn a_film_is_found_through_one_who_knows_one_who_has_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let films = [1u8, 2, 3].map(|number| at(&format!("film-{number}.mkv")));
    for (seed, film) in (50..).zip(&films) {
        random_file(film, 300_000, seed)?;
    }
    let settings = at("tracker.toml");
    fs::write(&settings, "lease = 10\n")?;
    let mut tracker = Tracker::start_with(
        &at("tracker"),
        "/ip4/127.0.0.1/tcp/0",
        &["--config".as_ref(), settings.as_os_str()],
    )?;
    let [seen, wanted, other] = &films;
    let (_holder, links) = share(&tracker.address, "/ip4/127.1.48.1/tcp/0", &at("holder"), &[seen, wanted])?;
    let [seen_link, wanted_link] = &links[..] else { anyhow::bail!("{links:?}") };
    // One has met the holder and says so after a restart; another has met that one alone.
    get(seen_link, "/ip4/127.1.48.2/tcp/0", &at("middle"), seen)?;
    let (_middle, links) = share(&tracker.address, "/ip4/127.1.48.2/tcp/0", &at("middle"), &[other])?;
    get(links.first().context("no link")?, "/ip4/127.1.48.3/tcp/0", &at("viewer"), other)?;
    let met = fs::read_to_string(at("viewer").join("met"))?;
    assert!(met.contains("127.1.48.2") && !met.contains("127.1.48.1"), "{met}");
    tracker.program.kill()?;
    get(wanted_link, "/ip4/127.1.48.3/tcp/0", &at("viewer"), wanted)
}
