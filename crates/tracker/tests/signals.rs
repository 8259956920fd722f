//! What the system tells the running program.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running tracker; dropping it kills it.
struct Running {
    child: Child,
    said: Receiver<String>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_nearcast-tracker"));
        program.args(arguments).env_remove("RUST_LOG").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = program.spawn().unwrap();
        let (sender, said) = channel();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        for stream in [Box::new(out) as Box<dyn Read + Send>, Box::new(err)] {
            let sender = sender.clone();
            std::thread::spawn(move || {
                let lines = BufReader::new(stream).lines().map_while(Result::ok);
                lines.for_each(|line| sender.send(line).unwrap_or_default());
            });
        }
        Self { child, said }
    }

    fn wait_for(&self, text: &str) -> String {
        let mut before = Vec::new();
        loop {
            match self.said.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => before.push(line),
                Err(_) => panic!("{text:?} was never said, only {before:#?}"),
            }
        }
    }

    /// For what comes in two streams, in whichever order it is read.
    fn wait_for_both(&self, one: &str, other: &str) {
        let (mut waiting, mut before) = (vec![one, other], Vec::new());
        while !waiting.is_empty() {
            match self.said.recv_timeout(PATIENCE) {
                Ok(line) => {
                    waiting.retain(|text| !line.contains(text));
                    before.push(line);
                }
                Err(_) => panic!("{waiting:?} was never said, only {before:#?}"),
            }
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

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
