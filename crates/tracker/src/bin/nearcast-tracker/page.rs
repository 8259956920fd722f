//! The status page, to hang on a wall.

mod words;

use std::time::Duration;

use maud::{DOCTYPE, Markup, html};
use nearcast_protocol::{Group, tracker::Received};

use crate::wall::{DRAWN, Look};

pub use words::{Words, words};

pub const STYLE: &str = include_str!("page/page.css");
pub const SCRIPT: &str = include_str!("page/page.js");

/// The whole page.
pub fn page(words: &Words, look: &Look) -> Markup {
    let (code, name) = words.other;
    html! {
        (DOCTYPE)
        html lang=(words.code) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (words.title) }
                link rel="stylesheet" href="page.css";
                link rel="icon" href="data:,";
                script src="page.js" defer {}
                noscript { meta http-equiv="refresh" content="5"; }
            }
            body {
                header {
                    h1 { span class="mark" {} (words.title) }
                    p class="live" data-lost=(words.lost) { (words.live) }
                    nav { a href={ "?lang=" (code) } lang=(code) { (name) } }
                }
                main data-part={ "part?lang=" (words.code) } { (part(words, look)) }
            }
        }
    }
}

/// What changes.
pub fn part(words: &Words, look: &Look) -> Markup {
    html! {
        (kept(words, look))
        (figures(words, look))
        section class="list networks" {
            h2 { (words.networks) }
            @if look.networks.is_empty() { p class="empty" { (words.no_networks) } } @else { (networks(words, look)) }
        }
        section class="list films" {
            h2 { (words.most_held) small { (words.first) } }
            @let films = look.survey.films();
            @if films.is_empty() { p class="empty" { (words.no_films) } }
            @else {
                @let most = films.first().map_or(1, |film| film.holders).max(1);
                div class="rows" { table {
                    thead { tr {
                        th { (words.film) } th {} th class="number" { (words.holders) }
                        th class="number" { (words.complete) }
                    } }
                    tbody { @for film in &films {
                        tr {
                            td class="id" title=(film.id) { (film.id.to_string().chars().take(10).collect::<String>()) "…" }
                            td class="wide" { (bar(&[("held", share(film.holders.into(), most.into()))])) }
                            td class="number" { (grouped(film.holders.into())) }
                            td class="number soft" { (grouped(film.complete.into())) }
                        }
                    } }
                } }
            }
        }
    }
}

/// The operator's proof.
fn kept(words: &Words, look: &Look) -> Markup {
    let Received { own_group, other_groups, publishers } = look.received;
    let all = look.received.all();
    html! {
        section class="kept" {
            h2 { (words.kept) }
            @if all == 0 {
                p class="share none" { "—" }
                p class="help" { (words.nothing_yet) }
            } @else {
                p class="share" { (percent(own_group, all)) span { "%" } }
                p class="help" { (words.kept_help) }
            }
            (bar(&parts(look.received)))
            dl class="sources" {
                @for (class, name, sum) in [
                    ("own", words.own, own_group),
                    ("others", words.others, other_groups),
                    ("publishers", words.publishers, publishers),
                ] {
                    div class=(class) { dt { (name) } dd { (bytes(sum)) } }
                }
            }
        }
    }
}

fn figures(words: &Words, look: &Look) -> Markup {
    let extent = look.extent;
    let listed = look.counted.listed_inside + look.counted.listed_outside;
    html! {
        section class="figures" {
            div class="figure" { h3 { (words.nodes) } p { (grouped(extent.nodes as u64)) }
                @let networks = look.networks.iter().filter(|network| network.nodes > 0 && network.group != Group::UNKNOWN);
                small { (words.in_networks.0) (networks.count()) (words.in_networks.1) }
                @let dialled = look.dialled.reachable + look.dialled.unreachable;
                @if dialled > 0 {
                    small { (words.reached.0) (percent(look.dialled.reachable, dialled)) (words.reached.1) }
                } }
            div class="figure" { h3 { (words.films) } p { (grouped(extent.resources as u64)) }
                small { (grouped(extent.holdings as u64)) " " (words.holdings) } }
            div class="figure" { h3 { (words.listed) }
                p { @if listed == 0 { "—" } @else { (percent(look.counted.listed_inside, listed)) span { "%" } } }
                small { (words.listed_help) } }
            div class="figure rate" {
                h3 { (words.requests) }
                p { (rate(look.rate())) span { (words.per_second) } }
                (line(&look.rates))
                small { (words.last_minutes) }
            }
            div class="figure" { h3 { (words.refused) } p { (grouped(look.counted.refused)) }
                small { (words.of_requests.0) (grouped(look.counted.requests)) (words.of_requests.1) } }
            div class={ "figure" @if extent.crowded { " full" } } {
                h3 { @if extent.crowded { (words.full) } @else { (words.memory) } }
                p { (bytes(extent.memory)) }
                small { (words.running) " " (spoken(words, look.uptime)) }
            }
        }
    }
}

fn networks(words: &Words, look: &Look) -> Markup {
    html! {
        div class="rows" { table {
            thead { tr {
                th { (words.network) } th class="number" { (words.nodes) } th {}
                th class="number" { (words.inside) } th class="number" { (words.received) }
            } }
            tbody { @for network in &look.networks {
                @let all = network.received.all();
                tr {
                    td class="name" {
                        @if network.group == Group::UNKNOWN { span class="soft" { (words.unknown) } }
                        @else if network.name.is_empty() { (words.group) " " (network.group) }
                        @else { (network.name) }
                    }
                    td class="number" { (grouped(network.nodes.into())) }
                    td class="wide" { (bar(&parts(network.received))) }
                    td class="number" { @if all == 0 { "—" } @else { (percent(network.received.own_group, all)) " %" } }
                    td class="number soft" { (bytes(all)) }
                }
            } }
        } }
    }
}

fn parts(received: Received) -> [(&'static str, f64); 3] {
    let all = received.all();
    [
        ("own", share(received.own_group, all)),
        ("others", share(received.other_groups, all)),
        ("publishers", share(received.publishers, all)),
    ]
}

/// Parts of a whole beside one another, each in hundredths.
fn bar(parts: &[(&str, f64)]) -> Markup {
    let mut from = 0.0;
    html! {
        svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true" {
            rect class="ground" width="100" height="1" {}
            @for (class, width) in parts {
                rect class=(class) x=(format!("{from:.2}")) width=(format!("{width:.2}")) height="1" {}
                ({ from += width; "" })
            }
        }
    }
}

/// The rate over the time drawn, the latest at the right.
fn line(rates: &[u64]) -> Markup {
    let top = rates.iter().copied().max().unwrap_or_default().max(1) as f64;
    let begin = DRAWN.saturating_sub(rates.len());
    let points = rates
        .iter()
        .enumerate()
        .map(|(at, rate)| format!("{},{:.2}", begin + at, 30.0 - 28.0 * *rate as f64 / top));
    let points = points.collect::<Vec<_>>().join(" ");
    html! {
        svg class="line" viewBox={ "0 0 " (DRAWN - 1) " 31" } preserveAspectRatio="none" aria-hidden="true" {
            @if !rates.is_empty() {
                polygon points={ (begin) ",31 " (points) " " (DRAWN - 1) ",31" } {}
                polyline points=(points) {}
            }
        }
    }
}

/// In hundredths.
fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { 100.0 * part as f64 / all as f64 }
}

/// With a digit after the point unless it is whole; never rounded up to all or down to nothing.
fn percent(part: u64, all: u64) -> String {
    let share = share(part, all);
    if part == all || part == 0 {
        return format!("{share:.0}");
    }
    format!("{:.1}", share.clamp(0.1, 99.9))
}

fn rate(rate: f64) -> String {
    if rate < 10.0 { format!("{rate:.1}") } else { grouped(rate.round() as u64) }
}

/// 12 345 678, with narrow spaces that don't break.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

fn bytes(size: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut size, mut unit) = (size as f64, 0);
    while size >= 999.5 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    let digits = if unit == 0 || size >= 99.95 { 0 } else { 1 };
    format!("{size:.digits$}\u{202f}{}", UNITS[unit])
}

fn spoken(words: &Words, time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let clock = format!("{hours}:{minutes:02}:{:02}", seconds % 60);
    if days > 0 { format!("{days} {} {clock}", words.days) } else { clock }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_read_them() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(grouped),
            ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]
        );
        let sizes = [0, 999, 1_500, 99_960_000, 999_600_000, 1 << 60].map(bytes);
        assert_eq!(
            sizes.map(|size| size.replace('\u{202f}', " ")),
            ["0 B", "999 B", "1.5 kB", "100 MB", "1.0 GB", "1.2 EB"]
        );
        assert_eq!(percent(999_999, 1_000_000), "99.9", "not all of it");
        assert_eq!(
            (percent(1, 1_000_000), percent(5, 5), percent(0, 5)),
            ("0.1".into(), "100".into(), "0".into())
        );
        assert_eq!((rate(0.25), rate(1234.4)), ("0.2".into(), "1\u{202f}234".into()));
        let time = Duration::from_secs(2 * 86_400 + 3_723);
        assert_eq!(spoken(words(None, ""), time), "2 d 1:02:03");
    }
}
