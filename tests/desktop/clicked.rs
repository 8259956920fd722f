//! Play is clicked on a publisher's page in a real browser, and the app plays: films in five containers.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use nearcast_tests::{Display, Film, Program, Publisher, Tracker, Window, film};

use crate::app::{alone, app, settle};

const FILMS: [(&str, Film); 5] = [
    ("One.mp4", Film::Short),
    ("Two.mp4", Film::Mp4IndexLast),
    ("Three.mkv", Film::Mkv),
    ("Four.webm", Film::Webm),
    ("Five.ts", Film::Ts),
];

/// Makes the app what the system opens `nearcast:` with, as its package does: the same entry, with its place filled in.
fn install(display: &Display, root: &Path, listen: &str) -> Result<()> {
    let entry = include_str!("../../packaging/linux/nearcast.desktop.hbs");
    // Without quotes: the simplest of openers, which take over where there is no desktop, know none.
    let command = format!("{} --root {} --listen {listen}", app()?.display(), root.display());
    let entry = entry.replace("{{exec}} %U", &format!("{command} %U"));
    let entry = entry.replace("{{name}}", "Nearcast").replace("{{icon}}", "nearcast");
    let entry = entry.replace("{{exec}}", "nearcast-app");
    let place = |name: &str| {
        let found = display.environment().iter().find(|(key, _)| key == name);
        found.map(|(_, folder)| PathBuf::from(folder)).with_context(|| format!("no {name}"))
    };
    let applications = place("XDG_DATA_HOME")?.join("applications");
    std::fs::create_dir_all(&applications)?;
    std::fs::write(applications.join("nearcast.desktop"), entry)?;
    display.run("xdg-mime", &["default", "nearcast.desktop", "x-scheme-handler/nearcast"])?;
    let opens = display.run("xdg-mime", &["query", "default", "x-scheme-handler/nearcast"])?;
    assert_eq!(opens.trim(), "nearcast.desktop");
    Ok(())
}

#[test]
fn play_on_a_page_leads_to_a_playing_app() -> Result<()> {
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui");
    if !ui.join("node_modules/puppeteer-core").is_dir() {
        eprintln!("not tested: no browser is driven here (scripts/screen check, as `make test` does)");
        return Ok(());
    }
    let _alone = alone();
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let films = at.join("films");
    std::fs::create_dir(&films)?;
    for (name, kind) in FILMS {
        let from = film(kind)?;
        std::fs::hard_link(&from, films.join(name))
            .or_else(|_| std::fs::copy(&from, films.join(name)).map(drop))?;
    }
    let tracker = Tracker::start(&at.join("tracker"), "/ip4/127.0.0.1/tcp/0")?;
    let more = ["--no-posters", "--admin", "127.0.0.1:0"];
    let publisher = Publisher::start_with(at, "127.0.0.1", &tracker.address, &films, FILMS.len(), &more)?;

    let display = Display::start(1280, 800)?;
    let (root, listen) = (at.join("viewer"), "/ip4/127.1.66.100/tcp/0");
    settle(&root, &[&tracker.address], false)?;
    // It is in the tray, as on every evening but the first; a click opens a film in it.
    let window = Window::open(&display, &root, &["--windowed", "1000x600", "--listen", listen])?;
    window.until("home", "return document.querySelector('[data-testid=home]') !== null")?;
    // An app that is merely run has put itself there when it came up, with its usual folders; this is the package's way.
    install(&display, &root, listen)?;

    let index: String = ureq::get(&publisher.site).call()?.body_mut().read_to_string()?;
    let keys = index.split("href=\"t/").skip(1).filter_map(|rest| rest.split('"').next());
    let pages: Vec<String> = keys.map(|key| format!("{}t/{key}", publisher.site)).collect();
    assert_eq!(pages.len(), FILMS.len(), "{index}");
    let mut browser = display.command("node");
    browser.arg("tests/click.mjs").arg(at.join("profile")).args(&pages).current_dir(&ui);
    let (mut browser, mut click) = Program::spawn_told("the browser", browser)?;
    for page in &pages {
        browser.wait_for("its window", |line| (line == "ready").then_some(()))?;
        writeln!(click)?;
        let title = browser.wait_for("the click", |line| line.strip_prefix("clicked ").map(str::to_owned))?;
        let name = FILMS
            .iter()
            .map(|(name, _)| name.split('.').next().unwrap_or(name))
            .find(|name| title.contains(name))
            .with_context(|| format!("{page} is of no film: {title}"))?;
        window.until(
            &format!("{name} playing"),
            &format!(
                "return document.querySelector('[data-testid=player][data-state=playing]') !== null \
                 && document.querySelector('[data-testid=player] h1').textContent.includes('{name}')"
            ),
        )?;
        window.figures_when("a second of film", "all.position_ms >= 1000")?;
        if let Some(pictures) = std::env::var_os("NEARCAST_PICTURES") {
            window.drawn()?;
            display.shoot(&Path::new(&pictures).join(format!("clicked-{name}.png")))?;
        }
    }
    Ok(())
}
