//! A publisher that runs, and a web client that can be rude.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant, SystemTime},
};

use tempfile::TempDir;

/// Far longer than anything takes.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A publisher with films of its own.
pub struct Publisher {
    pub films: TempDir,
    pub state: TempDir,
    pub running: Running,
}

/// A process, and where it is reached.
pub struct Running {
    child: Child,
    said: Receiver<String>,
    pub site: String,
    pub admin: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Puts a film of `size` bytes there, old enough to be taken at once.
pub fn write(path: &Path, number: u64, size: usize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let bytes: Vec<u8> = (0..size as u64 / 8)
        .flat_map(|at| (at ^ number << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect();
    fs::write(path, bytes).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(100)).unwrap();
}

impl Publisher {
    /// One with these films, of 80 kB each, and more arguments; waits until all are up.
    pub fn start(names: &[&str], more: &[&str]) -> Self {
        let (films, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (number, name) in (1..).zip(names) {
            write(&films.path().join(name), number, 80_000);
        }
        Self::over(films, state, names.len(), more)
    }

    /// One over folders that are there.
    pub fn over(films: TempDir, state: TempDir, count: usize, more: &[&str]) -> Self {
        let running = Running::start(films.path(), state.path(), more);
        running.up(count);
        Self { films, state, running }
    }

    /// Kills it, and starts it over the same folders.
    pub fn again(self, count: usize, more: &[&str]) -> Self {
        let Self { films, state, mut running } = self;
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        drop(running);
        Self::over(films, state, count, more)
    }

    pub fn token(&self) -> String {
        fs::read_to_string(self.state.path().join("admin-token")).unwrap().trim().to_owned()
    }

    pub fn get(&self, path: &str, headers: &[&str]) -> Answer {
        ask(&self.running.site, "GET", path, headers, b"")
    }

    /// An order, with the token.
    pub fn order(&self, method: &str, path: &str, body: &str) -> Answer {
        let token = format!("Authorization: Bearer {}", self.token());
        let length = format!("Content-Length: {}", body.len());
        ask(&self.running.admin, method, path, &[&token, &length], body.as_bytes())
    }

    /// The id of the title with this name, once the administration shows it: that is a moment after it is up.
    pub fn key(&self, name: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let titles = self.order("GET", "/api/titles", "").json();
            let titles = titles["titles"].as_array().unwrap().clone();
            if let Some(title) = titles.iter().find(|title| title["name"] == name) {
                return title["key"].as_str().unwrap().to_owned();
            }
            assert!(Instant::now() < until, "{name} isn't there: {titles:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Running {
    fn start(films: &Path, state: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nearcast-publisher"));
        command.arg(films).arg("--state").arg(state).arg("--no-posters");
        command.args(["--listen", "/ip4/127.0.0.1/tcp/0", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        command.args(more).env("RUST_LOG", "nearcast_publisher=info").stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (tell, said) = channel();
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let tell = tell.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    tell.send(line).ok();
                }
            });
        }
        let mut running = Self { child, said, site: String::new(), admin: String::new() };
        let admin = running.wait_for("administration at http://");
        running.admin = admin.trim_end_matches('/').rsplit('/').next().unwrap().to_owned();
        let site = running.wait_for("catalogue at http://");
        running.site = site.trim_end_matches('/').rsplit('/').next().unwrap().to_owned();
        running
    }

    pub fn wait_for(&self, what: &str) -> String {
        loop {
            let line = self.said.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("it never said {what:?}"));
            if line.contains(what) {
                return line;
            }
        }
    }

    pub fn up(&self, count: usize) {
        let mut up = 0;
        while up < count {
            up += usize::from(!self.wait_for("put up").contains("not put up"));
        }
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Sends a request and reads the whole answer.
pub fn ask(address: &str, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|header| header.starts_with("Host:")) {
        request += &format!("Host: {address}\r\n");
    }
    for header in headers {
        request += &format!("{header}\r\n");
    }
    request += "\r\n";
    send(address, &[request.as_bytes(), body].concat())
}

/// Sends any bytes and reads what is answered.
pub fn send(address: &str, bytes: &[u8]) -> Answer {
    let mut stream = open(address, bytes);
    let mut answer = Vec::new();
    // A server that has seen enough may close before it has read all.
    stream.read_to_end(&mut answer).ok();
    split(&answer)
}

/// Sends any bytes and leaves the answer to whoever asked.
pub fn open(address: &str, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).ok();
    stream
}

fn split(answer: &[u8]) -> Answer {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head, body: answer.get(end + 4..).unwrap_or_default().to_vec() }
}
