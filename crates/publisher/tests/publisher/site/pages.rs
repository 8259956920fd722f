//! What a visitor sees.

use super::web::{Answer, Publisher};

fn publisher() -> Publisher {
    let names = ["动画/大兔子.mp4", "Café <Society>.mp4", "Series/Lecture 2.mp4", "Series/Lecture 10.mp4"];
    let publisher = Publisher::start(&names, &["--name", "A & B"]);
    for name in ["大兔子", "Café <Society>", "Lecture 2", "Lecture 10"] {
        publisher.key(name);
    }
    publisher
}

#[test]
fn every_page_is_there_in_both_languages() {
    let publisher = publisher();
    let key = publisher.key("Café <Society>");
    let chinese = ["Accept-Language: zh-CN,zh;q=0.9,en;q=0.5"];
    for (path, english, translated) in [
        ("/".to_owned(), "4 titles", "4 部影片"),
        ("/?q=CAFE".to_owned(), "1 result for", "1 个结果"),
        ("/?q=nothing".to_owned(), "Nothing was found", "没有找到"),
        (format!("/t/{key}"), "Nearcast link", "Nearcast 链接"),
        (format!("/play/{key}"), "Opening in Nearcast", "正在用 Nearcast 打开"),
        (format!("/embed/{key}"), "Play", "播放"),
    ] {
        let one = publisher.get(&path, &[]);
        assert!(one.status == 200 && one.text().contains(english), "{path}: {one:?}");
        assert!(one.header("content-security-policy").unwrap().contains("default-src 'none'"));
        assert!(one.header("vary").is_some() && one.text().contains("<html lang=\"en\""), "{path}");
        assert!(!one.text().contains("<Society>") && !one.text().contains(" style=\""), "{path}");
        let other = publisher.get(&path, &chinese);
        assert!(
            other.text().contains(translated) && other.text().contains("lang=\"zh-Hans\""),
            "{path}: {other:?}"
        );
        assert_eq!(
            publisher.get(&path, &["Cookie: lang=zh", "Accept-Language: en"]).text(),
            other.text(),
            "{path}"
        );
    }
    let chosen = publisher.get("/?lang=zh", &[]);
    assert_eq!(chosen.header("set-cookie"), Some("lang=zh; Path=/; Max-Age=31536000; SameSite=Lax"));
    assert_eq!(publisher.get("/", &[]).header("set-cookie"), None);
    let framed = publisher.get(&format!("/embed/{key}"), &[]);
    assert!(framed.header("content-security-policy").unwrap().contains("frame-ancestors *"));
}

#[test]
fn what_is_found_is_what_was_meant() {
    let publisher = publisher();
    let names = |answer: Answer| -> Vec<String> {
        let text = answer.text();
        let cards = text.split("<li class=\"card\">").skip(1);
        cards
            .map(|card| {
                card.split("</h2>")
                    .next()
                    .unwrap()
                    .rsplit_once("</a>")
                    .unwrap()
                    .0
                    .rsplit('>')
                    .next()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    };
    let find = |question: &str| names(publisher.get(question, &[]));
    assert_eq!(find("/?q=cafe+society"), ["Café &lt;Society&gt;"]);
    assert_eq!(find("/?q=%E5%85%94%E5%AD%90"), ["大兔子"]);
    assert_eq!(find("/?in=Series"), ["Lecture 2", "Lecture 10"]);
    assert_eq!(find("/?q=lecture&in=%E5%8A%A8%E7%94%BB"), [""; 0]);
    assert_eq!(find("/?sort=name").len(), 4);
    assert_eq!(find("/?page=99999999999999999999").len(), 4);
    assert_eq!(publisher.get("/?in=Nowhere", &[]).status, 404);
}

#[test]
fn what_is_known_is_not_sent_again_and_texts_are_compressed() {
    let publisher = publisher();
    let page = publisher.get("/", &[]);
    let tag = format!("If-None-Match: {}", page.header("etag").unwrap());
    let again = publisher.get("/", &[&tag]);
    assert!(again.status == 304 && again.body.is_empty());
    assert_eq!(publisher.get("/", &[&tag, "Accept-Language: zh"]).status, 200);
    let small = publisher.get("/", &["Accept-Encoding: gzip, br"]);
    assert_eq!(small.header("content-encoding"), Some("gzip"));
    assert!(small.body.len() * 2 < page.body.len());
}

#[test]
fn machines_find_what_they_need() {
    let publisher = publisher();
    let feed = publisher.get("/feed.xml", &[]);
    assert!(feed.header("content-type").unwrap().starts_with("application/rss+xml"));
    assert!(feed.text().contains("<title>A &amp; B</title>") && feed.text().matches("<item>").count() == 4);
    let feed = publisher.get("/feed.json", &[]).json();
    assert_eq!(feed["version"], "https://jsonfeed.org/version/1.1");
    assert_eq!(feed["items"].as_array().unwrap().len(), 4);
    assert_eq!(publisher.get("/sitemap.xml", &[]).text().matches("<loc>").count(), 5);
    assert!(publisher.get("/robots.txt", &[]).text().contains("Disallow: /v/"));
    assert_eq!(publisher.get("/site.webmanifest", &[]).json()["name"], "A & B");
    for path in ["/style.css", "/site.js", "/icon.svg", "/healthz"] {
        assert_eq!(publisher.get(path, &[]).status, 200, "{path}");
    }
    let page = publisher.get("/", &[]).text();
    for said in [
        "application/rss+xml",
        "application/feed+json",
        "og:title",
        "twitter:card",
        "rel=\"canonical\"",
        "rel=\"manifest\"",
    ] {
        assert!(page.contains(said), "{said}");
    }
}
