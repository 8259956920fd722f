//! The program itself, as an operator meets it.

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_nearcast-tracker"));
    program.args(arguments).env_remove("RUST_LOG").env_remove("STATE_DIRECTORY").output().unwrap()
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn an_operator_can_ask_where_an_address_belongs() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("networks.csv");
    std::fs::write(&table, "198.51.100.0/24,7,North campus\n2001:db8::/32,8\n").unwrap();
    let table = table.to_str().unwrap();
    let output = run(&["group", "198.51.100.4", "2001:db8::1", "192.0.2.1", "--groups", table]);
    let expected = "198.51.100.4: group 7 (North campus)\n2001:db8::1: group 8\n192.0.2.1: group unknown\n";
    assert_eq!((said(&output).0.as_str(), output.status.code()), (expected, Some(0)));
    let output = run(&["group", "198.51.100.4"]);
    assert!(said(&output).1.contains("--groups FILE"));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn what_can_t_be_done_is_told_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("bad.csv"), "198.51.100.0/24,north\n").unwrap();
    std::fs::write(at("bad.toml"), "low = 60\n").unwrap();
    for (arguments, told) in [
        (["--groups", &at("gone.csv")], "gone.csv can't be read: No such file"),
        (["--groups", &at("bad.csv")], "bad.csv can't be used: line 1: \"north\" is no group number"),
        (["--config", &at("gone.toml")], "gone.toml can't be read"),
        (["--config", &at("bad.toml")], "60 to 50"),
    ] {
        let output = run(&[&arguments[..], &["--state", &at("state")]].concat());
        let (out, err) = said(&output);
        assert!(err.contains(told) && err.trim_end().lines().count() == 1, "{arguments:?}: {err}");
        assert_eq!((out.as_str(), output.status.code()), ("", Some(1)), "{arguments:?}");
    }
}

#[test]
fn the_printed_settings_can_be_used() {
    let output = run(&["--print-config"]);
    let (text, _) = said(&output);
    assert!(output.status.success() && text.contains("#low = 40"), "{text}");
    assert!(text.contains("#dial_back = \"on\""), "{text}");
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with('#')), "{text}");
}
