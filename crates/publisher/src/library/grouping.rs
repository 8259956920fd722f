//! Which files make one title.
//!
//! - Files in one folder whose names say the same title (see `naming`: without episode and quality) are one:
//!   `Night Train.1080p.mp4` and `Night Train.720p.mp4`, `Show.S01E01.mkv` and `Show.S01E02.mkv`. A file whose
//!   name is nothing but marks (`S01E02.mkv`) is called like its folder.
//! - All files in a folder with a `title.toml` are one, called as that says, else like the folder; the folder
//!   is the title then, and no category. An episode without a mark has the number its name begins with, else
//!   its place by name, if there are several.
//! - A subtitle file belongs to the film in its folder whose name it begins with: `film.srt`, `film.en.vtt`.
//! - The same content under two names is one film, under the name that comes first.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use nearcast_protocol::{Link, ResourceId};

use super::{
    index::Index,
    naming::{Named, leading_number, lines_of, named, subtitle},
    scan::{Kind, Said, kind_of},
    title::{Episode, Film, Sidecar, Storyboard, Title},
};

/// A file that is up.
#[derive(Debug, Clone)]
pub(super) struct Up {
    pub link: Link,
    pub modified: SystemTime,
    pub added: SystemTime,
}

/// A poster and a storyboard.
pub(super) type Pictures = (Option<PathBuf>, Option<Storyboard>);

/// What the grouping is made from.
pub(super) struct Shelf<'a> {
    pub up: &'a BTreeMap<PathBuf, Up>,
    pub said: &'a BTreeMap<PathBuf, Said>,
    pub roots: &'a [PathBuf],
    pub index: &'a Index,
    /// Where a film's pictures are, if it has any.
    pub pictures: &'a dyn Fn(&ResourceId) -> Pictures,
}

/// A title is told from others by its folder and what its files call it.
type Key = (PathBuf, String);

struct Member<'a> {
    path: &'a Path,
    up: &'a Up,
    named: Named,
    stem: String,
}

impl Shelf<'_> {
    /// The titles, by category and then by name.
    pub fn titles(&self) -> Vec<Arc<Title>> {
        let mut groups: BTreeMap<Key, Vec<Member<'_>>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (path, up) in self.up {
            if kind_of(path) == Some(Kind::Film) && seen.insert(up.link.id) {
                let stem = stem(path);
                let named = named(&stem);
                let folder = path.parent().unwrap_or(Path::new("")).to_owned();
                let called = match self.said.contains_key(&folder) {
                    true => String::new(),
                    false if named.title.is_empty() => file_name(&folder),
                    false => named.title.clone(),
                };
                let member = Member { path, up, named, stem };
                groups.entry((folder, called.to_lowercase())).or_default().push(member);
            }
        }
        let mut subtitles = self.subtitles();
        let mut titles: Vec<_> = groups
            .into_iter()
            .filter_map(|((folder, _), group)| self.title(&folder, group, &mut subtitles))
            .collect();
        titles.sort_by_cached_key(|title| (title.category.clone(), title.name.to_lowercase(), title.key));
        titles.into_iter().map(Arc::new).collect()
    }

    fn title(
        &self,
        folder: &Path,
        mut group: Vec<Member<'_>>,
        subtitles: &mut BTreeMap<PathBuf, Vec<(String, &Path, &Up)>>,
    ) -> Option<Title> {
        let said = self.said.get(folder);
        if said.is_some() && group.len() > 1 {
            number(&mut group);
        }
        let best = |quality: &Option<String>| std::cmp::Reverse(quality.as_deref().map_or(0, lines_of));
        group.sort_by(|a, b| {
            let order = |m: &Member<'_>| (m.named.episode, best(&m.named.quality));
            order(a).cmp(&order(b)).then_with(|| a.path.cmp(b.path))
        });
        let first = group.first()?;
        let key = first.up.link.id;
        let by_hand = group.iter().find_map(|member| self.index.names.get(&member.up.link.id));
        let from_file = || match (&first.named.title, said) {
            (_, Some(_)) => file_name(folder),
            (title, None) if title.is_empty() => file_name(folder),
            (title, None) => title.clone(),
        };
        let name = by_hand.cloned().or_else(|| said.and_then(|said| said.name.clone()));
        let mut sidecars = Vec::new();
        for (belongs, path, up) in subtitles.get(folder).into_iter().flatten() {
            let (film, language) = subtitle(belongs);
            let exact = |wanted: &str| group.iter().find(|member| member.stem.eq_ignore_ascii_case(wanted));
            let same_title = |wanted: &str| {
                let wanted = named(wanted);
                let is = |m: &&Member<'_>| {
                    !wanted.title.is_empty()
                        && m.named.title.eq_ignore_ascii_case(&wanted.title)
                        && m.named.episode == wanted.episode
                };
                group.iter().find(is)
            };
            // A name that ends in what could be a language may also be the film's own.
            let owner = exact(belongs).map(|m| (m, None)).or_else(|| exact(film).map(|m| (m, language)));
            let owner = owner.or_else(|| same_title(film).map(|m| (m, language)));
            let Some((member, language)) = owner else { continue };
            sidecars.push(Sidecar {
                link: up.link.clone(),
                path: path.to_path_buf(),
                format: path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase(),
                language: language.map(Into::into),
                film: (group.len() > 1).then_some(member.up.link.id),
            });
        }
        let (poster, storyboard) = group
            .iter()
            .map(|member| (self.pictures)(&member.up.link.id))
            .find(|(poster, _)| poster.is_some())
            .unwrap_or_default();
        Some(Title {
            key,
            name: name.unwrap_or_else(from_file),
            category: self.category(folder, said.is_some()),
            subtitles: sidecars,
            poster,
            storyboard,
            added: group.iter().map(|member| member.up.added).min()?,
            modified: group.iter().map(|member| member.up.modified).max()?,
            held: group.iter().any(|member| self.index.held.contains(&member.up.link.id)),
            films: group.iter().map(|member| self.film(member)).collect(),
        })
    }

    fn film(&self, member: &Member<'_>) -> Film {
        let facts = self.index.known.get(&member.up.link.id).map(|known| known.facts.clone());
        Film {
            link: member.up.link.clone(),
            path: member.path.to_owned(),
            episode: member.named.episode,
            quality: member.named.quality.clone(),
            facts: facts.unwrap_or_default(),
            modified: member.up.modified,
        }
    }

    /// Subtitle files by their folder.
    fn subtitles(&self) -> BTreeMap<PathBuf, Vec<(String, &Path, &Up)>> {
        let mut all: BTreeMap<PathBuf, Vec<_>> = BTreeMap::new();
        for (path, up) in self.up.iter().filter(|(path, _)| kind_of(path) == Some(Kind::Subtitle)) {
            let folder = path.parent().unwrap_or(Path::new("")).to_owned();
            all.entry(folder).or_default().push((stem(path), path.as_path(), up));
        }
        all
    }

    /// The folders below the root, without the title's own.
    fn category(&self, folder: &Path, own: bool) -> Vec<String> {
        let below = self.roots.iter().filter_map(|root| folder.strip_prefix(root).ok());
        let below = below.min_by_key(|below| below.components().count()).unwrap_or(Path::new(""));
        let mut names: Vec<_> =
            below.components().map(|part| readable(&part.as_os_str().to_string_lossy())).collect();
        if own {
            names.pop();
        }
        names
    }
}

/// Gives those without an episode mark the number in front of their name, or their place.
fn number(group: &mut [Member<'_>]) {
    if group.iter().all(|member| member.named.episode.is_none() && member.named.quality.is_some()) {
        // One film in several qualities.
        return;
    }
    for (place, member) in (1..).zip(group.iter_mut()) {
        let counted = || leading_number(&member.stem).unwrap_or(place);
        member.named.episode.get_or_insert_with(|| Episode { season: 1, number: counted() });
    }
}

fn stem(path: &Path) -> String {
    readable(&path.file_stem().unwrap_or_default().to_string_lossy())
}

fn file_name(path: &Path) -> String {
    readable(&path.file_name().unwrap_or_default().to_string_lossy())
}

/// A name as it may be shown: without what breaks lines or turns them around.
fn readable(name: &str) -> String {
    let unfit = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    name.chars().map(|c| if unfit(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn titles(
        files: &[&str],
        said: &[(&str, Option<&str>)],
        change: impl FnOnce(&mut Index),
    ) -> Vec<Arc<Title>> {
        let root = Path::new("/films");
        let up = files.iter().zip(1u8..).map(|(file, number)| {
            let (file, number) =
                file.rsplit_once('#').map_or((*file, number), |(f, n)| (f, n.parse().unwrap()));
            let path = root.join(file);
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let id = ResourceId::from_bytes([number; 32]);
            let link = Link { id, name, size: 9, trackers: Vec::new(), sources: Vec::new(), token: None };
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(number.into());
            (path, Up { link, modified: time, added: time })
        });
        let said = said.iter().map(|(folder, name)| (root.join(folder), Said { name: name.map(Into::into) }));
        let mut index = Index::default();
        change(&mut index);
        let (up, said, roots) = (up.collect(), said.collect(), [root.to_owned()]);
        Shelf { up: &up, said: &said, roots: &roots, index: &index, pictures: &|_| (None, None) }.titles()
    }

    fn shown(titles: &[Arc<Title>]) -> Vec<String> {
        let film = |film: &Film| {
            let episode = film.episode.map(|e| format!("S{}E{}", e.season, e.number)).unwrap_or_default();
            format!("{episode}{}", film.quality.clone().unwrap_or_default())
        };
        let line = |title: &Arc<Title>| {
            let films: Vec<_> = title.films.iter().map(film).collect();
            let mut category = title.category.join("/");
            category.push(':');
            format!("{category}{}={}", title.name, films.join(","))
        };
        titles.iter().map(line).collect()
    }

    #[test]
    fn qualities_and_episodes_are_one_title() {
        let files = [
            "Night Train.720p.mp4",
            "Night.Train.1080p.mkv",
            "Other.mp4",
            "tv/Show.S01E02.mkv",
            "tv/Show.S01E01.720p.mkv",
            "tv/show.S01E01.1080p.mkv",
            "tv/Some Series/S02E01.mkv",
        ];
        assert_eq!(
            shown(&titles(&files, &[], |_| {})),
            [
                ":Night Train=1080p,720p",
                ":Other=",
                "tv:show=S1E11080p,S1E1720p,S1E2",
                "tv/Some Series:Some Series=S2E1",
            ]
        );
    }

    #[test]
    fn a_folder_that_says_so_is_one_title() {
        let files =
            ["kids/Rabbits/02 Burrow.mp4", "kids/Rabbits/01 Meadow.mp4", "kids/Rabbits/x.mp4", "kids/a.mp4"];
        let said = [("kids/Rabbits", Some("兔子们"))];
        assert_eq!(shown(&titles(&files, &said, |_| {})), ["kids:a=", "kids:兔子们=S1E1,S1E2,S1E3"]);
        let said = [("kids/Rabbits", None)];
        assert_eq!(shown(&titles(&files[..1], &said, |_| {})), ["kids:Rabbits="]);
    }

    #[test]
    fn subtitle_files_belong_to_their_film() {
        let files = [
            "a.mp4",
            "a.srt",
            "a.zh-Hans.ass",
            "b.en.vtt",
            "b.S01E01.mkv",
            "b.S01E02.mkv",
            "b.S01E02.de.srt",
        ];
        let titles = titles(&files, &[], |_| {});
        let of = |title: &Title| {
            let each =
                title.subtitles.iter().map(|s| (s.format.clone(), s.language.clone(), s.film.is_some()));
            each.collect::<Vec<_>>()
        };
        let zh = Some("zh-Hans".to_owned());
        assert_eq!(of(&titles[0]), [("srt".into(), None, false), ("ass".into(), zh, false)]);
        // Of no episode that there is: shown nowhere.
        assert_eq!(of(&titles[1]), [("srt".into(), Some("de".into()), true)]);
    }

    #[test]
    fn the_same_content_twice_is_one_film() {
        assert_eq!(shown(&titles(&["a.mp4#1", "b.mp4#1", "c/d.mp4#1"], &[], |_| {})), [":a="]);
    }

    #[test]
    fn names_by_hand_win_and_whatever_is_held_says_so() {
        let id = ResourceId::from_bytes([1; 32]);
        let titles = titles(&["a.mp4", "b.mp4"], &[], |index| {
            index.names.insert(id, "大兔子".into());
            index.held.insert(id);
        });
        assert_eq!(shown(&titles), [":b=", ":大兔子="]);
        assert_eq!(titles.iter().map(|title| title.held).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn nothing_that_is_shown_breaks_a_line() {
        assert_eq!(
            shown(&titles(&["new\nline/a\u{202e}b.mp4"], &[], |_| {})),
            ["new\u{fffd}line:a\u{fffd}b="]
        );
    }
}
