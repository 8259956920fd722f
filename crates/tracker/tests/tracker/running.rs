//! A tracker that runs, as an operator has it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use nearcast_protocol::Multiaddr;

/// Longer than anything here takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running tracker; dropping it kills it.
pub struct Running {
    pub child: Child,
    said: Receiver<String>,
}

impl Running {
    pub fn start(arguments: &[&str]) -> Self {
        Self::with(arguments, &[])
    }

    /// With something in its environment too.
    pub fn with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut program = Command::new("sh");
        // A service manager's heartbeat is meant for one process, by its number.
        program.args(["-c", "WATCHDOG_PID=$$ exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_nearcast-tracker")]);
        program.args(arguments);
        // Most nodes of these tests register a port that they don't listen on.
        if !arguments.contains(&"--dial-back") && !arguments.contains(&"group") {
            program.args(["--dial-back", "off"]);
        }
        program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        program.env_remove("RUST_LOG").env_remove("STATE_DIRECTORY").envs(environment.iter().copied());
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

    pub fn wait_for(&self, text: &str) -> String {
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
    pub fn wait_for_both(&self, one: &str, other: &str) {
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

    /// Where it listens, identity included.
    pub fn address(&self) -> Multiaddr {
        self.wait_for("listening on ").strip_prefix("listening on ").unwrap().parse().unwrap()
    }

    /// Where its status page is.
    pub fn site(&self) -> SocketAddr {
        let line = self.wait_for("status page at ");
        line.strip_prefix("status page at http://").unwrap().trim_end_matches('/').parse().unwrap()
    }

    pub fn signal(&self, name: &str) {
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

/// What is at an address: status line and headers, and the body.
pub fn get(site: SocketAddr, path: &str) -> (String, String) {
    get_with(site, path, "")
}

/// The same, with more headers.
pub fn get_with(site: SocketAddr, path: &str, headers: &str) -> (String, String) {
    let mut stream = TcpStream::connect(site).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {site}\r\n{headers}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// One of the numbers that Prometheus reads.
pub fn number(site: SocketAddr, name: &str) -> u64 {
    let (_, text) = get(site, "/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("nearcast_tracker_{name} ")));
    line.unwrap_or_else(|| panic!("{name} isn't in:\n{text}")).parse().unwrap()
}
