//! Everything a person may open (R6).

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use nearcast_tests::{Publisher, Tracker, random_file, run};

/// A plain web server with byte ranges, as a stranger would run it: one answer a connection.
struct Web {
    address: SocketAddr,
    asked: Arc<std::sync::Mutex<Vec<String>>>,
}

type Answer = dyn Fn(&str, Option<(u64, u64)>) -> (u16, Vec<(String, String)>, Vec<u8>) + Send + Sync;

impl Web {
    fn start(
        ip: &str,
        answer: impl Fn(&str, Option<(u64, u64)>) -> (u16, Vec<(String, String)>, Vec<u8>) + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind(format!("{ip}:0"))?;
        let address = listener.local_addr()?;
        let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
        let (log, answer): (_, Arc<Answer>) = (Arc::clone(&asked), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                // A client that goes away in the middle is its own affair.
                std::thread::spawn(move || serve(stream, &log, &*answer).ok());
            }
        });
        Ok(Self { address, asked })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().map(|asked| asked.clone()).unwrap_or_default()
    }
}

fn serve(
    mut stream: std::net::TcpStream,
    log: &std::sync::Mutex<Vec<String>>,
    answer: &Answer,
) -> Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().context("no request")??;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut range = None;
    for line in lines.by_ref() {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some((from, to)) = line.strip_prefix("range: bytes=").and_then(|range| range.split_once('-')) {
            range = Some((from.parse()?, to.parse().unwrap_or(u64::MAX)));
        }
    }
    if let Ok(mut log) = log.lock() {
        log.push(path.clone());
    }
    let (status, headers, body) = answer(&path, range);
    write!(stream, "HTTP/1.1 {status} ok\r\ncontent-length: {}\r\nconnection: close\r\n", body.len())?;
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    Ok(stream.write_all(&body)?)
}

struct Scene {
    folder: tempfile::TempDir,
    film: PathBuf,
    tracker: Tracker,
    publisher: Publisher,
}

fn scene(net: u8) -> Result<Scene> {
    let folder = tempfile::tempdir()?;
    let films = folder.path().join("films");
    fs::create_dir(&films)?;
    let film = films.join("Film.mp4");
    random_file(&film, 2_000_000, 20 + u64::from(net))?;
    let tracker = Tracker::start(&folder.path().join("tracker"), "/ip4/127.0.0.1/tcp/0")?;
    let ip = format!("127.3.{net}.1");
    let publisher = Publisher::start(folder.path(), &ip, &tracker.address, &films, 1, None)?;
    Ok(Scene { folder, film, tracker, publisher })
}

fn get(at: &Path, ip: &str, opening: &str, more: &[&str]) -> Result<(bool, String, PathBuf)> {
    let (kept, listen) = (at.join("kept").to_string_lossy().into_owned(), format!("/ip4/{ip}/tcp/0"));
    let output = at.join("got.mp4");
    let target = output.to_string_lossy().into_owned();
    let mut arguments = vec!["get", opening, "-f", "-o", &target, "--folder", &kept, "--listen", &listen];
    arguments.push("--no-neighbours");
    arguments.extend(more);
    let got = run("nearcast", &arguments)?;
    Ok((got.status.success(), String::from_utf8(got.stderr)?, output))
}

/// The address of the film on the publisher's page.
fn address(scene: &Scene) -> Result<String> {
    let page = run_curl(&[&scene.publisher.site])?;
    let id =
        page.split("href=\"v/").nth(1).and_then(|rest| rest.split('"').next()).context("no Play link")?;
    assert!(page.contains("Film"), "{page}");
    Ok(format!("{}v/{id}", scene.publisher.site))
}

fn run_curl(arguments: &[&str]) -> Result<String> {
    let said = std::process::Command::new("curl").arg("-sS").args(arguments).output()?;
    Ok(String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr))
}

#[test]
fn a_publisher_s_address_is_redirected_to_its_link() -> Result<()> {
    let scene = scene(31)?;
    let address = address(&scene)?;
    let head = run_curl(&["-D", "-", "-o", "/dev/null", &address])?;
    assert!(head.starts_with("HTTP/1.1 302"), "{head}");
    assert!(head.contains("location: nearcast://"), "{head}");
    // Without a tracker of its own the terminal follows the redirect; the link names the tracker.
    let (got, said, output) = get(scene.folder.path(), "127.1.31.2", &address, &[])?;
    assert!(got, "{said}");
    assert!(fs::read(&scene.film)? == fs::read(output)?);
    Ok(())
}

#[test]
fn a_clicked_request_is_made_by_the_controller() -> Result<()> {
    let scene = scene(32)?;
    let request = format!("nearcast:?request={}", address(&scene)?.replace(':', "%3A").replace('/', "%2F"));
    let (got, said, output) = get(scene.folder.path(), "127.1.32.2", &request, &[])?;
    assert!(got, "{said}");
    assert!(fs::read(&scene.film)? == fs::read(output)?);
    Ok(())
}

#[test]
fn the_tracker_resolves_an_address_that_its_origin_confirms() -> Result<()> {
    let scene = scene(33)?;
    let address = address(&scene)?;
    let confirmation = format!("{}.well-known/nearcast?url={address}", scene.publisher.site);
    let confirmed = run_curl(&[&confirmation])?;
    assert!(confirmed.contains("nearcast://"), "{confirmed}");
    let foreign = format!("{}.well-known/nearcast?url=http://elsewhere.example/v/1", scene.publisher.site);
    assert!(!run_curl(&[&foreign])?.contains("nearcast://"));
    let (got, said, output) =
        get(scene.folder.path(), "127.1.33.2", &address, &["--tracker", &scene.tracker.address])?;
    assert!(got, "{said}");
    assert!(fs::read(&scene.film)? == fs::read(output)?);
    Ok(())
}

#[test]
fn a_plain_file_is_fetched_as_it_is() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let film = folder.path().join("plain.mp4");
    random_file(&film, 700_000, 34)?;
    let bytes = fs::read(&film)?;
    let served = bytes.clone();
    let web = Web::start("127.3.34.1", move |path, range| {
        if path == "/moved" {
            return (302, vec![("location".into(), "/film.mp4".into())], Vec::new());
        }
        let size = served.len() as u64;
        let (from, to) = range.unwrap_or((0, u64::MAX));
        let to = to.min(size - 1);
        let headers = vec![("content-range".into(), format!("bytes {from}-{to}/{size}"))];
        (206, headers, served[from as usize..=to as usize].to_vec())
    })?;
    let (got, said, output) =
        get(folder.path(), "127.1.34.2", &format!("http://{}/moved", web.address), &[])?;
    assert!(got, "{said}");
    assert!(said.contains("plain file, not verified"), "{said}");
    assert!(bytes == fs::read(output)?);
    assert_eq!(web.asked().first().map(String::as_str), Some("/moved"));
    Ok(())
}

#[test]
fn what_leads_nowhere_says_so() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let web = Web::start("127.3.35.1", |path, _| match path {
        "/loop" => (302, vec![("location".into(), "/loop".into())], Vec::new()),
        "/page" => (200, vec![("content-type".into(), "text/html".into())], b"<p>hello</p>".to_vec()),
        "/broken" => (302, vec![("location".into(), "nearcast://abc/film.mp4".into())], Vec::new()),
        "/file" => (302, vec![("location".into(), "file:///etc/passwd".into())], Vec::new()),
        _ => (404, Vec::new(), Vec::new()),
    })?;
    for (path, sentence) in [
        ("/loop", "too many redirects"),
        ("/page", "is a web page, not a video"),
        ("/broken", "broken link"),
        ("/file", "neither a link nor a web address"),
        ("/gone", "404"),
    ] {
        let (got, said, _) = get(folder.path(), "127.1.35.2", &format!("http://{}{path}", web.address), &[])?;
        assert!(!got && said.contains(sentence), "{path}: {said}");
    }
    let (got, said, _) = get(folder.path(), "127.1.35.2", "http://127.3.35.1:1/", &[])?;
    assert!(!got && said.contains("can't be fetched"), "{said}");
    Ok(())
}
