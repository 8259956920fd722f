//! What goes when the disk's limit is reached.

use std::path::Path;

/// What films leave free on the disk, in bytes.
const SPARE: u64 = 256_000_000;
/// In less room no film is played, in bytes.
pub const LEAST_ROOM: u64 = 64_000_000;

/// A film on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Names it.
    pub id: String,
    /// Bytes it takes.
    pub held: u64,
    /// When it was last watched, Unix ms; 0 for never.
    pub watched_at_ms: u64,
    /// Whether it has to stay.
    pub in_use: bool,
}

/// Whose data to remove so that `wanted` more bytes fit into `limit`: what was watched longest ago first, and no
/// more than it takes. Where even all would not be enough, all that may go.
pub fn evict(films: &[Kept], limit: u64, wanted: u64) -> Vec<String> {
    let used: u64 = films.iter().map(|film| film.held).sum();
    let mut over = used.saturating_add(wanted).saturating_sub(limit);
    let mut may_go: Vec<_> = films.iter().filter(|film| !film.in_use && film.held > 0).collect();
    may_go.sort_by(|a, b| (a.watched_at_ms, &a.id).cmp(&(b.watched_at_ms, &b.id)));
    let mut gone = Vec::new();
    for film in may_go {
        if over == 0 {
            break;
        }
        over = over.saturating_sub(film.held);
        gone.push(film.id.clone());
    }
    gone
}

/// How many bytes of a film may be held if `others` are, `held` of it are, and `free` bytes are free on the disk.
pub fn room(limit: u64, others: u64, held: u64, free: u64) -> u64 {
    let on_disk = held.saturating_add(free).saturating_sub(SPARE);
    limit.saturating_sub(others).min(on_disk)
}

/// Bytes free on the disk that holds `path`, or will.
pub fn free_bytes(path: &Path) -> Option<u64> {
    path.ancestors().find_map(|folder| fs4::available_space(folder).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn film(id: &str, held: u64, watched_at_ms: u64, in_use: bool) -> Kept {
        Kept { id: id.into(), held, watched_at_ms, in_use }
    }

    #[test]
    fn the_longest_unwatched_goes_first_and_no_more_than_it_takes() {
        let films = [
            film("new", 40, 9, false),
            film("old", 30, 1, false),
            film("playing", 20, 0, true),
            film("none", 0, 0, false),
        ];
        assert!(evict(&films, 100, 10).is_empty());
        assert_eq!(evict(&films, 100, 11), ["old"]);
        assert_eq!(evict(&films, 100, 50), ["old", "new"]);
        assert_eq!(evict(&films, 100, u64::MAX), ["old", "new"]);
    }

    #[test]
    fn a_film_has_what_others_and_the_disk_leave() {
        let gb = 1_000_000_000;
        assert_eq!(room(20 * gb, 5 * gb, 0, 100 * gb), 15 * gb);
        assert_eq!(room(20 * gb, 25 * gb, gb, 100 * gb), 0);
        assert_eq!(room(20 * gb, 0, 2 * gb, gb), 3 * gb - SPARE);
        assert_eq!(room(20 * gb, 0, 0, 1000), 0);
    }

    #[test]
    fn a_folder_that_is_still_to_be_made_lies_on_some_disk() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free_bytes(&folder.path().join("not/yet")).is_some_and(|free| free > 0));
    }
}
