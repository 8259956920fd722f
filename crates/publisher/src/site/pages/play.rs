//! The way into the app: the browser opens the link by itself, and the page says what to do if it can't.
//!
//! A browser that knows no program for `nearcast:` stays on this page when it is sent there by a refresh, so
//! that the page is all that a visitor without the app ever sees. A script could not tell either.

use maud::{Markup, html};
use nearcast_protocol::Link;

use super::{
    Head, Scene, TRIANGLE, page, picture, picture_path,
    title::{copied, file_path},
};
use crate::site::{figures, shelf::Shown};

/// What the page offers.
pub(crate) struct Ways<'a> {
    /// What the app opens.
    pub link: &'a Link,
    /// Where the app is had.
    pub download: Option<&'a url::Url>,
    /// Whether its bytes are given to those without the app.
    pub direct: bool,
    /// What the visitor's address shows, for the film's other addresses.
    pub carried: &'a str,
}

/// The whole page.
pub(crate) fn play(scene: &Scene<'_>, shown: &Shown, ways: &Ways<'_>) -> Markup {
    let words = scene.words();
    let title = &shown.title;
    let link = ways.link.to_string();
    let film = title.film(&ways.link.id);
    let head = Head {
        title: scene.language.play_it(&title.name),
        description: words.slogan.into(),
        picture: picture_path(title),
        refresh: Some(link.clone()),
        unlisted: true,
        ..Head::default()
    };
    let terminal = format!("nearcast play '{link}' --player mpv");
    let content = html! {
        div class="playing" {
            div class="picture" { (picture(scene.up, title, false)) }
            div class="about" {
                p class="trail" { (words.back_to) " " a href={ (scene.up) "t/" (title.key) } { (title.name) } }
                h1 { (words.opening) }
                p class="short" {
                    span { (title.name) }
                    @if let Some(film) = film {
                        @if let Some(episode) = film.episode { span { (scene.language.episode(episode.season, episode.number)) } }
                        @if let Some(length) = film.length() { span { (figures::length(length)) } }
                    }
                }
                p { (words.opening_more) }
                p class="actions" { a class="button" href=(link) { (TRIANGLE) (words.open_app) } }
            }
            div class="ways" {
                section {
                    h2 { (words.no_app) }
                    @match ways.download {
                        Some(download) => {
                            p { (words.no_app_more) }
                            p { a class="button second" href=(download) rel="noreferrer" { (words.get_app) } }
                        }
                        None => p { (words.no_app_ask) },
                    }
                }
                section {
                    h2 { (words.app_silent) }
                    p { (words.app_silent_more) }
                    (copied(scene, "app-link", words.app_link, &link))
                }
                @if ways.direct {
                    section {
                        h2 { (words.without_app) }
                        p { (words.without_app_more) }
                        p { a class="button second" href={ (scene.up) (file_path(ways.link)) (ways.carried) } { (words.watch_here) } }
                    }
                }
                section {
                    h2 { (words.by_hand) }
                    p { (words.by_hand_more) }
                    (copied(scene, "by-hand", words.by_hand, &terminal))
                }
            }
        }
    };
    page(scene, &head, &content)
}
