//! The catalogue: titles with their pictures, found by words, by folder, in an order.

use maud::{Markup, html};

use super::{Head, Scene, TRIANGLE, encoded, page, picture};
use crate::{
    library::Hashing,
    site::{
        figures,
        shelf::{Order, Page, Question, Shelf, Shown},
    },
};

/// Folders that are offered at once; the others are folded away.
const FOLDERS: usize = 14;

/// What stays in an address while something else in it changes.
pub(crate) fn address(words: &str, category: &str, order: Order, page: usize) -> String {
    let mut parts = Vec::new();
    if !words.is_empty() {
        parts.push(format!("q={}", encoded(words)));
    }
    if !category.is_empty() {
        parts.push(format!("in={}", encoded(category)));
    }
    if order != Order::default() {
        parts.push(format!("sort={}", order.code()));
    }
    if page > 1 {
        parts.push(format!("page={page}"));
    }
    if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
}

/// The whole page.
pub(crate) fn catalogue(scene: &Scene<'_>, shelf: &Shelf, question: &Question) -> Markup {
    let (words, language) = (scene.words(), scene.language);
    let shown = shelf.page(question);
    let heading = if scene.question.is_empty() {
        match question.category.rsplit('/').next().filter(|name| !name.is_empty()) {
            Some(name) => name.to_owned(),
            None => scene.site.to_owned(),
        }
    } else {
        language.results(shown.count, scene.question)
    };
    let plain = scene.question.is_empty() && question.category.is_empty();
    let title = if shown.page > 1 {
        format!("{heading}, {}", language.page_of(shown.page, shown.pages))
    } else {
        heading.clone()
    };
    let first = shown.titles.first().and_then(|shown| super::picture_path(&shown.title));
    let head = Head {
        title,
        description: words.slogan.into(),
        picture: first,
        unlisted: !scene.question.is_empty(),
        ..Head::default()
    };
    let content = html! {
        div class="heading" {
            @if !question.category.is_empty() { (trail(scene, question)) }
            h1 { (heading) }
            p class="slogan" {
                @if plain { (words.slogan) " · " }
                @if scene.question.is_empty() { (language.titles(shown.count)) }
            }
        }
        (folders(scene, shelf, question))
        @if shown.titles.is_empty() { (nothing(scene, shelf)) } @else {
            (orders(scene, question))
            ul class="shelf" {
                @for (at, entry) in shown.titles.iter().enumerate() { (card(scene, entry, at > 8)) }
            }
            (pages(scene, question, &shown))
        }
        (being_added(scene, &shelf.snapshot.hashing, shelf.snapshot.waiting.files))
    };
    page(scene, &head, &content)
}

/// One title among others.
fn card(scene: &Scene<'_>, shown: &Shown, lazy: bool) -> Markup {
    let (title, language) = (&shown.title, scene.language);
    let play = title.films.first().map(|film| film.link.id);
    html! {
        li class="card" {
            div class="picture" {
                (picture(scene.up, title, lazy))
                @if let Some(quality) = &shown.quality { span class="badge quality" { (quality) } }
                @if shown.episodes > 1 {
                    span class="badge length" { (language.episodes(shown.episodes)) }
                } @else if let Some(length) = shown.length {
                    span class="badge length" { (figures::length(length)) }
                }
                @if let Some(id) = play {
                    a class="round" href={ (scene.up) "v/" (id) } aria-label=(language.play_it(&title.name)) { (TRIANGLE) }
                }
            }
            h2 { a href={ (scene.up) "t/" (title.key) } { (title.name) } }
            p class="soft" {
                @if let Some(folder) = title.category.last() { span { (folder) } }
                span { (figures::bytes(shown.size)) }
            }
        }
    }
}

fn trail(scene: &Scene<'_>, question: &Question) -> Markup {
    let parts: Vec<&str> = question.category.split('/').collect();
    html! {
        nav class="trail" aria-label=(scene.words().categories) {
            a href={ (scene.top()) (address("", "", question.order, 1)) } { (scene.words().all) }
            @for end in 1..parts.len() {
                " / "
                a href={ (scene.top()) (address("", &parts[..end].join("/"), question.order, 1)) } { (parts[end - 1]) }
            }
        }
    }
}

fn folders(scene: &Scene<'_>, shelf: &Shelf, question: &Question) -> Markup {
    let inside = shelf.categories_in(&question.category);
    let to = |path: &str| format!("{}{}", scene.top(), address(scene.question, path, question.order, 1));
    let chip = |one: &crate::site::shelf::Category| {
        html! {
            li { a href=(to(&one.path)) { (one.name) @if scene.question.is_empty() { " " span class="count" { (one.count) } } } }
        }
    };
    html! {
        @if !inside.is_empty() {
            nav class="folders" aria-label=(scene.words().categories) {
                ul {
                    @if question.category.is_empty() {
                        li { a href=(to("")) aria-current="page" { (scene.words().all) } }
                    }
                    @for one in inside.iter().take(FOLDERS) { (chip(one)) }
                }
                @if inside.len() > FOLDERS {
                    details {
                        summary { "+ " (inside.len() - FOLDERS) }
                        ul { @for one in inside.iter().skip(FOLDERS) { (chip(one)) } }
                    }
                }
            }
        }
    }
}

fn orders(scene: &Scene<'_>, question: &Question) -> Markup {
    html! {
        nav class="orders" aria-label=(scene.words().sorting) {
            span aria-hidden="true" { (scene.words().sorting) }
            @for order in Order::ALL {
                a href={ (scene.top()) (address(scene.question, &question.category, order, 1)) }
                    aria-current=[(order == question.order).then_some("true")] { (scene.language.order(order)) }
            }
        }
    }
}

fn nothing(scene: &Scene<'_>, shelf: &Shelf) -> Markup {
    let words = scene.words();
    let empty = shelf.titles().is_empty();
    html! {
        div class="nothing" {
            @if empty {
                h2 { (words.nothing_yet) }
                p { (words.nothing_yet_more) }
            } @else {
                h2 { (words.nothing_found) }
                p { (words.nothing_found_more) }
                p { a class="button second" href=(scene.top()) { (words.show_all) } }
            }
        }
    }
}

fn pages(scene: &Scene<'_>, question: &Question, shown: &Page<'_>) -> Markup {
    let to = |page| {
        format!("{}{}", scene.top(), address(scene.question, &question.category, question.order, page))
    };
    let (now, last) = (shown.page, shown.pages);
    let mut near: Vec<usize> =
        (1..=last).filter(|page| *page == 1 || *page == last || page.abs_diff(now) <= 2).collect();
    near.dedup();
    html! {
        @if last > 1 {
            nav class="pages" aria-label=(scene.words().pages) {
                @if now > 1 { a rel="prev" href=(to(now - 1)) { "← " (scene.words().previous) } }
                ul {
                    @for (at, page) in near.iter().enumerate() {
                        @if at > 0 && near[at - 1] + 1 < *page { li class="gap" aria-hidden="true" { "…" } }
                        li {
                            a href=(to(*page)) aria-label=(scene.language.page_of(*page, last))
                                aria-current=[(*page == now).then_some("page")] { (page) }
                        }
                    }
                }
                @if now < last { a rel="next" href=(to(now + 1)) { (scene.words().next) " →" } }
            }
        }
    }
}

fn being_added(scene: &Scene<'_>, hashing: &[Hashing], waiting: usize) -> Markup {
    html! {
        @if !hashing.is_empty() || waiting > 0 {
            section class="adding" aria-label=(scene.words().being_added) {
                @for one in hashing {
                    @let name = one.path.file_name().unwrap_or_default().to_string_lossy();
                    @let share = one.done.saturating_mul(100).checked_div(one.of).unwrap_or(100).min(100);
                    p {
                        span { (scene.words().being_added) ": " (name) }
                        progress max="100" value=(share) aria-label=(name) { (share) " %" }
                    }
                }
                @if waiting > 0 {
                    p { (scene.words().being_added) ": + " (waiting) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::site::{language::Language, search::Wanted, shelf::tests::shelf};

    fn show(language: Language, shelf: &Shelf, words: &str, question: Question) -> String {
        let public = Url::parse("https://films.example/").unwrap();
        let here = address(words, &question.category, question.order, question.page);
        let scene = Scene { site: "Films", public: &public, language, up: "", here, question: words };
        let question = Question { wanted: Wanted::new(words), ..question };
        catalogue(&scene, shelf, &question).into_string()
    }

    #[test]
    fn titles_have_play_links_and_names_are_escaped() {
        let shelf = shelf(&["<script>alert(1)</script>", "Series/Good & evil"]);
        let page = show(Language::English, &shelf, "", Question::default());
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script>alert"), "{page}");
        assert!(page.contains("Good &amp; evil") && page.contains("href=\"v/") && page.contains("2 titles"));
        assert!(!page.contains(" style="), "the policy allows no style in the page");
    }

    #[test]
    fn a_search_that_finds_nothing_helps_on() {
        let shelf = shelf(&["One"]);
        let page = show(Language::Chinese, &shelf, "<二>", Question::default());
        assert!(
            page.contains("没有找到") && page.contains("&lt;二&gt;") && page.contains("noindex"),
            "{page}"
        );
        let empty = show(Language::English, &Shelf::default(), "", Question::default());
        assert!(empty.contains("Nothing is here yet"));
    }

    #[test]
    fn long_lists_have_pages_that_keep_the_question() {
        let paths: Vec<String> = (0..1000).map(|number| format!("中 文/Film {number}")).collect();
        let shelf = shelf(&paths.iter().map(String::as_str).collect::<Vec<_>>());
        let question =
            Question { category: "中 文".into(), order: Order::Newest, page: 10, ..Question::default() };
        let page = show(Language::English, &shelf, "film", question);
        assert!(page.contains("q=film&amp;in=%E4%B8%AD%20%E6%96%87&amp;sort=new&amp;page=11"), "{page}");
        assert!(page.contains("page=21") && page.contains("Page 10 of 21"));
    }
}
