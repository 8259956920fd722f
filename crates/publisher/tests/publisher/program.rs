//! The program itself: killed at any moment, on a full disk, with a film that is none.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(120);

struct Publisher {
    child: Child,
    said: Receiver<String>,
}

impl Publisher {
    fn start(films: &Path, state: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nearcast-publisher"));
        command.arg(films).arg("--state").arg(state);
        command.args(["--listen", "/ip4/127.0.0.1/tcp/0", "--http", "127.0.0.1:0"]);
        command.env("RUST_LOG", "nearcast_publisher=info").stdin(Stdio::null());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (tell, said) = channel();
        let stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                tell.send(line).ok();
            }
        });
        Self { child, said }
    }

    /// Waits for a line.
    fn wait_for(&self, what: &str) -> String {
        loop {
            let line = self.said.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("it never said {what:?}"));
            if line.contains(what) {
                return line;
            }
        }
    }

    /// Waits until so many films are up, and gives their ids.
    fn up(&self, count: usize) -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        while ids.len() < count {
            let line = self.wait_for("put up");
            if line.contains("not put up") {
                continue;
            }
            let id = line.split("id=").nth(1).unwrap().split(' ').next().unwrap();
            assert!(ids.insert(id.to_owned()), "twice: {line}");
        }
        ids
    }

    /// `kill -9`
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn scene() -> (TempDir, TempDir) {
    (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap())
}

fn write(path: &Path, number: u64, size: usize) {
    let bytes: Vec<u8> = (0..size as u64 / 8)
        .flat_map(|at| (at ^ number << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect();
    fs::write(path, bytes).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(100)).unwrap();
}

#[test]
fn killed_at_any_moment_nothing_is_lost_and_nothing_is_there_twice() {
    let (films, state) = scene();
    const FILMS: usize = 40;
    for number in 0..FILMS {
        write(&films.path().join(format!("film {number:02}.mp4")), number as u64, 3 << 20);
    }
    // Killed in the middle of hashing, later each time.
    for up in [0, 1, 5, 17] {
        let publisher = Publisher::start(films.path(), state.path());
        publisher.up(up);
        publisher.kill();
    }
    let publisher = Publisher::start(films.path(), state.path());
    let ids = publisher.up(FILMS);
    publisher.kill();
    // And while it serves: all is up again, under the same ids.
    let publisher = Publisher::start(films.path(), state.path());
    assert_eq!(publisher.up(FILMS), ids);
    publisher.kill();
    let kept = fs::read_dir(state.path().join("library")).unwrap();
    let kept: BTreeSet<_> = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let expected: BTreeSet<_> = ids.into_iter().chain(["lock".to_owned()]).collect();
    assert_eq!(kept, expected);
}

#[test]
fn a_film_that_is_none_is_said_to_be_and_harms_nobody() {
    let (films, state) = scene();
    write(&films.path().join("garbage.mp4"), 1, 100_000);
    let publisher = Publisher::start(films.path(), state.path());
    let posters = Path::new(env!("CARGO_BIN_EXE_nearcast-publisher")).with_file_name("nearcast-posters");
    let (mut up, mut looked) = (false, !posters.is_file());
    while !(up && looked) {
        let line = publisher.wait_for("");
        up |= line.contains("put up") && !line.contains("not put up");
        looked |= line.contains("can't be looked into");
    }
    write(&films.path().join("next.mp4"), 2, 100_000);
    publisher.up(1);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_said_and_waited_for() {
    let (films, state) = scene();
    let mount = |arguments: &[&str]| {
        let done = Command::new(arguments[0]).args(&arguments[1..]).arg(state.path()).output();
        done.is_ok_and(|output| output.status.success())
    };
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs"]) {
        eprintln!("skipped: it takes the right to mount a small disk");
        return;
    }
    struct Unmount<'a>(&'a Path);
    impl Drop for Unmount<'_> {
        fn drop(&mut self) {
            Command::new("umount").arg("--lazy").arg(self.0).status().ok();
        }
    }
    let _unmount = Unmount(state.path());
    write(&films.path().join("small.mp4"), 1, 64 << 10);
    let publisher = Publisher::start(films.path(), state.path());
    let small = publisher.up(1);
    // The tree of this one takes more than there is.
    write(&films.path().join("large.mp4"), 2, 300 << 20);
    let refused = publisher.wait_for("not put up");
    assert!(refused.contains("large.mp4") && refused.to_lowercase().contains("space"), "{refused}");
    // What was there goes on, and what fits is added.
    write(&films.path().join("tiny.mp4"), 3, 8 << 10);
    let tiny = publisher.up(1);
    publisher.kill();
    let publisher = Publisher::start(films.path(), state.path());
    assert_eq!(publisher.up(2), &small | &tiny);
}
