//! Posters and storyboards of real films, made by the real programs; and what they do with films that are none.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant, SystemTime},
};

use gstreamer::prelude::*;

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Ten seconds of a test picture that changes.
fn make_film(path: &Path, pattern: &str) {
    gstreamer::init().unwrap();
    let description = format!(
        "videotestsrc pattern={pattern} num-buffers=100 ! video/x-raw,width=320,height=180,framerate=10/1 \
         ! vp8enc deadline=1 keyframe-max-dist=10 ! webmmux ! filesink name=file"
    );
    let pipeline = gstreamer::parse::launch(&description).unwrap().downcast::<gstreamer::Pipeline>().unwrap();
    pipeline.by_name("file").unwrap().set_property("location", path.to_str().unwrap());
    pipeline.set_state(gstreamer::State::Playing).unwrap();
    let ends = [gstreamer::MessageType::Eos, gstreamer::MessageType::Error];
    let end = pipeline.bus().unwrap().timed_pop_filtered(gstreamer::ClockTime::NONE, &ends).unwrap();
    pipeline.set_state(gstreamer::State::Null).unwrap();
    assert_eq!(end.type_(), gstreamer::MessageType::Eos, "{end:?}");
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(100)).unwrap();
}

fn posters(arguments: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nearcast-posters"));
    command.args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_film_has_facts_a_poster_and_a_storyboard() {
    let folder = tempfile::tempdir().unwrap();
    let film = folder.path().join("电影 第一.webm");
    make_film(&film, "smpte");
    let said = posters(&["probe".as_ref(), &film]);
    let facts: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    let length = facts["duration_ms"].as_u64().unwrap();
    assert!((9_000..11_000).contains(&length), "{facts}");
    assert_eq!((&facts["video"][0]["width"], &facts["video"][0]["height"]), (&320.into(), &180.into()));

    let length = length.to_string();
    let arguments = ["pictures".as_ref(), "--length-ms".as_ref(), length.as_ref(), "--into".as_ref()];
    let made = posters(&[&arguments[..], &[folder.path(), &film]].concat());
    assert!(made.status.success(), "{made:?}");
    for picture in ["poster.jpg", "storyboard.jpg"] {
        assert!(fs::read(folder.path().join(picture)).unwrap().starts_with(&[0xff, 0xd8, 0xff]), "{picture}");
    }
    let index = fs::read_to_string(folder.path().join("storyboard.vtt")).unwrap();
    assert_eq!(index.matches("#xywh=").count(), 5, "{index}");
}

#[test]
fn a_film_that_is_none_is_one_sentence_and_a_truncated_one_ends() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage.mp4");
    fs::write(&garbage, vec![0x5a; 200_000]).unwrap();
    let said = posters(&["probe".as_ref(), &garbage]);
    assert!(!said.status.success() && said.stdout.is_empty());
    assert!(String::from_utf8_lossy(&said.stderr).contains("garbage.mp4"), "{said:?}");

    let whole = folder.path().join("whole.webm");
    make_film(&whole, "smpte");
    let bytes = fs::read(&whole).unwrap();
    for part in [bytes.len() / 2, 200, 3] {
        let cut = folder.path().join(format!("cut-{part}.webm"));
        fs::write(&cut, &bytes[..part]).unwrap();
        // Whatever it says, it ends by itself.
        posters(&["probe".as_ref(), &cut]);
        let arguments = ["pictures".as_ref(), "--length-ms".as_ref(), "10000".as_ref(), "--into".as_ref()];
        posters(&[&arguments[..], &[folder.path(), &cut]].concat());
    }
}

/// A publisher that is killed when the test ends.
struct Publisher(Child);

impl Drop for Publisher {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The folders of pictures, once they are as wanted.
fn pictured(state: &Path, wanted: impl Fn(&[PathBuf]) -> bool) -> Vec<PathBuf> {
    let until = Instant::now() + PATIENCE;
    loop {
        let folders = fs::read_dir(state.join("pictures")).into_iter().flatten().flatten();
        let folders: Vec<_> = folders
            .map(|entry| entry.path())
            .filter(|folder| folder.extension().is_none() && folder.join("storyboard.vtt").is_file())
            .collect();
        if wanted(&folders) {
            return folders;
        }
        assert!(Instant::now() < until, "it never came to that: {folders:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_changed_film_gets_other_pictures_and_the_old_ones_go() {
    let (films, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let film = films.path().join("film.webm");
    make_film(&film, "smpte");
    let mut command = Command::new(env!("CARGO_BIN_EXE_nearcast-publisher"));
    command.arg(films.path()).arg("--state").arg(state.path());
    command.args(["--listen", "/ip4/127.0.0.1/tcp/0", "--http", "127.0.0.1:0"]);
    let _publisher = Publisher(command.stdin(Stdio::null()).spawn().unwrap());
    let first = pictured(state.path(), |folders| folders.len() == 1);
    let other = films.path().join("other.tmp");
    make_film(&other, "ball");
    fs::rename(&other, &film).unwrap();
    pictured(state.path(), |folders| folders.len() == 1 && folders != first);
}
