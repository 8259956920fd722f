//! A film is opened, played, paused, sought and sped up.

use anyhow::{Context, Result};
use nearcast_tests::Window;
use serde_json::Value;

use crate::app::Scene;

fn state(window: &Window, state: &str) -> Result<()> {
    let script =
        format!("return document.querySelector('[data-testid=player][data-state={state}]') !== null");
    window.until(state, &script).map(drop)
}

fn position(figures: &Value) -> Result<u64> {
    figures["position_ms"].as_u64().context("no position")
}

#[test]
fn a_second_start_opens_a_film_and_keys_and_pointer_work_it() -> Result<()> {
    let scene = Scene::set(61)?;
    let window = scene.open(true)?;
    scene.start_again(&[&scene.link])?;
    state(&window, "playing")?;
    let first = window.figures_when("two seconds of film", "all.position_ms >= 2000")?;
    assert!(first["figures"]["first_picture_ms"].is_u64(), "{first}");

    window.press(&["k"])?;
    state(&window, "paused")?;
    let before = position(&window.figures()?)?;
    window.press(&["\u{e014}"])?;
    window.figures_when("five seconds on", &format!("all.position_ms >= {before} + 3000"))?;
    window.press(&[" "])?;
    state(&window, "playing")?;

    window.click("seekbar")?;
    window.figures_when(
        "the middle of the film",
        "all.state === 'playing' && all.figures.seek_picture_ms !== null \
         && Math.abs(all.position_ms / all.duration_ms - 0.5) < 0.05",
    )?;

    window.click("speed-menu")?;
    window.until(
        "the speed 1.5",
        "const all = [...document.querySelectorAll('[role=menuitemradio]')]; \
         const one = all.find(item => item.textContent.includes('1.5×')); one?.click(); return !!one",
    )?;
    window.figures_when("the new speed", "all.rate === 1.5")?;

    window.click("back-home")?;
    window.until("the film at home", "return document.querySelector('[data-testid=recent]') !== null")?;
    Ok(())
}

#[test]
fn a_strangers_link_asks_first() -> Result<()> {
    let scene = Scene::set(62)?;
    let window = scene.open(false)?;
    scene.start_again(&[&scene.link])?;
    window.click("question-no")?;
    window.until("home again", "return !document.querySelector('dialog[open]')")?;
    assert_eq!(window.run("return document.querySelector('[data-testid=player]')")?, Value::Null);

    scene.start_again(&[&scene.link])?;
    window.until("the question", "return document.querySelector('[data-testid=question-play]') !== null")?;
    // The tracker is on this machine: that needs a yes of its own.
    assert_eq!(window.run("return document.querySelector('[data-testid=question-play]').disabled")?, true);
    window.click("question-private")?;
    window.click("question-play")?;
    state(&window, "playing")
}
