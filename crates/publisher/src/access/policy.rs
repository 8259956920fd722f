//! Which films are protected: all, some folders, or what matches a pattern.

use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern, PatternError};
use nearcast_transfer::Protect;

/// What stands for every film.
pub const ALL: &str = "**";

/// Films of `folder` that one of the patterns covers. A pattern goes by the path within the folder: it names a
/// file, or a folder with all that is in it; `*` and `?` stand for what lies between two slashes, `**` for any.
///
/// # Errors
/// When a pattern can't be read.
pub fn protect(folder: &Path, patterns: &[String]) -> Result<Protect, PatternError> {
    let patterns = patterns.iter().map(|pattern| Pattern::new(pattern.trim_matches('/')));
    let patterns: Vec<_> = patterns.collect::<Result<_, _>>()?;
    // Films are known by their real paths.
    let folder = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    Ok(Protect::new(move |path| covers(&folder, &patterns, path)))
}

fn covers(folder: &Path, patterns: &[Pattern], path: &Path) -> bool {
    if patterns.iter().any(|pattern| pattern.as_str() == ALL) {
        return true;
    }
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    // What lies elsewhere was put up from another folder once.
    let Ok(inside) = real.strip_prefix(folder) else { return false };
    let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
    let mut upto = PathBuf::new();
    inside.components().any(|part| {
        upto.push(part);
        patterns.iter().any(|pattern| pattern.matches_path_with(&upto, options))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_a_file_or_a_pattern() {
        let covers = |pattern: &str, path: &str| {
            let protect = protect(Path::new("/nowhere/films"), &[pattern.to_owned()]).unwrap();
            protect.covers(Path::new(path))
        };
        for (pattern, path, expected) in [
            (ALL, "/nowhere/films/a.mp4", true),
            ("members", "/nowhere/films/members/a.mp4", true),
            ("members/", "/nowhere/films/members/2026/a.mp4", true),
            ("members", "/nowhere/films/members.mp4", false),
            ("members", "/nowhere/films/open/members/a.mp4", false),
            ("**/members", "/nowhere/films/open/members/a.mp4", true),
            ("a.mp4", "/nowhere/films/a.mp4", true),
            ("*.mkv", "/nowhere/films/a.mkv", true),
            ("*.mkv", "/nowhere/films/open/a.mkv", false),
            ("**/*.mkv", "/nowhere/films/open/a.mkv", true),
            ("members", "/elsewhere/members/a.mp4", false),
        ] {
            assert_eq!(covers(pattern, path), expected, "{pattern} and {path}");
        }
        assert!(protect(Path::new("/"), &["a[".into()]).is_err());
        assert!(!protect(Path::new("/"), &[]).unwrap().covers(Path::new("/a.mp4")));
    }
}
