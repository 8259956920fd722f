//! One title: what it is, who holds it, and every way to it.

use std::collections::BTreeMap;

use maud::{Markup, html};
use nearcast_protocol::tracker::Counts;

use super::{Head, PEOPLE, Scene, TRIANGLE, encoded, page, picture, picture_path};
use crate::{
    library::{Episode, Film, Title},
    site::{
        figures,
        shelf::{Shown, quality_of},
        storyboard::Strip,
    },
};

/// The path of a file's bytes below the site's top.
pub(crate) fn file_path(film: &nearcast_protocol::Link) -> String {
    format!("v/{}/{}", film.id, encoded(&film.name))
}

/// What is known of a title beside itself.
pub(crate) struct Known {
    /// How many hold it, if a tracker has said so lately.
    pub counts: Option<Counts>,
    /// Whether its bytes are given to those without the app.
    pub direct: bool,
    /// Small pictures of it.
    pub strip: Option<Strip>,
    /// Whether a link is good only with a token.
    pub protected: bool,
}

/// The whole page.
pub(crate) fn title(scene: &Scene<'_>, shown: &Shown, known: &Known) -> Markup {
    let (words, language) = (scene.words(), scene.language);
    let title = &shown.title;
    let first = title.films.first();
    let mut short: Vec<String> = Vec::new();
    if shown.episodes > 1 {
        short.push(language.episodes(shown.episodes));
    }
    short.extend(shown.length.map(figures::length));
    short.extend(shown.quality.clone());
    short.push(figures::bytes(shown.size));
    let head = Head {
        title: title.name.clone(),
        description: format!("{} · {}", short.join(" · "), words.slogan),
        picture: picture_path(title),
        film_seconds: Some(shown.length.unwrap_or_default().as_secs()),
        ..Head::default()
    };
    let content = html! {
        article class="title" {
            @if !title.category.is_empty() { (trail(scene, title)) }
            div class="hero" {
                div class="picture" {
                    (picture(scene.up, title, false))
                    @if let Some(film) = first {
                        a class="round large" href={ (scene.up) "play/" (film.link.id) } tabindex="-1" aria-hidden="true" { (TRIANGLE) }
                    }
                }
                div class="about" {
                    h1 { (title.name) }
                    p class="short" { @for part in &short { span { (part) } } }
                    @if let Some(film) = first {
                        p class="actions" {
                            a class="button" href={ (scene.up) "play/" (film.link.id) } { (TRIANGLE) (words.play) }
                            @if known.direct {
                                a class="button second" href={ (scene.up) (file_path(&film.link)) } { (words.other_player) }
                            }
                        }
                    }
                    p class="holders" {
                        (PEOPLE)
                        span data-live={ (scene.up) "t/" (title.key) "/holders" } aria-live="polite" {
                            @match known.counts {
                                Some(counts) => (language.holders(counts.in_group.saturating_add(counts.outside), counts.complete_terminals)),
                                None => (words.slogan),
                            }
                        }
                    }
                    @if let Some(film) = first { (facts(scene, title, film)) }
                }
            }
            @if let Some(strip) = &known.strip { (scenes(scene, title, strip)) }
            @if title.films.len() > 1 { (files(scene, title, known.direct)) }
            (chapters(scene, title))
            (subtitles(scene, title))
            (sharing(scene, title, known.protected))
        }
    };
    page(scene, &head, &content)
}

fn trail(scene: &Scene<'_>, title: &Title) -> Markup {
    html! {
        nav class="trail" aria-label=(scene.words().categories) {
            a href=(scene.top()) { (scene.words().all) }
            @for end in 1..=title.category.len() {
                " / "
                a href={ (scene.top()) "?in=" (encoded(&title.category[..end].join("/"))) } { (title.category[end - 1]) }
            }
        }
    }
}

fn facts(scene: &Scene<'_>, title: &Title, film: &Film) -> Markup {
    let (words, language) = (scene.words(), scene.language);
    let picture = film.facts.video.first().map(|video| {
        let size =
            if video.width > 0 { format!(" {} × {}", video.width, video.height) } else { String::new() };
        let fps = video.fps.map(|fps| format!(", {} fps", (fps * 100.0).round() / 100.0)).unwrap_or_default();
        format!("{}{size}{fps}", video.codec)
    });
    let sound: Vec<_> = film.facts.audio.iter().map(|track| figures::sound(track, language)).collect();
    let inside = film.facts.subtitles.iter().filter_map(|track| track.language.as_deref());
    let beside = title.subtitles.iter().filter_map(|one| one.language.as_deref());
    let mut spoken: Vec<_> = inside.chain(beside).map(|code| figures::spoken(code, language)).collect();
    spoken.sort();
    spoken.dedup();
    let row = |name: &str, value: Option<String>| {
        html! { @if let Some(value) = value.filter(|value| !value.is_empty()) { div { dt { (name) } dd { (value) } } } }
    };
    html! {
        dl class="facts" {
            (row(words.picture, picture))
            (row(words.sound, Some(sound.join(" · "))))
            (row(words.subtitles, Some(spoken.join(", "))))
            (row(words.format, figures::container(film)))
            (row(words.size, Some(figures::bytes(film.link.size))))
            (row(words.added, Some(figures::day(title.added, language))))
        }
    }
}

/// The episodes of a series, and the qualities of each.
fn files(scene: &Scene<'_>, title: &Title, direct: bool) -> Markup {
    let (words, language) = (scene.words(), scene.language);
    let mut parts: BTreeMap<Option<Episode>, Vec<&Film>> = BTreeMap::new();
    for film in &title.films {
        parts.entry(film.episode).or_default().push(film);
    }
    let series = parts.len() > 1;
    html! {
        section {
            h2 { (if series { words.episodes } else { words.versions }) }
            ul class="files" {
                @for (episode, films) in &parts {
                    @for film in films {
                        @let quality = quality_of(film);
                        @let name = match episode {
                            Some(episode) => language.episode(episode.season, episode.number),
                            None => quality.clone().unwrap_or_else(|| film.link.name.clone()),
                        };
                        li {
                            a class="round small" href={ (scene.up) "play/" (film.link.id) } aria-label=(language.play_it(&name)) { (TRIANGLE) }
                            div {
                                h3 { (name) }
                                p class="soft" {
                                    @if episode.is_some() { @if let Some(quality) = &quality { span { (quality) } } }
                                    @if let Some(length) = film.length() { span { (figures::length(length)) } }
                                    span { (figures::bytes(film.link.size)) }
                                    @if let Some(container) = figures::container(film) { span { (container) } }
                                }
                            }
                            @if direct {
                                a class="quiet" href={ (scene.up) (file_path(&film.link)) } aria-label={ (words.other_player) ": " (name) } { (words.other_player) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Pictures of the film as it goes by. Each is a piece of one sheet, so that all of them are one request.
fn scenes(scene: &Scene<'_>, title: &Title, strip: &Strip) -> Markup {
    let sheet = format!("{}storyboard/{}.jpg", scene.up, title.key);
    html! {
        section class="scenes" {
            h2 { (scene.words().scenes) }
            ol {
                @for one in &strip.scenes {
                    li {
                        svg viewBox={ (one.x) " " (one.y) " " (one.width) " " (one.height) } preserveAspectRatio="xMidYMid slice"
                            aria-hidden="true" focusable="false" {
                            image href=(sheet) width=(strip.width) height=(strip.height) {}
                        }
                        span class="badge length" { (figures::length(one.at)) }
                    }
                }
            }
        }
    }
}

fn chapters(scene: &Scene<'_>, title: &Title) -> Markup {
    let chapters = title.films.first().map(|film| film.facts.chapters.as_slice()).unwrap_or_default();
    html! {
        @if !chapters.is_empty() {
            section {
                h2 { (scene.words().chapters) }
                ol class="chapters" {
                    @for (at, chapter) in chapters.iter().enumerate() {
                        li {
                            span class="at" { (figures::length(std::time::Duration::from_millis(chapter.start_ms))) }
                            span {
                                @match chapter.name.as_deref().filter(|name| !name.trim().is_empty()) {
                                    Some(name) => (name),
                                    None => (at + 1),
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn subtitles(scene: &Scene<'_>, title: &Title) -> Markup {
    html! {
        @if !title.subtitles.is_empty() {
            section {
                h2 { (scene.words().subtitles) }
                ul class="subtitles" {
                    @for one in &title.subtitles {
                        li {
                            a href={ (scene.up) (file_path(&one.link)) } download=(one.link.name) {
                                @match &one.language {
                                    Some(code) => (figures::spoken(code, scene.language)),
                                    None => (one.link.name),
                                }
                                " " span class="count" { (one.format.to_uppercase()) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn sharing(scene: &Scene<'_>, title: &Title, protected: bool) -> Markup {
    let words = scene.words();
    let page = scene.whole(&format!("t/{}", title.key));
    let link = title.films.first().map(|film| film.link.to_string()).unwrap_or_default();
    let code = html! {
        iframe src=(scene.whole(&format!("embed/{}", title.key))) width="360" height="96" title=(title.name) loading="lazy" {}
    };
    let play = title.films.first().map(|film| film.link.id).unwrap_or(title.key);
    let anchor = html! { a href=(scene.whole(&format!("play/{play}"))) { "▶ " (title.name) } };
    html! {
        section class="share" {
            h2 { (words.share) }
            p class="soft" { (words.share_more) }
            (copied(scene, "page-link", words.page_link, &page))
            @if !protected { (copied(scene, "app-link", words.app_link, &link)) }
            details {
                summary { (words.embed) }
                p class="soft" { (words.embed_more) }
                (copied(scene, "button-code", words.button_code, &code.into_string()))
                (copied(scene, "link-code", words.link_code, &anchor.into_string()))
            }
        }
    }
}

/// A text to copy: selected by hand, or by a button where scripts run.
pub(crate) fn copied(scene: &Scene<'_>, id: &str, label: &str, text: &str) -> Markup {
    let words = scene.words();
    html! {
        div class="copied" {
            label for=(id) { (label) }
            div {
                input id=(id) type="text" readonly value=(text) spellcheck="false" autocomplete="off" dir="ltr";
                button type="button" class="second" data-copy=(id) data-done=(words.copied) aria-label={ (words.copy) ": " (label) } hidden { (words.copy) }
            }
        }
    }
}
