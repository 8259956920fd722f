//! The pages in a real browser, by an accessibility checker.

use std::{path::Path, process::Command};

use super::web::Publisher;

#[test]
fn a_browser_and_an_accessibility_checker_are_content() {
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ui");
    if !ui.join("node_modules/puppeteer-core").is_dir() {
        eprintln!("not checked: the checker isn't installed (scripts/screen check, as `make test` does)");
        return;
    }
    let publisher = Publisher::start(
        &["动画/大兔子.mp4", "A long name of a film that needs more than one line to stand.mp4"],
        &[],
    );
    let key = publisher.key("大兔子");
    let site = format!("http://{}/", publisher.running.site);
    let admin = format!("http://{}/", publisher.running.admin);
    let checked = Command::new("node")
        .arg("tests/site.mjs")
        .args([
            site.as_str(),
            "./",
            "./?q=nothing",
            &format!("t/{key}"),
            &format!("play/{key}"),
            &format!("embed/{key}"),
            &admin,
        ])
        .current_dir(ui)
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{said}");
    assert!(said.contains("24 pages passed, 0 findings"), "{said}");
}
