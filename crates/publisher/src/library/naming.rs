//! What a file's name says: the title, the episode, the quality, the language of a subtitle file.
//!
//! A name is cut at dots, spaces, underscores and brackets. The first word that is an episode mark (`S01E02`,
//! `1x02`, `第2集`) or a quality (`1080p`, `4K`) ends the title; what follows it, `x264` and the like, is left
//! out of the title. A word is a mark only if it is one from end to end, so `Blade.Runner.2049.mp4` keeps its
//! number.

use super::title::Episode;

/// What a film's name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// The title as people read it; empty if the name begins with a mark.
    pub title: String,
    pub episode: Option<Episode>,
    /// Such as `1080p`.
    pub quality: Option<String>,
}

/// Reads a film's name, which is without its ending.
pub(super) fn named(stem: &str) -> Named {
    let mut title = Vec::new();
    let (mut episode, mut quality) = (None, None);
    for word in words(stem) {
        if let Some(found) = episode_of(word) {
            episode = episode.or(Some(found));
        } else if let Some(found) = quality_of(word) {
            quality = quality.or(Some(found));
        } else if episode.is_none() && quality.is_none() {
            title.push(in_brackets(stem, word).unwrap_or(word));
        }
    }
    while title.last().is_some_and(|word| word.chars().all(|c| matches!(c, '-' | '–'))) {
        title.pop();
    }
    Named { title: title.join(" "), episode, quality }
}

/// The number that a name begins with, as in `03 The Wedding`.
pub(super) fn leading_number(stem: &str) -> Option<u32> {
    let digits: String = stem.chars().take_while(char::is_ascii_digit).collect();
    let rest = stem.get(digits.len()..)?;
    let ends = rest.is_empty() || rest.starts_with([' ', '.', '_', '-']);
    (digits.len() <= 4 && ends).then(|| digits.parse().ok()).flatten()
}

/// A subtitle file's name cut into the film's it belongs to and the language: `film.zh-Hans` is
/// (`film`, `zh-Hans`).
pub(super) fn subtitle(stem: &str) -> (&str, Option<&str>) {
    match stem.rsplit_once('.') {
        Some((film, language)) if is_language(language) => (film, Some(language)),
        _ => (stem, None),
    }
}

fn words(stem: &str) -> impl Iterator<Item = &str> {
    stem.split(|c: char| c.is_whitespace() || matches!(c, '.' | '_' | '[' | ']' | '(' | ')'))
        .filter(|word| !word.is_empty())
}

/// A year with the brackets it stands in: `Solaris (1972)` isn't called `Solaris 1972`.
fn in_brackets<'a>(stem: &'a str, word: &str) -> Option<&'a str> {
    let year = word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit());
    let with = year.then(|| format!("({word})"))?;
    let at = stem.find(&with)?;
    stem.get(at..at + with.len())
}

fn episode_of(word: &str) -> Option<Episode> {
    let number = |text: &str, most: usize| {
        let digits = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u32>().ok()).flatten()
    };
    if let Some(text) = word.strip_prefix('第').and_then(|rest| rest.strip_suffix(['集', '话', '話', '回']))
    {
        return Some(Episode { season: 1, number: number(text, 4)? });
    }
    let lower = word.to_ascii_lowercase();
    let parts = lower.strip_prefix('s').and_then(|rest| rest.split_once('e'));
    if let Some((season, episode)) = parts {
        return Some(Episode { season: number(season, 3)?, number: number(episode, 4)? });
    }
    // 1x02, and not 1920x1080.
    let (season, episode) = lower.split_once('x')?;
    Some(Episode { season: number(season, 2)?, number: number(episode, 3)? })
}

fn quality_of(word: &str) -> Option<String> {
    let lower = word.to_ascii_lowercase();
    let lines = lower.strip_suffix('p').or_else(|| lower.strip_suffix('i'));
    let known = lines.is_some_and(|lines| {
        matches!(lines, "240" | "360" | "480" | "540" | "576" | "720" | "1080" | "1440" | "2160" | "4320")
    });
    (known || matches!(lower.as_str(), "4k" | "8k" | "uhd" | "fhd")).then_some(lower)
}

/// How many lines a quality has, for putting the best first.
pub(super) fn lines_of(quality: &str) -> u32 {
    match quality {
        "8k" => 4320,
        "4k" | "uhd" => 2160,
        "fhd" => 1080,
        other => other.get(..other.len().saturating_sub(1)).and_then(|n| n.parse().ok()).unwrap_or(0),
    }
}

/// Whether it looks like a language tag (BCP 47): two or three letters, then parts of up to eight.
fn is_language(text: &str) -> bool {
    let mut parts = text.split('-');
    let first = parts
        .next()
        .is_some_and(|part| (2..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphabetic()));
    let rest: Vec<_> = parts.collect();
    first
        && rest.len() <= 3
        && rest
            .iter()
            .all(|part| (2..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(stem: &str) -> (String, Option<(u32, u32)>, Option<String>) {
        let Named { title, episode, quality } = named(stem);
        (title, episode.map(|e| (e.season, e.number)), quality)
    }

    #[test]
    fn names_as_people_give_them() {
        let no: Option<&str> = None;
        for (stem, title, episode, quality) in [
            ("Big_Buck.Bunny", "Big Buck Bunny", None, no),
            ("大兔子", "大兔子", None, no),
            ("Solaris (1972) 1080p", "Solaris (1972)", None, Some("1080p")),
            ("Solaris.1972.[x]", "Solaris 1972 x", None, no),
            ("Blade.Runner.2049", "Blade Runner 2049", None, no),
            ("Night.Train.1080p.x264-GRP", "Night Train", None, Some("1080p")),
            ("Night Train [4K]", "Night Train", None, Some("4k")),
            ("Show.S01E02.The.Wedding.720p", "Show", Some((1, 2)), Some("720p")),
            ("Show - 1x02 - The Wedding", "Show", Some((1, 2)), no),
            ("红楼梦 第36集", "红楼梦", Some((1, 36)), no),
            ("S02E10", "", Some((2, 10)), no),
            ("Clip 1920x1080", "Clip 1920x1080", None, no),
            ("Sleeper", "Sleeper", None, no),
        ] {
            assert_eq!(said(stem), (title.into(), episode, quality.map(Into::into)), "{stem}");
        }
    }

    #[test]
    fn subtitle_files_name_their_film_and_language() {
        assert_eq!(subtitle("film"), ("film", None));
        assert_eq!(subtitle("film.en"), ("film", Some("en")));
        assert_eq!(subtitle("film.zh-Hans"), ("film", Some("zh-Hans")));
        assert_eq!(subtitle("film.zh-Hans-CN"), ("film", Some("zh-Hans-CN")));
        assert_eq!(subtitle("My.Film.2049"), ("My.Film.2049", None));
    }

    #[test]
    fn numbers_in_front() {
        assert_eq!(leading_number("03 The Wedding"), Some(3));
        assert_eq!(leading_number("12"), Some(12));
        assert_eq!(leading_number("1984rooms"), None);
        assert_eq!(leading_number("第三集"), None);
    }
}
