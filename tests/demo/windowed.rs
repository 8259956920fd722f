//! The viewer in the desktop app.

use std::{
    fs::File,
    io::Read,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use nearcast_tests::{Display, Window, binary};
use serde_json::{Value, json};

use crate::{
    Cli,
    played::{Bytes, Played, number},
    system::System,
};

const LISTEN: [&str; 2] = ["--listen", "/ip4/127.1.0.100/tcp/0"];
const SIZE: (u32, u32) = (1280, 800);

/// Opens the app on the display there is, and stays until it is closed.
///
/// # Errors
/// When the app doesn't run.
pub fn stay(system: &System) -> Result<()> {
    let root = system.folder("viewer");
    settle(&root, system)?;
    println!("the app opens on the film; close it to end the demo");
    let app = binary("nearcast-app").context("build it with `cargo build --workspace --bins`")?;
    let status = Command::new(app).arg("--root").arg(&root).args(LISTEN).arg(&system.link).status()?;
    if !status.success() {
        bail!("the app ended with {status}");
    }
    Ok(())
}

/// Runs the app on a display of its own: plays, seeks, looks at every page, and saves pictures of them.
///
/// # Errors
/// When something doesn't play or show.
pub fn play(cli: &Cli, system: &System, film: &Path) -> Result<Played> {
    std::fs::create_dir_all(&cli.pictures)?;
    let display = Display::start(SIZE.0, SIZE.1)?;
    let shoot = |window: &Window, name: &str| -> Result<()> {
        window.drawn()?;
        let path = cli.pictures.join(format!("{name}.png"));
        display.shoot(&path)?;
        println!("saved {}", path.display());
        Ok(())
    };
    let windowed = ["--windowed", "1240x720"];
    first_start(&display, system, &windowed, &shoot)?;

    let root = system.folder("viewer");
    settle(&root, system)?;
    let window = Window::open(&display, &root, &[&windowed[..], &LISTEN[..], &[&system.link]].concat())?;
    window.until("the film", "return document.querySelector('[data-state=playing]') !== null")?;
    println!("playing for {} s", cli.play[0]);
    window.figures_when("ten seconds of the film", "all.position_ms >= 10000")?;
    display.point(SIZE.0 / 2, SIZE.1 / 2)?;
    display.point(SIZE.0 / 2 + 40, SIZE.1 / 2)?;
    window.until("the controls", "return document.querySelector('[data-controls=shown]') !== null")?;
    shoot(&window, "playing")?;
    show_the_film(&display, &cli.pictures.join("playing.png"))?;
    window.until("the film alone", "return document.querySelector('[data-controls=hidden]') !== null")?;
    shoot(&window, "controls-hidden")?;
    window.press(&["p"])?;
    window.until(
        "where it comes from",
        "return document.querySelector('[data-testid=sources-panel]') !== null",
    )?;
    shoot(&window, "sources")?;
    let before =
        window.figures_when("the film going on", &format!("all.position_ms >= {}", cli.play[0] * 1000))?;

    // The middle of the bar is the middle of the film.
    let middle = before["held"].as_array().context("no parts are held")?.iter().any(|part| {
        part[0].as_f64().is_some_and(|from| from <= 0.5) && part[1].as_f64().is_some_and(|to| to >= 0.5)
    });
    if middle {
        bail!("the middle of the film is here already: there is nothing to seek that isn't");
    }
    println!("seeking to the middle, and playing for {} s", cli.play[1]);
    window.click("seekbar")?;
    let to = number(&before["duration_ms"]) / 2 + cli.play[1] * 1000;
    let after = window.figures_when(
        "the film after the seek",
        &format!("all.figures.seek_picture_ms !== null && all.position_ms >= {to}"),
    )?;
    window.press(&["p"])?;

    window.click("back-home")?;
    window.until("home", "return document.querySelector('[data-testid=recent] img') !== null")?;
    shoot(&window, "home")?;
    window.click("settings")?;
    window.until("settings", "return document.querySelector('[data-testid=settings-page]') !== null")?;
    shoot(&window, "settings")?;
    quit(window)?;

    let sources = &after["sources"];
    let from = |source: &str| number(&sources[source]["bytes"]);
    Ok(Played {
        first_picture_ms: after["figures"]["first_picture_ms"].as_u64(),
        seek_picture_ms: after["figures"]["seek_picture_ms"].as_u64(),
        stalls: number(&after["figures"]["stalls"]),
        stalled_ms: number(&after["figures"]["stalled_ms"]),
        bytes: Bytes {
            own_group: from("own_group"),
            other_groups: from("other_groups"),
            publisher: from("publisher"),
        },
        verified: is_the_film(&root, film, &after["held"])?,
    })
}

fn first_start(
    display: &Display,
    system: &System,
    windowed: &[&str],
    shoot: &dyn Fn(&Window, &str) -> Result<()>,
) -> Result<()> {
    let window = Window::open(display, &system.folder("newcomer"), windowed)?;
    window.until("the first start", "return document.querySelector('[data-testid=start]') !== null")?;
    shoot(&window, "first-start")?;
    quit(window)
}

/// Quits by the keyboard; the driver may lose the app before it answers.
fn quit(window: Window) -> Result<()> {
    let _ = window.press(&["\u{e009}", "q"]);
    drop(window);
    Ok(())
}

/// What the first start would have asked.
fn settle(root: &Path, system: &System) -> Result<()> {
    let settings = json!({
        "folder": root.join("films"),
        "trusted": [system.tracker],
        "neighbours": false,
        "on_close": "quit",
    });
    std::fs::create_dir_all(root.join("config"))?;
    std::fs::write(root.join("config/settings.json"), settings.to_string())?;
    Ok(())
}

/// Fails unless the middle of the picture shows more than one colour.
fn show_the_film(display: &Display, picture: &Path) -> Result<()> {
    let picture = picture.to_string_lossy();
    let middle = ["-gravity", "center", "-crop", "50%x40%+0+0", "-colorspace", "Gray"];
    let spread = ["-format", "%[fx:standard_deviation]", "info:"];
    let spread = display.run("convert", &[&[&*picture][..], &middle, &spread].concat())?;
    let spread: f64 = spread.trim().parse().context("ImageMagick printed no number")?;
    if spread < 0.02 {
        bail!("the window shows no film: the middle of {picture} is one colour ({spread})");
    }
    Ok(())
}

/// Compares what the viewer holds on disk with the film, byte by byte. `held` are parts from start to end.
fn is_the_film(root: &Path, film: &Path, held: &Value) -> Result<bool> {
    let fetched = fetched(&root.join("films/library"))?;
    let (film, fetched) = (File::open(film)?, File::open(fetched)?);
    let size = film.metadata()?.len();
    let (mut ours, mut theirs) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut compared = 0;
    for part in held.as_array().context("no parts are held")? {
        let edge = |at: usize| part[at].as_f64().context("a part has no edge");
        // The statistics round the edges to a ten-thousandth.
        let inside = |share: f64| (share.clamp(0.0, 1.0) * size as f64) as u64;
        let (mut from, to) = (inside(edge(0)? + 0.0001), inside(edge(1)? - 0.0001));
        while from < to {
            let length = usize::try_from(to - from).unwrap_or(usize::MAX).min(ours.len());
            film.read_exact_at(&mut ours[..length], from)?;
            fetched.read_exact_at(&mut theirs[..length], from)?;
            if ours[..length] != theirs[..length] {
                return Ok(false);
            }
            from += length as u64;
            compared += length as u64;
        }
    }
    println!("compared {:.1} MB on the viewer's disk with the film", compared as f64 / 1e6);
    Ok(compared > 0)
}

fn fetched(library: &Path) -> Result<PathBuf> {
    for entry in std::fs::read_dir(library)?.flatten() {
        if let Ok(mut files) = std::fs::read_dir(entry.path().join("content"))
            && let Some(Ok(file)) = files.next()
        {
            let mut one = [0];
            File::open(file.path())?.read_exact(&mut one)?;
            return Ok(file.path());
        }
    }
    bail!("the viewer has kept nothing in {}", library.display())
}
