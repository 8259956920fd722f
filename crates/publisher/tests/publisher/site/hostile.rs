//! What no visitor sends.

use std::io::Write;

use super::web::{Publisher, ask, open, send};

#[test]
fn nothing_that_is_sent_gets_a_file_or_stops_the_program() {
    let publisher = Publisher::start(&["One.mp4"], &[]);
    let site = publisher.running.site.clone();
    let long = format!("/?q={}", "a".repeat(60_000));
    let deep = "/..".repeat(500);
    for path in [
        "/../../etc/passwd",
        "/v/../../../etc/passwd",
        "/v/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/v/..%5c..%5c",
        "/poster/../../index.json",
        "/poster/%2e%2e%2fadmin-token",
        "/t/%00",
        "/v/%ff%fe",
        "/?q=%ff%fe%00",
        "/?lang=%ff",
        "/?page=-1",
        "/?page=NaN",
        "/?sort=%27%3Cscript%3E",
        "/?in=..%2f..%2f",
        "/?in=%2F%2F",
        "/play/%20",
        "/embed/%3Cscript%3E",
        "//evil.example/",
        "/t/a/b/c/d/e",
        "/.well-known/nearcast?url=%ff",
        &long,
        &deep,
    ] {
        let answer = ask(&site, "GET", path, &[], b"");
        assert!(
            [200, 308, 400, 404, 414, 431].contains(&answer.status),
            "{}: {}",
            &path[..path.len().min(60)],
            answer.status
        );
        assert!(!answer.text().contains("root:"), "{path}");
        assert!(!answer.text().contains("<script>"), "{path}");
    }
    let flood: String = (0..5000).map(|number| format!("X-{number}: {number}\r\n")).collect();
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n", "lang=zh; ".repeat(20_000));
    for (what, bytes) in [
        ("a flood of headers", format!("GET / HTTP/1.1\r\nHost: a\r\n{flood}\r\n").into_bytes()),
        ("a large header", large.into_bytes()),
        ("no text", b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\nAccept-Language: \xff\r\nCookie: lang=\xff\r\nConnection: close\r\n\r\n".to_vec()),
        ("no path", b"GET \xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00".repeat(1000)),
        ("an odd method", b"BREW / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_vec()),
        ("a body where none belongs", b"POST /v/a HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\nConnection: close\r\n\r\n".to_vec()),
    ] {
        let answer = send(&site, &bytes);
        assert!(answer.status == 0 || answer.status == 200 || answer.status >= 400, "{what}: {answer:?}");
    }
    // Lines that say nothing hold up nobody.
    let mut silent: Vec<_> = (0..200).map(|_| open(&site, b"GET / HT")).collect();
    assert_eq!(publisher.get("/", &[]).status, 200);
    silent.iter_mut().for_each(|line| drop(line.write_all(b"T")));
    for range in ["bytes=0-1,".repeat(2000), "bytes=--".into(), "bytes=9-1".into(), "\u{0}".into()] {
        let answer = publisher.get(&format!("/v/{}", publisher.key("One")), &[&format!("Range: {range}")]);
        assert!(answer.status == 200 || answer.status >= 206, "{}", answer.status);
        assert!(answer.body.len() <= 80_200);
    }
}
