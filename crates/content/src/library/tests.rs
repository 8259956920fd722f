use std::{fs, sync::atomic::AtomicBool};

use libp2p_identity::Keypair;
use nearcast_protocol::{
    BLOCK_BYTES, Blocks,
    token::{SigningKey, Term},
};
use tempfile::TempDir;

use super::*;
use crate::{
    Fault, Location,
    testing::{Film, film},
};

static NEVER: AtomicBool = AtomicBool::new(false);

fn home() -> (TempDir, Library) {
    let folder = TempDir::new().unwrap();
    let library = Library::open(folder.path()).unwrap();
    (folder, library)
}

fn fill(store: &dyn Store, film: &Film) {
    let last = film.geometry().last();
    store.accept(last..last + 1, &film.encoding(last..last + 1)).unwrap();
    store.accept(0..last + 1, &film.encoding(0..last + 1)).unwrap();
}

fn import(library: &Library, path: &Path) -> Result<Arc<dyn Store>, LibraryError> {
    library.import(path, &|_| {}, &NEVER)
}

fn location(store: &dyn Store) -> PathBuf {
    match store.location() {
        Location::File(path) => path,
        Location::Memory(_) => panic!("not a file"),
    }
}

#[test]
fn a_task_survives_a_restart() {
    let (folder, library) = home();
    let film = film(7 * BLOCK_BYTES + 3);
    let link = film.link("电影 “one”: two?.mkv");
    let store = library.task(&link).unwrap();
    assert!(Arc::ptr_eq(&store, &library.task(&link).unwrap()));
    store.accept(6..8, &film.encoding(6..8)).unwrap();
    let entry = library.entry(film.id).unwrap();
    assert_eq!((entry.held_bytes, entry.complete, entry.broken), (BLOCK_BYTES + 3, false, false));
    assert_eq!((entry.origin, &entry.link), (Origin::Fetched, &link));
    assert_eq!(entry.path, location(&*store));
    assert!(entry.path.starts_with(folder.path()) && entry.path.extension().unwrap() == "mkv");

    let trackers = vec!["/ip4/203.0.113.5/tcp/4401".parse().unwrap()];
    library.set_trackers(film.id, trackers.clone()).unwrap();
    library.sync().unwrap();
    drop((store, library));
    let library = Library::open(folder.path()).unwrap();
    let entry = &library.entries()[0];
    assert_eq!((&entry.link.trackers, entry.held_bytes), (&trackers, BLOCK_BYTES + 3));
    assert!(library.slot(film.id).unwrap().open().live().is_none(), "looking shouldn't open it");
    let store = library.store(film.id).unwrap().unwrap();
    assert_eq!(store.held(), Blocks::from(6..8));
    fill(&*store, &film);
    assert!(library.entry(film.id).unwrap().complete);
    assert!(fs::read(&entry.path).unwrap() == film.bytes);
}

#[test]
fn an_unproved_size_gives_way_and_a_proved_one_does_not() {
    let (folder, library) = home();
    let film = film(3 * BLOCK_BYTES);
    let lie = film.link_claiming(5 * BLOCK_BYTES, "film");
    let wrong = library.task(&lie).unwrap();
    let right = library.task(&film.link("film")).unwrap();
    assert_eq!(right.geometry(), film.geometry());
    let error = wrong.accept(4..5, &film.encoding(2..3)).unwrap_err();
    assert!(matches!(error.fault, Fault::WrongSize { .. } | Fault::Store(StoreError::Retired)));
    fill(&*right, &film);
    drop((wrong, right, library));
    let library = Library::open(folder.path()).unwrap();
    let Err(LibraryError::WrongSize { claimed, proved }) = library.task(&lie) else { panic!("taken") };
    assert_eq!((claimed, proved), (5 * BLOCK_BYTES, 3 * BLOCK_BYTES));
    assert!(matches!(library.set_link(lie), Err(LibraryError::WrongSize { .. })));
    assert!(library.entry(film.id).unwrap().complete);
}

#[test]
fn one_process_at_a_time() {
    let (folder, library) = home();
    let Err(error) = Library::open(folder.path()) else { panic!("opened twice") };
    assert!(matches!(error, LibraryError::InUse(_)));
    assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
    // A store that is still written to keeps others out as well.
    let store = library.task(&film(9).link("film")).unwrap();
    drop(library);
    assert!(matches!(Library::open(folder.path()), Err(LibraryError::InUse(_))));
    drop(store);
    Library::open(folder.path()).unwrap();
}

#[test]
fn a_folder_that_is_none() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    assert!(matches!(Library::open(&file), Err(LibraryError::Store(StoreError::Io { .. }))));
    // Nobody may make a folder here, whatever rights they have.
    #[cfg(target_os = "linux")]
    {
        let Err(error) = Library::open(Path::new("/sys/nearcast")) else { panic!("opened in /sys") };
        assert!(matches!(error, LibraryError::NoRights(_)), "{error}");
    }
}

#[test]
fn an_import_stays_where_it_is() {
    let (folder, library) = home();
    let films = TempDir::new().unwrap();
    for size in [0, 1, BLOCK_BYTES, 20 * BLOCK_BYTES + 9] {
        let film = film(size);
        let path = films.path().join(format!("film {size}.mp4"));
        fs::write(&path, &film.bytes).unwrap();
        let store = import(&library, &path).unwrap();
        assert_eq!((store.id(), store.complete()), (film.id, true));
        assert_eq!(location(&*store), path.canonicalize().unwrap());
        let count = film.geometry().count();
        assert!(store.encode(0..count).unwrap() == film.encoding(0..count));
        store.accept(0..count, &film.encoding(0..count)).unwrap();
        let entry = library.entry(film.id).unwrap();
        assert_eq!((entry.origin, entry.complete, entry.broken), (Origin::Imported, true, false));
        assert_eq!((entry.link.size, entry.link.name), (size, format!("film {size}.mp4")));
        let hashed_again = |_| panic!("hashed again");
        assert!(Arc::ptr_eq(&store, &library.import(&path, &hashed_again, &NEVER).unwrap()));
    }
    drop(library);
    let library = Library::open(folder.path()).unwrap();
    assert!(library.entries().iter().all(|entry| entry.complete && entry.origin == Origin::Imported));
    let id = film(1).id;
    let kept = library.remove(id, true).unwrap();
    assert_eq!(kept, Some(films.path().join("film 1.mp4").canonicalize().unwrap()));
    assert!(films.path().join("film 1.mp4").exists() && library.entry(id).is_none());
    assert!(!folder.path().join(id.to_string()).exists());
}

#[test]
fn a_changed_import_is_broken_and_can_be_fetched_or_added_again() {
    let (folder, library) = home();
    let films = TempDir::new().unwrap();
    let film = film(5 * BLOCK_BYTES);
    let path = films.path().join("film");
    fs::write(&path, &film.bytes).unwrap();
    let store = import(&library, &path).unwrap();
    fs::write(&path, b"another").unwrap();
    assert!(matches!(store.encode(0..1), Err(StoreError::Changed { .. })));
    assert!(matches!(store.read_at(0, &mut [0; 4]), Err(StoreError::Changed { .. })));
    assert!(store.held().is_empty());
    let error = store.accept(0..5, &film.encoding(0..5)).unwrap_err();
    assert!(matches!(error.fault, Fault::Store(StoreError::Changed { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"another");
    let entry = library.entry(film.id).unwrap();
    assert!(entry.broken && !entry.complete && entry.held_bytes == 0);
    drop((store, library));

    let library = Library::open(folder.path()).unwrap();
    assert!(library.entry(film.id).unwrap().broken);
    assert!(matches!(library.store(film.id), Err(LibraryError::Store(StoreError::Changed { .. }))));
    // The file turns up elsewhere.
    let moved = films.path().join("moved");
    fs::write(&moved, &film.bytes).unwrap();
    assert!(import(&library, &moved).unwrap().complete());
    assert_eq!(library.entry(film.id).unwrap().path, moved.canonicalize().unwrap());
    // It goes for good, and is fetched.
    fs::remove_file(&moved).unwrap();
    let store = library.task(&film.link("film")).unwrap();
    fill(&*store, &film);
    let entry = library.entry(film.id).unwrap();
    assert_eq!((entry.origin, entry.complete, entry.broken), (Origin::Fetched, true, false));
}

#[test]
fn a_rotten_import_is_never_written_to() {
    let (_folder, library) = home();
    let films = TempDir::new().unwrap();
    let film = film(5 * BLOCK_BYTES);
    let path = films.path().join("film");
    fs::write(&path, &film.bytes).unwrap();
    let store = import(&library, &path).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    crate::disk::file::write_all_at(&file, 3 * BLOCK_BYTES, &[!film.bytes[3 * BLOCK_BYTES as usize]])
        .unwrap();
    file.set_modified(modified).unwrap();
    assert!(matches!(store.encode(3..4), Err(StoreError::Damaged { blocks, .. }) if blocks.count() == 1));
    assert!(library.entry(film.id).unwrap().broken);
    let error = store.accept(3..4, &film.encoding(3..4)).unwrap_err();
    assert!(matches!(error.fault, Fault::Store(StoreError::Imported { .. })));
    // Fetching it is the way out, and ends the old store.
    let fetched = library.task(&film.link("film")).unwrap();
    assert!(matches!(store.read_at(0, &mut [0; 4]), Err(StoreError::Retired)));
    fill(&*fetched, &film);
    assert!(fs::read(&path).unwrap() != film.bytes);
}

#[test]
fn an_import_completes_what_is_being_fetched() {
    let (folder, library) = home();
    let films = TempDir::new().unwrap();
    let film = film(200 * BLOCK_BYTES + 9);
    let path = films.path().join("film");
    fs::write(&path, &film.bytes).unwrap();
    let fetching = library.task(&film.link("film")).unwrap();
    fetching.accept(200..201, &film.encoding(200..201)).unwrap();
    fetching.accept(70..90, &film.encoding(70..90)).unwrap();
    let store = import(&library, &path).unwrap();
    assert!(Arc::ptr_eq(&store, &fetching) && fetching.complete());
    assert_eq!(library.entry(film.id).unwrap().origin, Origin::Fetched);
    // A size that the bytes prove to be a lie doesn't stand in the way.
    library.remove(film.id, true).unwrap();
    library.task(&film.link_claiming(77, "film")).unwrap();
    assert!(import(&library, &path).unwrap().complete());
    assert_eq!(library.entry(film.id).unwrap().origin, Origin::Imported);
    assert!(
        !fs::read_dir(folder.path())
            .unwrap()
            .any(|entry| { entry.unwrap().file_name().to_string_lossy().starts_with(import::PREFIX) })
    );
}

#[test]
fn a_stopped_import_leaves_nothing() {
    let (folder, library) = home();
    let film = film(20 << 20);
    let path = folder.path().join("film");
    fs::write(&path, &film.bytes).unwrap();
    let cancelled = AtomicBool::new(false);
    let stop = |_| cancelled.store(true, std::sync::atomic::Ordering::Relaxed);
    let result = library.import(&path, &stop, &cancelled);
    assert!(matches!(result, Err(LibraryError::Hash(HashError::Cancelled))));
    assert!(library.entries().is_empty());
    let names = |folder: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(folder.path()), ["film", "lock"]);
    drop(library);
    fs::create_dir(folder.path().join("import-0")).unwrap();
    fs::write(folder.path().join("import-0/outboard"), b"half").unwrap();
    Library::open(folder.path()).unwrap();
    assert_eq!(names(folder.path()), ["film", "lock"]);
}

#[test]
fn one_broken_entry_is_not_all() {
    let (folder, library) = home();
    let films = [film(1), film(2), film(3), film(4), film(BLOCK_BYTES * 2)];
    for film in &films {
        fill(&*library.task(&film.link("film")).unwrap(), film);
    }
    drop(library);
    let file = |film: &Film, name: &str| folder.path().join(film.id.to_string()).join(name);
    fs::write(file(&films[0], "meta.json"), b"{\"version\":1").unwrap();
    fs::remove_file(file(&films[1], "meta.json")).unwrap();
    fs::copy(file(&films[3], "meta.json"), file(&films[2], "meta.json")).unwrap();
    fs::remove_dir_all(file(&films[4], "content")).unwrap();
    fs::write(folder.path().join("notes.txt"), b"the user's").unwrap();
    let library = Library::open(folder.path()).unwrap();
    let entries = library.entries();
    let held: BTreeMap<_, _> = entries.iter().map(|entry| (entry.link.id, entry.held_bytes)).collect();
    assert_eq!(held, BTreeMap::from([(films[3].id, 4), (films[4].id, 0)]));
    // All of them can be fetched again.
    for film in &films {
        fill(&*library.task(&film.link("film")).unwrap(), film);
    }
    assert!(library.entries().iter().all(|entry| entry.complete));
}

#[test]
fn what_is_removed_is_gone() {
    let (folder, library) = home();
    let film = film(4 * BLOCK_BYTES);
    let store = library.task(&film.link("film.mp4")).unwrap();
    fill(&*store, &film);
    let path = location(&*store);
    fs::write(folder.path().join("film.mp4"), b"the user's").unwrap();
    let kept = library.remove(film.id, false).unwrap().unwrap();
    assert_eq!(kept, folder.path().join("film (2).mp4"));
    assert!(fs::read(&kept).unwrap() == film.bytes && !path.exists());
    assert!(matches!(store.read_at(0, &mut [0; 4]), Err(StoreError::Retired)));
    assert!(library.entry(film.id).is_none() && library.store(film.id).unwrap().is_none());
    assert!(matches!(library.remove(film.id, true), Err(LibraryError::NotHere(_))));

    let again = library.task(&film.link("film.mp4")).unwrap();
    assert!(!Arc::ptr_eq(&again, &store) && again.held().is_empty());
    again.accept(3..4, &film.encoding(3..4)).unwrap();
    assert_eq!(library.remove(film.id, false).unwrap(), None);
    assert!(!folder.path().join(film.id.to_string()).exists());
    drop((store, again));
    assert!(!folder.path().join(film.id.to_string()).exists());
}

#[test]
fn only_the_whole_is_exported() {
    let (folder, library) = home();
    let film = film(4 * BLOCK_BYTES + 1);
    let target = folder.path().join("out.mp4");
    let store = library.task(&film.link("film.mp4")).unwrap();
    store.accept(4..5, &film.encoding(4..5)).unwrap();
    assert!(matches!(library.export(film.id, &target), Err(LibraryError::Incomplete { held: 1, .. })));
    fill(&*store, &film);
    library.export(film.id, &target).unwrap();
    assert!(fs::read(&target).unwrap() == film.bytes);
    assert!(matches!(library.export(film.id, &target), Err(LibraryError::Exists(_))));
    assert!(matches!(
        library.export(film.id, &folder.path().join("none/out.mp4")),
        Err(LibraryError::Store(StoreError::Io { .. }))
    ));
    let copied = folder.path().join("copied.mp4");
    copy(&target, &copied).unwrap();
    assert!(fs::read(&copied).unwrap() == film.bytes);
    assert!(library.entry(film.id).unwrap().complete, "a link to it doesn't change it");

    // A rotten file is found out and not given away.
    drop((store, library));
    let file = File::options().write(true).open(&target).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    crate::disk::file::write_all_at(&file, 9, &[!film.bytes[9]]).unwrap();
    file.set_modified(modified).unwrap();
    let library = Library::open(folder.path()).unwrap();
    let error = library.export(film.id, &folder.path().join("rotten")).unwrap_err();
    assert!(
        matches!(&error, LibraryError::Store(StoreError::Damaged { blocks, .. }) if blocks.count() == 1),
        "{error}"
    );
    assert!(!folder.path().join("rotten").exists());
}

#[test]
fn a_link_that_could_not_be_read_back_is_not_kept() {
    let (folder, library) = home();
    let film = film(9);
    let tracker: Multiaddr = "/ip4/203.0.113.5/tcp/4401".parse().unwrap();
    for name in ["", "..", "a/b", "new\nline"] {
        assert!(matches!(library.task(&film.link(name)), Err(LibraryError::Link(_))));
    }
    library.task(&film.link("film")).unwrap();
    library.set_trackers(film.id, vec![tracker.clone(); 99]).unwrap();
    let mut link = film.link("renamed");
    link.trackers = vec![tracker; 99];
    assert!(matches!(library.set_link(link.clone()), Err(LibraryError::Link(_))));
    link.trackers.truncate(1);
    library.set_link(link.clone()).unwrap();
    drop(library);
    let entry = Library::open(folder.path()).unwrap().entry(film.id).unwrap();
    assert_eq!(entry.link, link);
}

#[cfg(unix)]
#[test]
fn a_path_need_not_be_text() {
    use std::os::unix::ffi::OsStringExt;
    let (folder, library) = home();
    let films = TempDir::new().unwrap();
    let film = film(5);
    let path = films.path().join(std::ffi::OsString::from_vec(b"f\xfflm\\.mp4".to_vec()));
    fs::write(&path, &film.bytes).unwrap();
    import(&library, &path).unwrap();
    drop(library);
    let library = Library::open(folder.path()).unwrap();
    let entry = library.entry(film.id).unwrap();
    assert_eq!(entry.path, path.canonicalize().unwrap());
    assert!(entry.complete && entry.link.to_string().parse::<Link>().unwrap() == entry.link);
}

#[test]
fn many_at_once() {
    let (_folder, library) = home();
    let films: Vec<_> = (1..6).map(|blocks| film(blocks * BLOCK_BYTES)).collect();
    std::thread::scope(|scope| {
        for turn in 0..4 {
            let (library, films) = (&library, &films);
            scope.spawn(move || {
                for film in films.iter().cycle().skip(turn).take(films.len()) {
                    fill(&*library.task(&film.link("film")).unwrap(), film);
                    library.entries();
                    library.sync().unwrap();
                }
            });
        }
    });
    assert!(library.entries().iter().all(|entry| entry.complete));
    assert_eq!(library.entries().len(), films.len());
}

/// A link that this identity protects.
fn protected(film: &Film, seed: u8) -> (Link, Guard) {
    let term = Term { from: 0, until: u64::MAX };
    let identity = Keypair::ed25519_from_bytes([seed; 32]).unwrap();
    let key = SigningKey::certify(&identity, [2; 32], term, 0).unwrap();
    let token = key.token(film.id, term, rand::random()).unwrap();
    (Link { token: token.to_token(), ..film.link("film.mkv") }, token.guard())
}

#[test]
fn what_came_under_a_guard_stays_under_it() {
    let (folder, library) = home();
    let film = film(7 * BLOCK_BYTES + 3);
    let ((link, guard), (others, _)) = (protected(&film, 1), protected(&film, 5));
    let bare = film.link("film.mkv");
    let store = library.task(&link).unwrap();
    let guarded = |library: &Library| library.entry(film.id).unwrap().guard;
    assert_eq!(guarded(&library), Some(guard));
    // A stranger's link neither opens it to all nor to bearers of a stranger's token.
    library.task(&bare).unwrap();
    assert_eq!((guarded(&library), &library.entry(film.id).unwrap().link), (Some(guard), &link));
    assert!(matches!(library.task(&others), Err(LibraryError::OtherGuard)));
    // A fresh one of the same guard is kept for the next start.
    let (fresh, _) = protected(&film, 1);
    library.task(&fresh).unwrap();
    drop((store, library));
    let library = Library::open(folder.path()).unwrap();
    assert_eq!((guarded(&library), &library.entry(film.id).unwrap().link), (Some(guard), &fresh));
    let store = library.task(&fresh).unwrap();
    fill(&*store, &film);
    // What is complete needs nobody's leave, and is still that guard's.
    library.task(&others).unwrap();
    library.task(&bare).unwrap();
    assert_eq!((guarded(&library), &library.entry(film.id).unwrap().link), (Some(guard), &fresh));
}

#[test]
fn a_public_part_is_protected_with_the_first_protected_link_and_a_whole_film_is_not() {
    let (_folder, library) = home();
    let (part, whole) = (film(7 * BLOCK_BYTES + 3), film(3 * BLOCK_BYTES));
    let ((link, guard), (needless, _)) = (protected(&part, 1), protected(&whole, 1));
    let _part = library.task(&part.link("film.mkv")).unwrap();
    library.task(&link).unwrap();
    assert_eq!(library.entry(part.id).unwrap().guard, Some(guard));
    let store = library.task(&whole.link("film.mkv")).unwrap();
    fill(&*store, &whole);
    library.task(&needless).unwrap();
    let entry = library.entry(whole.id).unwrap();
    assert_eq!((entry.guard, entry.link.token), (None, None));
}

#[test]
fn an_import_is_guarded_as_its_publisher_says() {
    let (folder, library) = home();
    let path = folder.path().join("film.mkv");
    fs::write(&path, &*film(3 * BLOCK_BYTES).bytes).unwrap();
    let id = import(&library, &path).unwrap().id();
    assert_eq!(library.entry(id).unwrap().guard, None);
    let guard = Some(Guard::from_bytes(*protected(&film(1), 1).1.as_bytes()));
    library.set_guard(id, guard).unwrap();
    drop(library);
    let library = Library::open(folder.path()).unwrap();
    assert_eq!(library.entry(id).unwrap().guard, guard);
    let seen = Library::look(folder.path()).unwrap();
    assert_eq!((seen.len(), seen[0].0.id, &seen[0].1, seen[0].2), (1, id, &path, guard));
    // One that can't be read isn't taken for public.
    let meta = folder.path().join(id.to_string()).join("meta.json");
    let broken = fs::read_to_string(&meta).unwrap().replace("12D3Koo", "12D3Kxx");
    drop(library);
    fs::write(&meta, broken).unwrap();
    assert!(Library::open(folder.path()).unwrap().entries().is_empty());
}

#[test]
fn no_error_shows_a_token() {
    let (_folder, library) = home();
    let film = film(1);
    let link = Link { name: "a/b".into(), ..protected(&film, 1).0 };
    let error = library.task(&link).err().unwrap().to_string();
    assert!(error.contains("nearcast://") && !error.contains("token="), "{error}");
}

#[test]
fn a_file_that_is_vouched_for_is_followed_and_not_read() {
    let (folder, library) = home();
    let film = film(5 * BLOCK_BYTES + 9);
    let (first, second) = (folder.path().join("a.mkv"), folder.path().join("第二.mkv"));
    fs::write(&first, &film.bytes).unwrap();
    assert_eq!(library.vouch(film.id, &first).unwrap(), None, "it was never hashed");
    let store = import(&library, &first).unwrap();
    assert_eq!(library.vouch(film.id, &first).unwrap().unwrap().name, "a.mkv");

    fs::rename(&first, &second).unwrap();
    let link = library.vouch(film.id, &second).unwrap().unwrap();
    assert_eq!((link.id, link.name.as_str()), (film.id, "第二.mkv"));
    let entry = library.entry(film.id).unwrap();
    assert!(entry.complete && !entry.broken && entry.path.ends_with("第二.mkv"), "{entry:?}");
    assert!(store.encode(0..1).is_err(), "who had it open opens it anew");
    assert_eq!(library.store(film.id).unwrap().unwrap().encode(0..6).unwrap(), film.encoding(0..6));

    // Nothing false comes out, whatever is vouched for.
    drop(store);
    let wrong = folder.path().join("wrong.mkv");
    fs::write(&wrong, vec![7; film.bytes.len()]).unwrap();
    fs::remove_file(&second).unwrap();
    library.vouch(film.id, &wrong).unwrap();
    assert!(library.store(film.id).unwrap().unwrap().encode(0..1).is_err());
    fs::write(&wrong, b"shorter").unwrap();
    assert_eq!(library.vouch(film.id, &wrong).unwrap(), None);
}
