//! New titles for feed readers: RSS 2.0 and JSON Feed 1.1; and the whole site for search engines.

use maud::{Markup, PreEscaped, html};
use serde_json::{Value, json};

use super::{
    figures,
    pages::{Scene, picture_path},
    shelf::{Order, Shelf, Shown},
};

/// Titles in a feed.
const LATEST: usize = 50;
/// Addresses in a sitemap, as its protocol has it.
const IN_A_MAP: usize = 50_000;

const XML: PreEscaped<&str> = PreEscaped("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");

/// A text without the letters that XML 1.0 has no place for.
fn sound(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control() && !matches!(letter, '\u{fffe}' | '\u{ffff}')).collect()
}

fn latest(shelf: &Shelf) -> impl Iterator<Item = &Shown> {
    shelf.in_order(Order::Newest).take(LATEST)
}

/// What a title is, in a line.
fn about(scene: &Scene<'_>, shown: &Shown) -> String {
    let mut parts: Vec<String> = shown.title.category.clone();
    if shown.episodes > 1 {
        parts.push(scene.language.episodes(shown.episodes));
    }
    parts.extend(shown.length.map(figures::length));
    parts.extend(shown.quality.clone());
    parts.push(figures::bytes(shown.size));
    sound(&parts.join(" · "))
}

/// RSS 2.0.
pub(crate) fn rss(scene: &Scene<'_>, shelf: &Shelf) -> String {
    let date =
        |shown: &Shown| figures::moment(shown.title.added).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let channel: Markup = html! {
        (XML)
        rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom" {
            channel {
                title { (sound(scene.site)) }
                (PreEscaped("<link>")) (scene.whole("")) (PreEscaped("</link>"))
                description { (scene.words().slogan) }
                language { (scene.language.tag()) }
                generator { "nearcast-publisher" }
                atom:link href=(scene.whole("feed.xml")) rel="self" type="application/rss+xml" {}
                @for shown in latest(shelf) {
                    @let page = scene.whole(&format!("t/{}", shown.title.key));
                    item {
                        title { (sound(&shown.title.name)) }
                        (PreEscaped("<link>")) (page) (PreEscaped("</link>"))
                        guid isPermaLink="false" { (shown.title.key) }
                        pubDate { (date(shown)) }
                        @for folder in &shown.title.category { category { (sound(folder)) } }
                        description { (about(scene, shown)) }
                    }
                }
            }
        }
    };
    channel.into_string()
}

/// JSON Feed 1.1.
pub(crate) fn json_feed(scene: &Scene<'_>, shelf: &Shelf) -> Value {
    let items: Vec<Value> = latest(shelf)
        .map(|shown| {
            let title = &shown.title;
            let mut item = json!({
                "id": title.key.to_string(),
                "url": scene.whole(&format!("t/{}", title.key)),
                "title": title.name,
                "content_text": about(scene, shown),
                "date_published": figures::moment(title.added).to_string(),
                "date_modified": figures::moment(title.modified.max(title.added)).to_string(),
                "tags": title.category,
            });
            if let Some(picture) = picture_path(title) {
                item["image"] = scene.whole(&picture).into();
            }
            item
        })
        .collect();
    json!({
        "version": "https://jsonfeed.org/version/1.1",
        "title": scene.site,
        "description": scene.words().slogan,
        "language": scene.language.tag(),
        "home_page_url": scene.whole(""),
        "feed_url": scene.whole("feed.json"),
        "icon": scene.whole("icon.svg"),
        "items": items,
    })
}

/// The addresses of all titles.
pub(crate) fn sitemap(scene: &Scene<'_>, shelf: &Shelf) -> String {
    let day = |shown: &Shown| figures::moment(shown.title.modified).strftime("%Y-%m-%d").to_string();
    let map: Markup = html! {
        (XML)
        urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" {
            url { loc { (scene.whole("")) } }
            @for shown in shelf.in_order(Order::Newest).take(IN_A_MAP - 1) {
                url {
                    loc { (scene.whole(&format!("t/{}", shown.title.key))) }
                    lastmod { (day(shown)) }
                }
            }
        }
    };
    map.into_string()
}

/// What robots may look at: the pages, not the films.
pub(crate) fn robots(scene: &Scene<'_>) -> String {
    let top = scene.public.path();
    format!(
        "User-agent: *\nDisallow: {top}v/\nDisallow: {top}play/\nDisallow: {top}embed/\nSitemap: {}\n",
        scene.whole("sitemap.xml")
    )
}

/// What a phone needs to put the site on its home screen.
pub(crate) fn manifest(scene: &Scene<'_>) -> Value {
    json!({
        "name": scene.site,
        "short_name": scene.site,
        "description": scene.words().slogan,
        "lang": scene.language.tag(),
        "start_url": "./",
        "scope": "./",
        "display": "minimal-ui",
        "background_color": "#0f0e17",
        "theme_color": "#0f0e17",
        "icons": [{ "src": "icon.svg", "type": "image/svg+xml", "sizes": "any", "purpose": "any" }],
    })
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::site::{language::Language, shelf::tests::shelf};

    #[test]
    fn feeds_name_the_newest_first_and_escape_what_they_name() {
        let public = Url::parse("https://films.example/").unwrap();
        let scene = Scene {
            site: "A & B",
            public: &public,
            language: Language::English,
            up: "",
            here: String::new(),
            question: "",
        };
        let shelf = shelf(&["Old", "电影/New <1>"]);
        let feed = rss(&scene, &shelf);
        assert!(feed.starts_with("<?xml") && feed.contains("<title>A &amp; B</title>"), "{feed}");
        assert!(
            feed.contains("<title>New &lt;1&gt;</title>") && feed.contains("<link>https://films.example/t/")
        );
        assert!(feed.find("New").unwrap() < feed.find("Old").unwrap());
        assert!(feed.contains("<pubDate>Tue, 14 Nov 2023 22:13:2"), "{feed}");
        let json = json_feed(&scene, &shelf);
        assert_eq!(json["items"][0]["tags"][0], "电影");
        assert!(sitemap(&scene, &shelf).matches("<loc>").count() == 3);
        assert!(robots(&scene).contains("Sitemap: https://films.example/sitemap.xml"));
    }
}
