//! Players of all kinds on the local address.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result};
use nearcast_tests::{Film, Neighbour, PATIENCE, Program, Tracker, binary, film, random_file};

struct Scene {
    _folder: tempfile::TempDir,
    _tracker: Tracker,
    _neighbours: Vec<Neighbour>,
    link: String,
    kept: PathBuf,
    net: u8,
}

fn scene(net: u8, file: &std::path::Path, upload: Option<&str>) -> Result<Scene> {
    let folder = tempfile::tempdir()?;
    let tracker = Tracker::start(&folder.path().join("tracker"), "/ip4/127.0.0.1/tcp/0")?;
    let mut neighbours = Vec::new();
    for n in 1..=2 {
        let ip = format!("127.1.{net}.{n}");
        neighbours.push(Neighbour::start(folder.path(), &ip, &tracker.address, file, upload)?);
    }
    let link = neighbours.first().context("nobody")?.link.clone();
    let kept = folder.path().join("viewer");
    Ok(Scene { _folder: folder, _tracker: tracker, _neighbours: neighbours, link, kept, net })
}

fn play(scene: &Scene, more: &[&str]) -> Result<(Program, String)> {
    let listen = format!("/ip4/127.1.{}.100/tcp/0", scene.net);
    let kept = scene.kept.to_string_lossy().into_owned();
    let mut arguments = vec!["play", &scene.link, "--folder", &kept, "--listen", &listen, "--no-neighbours"];
    arguments.extend(more);
    let mut program = Program::start("nearcast", &arguments)?;
    let address = program
        .wait_for("its address", |line| line.starts_with("http://127.0.0.1:").then(|| line.to_owned()))?;
    Ok((program, address))
}

fn curl(arguments: &[&str]) -> Result<Output> {
    Ok(Command::new("curl").args(["-sS", "--max-time", "110"]).args(arguments).output()?)
}

#[test]
fn curl_gets_every_kind_of_range() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("f i l m.mp4");
    random_file(&file, 1_000_000, 41)?;
    let bytes = fs::read(&file)?;
    let scene = scene(41, &file, None)?;
    let (_program, address) = play(&scene, &[])?;
    for (range, expected) in [
        ("0-0", 0..1),
        ("0-16383", 0..16384),
        ("16380-16390", 16380..16391),
        ("999999-", 999_999..1_000_000),
        ("500000-99999999", 500_000..1_000_000),
        ("-1", 999_999..1_000_000),
        ("-300000", 700_000..1_000_000),
        ("-99999999", 0..1_000_000),
    ] {
        let got = curl(&["-D", "/dev/stderr", "-r", range, &address])?;
        let head = String::from_utf8(got.stderr)?;
        assert!(head.starts_with("HTTP/1.1 206"), "{range}: {head}");
        let said = format!("content-range: bytes {}-{}/1000000", expected.start, expected.end - 1);
        assert!(head.contains(&said), "{range}: {head}");
        assert!(got.stdout == bytes[expected], "{range}: wrong bytes");
    }
    let past = curl(&["-D", "/dev/stderr", "-r", "1000000-", &address])?;
    let head = String::from_utf8(past.stderr)?;
    assert!(head.starts_with("HTTP/1.1 416") && head.contains("content-range: bytes */1000000"), "{head}");
    let several = curl(&["-D", "/dev/stderr", "-r", "0-3,10-13,-4", &address])?;
    let head = String::from_utf8(several.stderr)?;
    assert!(head.contains("multipart/byteranges"), "{head}");
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    assert_eq!(length, Some(several.stdout.len().to_string().as_str()));
    for part in [&bytes[0..4], &bytes[10..14], &bytes[999_996..]] {
        assert!(several.stdout.windows(4).any(|window| window == part));
    }
    let whole = curl(&[&address])?;
    assert!(whole.stdout == bytes);
    let head = String::from_utf8(curl(&["-I", &address])?.stdout)?;
    assert!(head.contains("content-length: 1000000") && head.contains("accept-ranges: bytes"), "{head}");
    assert!(head.contains("content-type: video/mp4"), "{head}");
    let tag = head.split("etag: ").nth(1).and_then(|rest| rest.split("\r\n").next()).context("no etag")?;
    let same = String::from_utf8(curl(&["-I", "-H", &format!("If-None-Match: {tag}"), &address])?.stdout)?;
    assert!(same.starts_with("HTTP/1.1 304"), "{same}");
    let other = curl(&[
        "-D",
        "/dev/stderr",
        "-r",
        "0-3",
        "-H",
        "If-Range: \"another\"",
        "-o",
        "/dev/null",
        &address,
    ])?;
    assert!(String::from_utf8(other.stderr)?.starts_with("HTTP/1.1 200"));
    Ok(())
}

#[test]
fn web_pages_and_guesses_get_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("film.mp4");
    random_file(&file, 100_000, 42)?;
    let scene = scene(42, &file, None)?;
    let (_program, address) = play(&scene, &[])?;
    let status = |more: &[&str], address: &str| -> Result<String> {
        let mut arguments = vec!["-o", "/dev/null", "-w", "%{http_code}"];
        arguments.extend(more);
        arguments.push(address);
        Ok(String::from_utf8(curl(&arguments)?.stdout)?)
    };
    assert_eq!(status(&[], &address)?, "200");
    assert_eq!(status(&["-H", "Host: films.example"], &address)?, "421", "a rebound name was answered");
    assert_eq!(status(&["-H", "Origin: https://films.example"], &address)?, "403", "a web page was answered");
    let port = address.split('/').nth(2).context("no port")?;
    let guess = format!("http://{port}/{}/film.mp4", "a".repeat(32));
    assert_eq!(status(&[], &guess)?, "404");
    let id = scene.link.split('/').nth(2).context("no id")?;
    assert_eq!(status(&[], &format!("http://{port}/{id}/film.mp4"))?, "404", "no token was needed");
    // Location and progress, for players that read the file themselves.
    let base = address.rsplit_once('/').context("no base")?.0;
    let report: serde_json::Value = serde_json::from_slice(&curl(&[base])?.stdout)?;
    assert_eq!(report["id"], id);
    assert!(report["path"].as_str().is_some_and(|path| std::path::Path::new(path).is_file()), "{report}");
    Ok(())
}

#[test]
fn ffprobe_reads_what_is_pushed() -> Result<()> {
    let scene = scene(43, &film(Film::Short)?, None)?;
    let kept = scene.kept.to_string_lossy().into_owned();
    let mut pushing = Command::new(binary("nearcast")?)
        .args(["play", &scene.link, "--stdout", "--memory", "--folder", &kept, "--no-neighbours"])
        .args(["--listen", "/ip4/127.1.43.100/tcp/0"])
        .stdout(Stdio::piped())
        .spawn()?;
    let pipe = pushing.stdout.take().context("no pipe")?;
    let probed = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", "-"])
        .stdin(pipe)
        .output()?;
    let said = String::from_utf8(probed.stdout)?;
    assert!(said.contains("h264") && said.contains("aac"), "{said}");
    // ffprobe has had enough long before the end: the pusher ends quietly.
    assert!(pushing.wait()?.success());
    Ok(())
}

#[test]
fn ffplay_s_family_and_mpv_decode_from_the_local_address() -> Result<()> {
    let scene = scene(44, &film(Film::Short)?, None)?;
    let (_program, address) = play(&scene, &["--memory"])?;
    // A decode of the whole film, and a seek to its last third, by ffmpeg's own HTTP client.
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-ss", "20", "-i", &address, "-t", "3", "-f", "null", "-"])
        .output()?;
    assert!(
        decoded.status.success() && decoded.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&decoded.stderr)
    );
    let mpv = Command::new("mpv")
        .args(["--no-config", "--vo=null", "--ao=null", "--untimed", "--start=50%", "--length=3"])
        .args(["--msg-level=all=error", &address])
        .output()?;
    assert!(mpv.status.success(), "{}", String::from_utf8_lossy(&mpv.stdout));
    Ok(())
}

#[test]
fn a_player_is_started_and_its_end_ends_the_program() -> Result<()> {
    let scene = scene(45, &film(Film::Short)?, None)?;
    let kept = scene.kept.to_string_lossy().into_owned();
    let player = "mpv --no-config --vo=null --ao=null --untimed --length=2 --msg-level=all=error";
    let played = Command::new(binary("nearcast")?)
        .args(["play", &scene.link, "--player", player, "--once", "--folder", &kept, "--no-neighbours"])
        .args(["--listen", "/ip4/127.1.45.100/tcp/0"])
        .output()?;
    assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stderr));
    Ok(())
}

#[test]
fn a_browser_plays_it() -> Result<()> {
    let scene = scene(46, &film(Film::Short)?, None)?;
    let (_program, address) = play(&scene, &[])?;
    let folder = tempfile::tempdir()?;
    // The page tells what the video says by asking for an image of that name.
    let listener = TcpListener::bind("127.3.46.1:0")?;
    let told = listener.local_addr()?;
    let page = folder.path().join("page.html");
    let source = format!(
        "<video id=v src='{address}' muted></video><script>\
         const tell=what=>{{new Image().src='http://{told}/'+encodeURIComponent(what)}};\
         v.onloadedmetadata=()=>{{v.currentTime=20}};\
         v.onseeked=()=>{{tell('seeked '+v.videoWidth+'x'+v.videoHeight+' at '+v.currentTime)}};\
         v.onerror=()=>{{tell('error '+v.error.message)}}</script>"
    );
    fs::write(&page, source)?;
    let data = folder.path().join("chromium");
    let mut browser = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={}", data.display()))
        .arg("--remote-debugging-port=0")
        .arg(format!("file://{}", page.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let (sender, said) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).ok();
            sender.send(line).ok();
        }
    });
    let said = said.recv_timeout(PATIENCE);
    browser.kill()?;
    browser.wait()?;
    let said = said.context("the browser never told anything")?;
    assert!(said.contains("seeked%201920x1080%20at%2020"), "{said}");
    Ok(())
}
