//! How many pages of a catalogue of ten thousand titles a second, over real connections that are kept open.
//!
//! Beside them `/healthz`, which is the same way without a page: what it takes longer is the page.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

const TITLES: usize = 10_000;
const ROUNDS: usize = 3;
const CONNECTIONS: usize = 16;
const FOR: Duration = Duration::from_secs(3);

struct Publisher(Child);

impl Drop for Publisher {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn main() {
    let (films, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let old = SystemTime::now() - Duration::from_secs(100);
    for number in 0..TITLES {
        let folder = films.path().join(format!("Collection {}", number % 40));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("Film {number} of a long evening, 第{number}部.mp4"));
        fs::write(&path, number.to_le_bytes().repeat(200)).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_nearcast-publisher"));
    command.arg(films.path()).arg("--state").arg(state.path()).args([
        "--no-posters",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
    ]);
    command.args(["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"]).env("RUST_LOG", "off");
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut publisher = Publisher(child);
    let lines = BufReader::new(publisher.0.stdout.take().unwrap()).lines();
    let said = lines
        .map_while(Result::ok)
        .find_map(|line| Some(line.strip_prefix("catalogue at http://")?.to_owned()));
    let address = said.unwrap().trim_end_matches('/').to_owned();
    let began = Instant::now();
    let mut one = Client::new(&address);
    while !String::from_utf8_lossy(&one.get("/", "")).contains(&format!("{TITLES} titles")) {
        std::thread::sleep(Duration::from_millis(200));
    }
    println!(
        "{TITLES} titles up after {:.1} s; {CONNECTIONS} connections on one machine, {ROUNDS} rounds",
        began.elapsed().as_secs_f64()
    );
    let page = String::from_utf8_lossy(&one.get("/", "")).into_owned();
    let title = format!("/t/{}", page.split("href=\"t/").nth(1).unwrap().split('"').next().unwrap());
    let cases: [(&str, &str, &str); 7] = [
        ("no page (/healthz)", "/healthz", ""),
        ("catalogue", "/", ""),
        ("catalogue, compressed", "/", "Accept-Encoding: gzip\r\n"),
        ("page 150, newest first", "/?sort=new&page=150", ""),
        ("search, two words", "/?q=evening+999", ""),
        ("one title", &title, ""),
        ("feed", "/feed.xml", ""),
    ];
    let mut rates = vec![Vec::new(); cases.len()];
    let mut times = vec![Vec::new(); cases.len()];
    let mut bytes = vec![0; cases.len()];
    for _ in 0..ROUNDS {
        for (at, (_, path, headers)) in cases.iter().enumerate() {
            let (rate, mut took, size) = load(&address, path, headers);
            rates[at].push(rate);
            times[at].append(&mut took);
            bytes[at] = size;
        }
    }
    println!(
        "{:<24} {:>9} {:>17} {:>9} {:>9} {:>9} {:>8}",
        "", "pages/s", "spread", "p50 ms", "p99 ms", "bytes", "of none"
    );
    let none = middle(&mut rates[0].clone());
    for (at, (name, ..)) in cases.iter().enumerate() {
        let rate = middle(&mut rates[at]);
        times[at].sort();
        let part = |share: usize| {
            times[at][(times[at].len() * share / 100).min(times[at].len() - 1)].as_secs_f64() * 1e3
        };
        let spread = format!("{:.0} to {:.0}", rates[at][0], rates[at][rates[at].len() - 1]);
        println!(
            "{name:<24} {rate:>9.0} {spread:>17} {:>9.2} {:>9.2} {:>9} {:>8.2}",
            part(50),
            part(99),
            bytes[at],
            rate / none
        );
    }
}

fn middle(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Asks over all connections for as long as it takes: answers a second, how long each took, bytes of the last one.
fn load(address: &str, path: &str, headers: &str) -> (f64, Vec<Duration>, usize) {
    let began = Instant::now();
    let all: Vec<(Vec<Duration>, usize)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                scope.spawn(|| {
                    let (mut client, mut took, mut size) = (Client::new(address), Vec::new(), 0);
                    while began.elapsed() < FOR {
                        let asked = Instant::now();
                        size = client.get(path, headers).len();
                        took.push(asked.elapsed());
                    }
                    (took, size)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let took: Vec<Duration> = all.iter().flat_map(|(took, _)| took.iter().copied()).collect();
    (took.len() as f64 / began.elapsed().as_secs_f64(), took, all[0].1)
}

/// One connection, kept open.
struct Client {
    stream: BufReader<TcpStream>,
    address: String,
}

impl Client {
    fn new(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream), address: address.to_owned() }
    }

    /// The body of an answer.
    fn get(&mut self, path: &str, headers: &str) -> Vec<u8> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", self.address);
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "transfer-encoding" => chunked = true,
                _ => {}
            }
        }
        let mut body = Vec::new();
        if !chunked {
            body.resize(length, 0);
            self.stream.read_exact(&mut body).unwrap();
            return body;
        }
        loop {
            let size = usize::from_str_radix(&self.line(), 16).unwrap();
            let start = body.len();
            body.resize(start + size, 0);
            self.stream.read_exact(&mut body[start..]).unwrap();
            assert!(self.line().is_empty());
            if size == 0 {
                return body;
            }
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}
