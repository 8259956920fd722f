//! Lengths, sizes, days and tracks as people say them.

use std::time::{Duration, SystemTime};

use jiff::{Timestamp, tz::TimeZone};

use super::language::Language;
use crate::library::{AudioTrack, Film, VideoTrack};

/// 1:02:03, or 4:05.
pub(crate) fn length(length: Duration) -> String {
    let seconds = (length.as_millis() + 500) / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// 45 MB, 2.3 GB.
pub(crate) fn bytes(size: u64) -> String {
    match size {
        0..1_000 => format!("{size} B"),
        1_000..1_000_000 => format!("{} kB", size / 1_000),
        1_000_000..1_000_000_000 => format!("{} MB", size / 1_000_000),
        1_000_000_000..1_000_000_000_000 => {
            format!("{}.{} GB", size / 1_000_000_000, size / 100_000_000 % 10)
        }
        _ => format!("{}.{} TB", size / 1_000_000_000_000, size / 100_000_000_000 % 10),
    }
}

/// 12.3 Mbit/s, of bytes a second.
pub(crate) fn rate(bytes: u64) -> String {
    let bits = bytes as f64 * 8.0;
    match bits {
        bits if bits >= 1e9 => format!("{:.1} Gbit/s", bits / 1e9),
        bits if bits >= 1e6 => format!("{:.1} Mbit/s", bits / 1e6),
        bits => format!("{:.0} kbit/s", bits / 1e3),
    }
}

/// The moment, as `jiff` has it; the epoch for what lies outside of all calendars.
pub(crate) fn moment(at: SystemTime) -> Timestamp {
    Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// 23 November 2026, 2026年11月23日.
pub(crate) fn day(at: SystemTime, language: Language) -> String {
    let day = moment(at).to_zoned(TimeZone::UTC);
    match language {
        Language::English => day.strftime("%-d %B %Y").to_string(),
        Language::Chinese => day.strftime("%Y年%-m月%-d日").to_string(),
    }
}

/// What people call a film's container: a file that ends in `.mp4` is no `Quicktime` to them, though a demuxer says so.
pub(crate) fn container(film: &Film) -> Option<String> {
    let found = film.facts.container.as_deref()?;
    let ending = film.path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let mp4 = ["mp4", "m4v"].iter().any(|mp4| ending.eq_ignore_ascii_case(mp4));
    Some(if mp4 && found.eq_ignore_ascii_case("quicktime") { "MP4".into() } else { found.to_owned() })
}

/// 1080p, 4K: of the height and width that are stored.
pub(crate) fn quality(track: &VideoTrack) -> Option<String> {
    if track.width == 0 || track.height == 0 {
        return None;
    }
    // A film held upright is of the class it would be lying down; a wide one keeps its width and loses height.
    let (long, short) = (track.width.max(track.height), track.width.min(track.height));
    let lines = u64::from(short).max(u64::from(long) * 9 / 16);
    Some(match lines {
        4000.. => "8K".into(),
        2000..4000 => "4K".into(),
        1300..2000 => "1440p".into(),
        1000..1300 => "1080p".into(),
        700..1000 => "720p".into(),
        560..700 => "576p".into(),
        470..560 => "480p".into(),
        350..470 => "360p".into(),
        _ => format!("{short}p"),
    })
}

/// `AAC 5.1, English`.
pub(crate) fn sound(track: &AudioTrack, language: Language) -> String {
    let channels = match (track.channels, language) {
        (0, _) => String::new(),
        (1, Language::English) => " mono".into(),
        (1, Language::Chinese) => " 单声道".into(),
        (2, Language::English) => " stereo".into(),
        (2, Language::Chinese) => " 立体声".into(),
        (6, _) => " 5.1".into(),
        (8, _) => " 7.1".into(),
        (many, Language::English) => format!(" {many} channels"),
        (many, Language::Chinese) => format!(" {many} 声道"),
    };
    let spoken = track.language.as_deref().map(|code| spoken(code, language));
    let spoken = spoken.map(|name| format!(", {name}")).unwrap_or_default();
    format!("{}{channels}{spoken}", track.codec)
}

/// The name of a language; its code where we know none.
pub(crate) fn spoken(code: &str, language: Language) -> String {
    const NAMES: [(&[&str], &str, &str); 18] = [
        (&["en", "eng"], "English", "英语"),
        (&["zh", "zho", "chi", "cmn"], "Chinese", "中文"),
        (&["yue"], "Cantonese", "粤语"),
        (&["ja", "jpn"], "Japanese", "日语"),
        (&["ko", "kor"], "Korean", "韩语"),
        (&["de", "deu", "ger"], "German", "德语"),
        (&["fr", "fra", "fre"], "French", "法语"),
        (&["es", "spa"], "Spanish", "西班牙语"),
        (&["it", "ita"], "Italian", "意大利语"),
        (&["pt", "por"], "Portuguese", "葡萄牙语"),
        (&["ru", "rus"], "Russian", "俄语"),
        (&["nl", "nld", "dut"], "Dutch", "荷兰语"),
        (&["pl", "pol"], "Polish", "波兰语"),
        (&["ar", "ara"], "Arabic", "阿拉伯语"),
        (&["hi", "hin"], "Hindi", "印地语"),
        (&["th", "tha"], "Thai", "泰语"),
        (&["vi", "vie"], "Vietnamese", "越南语"),
        (&["tr", "tur"], "Turkish", "土耳其语"),
    ];
    let lower = code.to_ascii_lowercase();
    let (first, script) = lower.split_once('-').unwrap_or((&lower, ""));
    let Some((_, english, chinese)) = NAMES.iter().find(|(codes, ..)| codes.contains(&first)) else {
        return code.to_owned();
    };
    let name = if language == Language::English { *english } else { *chinese };
    let kind = match (script, language) {
        ("hans" | "cn" | "sg", Language::English) => " (simplified)",
        ("hant" | "tw" | "hk", Language::English) => " (traditional)",
        ("hans" | "cn" | "sg", Language::Chinese) => "（简体）",
        ("hant" | "tw" | "hk", Language::Chinese) => "（繁体）",
        _ => "",
    };
    format!("{name}{kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_sizes_as_people_say_them() {
        assert_eq!(length(Duration::from_millis(245_499)), "4:05");
        assert_eq!(length(Duration::from_secs(3723)), "1:02:03");
        assert_eq!(length(Duration::from_millis(59_700)), "1:00");
        assert_eq!(
            [999, 12_345, 45_600_000, 2_340_000_000, 1_200_000_000_000].map(bytes),
            ["999 B", "12 kB", "45 MB", "2.3 GB", "1.2 TB"]
        );
        assert_eq!([1_000, 1_500_000, 125_000_000].map(rate), ["8 kbit/s", "12.0 Mbit/s", "1.0 Gbit/s"]);
    }

    #[test]
    fn a_wide_film_has_the_quality_of_its_width() {
        let track = |width, height| VideoTrack { width, height, ..VideoTrack::default() };
        let cases =
            [((1920, 800), "1080p"), ((3840, 1600), "4K"), ((1280, 720), "720p"), ((320, 240), "240p")];
        for ((width, height), said) in cases {
            assert_eq!(quality(&track(width, height)).as_deref(), Some(said));
        }
        assert_eq!(quality(&track(0, 0)), None);
        assert_eq!(quality(&track(1080, 1920)).as_deref(), Some("1080p"));
    }

    #[test]
    fn days_and_languages_in_both_languages() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_900_000);
        assert_eq!(day(at, Language::English), "23 November 2025");
        assert_eq!(day(at, Language::Chinese), "2025年11月23日");
        assert_eq!(spoken("zh-Hans", Language::English), "Chinese (simplified)");
        assert_eq!(spoken("eng", Language::Chinese), "英语");
        assert_eq!(spoken("tlh", Language::English), "tlh");
    }
}
