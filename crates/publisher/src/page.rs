//! The catalogue page.

use std::time::Duration;

use maud::{DOCTYPE, Markup, html};

use crate::{
    catalogue::Catalogue,
    library::{Film, Title},
};

/// The page's style sheet, served beside it so that the page needs no inline style.
pub(crate) const STYLE: &str = include_str!("style.css");

/// The whole page.
pub(crate) fn catalogue(name: &str, catalogue: &Catalogue) -> Markup {
    let titles = catalogue.titles();
    let reading = catalogue.snapshot().hashing.first().cloned();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (name) }
                link rel="stylesheet" href="style.css";
            }
            body {
                header {
                    h1 { (name) }
                    p { "Watched with Nearcast, films come from viewers on your own network first." }
                }
                main {
                    @if titles.is_empty() && reading.is_none() {
                        p class="empty" { "Nothing is here yet." }
                    }
                    ul {
                        @for title in &titles {
                            @for film in &title.films { (entry(title, film)) }
                        }
                    }
                    @if let Some(hashing) = reading {
                        p class="reading" {
                            "Being added: " (hashing.path.file_name().unwrap_or_default().to_string_lossy()) ", "
                            (hashing.done.saturating_mul(100).checked_div(hashing.of).unwrap_or(100)) " %"
                        }
                    }
                }
                footer {
                    p {
                        "A film opens in the Nearcast player. Every byte is verified on arrival, and what "
                        "you have watched you pass on to your neighbours."
                    }
                }
            }
        }
    }
}

fn entry(title: &Title, film: &Film) -> Markup {
    let play = format!("v/{}", film.link.id);
    let length = Some(film.facts.duration_ms).filter(|ms| *ms > 0).map(Duration::from_millis);
    let episode = film.episode.map(|episode| format!(" {}×{:02}", episode.season, episode.number));
    let quality = film.quality.as_ref().map(|quality| format!(" {quality}"));
    let name = format!("{}{}{}", title.name, episode.unwrap_or_default(), quality.unwrap_or_default());
    html! {
        li {
            div class="about" {
                h2 { (name) }
                p {
                    @if let Some(length) = length {
                        span class="length" { (spoken(length)) }
                    }
                    span class="size" { (bytes(film.link.size)) }
                }
            }
            a class="play" href=(play) aria-label={ "Play " (name) } { "Play" }
        }
    }
}

/// 1:02:03, or 4:05.
fn spoken(length: Duration) -> String {
    let seconds = (length.as_millis() + 500) / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

fn bytes(size: u64) -> String {
    match size {
        0..1_000 => format!("{size} B"),
        1_000..1_000_000 => format!("{} kB", size / 1_000),
        1_000_000..1_000_000_000 => format!("{} MB", size / 1_000_000),
        _ => format!("{}.{} GB", size / 1_000_000_000, size / 100_000_000 % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_sizes_as_people_say_them() {
        assert_eq!(spoken(Duration::from_millis(245_499)), "4:05");
        assert_eq!(spoken(Duration::from_secs(3723)), "1:02:03");
        assert_eq!(spoken(Duration::from_millis(59_700)), "1:00");
        assert_eq!(
            [999, 12_345, 45_600_000, 2_340_000_000].map(bytes),
            ["999 B", "12 kB", "45 MB", "2.3 GB"]
        );
    }
}
