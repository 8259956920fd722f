//! A small page with a button, for a frame on somebody else's site.

use maud::{DOCTYPE, Markup, html};

use super::{Scene, TRIANGLE, picture};
use crate::site::{figures, shelf::Shown};

/// The whole page. Its links open beside the page it is framed in, which stays.
pub(crate) fn embed(scene: &Scene<'_>, shown: &Shown) -> Markup {
    let (title, up) = (&shown.title, scene.up);
    let play = title.films.first().map_or(title.key, |film| film.link.id);
    html! {
        (DOCTYPE)
        html lang=(scene.language.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title.name) }
                link rel="stylesheet" href={ (up) "style.css" };
            }
            body class="embedded" {
                main {
                    a class="embed" href={ (up) "play/" (play) } target="_blank" rel="noopener" {
                        span class="picture" { (picture(up, title, false)) }
                        div class="about" {
                            h1 { (title.name) }
                            p class="soft" {
                                @if let Some(length) = shown.length { span { (figures::length(length)) } }
                                span { (scene.site) }
                            }
                        }
                        span class="round small" aria-hidden="true" { (TRIANGLE) }
                        span class="unseen" { (scene.words().play) }
                    }
                }
            }
        }
    }
}
