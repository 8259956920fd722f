//! The library on real folders, with a real controller: what is put there is up, whatever else lies beside it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use nearcast_protocol::Role;
use nearcast_publisher::library::{Following, Library, Settings, Snapshot};
use nearcast_transfer::Controller;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::starting;

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// A library that runs.
struct Running {
    library: Library,
    controller: Controller,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A folder of films, and one of the publisher's own.
struct Scene {
    films: TempDir,
    state: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { films: tempfile::tempdir().unwrap(), state: tempfile::tempdir().unwrap() }
    }

    /// Writes a file that has been there for a while.
    fn write(&self, name: impl AsRef<Path>, content: &[u8]) -> PathBuf {
        let path = self.films.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        age(&path, 100);
        path
    }

    async fn start(&self) -> Running {
        let mut settings = nearcast_transfer::Settings::new(self.state.path());
        settings.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
        settings.neighbours = false;
        settings.role = Role::Publisher;
        settings.only_offered = true;
        let controller = starting::start(settings).await;
        let mut settings = Settings::new(self.films.path(), self.state.path());
        settings.pictures = false;
        let (library, following) = Library::open(settings, controller.clone()).unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(Following::run(following, stop.clone()));
        Running { library, controller, stop, task }
    }
}

impl Running {
    /// Waits until the library is as wanted.
    async fn until(&self, wanted: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let mut changes = self.library.watch();
        let reached = tokio::time::timeout(PATIENCE, changes.wait_for(|snapshot| wanted(snapshot))).await;
        match reached {
            Ok(snapshot) => Arc::clone(&snapshot.unwrap()),
            Err(_) => panic!("it never came to that: {:#?}", self.library.snapshot()),
        }
    }

    async fn titles(&self, names: &[&str]) -> Arc<Snapshot> {
        self.until(|snapshot| names_of(snapshot) == names && idle(snapshot)).await
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
        self.controller.stop().await;
    }

    /// As `kill -9` would: nothing is written any more.
    async fn kill(self) {
        self.task.abort();
        self.task.await.ok();
        self.controller.stop().await;
    }
}

fn idle(snapshot: &Snapshot) -> bool {
    snapshot.looked && snapshot.hashing.is_empty() && snapshot.waiting.files == 0
}

fn names_of(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.titles.iter().map(|title| title.name.as_str()).collect()
}

fn age(path: &Path, seconds: u64) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
}

/// Bytes that no other film has.
fn film(number: u8, size: usize) -> Vec<u8> {
    (0..size).map(|at| (at as u64).wrapping_mul(2_654_435_761).to_le_bytes()[3] ^ number).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_added_changed_renamed_and_deleted_while_it_runs() {
    let scene = Scene::new();
    scene.write("a.mp4", &film(1, 100_000));
    let running = scene.start().await;
    let first = running.titles(&["a"]).await;
    let id = first.titles[0].key;
    assert_eq!(running.controller.library().len(), 1);

    scene.write("series/新的.mkv", &film(2, 200_000));
    let second = running.titles(&["a", "新的"]).await;
    assert_eq!(second.titles[1].category, ["series"]);

    // The same file under another name: neither hashed again nor taken down in between.
    fs::rename(scene.films.path().join("a.mp4"), scene.films.path().join("b.mp4")).unwrap();
    let third = running.titles(&["b", "新的"]).await;
    assert_eq!((third.titles[0].key, third.titles[0].films[0].link.name.as_str()), (id, "b.mp4"));
    assert_eq!(running.controller.library().len(), 2);

    scene.write("b.mp4", &film(3, 300_000));
    let fourth = running.until(|now| idle(now) && now.titles.first().is_some_and(|t| t.key != id)).await;
    assert_eq!(fourth.titles[0].films[0].link.size, 300_000);

    fs::remove_file(scene.films.path().join("b.mp4")).unwrap();
    running.titles(&["新的"]).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_hashes_nothing_again() {
    let scene = Scene::new();
    for number in 0..5u8 {
        scene.write(format!("f{number}.mp4"), &film(number, 50_000));
    }
    // The same content twice: one film, and known as such after a restart as well.
    scene.write("twin.mp4", &film(0, 50_000));
    scene.write("f1.en.srt", b"1\n00:00:01,000 --> 00:00:02,000\nHello\n");
    let running = scene.start().await;
    let names = ["f0", "f1", "f2", "f3", "f4"];
    let before = running.titles(&names).await;
    assert_eq!(before.titles[1].subtitles[0].language.as_deref(), Some("en"));
    running.stop().await;

    // Nothing can be read any more, so nothing can be hashed.
    let read = |on: bool| {
        for entry in fs::read_dir(scene.films.path()).unwrap() {
            let path = entry.unwrap().path();
            let file = fs::File::options().read(true).write(true).open(&path).unwrap();
            let (time, size) = (file.metadata().unwrap().modified().unwrap(), file.metadata().unwrap().len());
            if !on {
                // Other bytes, same size, same time, same inode: whoever hashed it would find another film.
                use std::io::Write;
                (&file).write_all(&vec![7; size as usize]).unwrap();
                file.set_modified(time).unwrap();
            }
        }
    };
    read(false);
    let running = scene.start().await;
    let after = running.titles(&names).await;
    assert_eq!(
        before.titles.iter().map(|title| title.key).collect::<Vec<_>>(),
        after.titles.iter().map(|title| title.key).collect::<Vec<_>>()
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_twin_takes_over_when_the_first_goes() {
    let scene = Scene::new();
    scene.write("a.mp4", &film(1, 90_000));
    scene.write("b.mp4", &film(1, 90_000));
    let running = scene.start().await;
    let both = running.titles(&["a"]).await;
    fs::remove_file(scene.films.path().join("a.mp4")).unwrap();
    let one = running.titles(&["b"]).await;
    assert_eq!(both.titles[0].key, one.titles[0].key);
    let entries = running.controller.library();
    assert!(entries.len() == 1 && entries[0].complete && entries[0].path.ends_with("b.mp4"), "{entries:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_or_removed_stays_so_and_comes_back_when_told() {
    let scene = Scene::new();
    let path = scene.write("a.mp4", &film(1, 70_000));
    scene.write("b.mp4", &film(2, 70_000));
    let running = scene.start().await;
    let snapshot = running.titles(&["a", "b"]).await;
    let (a, b) = (snapshot.titles[0].key, snapshot.titles[1].key);
    running.library.hold(a, true).await.unwrap();
    running.library.remove(b).await.unwrap();
    let held = running.until(|now| now.titles.len() == 1 && now.titles[0].held).await;
    assert!(held.link(&a).is_none(), "what is held has no link for viewers");
    running.stop().await;

    let running = scene.start().await;
    let again = running.titles(&["a"]).await;
    assert!(again.titles[0].held && path.is_file());
    running.library.hold(a, false).await.unwrap();
    running.library.rename(a, Some("大兔子".into())).await.unwrap();
    running.library.add(scene.films.path().join("b.mp4")).await.unwrap();
    let back = running.titles(&["b", "大兔子"]).await;
    assert!(back.link(&a).is_some() && back.link(&b).is_some());
    assert!(running.library.rename(a, Some("a\nb".into())).await.is_err());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(unix)]
async fn bad_neighbours_do_no_harm() {
    use std::os::unix::{ffi::OsStrExt, fs::PermissionsExt};
    let scene = Scene::new();
    scene.write("good.mp4", &film(1, 70_000));
    scene.write("garbage.mp4", b"no film at all");
    for (number, name) in [&b"\xff\xfe.mp4"[..], b"new\nline.mp4", b"x..\\..\\y.mp4"].iter().enumerate() {
        scene.write(std::ffi::OsStr::from_bytes(name), &film(10 + number as u8, 3_000));
    }
    std::os::unix::fs::symlink(".", scene.films.path().join("round")).unwrap();
    std::os::unix::fs::symlink("loop.mp4", scene.films.path().join("loop.mp4")).unwrap();
    let locked = scene.write("locked/in.mp4", &film(2, 1_000));
    fs::set_permissions(locked.parent().unwrap(), fs::Permissions::from_mode(0o000)).unwrap();
    let no_rights = fs::read_dir(locked.parent().unwrap()).is_err();

    let running = scene.start().await;
    // As root everything can be read.
    let expected = if no_rights { 5 } else { 6 };
    let snapshot = running.until(|now| idle(now) && now.titles.len() == expected).await;
    assert!(names_of(&snapshot).contains(&"good"));
    let refused: Vec<_> = snapshot.problems.iter().filter(|p| p.path.ends_with("locked")).collect();
    assert_eq!(refused.len(), usize::from(no_rights), "{:?}", snapshot.problems);
    for title in &snapshot.titles {
        let link = &title.films[0].link;
        let read = link.to_string().parse::<nearcast_protocol::Link>();
        assert_eq!(read.as_ref(), Ok(link), "every link is read as it is written");
        assert!(!title.name.contains('\n'));
    }
    running.stop().await;
    fs::set_permissions(locked.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_still_grows_is_taken_when_it_rests() {
    let scene = Scene::new();
    scene.write("rest.mp4", &film(1, 10_000));
    let growing = scene.films.path().join("growing.mp4");
    fs::write(&growing, film(2, 1_000)).unwrap();
    let running = scene.start().await;
    running.titles(&["rest"]).await;
    let grown = film(2, 4_000_000);
    fs::write(&growing, &grown).unwrap();
    let snapshot = running.titles(&["growing", "rest"]).await;
    assert_eq!(snapshot.titles[0].films[0].link.size, grown.len() as u64);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_is_hashed_is_taken_as_it_is_then() {
    let scene = Scene::new();
    let path = scene.films.path().join("film.mkv");
    fs::File::create(&path).unwrap().set_len(50 << 30).unwrap();
    age(&path, 100);
    let running = scene.start().await;
    running.until(|now| now.hashing.first().is_some_and(|file| file.done > 0)).await;
    scene.write("film.mkv", &film(1, 80_000));
    scene.write("other.mkv", &film(2, 80_000));
    let snapshot = running.titles(&["film", "other"]).await;
    assert_eq!(snapshot.titles[0].films[0].link.size, 80_000);
    assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_file_holds_up_nobody_and_is_let_go_at_once() {
    let scene = Scene::new();
    let huge = scene.films.path().join("huge.mkv");
    fs::File::create(&huge).unwrap().set_len(100 << 30).unwrap();
    age(&huge, 100);
    for number in 0..20u8 {
        scene.write(format!("small{number:02}.mp4"), &film(number, 20_000));
    }
    scene.write("middle.mp4", &film(99, 20 << 20));
    let running = scene.start().await;
    let hashing = running.until(|now| now.titles.len() == 21 && !now.hashing.is_empty()).await;
    assert_eq!((hashing.hashing.len(), hashing.hashing[0].of), (1, 100 << 30));
    // Its progress is shown, and what comes later doesn't wait for it.
    running.until(|now| now.hashing.first().is_some_and(|file| file.done > 0)).await;
    scene.write("later.mp4", &film(100, 30 << 20));
    running.until(|now| now.titles.len() == 22 && !now.hashing.is_empty()).await;
    // Stopping doesn't wait for it either.
    tokio::time::timeout(PATIENCE, running.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_the_middle_loses_nothing_and_doubles_nothing() {
    let scene = Scene::new();
    for number in 0..30u8 {
        scene.write(format!("f{number:02}.mp4"), &film(number, 300_000));
    }
    let running = scene.start().await;
    running.until(|now| now.titles.len() >= 3).await;
    running.kill().await;
    let running = scene.start().await;
    let all = running.until(|now| idle(now) && now.titles.len() == 30).await;
    assert!(all.problems.is_empty(), "{:?}", all.problems);
    assert_eq!(running.controller.library().len(), 30);
    running.stop().await;
    let left: Vec<_> = fs::read_dir(scene.state.path().join("library"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("import-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_small_files() {
    let mut scene = Scene::new();
    // In memory, where there is such a place: what a disk takes to sync is not what is tested.
    if let Ok(memory) = tempfile::tempdir_in("/dev/shm") {
        scene.state = memory;
    }
    for number in 0..10_000u32 {
        let folder = scene.films.path().join(format!("{:02}", number / 500));
        if number % 500 == 0 {
            fs::create_dir(&folder).unwrap();
        }
        let path = folder.join(format!("clip-{number}.mp4"));
        fs::write(&path, number.to_le_bytes()).unwrap();
        age(&path, 100);
    }
    let running = scene.start().await;
    let all = running.until(|now| idle(now) && now.titles.len() == 10_000).await;
    assert!(all.problems.is_empty());
    running.stop().await;
    // Once more, without reading them.
    let running = scene.start().await;
    running.until(|now| idle(now) && now.titles.len() == 10_000).await;
    running.stop().await;
}
