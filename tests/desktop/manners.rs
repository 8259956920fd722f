//! Closing keeps or quits as one says, and quitting ends everything.

use anyhow::Result;

use crate::app::{Scene, until};

#[test]
fn closing_keeps_sharing_a_second_start_shows_it_again_and_quitting_ends_it() -> Result<()> {
    let scene = Scene::set(63)?;
    let window = scene.open(true)?;
    scene.start_again(&[&scene.link])?;
    window.until("the film", "return document.querySelector('[data-state=playing]') !== null")?;

    scene.display.run("wmctrl", &["-F", "-c", "Nearcast"])?;
    window.click("close-keep")?;
    until("the window's end", || !scene.is_shown())?;
    assert!(scene.lives(), "closing ended the app");

    scene.start_again(&[])?;
    until("the window", || scene.is_shown())?;
    // The picture stopped with the window.
    window.until("home", "return document.querySelector('[data-testid=home]') !== null")?;

    // It was told to remember: no second question.
    scene.display.run("wmctrl", &["-F", "-c", "Nearcast"])?;
    until("the window's end", || !scene.is_shown())?;
    assert!(scene.lives(), "closing ended the app");

    scene.start_again(&[])?;
    until("the window", || scene.is_shown())?;
    scene.display.run("xdotool", &["key", "ctrl+q"])?;
    until("the app's end", || !scene.lives())
}
