//! The small pictures of a whole film: as they are for players, and a few of them for the title's page.

use std::time::Duration;

/// How many of them a page shows.
const SHOWN: usize = 16;
/// A sheet has a hundred; an index of more isn't ours.
const MOST: usize = 1000;

/// One small picture: of which time, and where it is on the sheet, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scene {
    pub at: Duration,
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// The pictures on one sheet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Strip {
    /// The sheet's size.
    pub width: u32,
    pub height: u32,
    /// Some of its pictures, evenly spread over the film.
    pub scenes: Vec<Scene>,
}

impl Strip {
    /// A few of those that an index names (WebVTT with `#xywh=`); `None` if there aren't enough to tell of a film.
    pub fn of(index: &str) -> Option<Self> {
        let mut scenes = Vec::new();
        let mut at = None;
        for line in index.lines().take(4 * MOST) {
            if let Some((from, _)) = line.split_once(" --> ") {
                at = time(from);
            } else if let Some((_, place)) = line.split_once("#xywh=")
                && let Some(at) = at.take()
                && let Some([x, y, width, height]) = numbers(place)
            {
                scenes.push(Scene { at, x, y, width, height });
            }
        }
        let width = scenes.iter().map(|one| one.x.saturating_add(one.width)).max()?;
        let height = scenes.iter().map(|one| one.y.saturating_add(one.height)).max()?;
        let count = scenes.len();
        if count < SHOWN / 4 {
            return None;
        }
        let shown = SHOWN.min(count);
        // The middle of each part: the very first picture is black more often than not.
        let scenes = (0..shown).filter_map(|part| scenes.get((2 * part + 1) * count / (2 * shown))).copied();
        let scenes = scenes.collect();
        Some(Self { width, height, scenes })
    }
}

/// 01:02:03.400
fn time(text: &str) -> Option<Duration> {
    let (whole, ms) = text.trim().split_once('.')?;
    let mut parts = whole.split(':').map(str::parse::<u64>);
    let (hours, minutes, seconds) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let seconds = hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?.checked_add(seconds)?;
    Some(Duration::from_secs(seconds) + Duration::from_millis(ms.parse().ok()?))
}

fn numbers(text: &str) -> Option<[u32; 4]> {
    let numbers: Vec<u32> = text.trim().split(',').map_while(|part| part.parse().ok()).collect();
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn index(count: u32) -> String {
        let mut text = String::from("WEBVTT\n");
        for number in 0..count {
            let (x, y) = (number % 10 * 160, number / 10 * 90);
            let (minutes, seconds) = (number * 2 / 60, number * 2 % 60);
            write!(
                text,
                "\n00:{minutes:02}:{seconds:02}.000 --> 00:59:00.000\nstoryboard.jpg#xywh={x},{y},160,90\n"
            )
            .unwrap();
        }
        text
    }

    #[test]
    fn a_few_are_shown_evenly_spread() {
        let strip = Strip::of(&index(100)).unwrap();
        assert_eq!((strip.width, strip.height, strip.scenes.len()), (1600, 900, SHOWN));
        let first = Scene { at: Duration::from_secs(6), x: 480, y: 0, width: 160, height: 90 };
        assert_eq!(strip.scenes[0], first);
        assert!(strip.scenes.windows(2).all(|two| two[0].at < two[1].at));
        assert_eq!(Strip::of(&index(5)).unwrap().scenes.len(), 5);
    }

    #[test]
    fn too_few_are_none() {
        assert_eq!(Strip::of(&index(3)), None);
        assert_eq!(Strip::of(""), None);
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "(WEBVTT\n)?([0-9:.> \\-]{0,30}\n|.{0,10}#xywh=[0-9,]{0,30}\n){0,20}") {
            Strip::of(&text);
        }
    }
}
