//! A video of one's own is shared from the window, and somebody else gets it by its link.

use std::fs;

use anyhow::{Context, Result, ensure};
use nearcast_tests::{Film, film, run};

use crate::app::Scene;

#[test]
fn a_video_shared_in_the_window_is_got_by_its_link() -> Result<()> {
    let scene = Scene::set(66)?;
    let file = fs::canonicalize(film(Film::Short)?)?;
    let window = scene.open(false)?;
    window.click("share-video")?;
    window.until("the sheet", "return document.querySelector('[data-testid=shares]') !== null")?;
    // What the system's dialog answers goes the same way; the dialog itself is another program's.
    let path = serde_json::to_string(&file)?;
    window.run(&format!(
        "window.__TAURI_INTERNALS__.invoke('act', {{ command: {{ do: 'share', paths: [{path}] }} }})"
    ))?;
    let link =
        window.until("the link", "return document.querySelector('[data-testid=share-link]')?.value")?;
    let link = link.as_str().context("the link is no text")?;
    ensure!(link.contains("tracker=/ip4/127.1.66.100/tcp/"), "this computer is the tracker: {link}");
    window.click("share-copy")?;
    window
        .until("that it was copied", "return document.querySelector('[role=status].hidden').textContent")?;
    window.drawn()?;
    if let Some(pictures) = std::env::var_os("NEARCAST_PICTURES") {
        scene.display.shoot(&std::path::Path::new(&pictures).join("shared.png"))?;
    }

    let elsewhere = tempfile::tempdir()?;
    let got = elsewhere.path().join("got.mp4");
    let (folder, output) = (elsewhere.path().join("viewer"), got.to_string_lossy());
    let said = run(
        "nearcast",
        &["get", link, "-o", &output, "--no-neighbours", "--folder", &folder.to_string_lossy()],
    )?;
    ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    ensure!(fs::read(&got)? == fs::read(&file)?, "another film came");
    Ok(())
}
