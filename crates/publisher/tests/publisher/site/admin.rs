//! Orders: with the token alone, and never undone by a crash.

use super::web::{Publisher, ask, write};

#[test]
fn nothing_is_done_without_the_token_or_from_another_site() {
    let publisher = Publisher::start(&["One.mp4"], &[]);
    let admin = publisher.running.admin.clone();
    let key = publisher.key("One");
    let token = publisher.token();
    let right = format!("Authorization: Bearer {token}");
    for wrong in ["X: y", "Authorization: Bearer wrong", "Authorization: Basic YTpi", "Authorization: \u{ff}"]
    {
        let answer = ask(&admin, "DELETE", &format!("/api/titles/{key}"), &[wrong], b"");
        assert_eq!(answer.status, 401, "{wrong}");
        assert!(answer.json()["error"].as_str().unwrap().contains("token"));
    }
    for (header, status) in
        [("Host: evil.example", 421), ("Origin: http://evil.example", 403), ("Origin: null", 403)]
    {
        let answer = ask(&admin, "DELETE", &format!("/api/titles/{key}"), &[&right, header], b"");
        assert_eq!(answer.status, status, "{header}");
    }
    assert_eq!(ask(&admin, "GET", "/", &["Host: evil.example"], b"").status, 421);
    assert_eq!(publisher.order("GET", &format!("/api/titles/{key}"), "").json()["name"], "One");
    // The site knows nothing of orders.
    assert_eq!(ask(&publisher.running.site, "GET", "/api/titles", &[&right], b"").status, 404);
    let wrong = publisher.order("PATCH", &format!("/api/titles/{key}"), "{\"nome\": 1}");
    assert!(wrong.status == 400 && wrong.json()["error"].as_str().unwrap().contains("nome"));
    assert_eq!(publisher.order("PATCH", &format!("/api/titles/{key}"), "{\"name\": \"\"}").status, 400);
    assert_eq!(publisher.order("DELETE", "/api/titles/nonsense", "").status, 404);
    assert_eq!(publisher.order("POST", "/api/titles", "{\"path\": \"/nowhere/at/all\"}").status, 400);
    assert_eq!(publisher.order("GET", "/api/nothing", "").status, 404);
}

#[test]
fn orders_outlive_a_crash() {
    let publisher = Publisher::start(&["One.mp4", "Two.mp4", "Three.mp4"], &[]);
    let (one, two, three) = (publisher.key("One"), publisher.key("Two"), publisher.key("Three"));
    assert_eq!(publisher.order("PUT", &format!("/api/titles/{one}/held"), "").json()["held"], true);
    assert_eq!(publisher.get(&format!("/v/{one}"), &[]).status, 410);
    assert_eq!(publisher.get(&format!("/v/{one}/One.mp4"), &["Range: bytes=0-0"]).status, 410);
    let page = publisher.get(&format!("/t/{one}"), &[]);
    assert!(page.status == 410 && page.text().contains("taken down"));
    let renamed = publisher.order("PATCH", &format!("/api/titles/{two}"), "{\"name\": \"二号\"}");
    assert_eq!(renamed.json()["name"], "二号");
    assert_eq!(publisher.order("DELETE", &format!("/api/titles/{three}"), "").status, 204);
    let limits = publisher
        .order(
            "PATCH",
            "/api/limits",
            "{\"upload\": \"20Mbit\", \"direct\": 3, \"streams\": 2, \"streams_in_all\": 9}",
        )
        .json();
    assert_eq!(
        (&limits["in_force"]["upload"], &limits["set_here"]["direct"]),
        (&"20.0 Mbit/s".into(), &3.into())
    );
    assert_eq!(publisher.order("PATCH", "/api/limits", "{\"upload\": \"fast\"}").status, 400);

    let publisher = publisher.again(1, &[]);
    assert_eq!(publisher.get(&format!("/v/{one}"), &[]).status, 410);
    assert_eq!(publisher.get(&format!("/v/{three}"), &[]).status, 404);
    assert!(publisher.films.path().join("Three.mp4").exists());
    assert!(publisher.get("/?q=%E4%BA%8C%E5%8F%B7", &[]).text().contains(&two));
    let limits = publisher.order("GET", "/api/limits", "").json();
    assert_eq!(
        (&limits["in_force"]["streams"], &limits["in_force"]["streams_in_all"]),
        (&2.into(), &9.into())
    );
    assert_eq!(
        (&limits["in_force"]["upload"], &limits["in_force"]["direct"]),
        (&"20.0 Mbit/s".into(), &3.into())
    );
    let back = publisher.order("PATCH", "/api/limits", "{\"upload\": null, \"direct\": null}").json();
    assert_eq!(
        (&back["in_force"]["upload"], &back["in_force"]["direct"]),
        (&serde_json::Value::Null, &8.into())
    );
    // And up again.
    assert_eq!(publisher.order("DELETE", &format!("/api/titles/{one}/held"), "").json()["held"], false);
    publisher.running.up(1);
    assert_eq!(publisher.get(&format!("/v/{one}"), &[]).status, 302);
    let named = publisher.order("PATCH", &format!("/api/titles/{two}"), "{\"name\": null}");
    assert_eq!(named.status, 200);
}

#[test]
fn films_are_sent_in_whole_or_not_at_all() {
    let publisher = Publisher::start(&["One.mp4"], &["--largest", "1"]);
    let body = "film".repeat(20_000);
    assert_eq!(publisher.order("PUT", "/api/files/%E6%96%B0/Sent.mp4", &body).status, 201);
    publisher.running.up(1);
    let key = publisher.key("Sent");
    let sent = publisher.get(&format!("/v/{key}"), &["Range: bytes=0-"]);
    assert_eq!(sent.body, body.as_bytes());
    assert_eq!(publisher.order("PUT", "/api/files/%E6%96%B0/Sent.mp4", &body).status, 409);
    for path in ["..%2fout.mp4", ".hidden.mp4", "%2Fetc%2Fout.mp4", "a%00b.mp4"] {
        assert_eq!(publisher.order("PUT", &format!("/api/files/{path}"), "x").status, 400, "{path}");
    }
    let token = format!("Authorization: Bearer {}", publisher.token());
    let large = ask(
        &publisher.running.admin,
        "PUT",
        "/api/files/Large.mp4",
        &[&token, "Content-Length: 1000000001"],
        b"x",
    );
    assert!(
        large.status == 413 && large.json()["error"].as_str().unwrap().contains("1000000000"),
        "{large:?}"
    );
    assert!(!publisher.films.path().join("Large.mp4").exists());
    // What another folder has is put up where it lies.
    let more = tempfile::tempdir().unwrap();
    write(&more.path().join("Elsewhere.mp4"), 9, 80_000);
    let path = serde_json::json!({ "path": more.path() }).to_string();
    assert_eq!(publisher.order("POST", "/api/titles", &path).status, 202);
    publisher.running.up(1);
    publisher.key("Elsewhere");
}

#[test]
fn what_goes_on_is_told_to_people_and_programs() {
    let publisher = Publisher::start(&["One.mp4"], &[]);
    let admin = publisher.running.admin.clone();
    assert_eq!(ask(&admin, "GET", "/healthz", &[], b"").text(), "well\n");
    publisher.get(&format!("/v/{}", publisher.key("One")), &["Range: bytes=0-"]);
    let metrics = ask(&admin, "GET", "/metrics", &[], b"").text();
    for line in ["nearcast_publisher_titles 1", "nearcast_publisher_direct_bytes_total 80000", "# EOF"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let status = publisher.order("GET", "/api/status", "").json();
    assert_eq!((&status["titles"], &status["direct"]["bytes"]), (&1.into(), &80_000.into()));
    let page = ask(&admin, "GET", "/", &["Accept-Language: zh"], b"");
    assert!(page.status == 200 && page.text().contains("跟踪服务器"));
    assert!(ask(&admin, "GET", "/", &[], b"").text().contains("No tracker is named"));
    assert_eq!(ask(&admin, "GET", "/status.js", &[], b"").status, 200);
}
