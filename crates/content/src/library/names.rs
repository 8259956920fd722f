//! File names that are safe in any folder of any system.

/// Bytes of a name: some file systems take 255, and room is left for what others put behind it.
const MAX_NAME: usize = 200;

/// A name of one's own choosing made fit for a file: nothing that leads out of the folder, that a file
/// system refuses, that hides the file or that shows its name in another order than it has.
pub(super) fn safe(name: &str) -> String {
    let replaced = name.chars().map(|c| if is_unfit(c) { '_' } else { c }).collect::<String>();
    // Windows drops dots and spaces at the end; a dot in front hides a file elsewhere.
    let trimmed = replaced.trim_end_matches(['.', ' ']).trim_start();
    let visible = match trimmed.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None => trimmed.to_owned(),
    };
    let short = shorten(&visible);
    let stem = short.split('.').next().unwrap_or_default().trim_end();
    match () {
        () if short.is_empty() => "film".to_owned(),
        () if is_device(stem) => format!("_{short}"),
        () => short,
    }
}

fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
        // Marks that turn the direction of writing: "gpj.exe" must not show as "exe.jpg".
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || c == '\u{feff}'
}

/// Names that Windows keeps for devices, whatever their extension.
fn is_device(stem: &str) -> bool {
    let upper = stem.to_uppercase();
    let numbered = ["COM", "LPT"].iter().any(|device| {
        upper.strip_prefix(device).is_some_and(|number| {
            let mut characters = number.chars();
            matches!((characters.next(), characters.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
        })
    });
    numbered || matches!(upper.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
}

/// Cuts the name and keeps its extension, which players look at.
fn shorten(name: &str) -> String {
    if name.len() <= MAX_NAME {
        return name.to_owned();
    }
    let extension = name.rfind('.').map_or("", |dot| &name[dot..]);
    let extension = if extension.len() <= 20 { extension } else { "" };
    let mut end = MAX_NAME - extension.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{extension}", name[..end].trim_end_matches(['.', ' ']))
}

#[cfg(test)]
mod tests {
    use nearcast_protocol::link::is_file_name;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn names_stay_readable() {
        for name in ["Big Buck Bunny.mp4", "电影 第一集.mkv", "a.b.c", "naïve – «été».webm"] {
            assert_eq!(safe(name), name);
        }
        for (name, expected) in [
            ("", "film"),
            (".", "film"),
            ("..", "film"),
            ("../../etc/passwd", "_._.._etc_passwd"),
            (".hidden", "_hidden"),
            ("C:\\film.mp4", "C__film.mp4"),
            ("con.mp4", "_con.mp4"),
            ("COM7", "_COM7"),
            ("COMBAT.mp4", "COMBAT.mp4"),
            ("end. .", "end"),
            ("a\u{202e}4pm.exe", "a_4pm.exe"),
        ] {
            assert_eq!(safe(name), expected, "{name:?}");
        }
        let long = safe(&format!("{}.mp4", "影".repeat(300)));
        assert!(long.len() <= MAX_NAME && long.ends_with("影.mp4"));
    }

    proptest! {
        #[test]
        fn any_name_becomes_one(name in "\\PC{0,300}|.{0,20}") {
            let safe_name = safe(&name);
            prop_assert!(is_file_name(&safe_name), "{:?}", safe_name);
            prop_assert!(safe_name.len() <= MAX_NAME + 1);
            prop_assert_eq!(safe(&safe_name), safe_name);
        }
    }
}
