//! The pages, as HTML that needs no script.

pub(crate) mod catalogue;
pub(crate) mod embed;
pub(crate) mod play;
pub(crate) mod title;
pub(crate) mod trouble;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::{
    language::Language,
    poster::{self, HEIGHT, WIDTH},
    words::Words,
};
use crate::library::Title;

pub(crate) const STYLE: &str = include_str!("../style.css");
pub(crate) const SCRIPT: &str = include_str!("../site.js");
pub(crate) const ICON: &str = include_str!("../../../../../assets/icon.svg");

const IN_URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A text as a part of a URL.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, IN_URL).to_string()
}

/// For whom a page is made, and where it stands.
pub(crate) struct Scene<'a> {
    /// The site's name.
    pub site: &'a str,
    /// The address under which viewers reach the site.
    pub public: &'a Url,
    pub language: Language,
    /// From the page up to the site's top: links stay true behind a proxy that adds a folder.
    pub up: &'static str,
    /// The page's path and question below the top, without a chosen language.
    pub here: String,
    /// What stands in the search field.
    pub question: &'a str,
}

/// What a page says of itself to machines.
#[derive(Default)]
pub(crate) struct Head {
    pub title: String,
    pub description: String,
    /// A JPEG picture of it, below the site's top.
    pub picture: Option<String>,
    /// The length of the film it shows, s.
    pub film_seconds: Option<u64>,
    /// What the browser opens by itself. It stays on the page, whether a program for it is there or not.
    pub refresh: Option<String>,
    /// Not for search engines.
    pub unlisted: bool,
}

impl Scene<'_> {
    pub(crate) fn words(&self) -> &'static Words {
        self.language.words()
    }

    /// This page in another language.
    fn in_language(&self, language: Language) -> String {
        let joined = if self.here.contains('?') { '&' } else { '?' };
        format!("{}{}{joined}lang={}", self.up, self.here_or_top(), language.code())
    }

    /// The page's own address may be the empty one only at the top.
    fn here_or_top(&self) -> &str {
        if self.here.is_empty() && self.up.is_empty() { "./" } else { &self.here }
    }

    /// The site's top, from the page.
    pub(crate) fn top(&self) -> &'static str {
        if self.up.is_empty() { "./" } else { self.up }
    }

    /// The whole address of a path below the site's top.
    pub(crate) fn whole(&self, path: &str) -> String {
        self.public.join(path).map_or_else(|_| path.to_owned(), Into::into)
    }
}

/// A whole page around its content.
pub(crate) fn page(scene: &Scene<'_>, head: &Head, content: &Markup) -> Markup {
    let (words, up) = (scene.words(), scene.up);
    html! {
        (DOCTYPE)
        html lang=(scene.language.tag()) {
            head {
                (machine_words(scene, head))
                link rel="stylesheet" href={ (up) "style.css" };
                script src={ (up) "site.js" } defer {}
            }
            body {
                a class="skip" href="#content" { (words.skip) }
                header class="top" {
                    a class="brand" href=(scene.top()) {
                        img src={ (up) "icon.svg" } alt="" width="32" height="32";
                        span { (scene.site) }
                    }
                    form class="search" role="search" action=(scene.top()) method="get" {
                        label class="unseen" for="q" { (words.search_for) }
                        (MAGNIFIER)
                        input id="q" type="search" name="q" value=(scene.question) placeholder=(words.search_for)
                            maxlength="200" autocomplete="off" enterkeyhint="search";
                        button type="submit" class="unseen" { (words.search) }
                    }
                    nav class="languages" aria-label=(words.language) {
                        @for language in Language::ALL {
                            a href=(scene.in_language(language)) lang=(language.tag()) hreflang=(language.tag())
                                rel="nofollow" aria-current=[(language == scene.language).then_some("true")] {
                                (language.own_name())
                            }
                        }
                    }
                }
                main id="content" tabindex="-1" { (content) }
                footer {
                    p { (words.promise) }
                    p class="feeds" { a href={ (up) "feed.xml" } { (FEED) (words.feed) } }
                }
            }
        }
    }
}

fn machine_words(scene: &Scene<'_>, head: &Head) -> Markup {
    let up = scene.up;
    let address = scene.whole(&scene.here);
    let title = if head.title == scene.site {
        head.title.clone()
    } else {
        format!("{} · {}", head.title, scene.site)
    };
    let picture = head.picture.as_deref().map(|picture| scene.whole(picture));
    let locale = if scene.language == Language::English { "en_US" } else { "zh_CN" };
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        meta name="color-scheme" content="light dark";
        meta name="theme-color" media="(prefers-color-scheme: light)" content="#f6f6fb";
        meta name="theme-color" media="(prefers-color-scheme: dark)" content="#0f0e17";
        @if let Some(target) = &head.refresh {
            meta http-equiv="refresh" content={ "0;url=" (target) };
        }
        title { (title) }
        meta name="description" content=(head.description);
        @if head.unlisted {
            meta name="robots" content="noindex";
        } @else {
            link rel="canonical" href=(address);
            @for language in Language::ALL {
                link rel="alternate" hreflang=(language.tag())
                    href={ (address) @if address.contains('?') { "&" } @else { "?" } "lang=" (language.code()) };
            }
        }
        link rel="icon" type="image/svg+xml" href={ (up) "icon.svg" };
        link rel="manifest" href={ (up) "site.webmanifest" };
        link rel="alternate" type="application/rss+xml" title=(scene.site) href={ (up) "feed.xml" };
        link rel="alternate" type="application/feed+json" title=(scene.site) href={ (up) "feed.json" };
        meta property="og:site_name" content=(scene.site);
        meta property="og:title" content=(head.title);
        meta property="og:description" content=(head.description);
        meta property="og:url" content=(address);
        meta property="og:locale" content=(locale);
        meta property="og:type" content=(if head.film_seconds.is_some() { "video.other" } else { "website" });
        @if let Some(seconds) = head.film_seconds.filter(|seconds| *seconds > 0) {
            meta property="video:duration" content=(seconds);
        }
        @if let Some(picture) = &picture {
            meta property="og:image" content=(picture);
            meta property="og:image:alt" content=(head.title);
            meta name="twitter:image" content=(picture);
        }
        meta name="twitter:card" content=(if picture.is_some() { "summary_large_image" } else { "summary" });
        meta name="twitter:title" content=(head.title);
        meta name="twitter:description" content=(head.description);
    }
}

/// The path of a title's picture below the site's top, if it has one.
pub(crate) fn picture_path(title: &Title) -> Option<String> {
    title.poster.as_ref().map(|_| format!("poster/{}.jpg", title.key))
}

/// A title's picture: the still from the film, or one drawn from its name.
pub(crate) fn picture(up: &str, title: &Title, lazy: bool) -> Markup {
    match picture_path(title) {
        // What it shows is said by the title beside it.
        Some(path) => html! {
            img src={ (up) (path) } alt="" width=(WIDTH) height=(HEIGHT) decoding="async" loading=[lazy.then_some("lazy")];
        },
        None => poster::drawn(&title.name),
    }
}

/// A sign in the size of the text around it.
macro_rules! sign {
    ($name:ident, $path:literal) => {
        pub(crate) const $name: PreEscaped<&str> = PreEscaped(concat!(
            r#"<svg class="sign" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d=""#,
            $path,
            r#""/></svg>"#
        ));
    };
}
sign!(TRIANGLE, "M7 4.5v15a1 1 0 0 0 1.52.86l12-7.5a1 1 0 0 0 0-1.72l-12-7.5A1 1 0 0 0 7 4.5Z");
sign!(
    MAGNIFIER,
    "M10.5 3a7.5 7.5 0 1 0 4.55 13.46l4.24 4.25a1 1 0 0 0 1.42-1.42l-4.25-4.24A7.5 7.5 0 0 0 10.5 3Zm0 2a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11Z"
);
sign!(
    FEED,
    "M5 3a1.5 1.5 0 0 0 0 3c7.2 0 13 5.8 13 13a1.5 1.5 0 0 0 3 0C21 10.2 13.8 3 5 3Zm0 6.5a1.5 1.5 0 0 0 0 3A6.5 6.5 0 0 1 11.5 19a1.5 1.5 0 0 0 3 0A9.5 9.5 0 0 0 5 9.5ZM6 16a2 2 0 1 0 0 4 2 2 0 0 0 0-4Z"
);
sign!(
    PEOPLE,
    "M9 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8Zm7.5 1.5a3 3 0 1 0 0 6 3 3 0 0 0 0-6ZM9 13.5c-3.9 0-7 2-7 4.6V19a1 1 0 0 0 1 1h12a1 1 0 0 0 1-1v-.9c0-2.6-3.1-4.6-7-4.6Zm7.6-.5c-.6 0-1.2.1-1.7.2 1.9 1 3.1 2.7 3.1 4.9v.9h3a1 1 0 0 0 1-1v-.6c0-2.4-2.4-4.4-5.4-4.4Z"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_chosen_on_any_page() {
        let public = Url::parse("https://films.example/a/").unwrap();
        let scene = |up, here: &str| Scene {
            site: "Films",
            public: &public,
            language: Language::English,
            up,
            here: here.into(),
            question: "",
        };
        assert_eq!(scene("", "").in_language(Language::Chinese), "./?lang=zh");
        assert_eq!(scene("", "?q=a").in_language(Language::English), "?q=a&lang=en");
        assert_eq!(scene("../", "t/x").in_language(Language::Chinese), "../t/x?lang=zh");
        assert_eq!(scene("../", "t/x").whole("t/x"), "https://films.example/a/t/x");
    }

    #[test]
    fn a_part_of_a_url_is_one_whatever_is_in_it() {
        assert_eq!(encoded("a/b?c&d 中"), "a%2Fb%3Fc%26d%20%E4%B8%AD");
    }
}
