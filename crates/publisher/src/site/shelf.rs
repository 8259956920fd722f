//! What the pages show: made anew when the library changes, never touched while a page is built.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use nearcast_protocol::{Link, ResourceId};

use super::{
    figures,
    search::{Wanted, by_name, folded},
};
use crate::library::{Film, Snapshot, Title};

/// Titles on a page of the catalogue.
pub(crate) const ON_A_PAGE: usize = 48;

/// In which order titles are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Order {
    /// By name.
    #[default]
    Name,
    /// The last put up first.
    Newest,
    /// The longest first.
    Longest,
    /// The largest first.
    Largest,
}

impl Order {
    pub(crate) const ALL: [Self; 4] = [Self::Name, Self::Newest, Self::Longest, Self::Largest];

    /// Its name in URLs.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Newest => "new",
            Self::Longest => "long",
            Self::Largest => "large",
        }
    }

    pub(crate) fn named(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.code() == code)
    }
}

/// One title, with what is reckoned from it once.
#[derive(Debug)]
pub(crate) struct Shown {
    pub title: Arc<Title>,
    /// The folders it lies in, joined by slashes.
    pub category: String,
    /// The length of its first file.
    pub length: Option<Duration>,
    /// The best quality there is of it.
    pub quality: Option<String>,
    /// Bytes of the file that Play offers.
    pub size: u64,
    /// How many episodes it has, if it is a series.
    pub episodes: usize,
    /// What a search looks into.
    found_by: String,
}

/// A folder with titles in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Category {
    /// The folders, joined by slashes.
    pub path: String,
    /// Its own name.
    pub name: String,
    /// Titles in it and in the folders in it.
    pub count: usize,
}

/// What a page of the catalogue is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Question {
    pub wanted: Wanted,
    /// A category's path; empty for all.
    pub category: String,
    pub order: Order,
    /// From 1.
    pub page: usize,
}

/// One page of the catalogue.
pub(crate) struct Page<'a> {
    pub titles: Vec<&'a Shown>,
    /// Titles on all pages.
    pub count: usize,
    /// Which page this is, from 1.
    pub page: usize,
    /// How many there are, at least 1.
    pub pages: usize,
}

/// What became of a resource id that is asked for.
pub(crate) enum Asked<'a> {
    /// It is up: its link, and the title it is part of.
    Up(&'a Link, &'a Shown),
    /// It is held back by hand.
    Held,
    /// It isn't here.
    Unknown,
}

/// All that the site shows, at one moment.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    pub snapshot: Arc<Snapshot>,
    index: Arc<Index>,
}

/// What is reckoned from the titles; shared by moments that differ in other things.
#[derive(Debug, Default)]
struct Index {
    titles: Vec<Shown>,
    orders: [Vec<u32>; 4],
    /// Where a resource stands: its title, and which of its links.
    places: HashMap<ResourceId, (u32, u32)>,
    held: HashSet<ResourceId>,
    categories: BTreeMap<String, usize>,
    /// The folders right in each folder.
    folders: HashMap<String, Vec<Category>>,
}

impl Shelf {
    pub(crate) fn new(snapshot: Arc<Snapshot>) -> Self {
        Self { index: Arc::new(Index::new(&snapshot)), snapshot }
    }

    /// The shelf of a later moment: made anew only if a title has changed.
    pub(crate) fn later(&self, snapshot: Arc<Snapshot>) -> Self {
        let (old, new) = (&self.snapshot.titles, &snapshot.titles);
        let same = old.len() == new.len() && old.iter().zip(new).all(|(old, new)| Arc::ptr_eq(old, new));
        if same { Self { index: Arc::clone(&self.index), snapshot } } else { Self::new(snapshot) }
    }

    /// All titles, by name.
    pub(crate) fn titles(&self) -> &[Shown] {
        &self.index.titles
    }

    /// All titles, in an order.
    pub(crate) fn in_order(&self, order: Order) -> impl Iterator<Item = &Shown> {
        self.index.in_order(order)
    }

    /// What stands for a resource id.
    pub(crate) fn asked(&self, id: &ResourceId) -> Asked<'_> {
        self.index.asked(id)
    }

    /// One page of the catalogue; a page past the end is the last one.
    pub(crate) fn page(&self, question: &Question) -> Page<'_> {
        self.index.page(question)
    }

    /// The folders right in one folder, by name.
    pub(crate) fn categories_in(&self, category: &str) -> &[Category] {
        self.index.categories_in(category)
    }

    /// Whether there is such a category.
    pub(crate) fn has_category(&self, category: &str) -> bool {
        self.index.categories.contains_key(category)
    }
}

impl Index {
    fn new(snapshot: &Snapshot) -> Self {
        let (held, open): (Vec<_>, Vec<_>) = snapshot.titles.iter().partition(|title| title.held);
        let mut titles: Vec<Shown> = open.into_iter().map(|title| Shown::new(Arc::clone(title))).collect();
        titles.sort_by(|a, b| {
            by_name(a.folded_name(), b.folded_name()).then_with(|| a.title.key.cmp(&b.title.key))
        });
        let mut index = Self { orders: orders(&titles), ..Self::default() };
        for (at, shown) in (0_u32..).zip(&titles) {
            for (which, link) in (0_u32..).zip(shown.title.links()) {
                // The same file in two titles is the first one's.
                index.places.entry(link.id).or_insert((at, which));
            }
            // Folders count what is in the folders in them.
            let mut end = 0;
            for folder in &shown.title.category {
                end += folder.len() + usize::from(end > 0);
                *index.categories.entry(shown.category[..end].to_owned()).or_default() += 1;
            }
        }
        let back = held.iter().flat_map(|title| title.links());
        index.held = back.map(|link| link.id).filter(|id| !index.places.contains_key(id)).collect();
        index.folders = folders(&index.categories);
        index.titles = titles;
        index
    }

    fn in_order(&self, order: Order) -> impl Iterator<Item = &Shown> {
        self.orders[order as usize].iter().filter_map(|at| self.titles.get(*at as usize))
    }

    fn asked(&self, id: &ResourceId) -> Asked<'_> {
        let place = self.places.get(id).and_then(|(at, which)| {
            let shown = self.titles.get(*at as usize)?;
            Some(Asked::Up(shown.title.links().nth(*which as usize)?, shown))
        });
        match place {
            Some(up) => up,
            None if self.held.contains(id) => Asked::Held,
            None => Asked::Unknown,
        }
    }

    fn page(&self, question: &Question) -> Page<'_> {
        let page_of = |count: usize| {
            let pages = count.div_ceil(ON_A_PAGE).max(1);
            (question.page.clamp(1, pages), pages)
        };
        if question.category.is_empty() && question.wanted.is_nothing() {
            // All of them: nothing has to be looked through.
            let (page, pages) = page_of(self.titles.len());
            let order =
                self.orders[question.order as usize].iter().skip((page - 1) * ON_A_PAGE).take(ON_A_PAGE);
            let titles = order.filter_map(|at| self.titles.get(*at as usize)).collect();
            return Page { titles, count: self.titles.len(), page, pages };
        }
        let inside = |shown: &&Shown| {
            let category = &question.category;
            let rest = shown.category.strip_prefix(category.as_str());
            let inside =
                category.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            inside && question.wanted.is_in(&shown.found_by)
        };
        let found: Vec<&Shown> = self.in_order(question.order).filter(inside).collect();
        let count = found.len();
        let (page, pages) = page_of(count);
        let titles = found.into_iter().skip((page - 1) * ON_A_PAGE).take(ON_A_PAGE).collect();
        Page { titles, count, page, pages }
    }

    fn categories_in(&self, category: &str) -> &[Category] {
        self.folders.get(category).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The folders right in each folder, by name; `""` is the top.
fn folders(counts: &BTreeMap<String, usize>) -> HashMap<String, Vec<Category>> {
    let mut folders: HashMap<String, Vec<Category>> = HashMap::new();
    for (path, count) in counts {
        let (outer, name) = path.rsplit_once('/').unwrap_or(("", path));
        let one = Category { path: path.clone(), name: name.to_owned(), count: *count };
        folders.entry(outer.to_owned()).or_default().push(one);
    }
    for inside in folders.values_mut() {
        let mut named: Vec<_> = inside.drain(..).map(|one| (folded(&one.name), one)).collect();
        named.sort_by(|(a, _), (b, _)| by_name(a, b));
        inside.extend(named.into_iter().map(|(_, one)| one));
    }
    folders
}

fn orders(titles: &[Shown]) -> [Vec<u32>; 4] {
    let all: Vec<u32> = (0_u32..).zip(titles).map(|(at, _)| at).collect();
    [
        all.clone(),
        most_first(all.clone(), titles, |shown| shown.title.added),
        most_first(all.clone(), titles, |shown| shown.length),
        most_first(all, titles, |shown| shown.size),
    ]
}

/// What has most of something first; by name where that is the same, since the sort is stable.
fn most_first<K: Ord>(mut order: Vec<u32>, titles: &[Shown], key: impl Fn(&Shown) -> K) -> Vec<u32> {
    order.sort_by_key(|at| Reverse(titles.get(*at as usize).map(&key)));
    order
}

impl Shown {
    fn new(title: Arc<Title>) -> Self {
        let category = title.category.join("/");
        let first = title.films.first();
        let episodes = title.films.iter().filter_map(|film| film.episode);
        let episodes = episodes.collect::<BTreeSet<_>>().len();
        let best = |film: &Film| {
            film.facts.video.iter().map(|video| u64::from(video.width) * u64::from(video.height)).max()
        };
        let finest = title.films.iter().max_by_key(|film| best(film));
        let names = title.films.iter().map(|film| film.link.name.as_str());
        let found_by: Vec<&str> = [title.name.as_str(), category.as_str()].into_iter().chain(names).collect();
        Self {
            length: first.and_then(Film::length),
            quality: finest.and_then(quality_of),
            size: first.map_or(0, |film| film.link.size),
            episodes,
            found_by: folded(&found_by.join("\n")),
            category,
            title,
        }
    }

    fn folded_name(&self) -> &str {
        self.found_by.split('\n').next().unwrap_or_default()
    }
}

impl Film {
    /// Its length, if it is known.
    pub(crate) fn length(&self) -> Option<Duration> {
        Some(Duration::from_millis(self.facts.duration_ms)).filter(|length| !length.is_zero())
    }
}

/// The quality of one file: what its pictures are, else what its name says.
pub(crate) fn quality_of(film: &Film) -> Option<String> {
    film.facts.video.first().and_then(figures::quality).or_else(|| film.quality.clone())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::library::{Episode, Facts};

    /// A title made of its path: folders, and a name.
    pub(crate) fn title(path: &str, number: u32) -> Arc<Title> {
        let mut category: Vec<String> = path.split('/').map(str::to_owned).collect();
        let name = category.pop().unwrap_or_default();
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        let (id, size) = (ResourceId::from_bytes(bytes), 1_000_000 + u64::from(number));
        let link =
            Link { id, name: format!("{name}.mp4"), size, trackers: vec![], sources: vec![], token: None };
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + u64::from(number));
        let facts = Facts { duration_ms: 60_000 * u64::from(number), ..Facts::default() };
        let path = format!("/films/{path}.mp4").into();
        let film = Film { link, path, episode: None, quality: None, facts, modified: at };
        let films = vec![film];
        let subtitles = vec![];
        let (poster, storyboard) = (None, None);
        Arc::new(Title {
            key: id,
            name,
            category,
            films,
            subtitles,
            poster,
            storyboard,
            added: at,
            modified: at,
            held: false,
        })
    }

    pub(crate) fn shelf(paths: &[&str]) -> Shelf {
        let titles = (1..).zip(paths).map(|(number, path)| title(path, number)).collect();
        Shelf::new(Arc::new(Snapshot { titles, ..Snapshot::default() }))
    }

    fn names(page: &Page<'_>) -> Vec<String> {
        page.titles.iter().map(|shown| shown.title.name.clone()).collect()
    }

    #[test]
    fn a_question_is_answered_within_a_folder_and_in_an_order() {
        let shelf =
            shelf(&["Zoo", "电影/大兔子", "Series/One/Part 10", "Series/One/Part 9", "Series B/Part 1"]);
        let ask = |question: &Question| names(&shelf.page(question));
        let all = Question::default();
        assert_eq!(ask(&all), ["Part 1", "Part 9", "Part 10", "Zoo", "大兔子"]);
        let newest = Question { order: Order::Newest, ..all.clone() };
        assert_eq!(ask(&newest)[0], "Part 1");
        let inside = Question { category: "Series".into(), ..all.clone() };
        assert_eq!(ask(&inside), ["Part 9", "Part 10"]);
        let found = Question { wanted: Wanted::new("series 电影"), ..all.clone() };
        assert!(ask(&found).is_empty());
        let chinese = Question { wanted: Wanted::new("电影"), ..all };
        assert_eq!(ask(&chinese), ["大兔子"]);
        let counts: Vec<_> =
            shelf.categories_in("").iter().map(|one| (one.name.clone(), one.count)).collect();
        assert_eq!(counts, [("Series".into(), 2), ("Series B".into(), 1), ("电影".into(), 1)]);
        assert_eq!(shelf.categories_in("Series")[0].path, "Series/One");
        assert!(shelf.categories_in("Series/One").is_empty());
        assert!(shelf.has_category("Series/One") && !shelf.has_category("Ser"));
    }

    #[test]
    fn pages_hold_all_and_end() {
        let paths: Vec<String> = (0..100).map(|number| format!("Film {number}")).collect();
        let shelf = shelf(&paths.iter().map(String::as_str).collect::<Vec<_>>());
        let at = |page| shelf.page(&Question { page, ..Question::default() });
        assert_eq!((at(1).titles.len(), at(1).pages, at(1).count), (48, 3, 100));
        assert_eq!(names(&at(3)), ["Film 96", "Film 97", "Film 98", "Film 99"]);
        assert_eq!((at(0).page, at(9999).page), (1, 3));
    }

    #[test]
    fn what_is_held_back_is_not_shown_and_not_forgotten() {
        let held = Title { held: true, ..(*title("Gone", 7)).clone() };
        let mut series = (*title("Series", 8)).clone();
        series.films[0].episode = Some(Episode { season: 1, number: 1 });
        let key = held.key;
        let titles = vec![Arc::new(held), Arc::new(series)];
        let shelf = Shelf::new(Arc::new(Snapshot { titles, ..Snapshot::default() }));
        assert!(matches!(shelf.asked(&key), Asked::Held));
        assert!(matches!(shelf.asked(&ResourceId::from_bytes([9; 32])), Asked::Unknown));
        assert_eq!((shelf.titles().len(), shelf.titles()[0].episodes), (1, 1));
        assert!(matches!(shelf.asked(&shelf.titles()[0].title.key), Asked::Up(..)));
    }
}
