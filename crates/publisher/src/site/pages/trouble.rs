//! Pages for what isn't there: they say why, and lead on.

use maud::{Markup, html};
use nearcast_protocol::Link;

use super::{Head, Scene, TRIANGLE, page};

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No such page.
    NotFound,
    /// No such film, and nobody is known who holds it.
    NoFilm,
    /// The film was taken down.
    Gone,
    /// Others hold it, but the whole link isn't known.
    Elsewhere {
        /// How many.
        holders: u32,
    },
    /// All places for those without the app are taken.
    Busy,
}

impl Trouble {
    /// Heading and explanation.
    fn said(self, scene: &Scene<'_>) -> (&'static str, &'static str) {
        let words = scene.words();
        match self {
            Self::NotFound => (words.not_found, words.not_found_more),
            Self::NoFilm => (words.no_film, words.no_film_more),
            Self::Gone => (words.gone, words.gone_more),
            Self::Elsewhere { .. } => (words.elsewhere, words.elsewhere_more),
            Self::Busy => (words.busy, words.busy_more),
        }
    }

    /// One line for programs.
    pub(crate) fn line(self, scene: &Scene<'_>) -> String {
        let (heading, more) = self.said(scene);
        match self {
            Self::Elsewhere { holders } => {
                format!("{heading}. {} {more}\n", scene.language.others_hold(holders))
            }
            _ => format!("{heading}. {more}\n"),
        }
    }
}

/// The whole page; with the link in the app, if there is one.
pub(crate) fn trouble(scene: &Scene<'_>, trouble: Trouble, link: Option<&Link>) -> Markup {
    let words = scene.words();
    let (heading, more) = trouble.said(scene);
    let elsewhere = matches!(trouble, Trouble::Elsewhere { .. });
    let more = if elsewhere && link.is_some() { words.elsewhere_link } else { more };
    let head = Head { title: heading.into(), description: more.into(), unlisted: true, ..Head::default() };
    let content = html! {
        div class="nothing" {
            h1 { (heading) }
            @if let Trouble::Elsewhere { holders } = trouble { p { (scene.language.others_hold(holders)) } }
            p { (more) }
            p class="actions" {
                @if let Some(link) = link {
                    a class="button" href=(link) { (TRIANGLE) (words.open_app) }
                }
                a class="button second" href=(scene.top()) { (words.to_catalogue) }
            }
        }
    };
    page(scene, &head, &content)
}
