//! A request for a film: who gets what (R6).

use std::io::Read;

use super::web::{Publisher, ask, open, send, write};

fn publisher(more: &[&str]) -> (Publisher, String) {
    let publisher = Publisher::start(&["Film one.mp4"], more);
    let key = publisher.key("Film one");
    (publisher, key)
}

#[test]
fn the_app_gets_a_link_a_browser_a_page_and_a_player_bytes() {
    let (publisher, key) = publisher(&[]);
    let address = format!("/v/{key}");
    for app in [
        &["User-Agent: nearcast/0.1.0", "Range: bytes=0-0"][..],
        &["Accept: application/vnd.nearcast.link, */*;q=0.1", "Range: bytes=0-0"],
        &["User-Agent: curl/8"],
    ] {
        let answer = publisher.get(&address, app);
        assert_eq!(answer.status, 302);
        assert!(
            answer
                .header("location")
                .unwrap()
                .starts_with(&format!("nearcast://{key}/Film%20one.mp4?size=80000"))
        );
    }
    let browser = publisher.get(&address, &["Accept: text/html,*/*", "Sec-Fetch-Dest: document"]);
    assert_eq!((browser.status, browser.header("location")), (303, Some(format!("../play/{key}").as_str())));
    let page = publisher.get(&format!("/play/{key}"), &[]).text();
    assert!(page.contains("http-equiv=\"refresh\" content=\"0;url=nearcast://"), "{page}");
    let confirmed =
        publisher.get(&format!("/.well-known/nearcast?url=http://{}{address}", publisher.running.site), &[]);
    assert!(confirmed.json()["link"].as_str().unwrap().starts_with("nearcast://"));
    assert_eq!(publisher.get("/.well-known/nearcast?url=http://elsewhere.example/v/1", &[]).status, 404);
    assert_eq!(publisher.get("/.well-known/nearcast", &[]).status, 404);
}

#[test]
fn bytes_come_in_every_kind_of_range() {
    let (publisher, key) = publisher(&[]);
    let file = std::fs::read(publisher.films.path().join("Film one.mp4")).unwrap();
    let address = format!("/v/{key}/Film%20one.mp4");
    let whole = publisher.get(&address, &[]);
    assert!(whole.status == 200 && whole.body == file);
    assert_eq!(whole.header("content-type"), Some("video/mp4"));
    assert_eq!(whole.header("etag"), Some(format!("\"{key}\"").as_str()));
    assert_eq!(whole.header("content-disposition"), Some("inline; filename*=UTF-8''Film%20one.mp4"));
    for (range, expected) in [
        ("bytes=0-0", Some(0..1)),
        ("bytes=79999-", Some(79_999..80_000)),
        ("bytes=-5", Some(79_995..80_000)),
        ("bytes=70000-99999999999999999999999", Some(70_000..80_000)),
        ("bytes=80000-", None),
        ("bytes=-0", None),
    ] {
        let answer = publisher.get(&format!("/v/{key}"), &[&format!("Range: {range}")]);
        match expected {
            Some(part) => {
                assert!(answer.status == 206 && answer.body == file[part.clone()], "{range}");
                let said = format!("bytes {}-{}/80000", part.start, part.end - 1);
                assert_eq!(answer.header("content-range"), Some(said.as_str()));
            }
            None => assert_eq!(
                (answer.status, answer.header("content-range")),
                (416, Some("bytes */80000")),
                "{range}"
            ),
        }
    }
    let parts = publisher.get(&address, &["Range: bytes=0-1,10-11"]);
    assert!(parts.status == 206 && parts.header("content-type").unwrap().starts_with("multipart/byteranges"));
    let tag = format!("\"{key}\"");
    assert_eq!(publisher.get(&address, &[&format!("If-None-Match: {tag}")]).status, 304);
    assert_eq!(publisher.get(&address, &["Range: bytes=0-1", "If-Range: \"another\""]).status, 200);
    assert_eq!(publisher.get(&address, &["Range: bytes=0-1", &format!("If-Range: {tag}")]).status, 206);
    let head = ask(&publisher.running.site, "HEAD", &address, &[], b"");
    assert!(head.status == 200 && head.body.is_empty() && head.header("content-length") == Some("80000"));
}

#[test]
fn places_without_the_app_are_few_and_whoever_finds_none_is_told_where_else() {
    let (films, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // Far more than all buffers on the way hold, so that the stream stands while nobody reads.
    write(&films.path().join("Long.mp4"), 1, 64_000_000);
    let publisher = Publisher::over(films, state, 1, &["--direct", "1", "--upload", "800Mbit"]);
    let key = publisher.key("Long");
    let site = publisher.running.site.clone();
    let request =
        format!("GET /v/{key} HTTP/1.1\r\nHost: {site}\r\nRange: bytes=0-\r\nConnection: close\r\n\r\n");
    let mut first = open(&site, request.as_bytes());
    let mut some = [0; 1000];
    first.read_exact(&mut some).unwrap();
    assert!(some.starts_with(b"HTTP/1.1 206"));
    let second = publisher.get(&format!("/v/{key}"), &["Range: bytes=0-9"]);
    assert_eq!((second.status, second.header("retry-after")), (503, Some("10")));
    assert!(second.text().contains("nearcast://"), "{second:?}");
    let page = publisher.get(&format!("/v/{key}/Long.mp4"), &["Accept: text/html"]);
    assert!(page.status == 503 && page.text().contains("Open in Nearcast"));
    // The app isn't among those who have to wait.
    assert_eq!(publisher.get(&format!("/v/{key}"), &[]).status, 302);
    let mut rest = Vec::new();
    first.read_to_end(&mut rest).unwrap();
    assert_eq!(publisher.get(&format!("/v/{key}"), &["Range: bytes=0-9"]).status, 206);

    // Nobody is let in at the end, and who is in may finish.
    let mut last = open(&site, request.as_bytes());
    last.read_exact(&mut some).unwrap();
    publisher.running.terminate();
    publisher.running.wait_for("ending");
    let ask_health = || ask(&publisher.running.admin, "GET", "/healthz", &[], b"");
    assert_eq!(ask_health().status, 503);
    let mut rest = Vec::new();
    last.read_to_end(&mut rest).unwrap();
    let head = some.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(some.len() - head + rest.len(), 64_000_000);
    let mut publisher = publisher;
    assert!(publisher.running.wait().success());
}

#[test]
fn what_is_not_here_is_said_in_a_sentence() {
    let (publisher, _) = publisher(&["--direct", "0"]);
    let nobody = "a".repeat(52);
    for path in [
        format!("/v/{nobody}"),
        "/v/nonsense".into(),
        format!("/t/{nobody}"),
        format!("/play/{nobody}"),
        format!("/embed/{nobody}"),
    ] {
        let answer = publisher.get(&path, &["Accept: text/html"]);
        assert!(answer.status == 404 && answer.text().contains("This film isn"), "{path}: {answer:?}");
    }
    let plain = send(
        &publisher.running.site,
        format!("GET /v/{nobody} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes(),
    );
    assert!(plain.status == 404 && !plain.text().contains('<'), "{plain:?}");
}
