//! What every program owes its user: help, a version, a clear no, a clean end.

use std::ffi::OsStr;

use anyhow::Result;
use nearcast_tests::{Program, Tracker, random_file, run};

const PROGRAMS: [&str; 4] = ["nearcast", "nearcast-tracker", "nearcast-publisher", "nearcast-player"];

#[test]
fn help_teaches_and_the_version_is_told() -> Result<()> {
    for program in PROGRAMS {
        let help = run(program, &["--help"])?;
        assert!(help.status.success());
        let text = String::from_utf8(help.stdout)?;
        assert!(text.contains("Example"), "{program} --help shows no example:\n{text}");
        let version = run(program, &["--version"])?;
        assert!(String::from_utf8(version.stdout)?.contains(env!("CARGO_PKG_VERSION")), "{program}");
    }
    Ok(())
}

#[test]
fn a_mistyped_command_says_so_and_fails() -> Result<()> {
    for program in PROGRAMS {
        let no = run(program, &["--no-such-flag"])?;
        assert!(!no.status.success());
        assert!(String::from_utf8(no.stderr)?.contains("--no-such-flag"), "{program}");
    }
    Ok(())
}

#[test]
fn a_term_signal_ends_each_program_cleanly() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let file = at.join("film.mp4");
    random_file(&file, 300_000, 1)?;
    let mut tracker = Tracker::start(&at.join("tracker"), "/ip4/127.0.0.1/tcp/0")?;
    let share = ["share", "--listen", "/ip4/127.1.7.1/tcp/0", "--no-neighbours", "--tracker"];
    let mut arguments: Vec<&OsStr> = share.iter().map(OsStr::new).collect();
    let kept = at.join("kept");
    arguments.extend([tracker.address.as_ref(), "--folder".as_ref(), kept.as_os_str(), file.as_os_str()]);
    let mut terminal = Program::start("nearcast", &arguments)?;
    terminal.wait_for("registered", |line| line.starts_with("registered with").then_some(()))?;
    assert!(terminal.stop()?.success());

    let publisher = nearcast_tests::Publisher::start(at, "127.3.7.1", &tracker.address, at, 0, None);
    assert!(publisher?.program.stop()?.success());
    assert!(tracker.program.stop()?.success());
    // And again, from the state that was left behind.
    let mut again = Tracker::start(&at.join("tracker"), "/ip4/127.0.0.1/tcp/0")?;
    let identity = |address: &str| address.rsplit('/').next().map(str::to_owned);
    assert_eq!(identity(&again.address), identity(&tracker.address));
    assert!(again.program.stop()?.success());
    Ok(())
}
