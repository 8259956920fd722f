//! What the system tells the running program.

use crate::running::Running;

#[test]
fn a_table_is_read_anew_and_a_bad_one_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (table, state) = (at("networks.csv"), at("state"));
    std::fs::write(&table, "127.1.0.0/16,1\n").unwrap();
    let listen = ["--listen", "/ip4/127.9.4.1/tcp/0", "--state", &state];
    let mut tracker = Running::start(&[&listen[..], &["--groups", &table]].concat());
    let line = tracker.wait_for("listening on ");
    assert!(line.starts_with("listening on /ip4/127.9.4.1/tcp/") && line.contains("/p2p/12D3"), "{line}");
    std::fs::write(&table, "127.1.0.0/16,1\n127.2.0.0,south\n").unwrap();
    tracker.signal("-HUP");
    let line = tracker.wait_for("stays as it was");
    assert!(line.contains("networks.csv") && line.contains("line 2: \"south\""), "{line}");
    std::fs::write(&table, "127.1.0.0/16,1\n127.2.0.0/16,2\n").unwrap();
    tracker.signal("-HUP");
    assert!(tracker.wait_for("read anew").contains("prefixes=2"));
    // A table that changes is read anew unasked.
    std::fs::write(&table, "127.1.0.0/16,north\n").unwrap();
    assert!(tracker.wait_for("stays as it was").contains("\"north\""));
    std::fs::write(&table, "127.1.0.0/16,1\n127.2.0.0/16,2\n127.3.0.0/16,3\n").unwrap();
    assert!(tracker.wait_for("the group table").contains("prefixes=3"));
    tracker.signal("-TERM");
    assert_eq!(tracker.child.wait().unwrap().code(), Some(0));

    // Without a table it says so, and a wish to read one anew doesn't end it.
    let mut tracker = Running::start(&listen);
    tracker.wait_for_both("give --groups FILE", "listening on ");
    tracker.signal("-HUP");
    tracker.wait_for("no group table to read anew");
    tracker.signal("-INT");
    assert_eq!(tracker.child.wait().unwrap().code(), Some(0));
}
