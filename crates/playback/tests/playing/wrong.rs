//! Files that are no films, or broken ones.

use std::{process::Command, sync::Arc};

use nearcast_playback::{ProbeError, SeekMode, probe};

use super::{
    clips::Clip,
    slow::SlowMedia,
    watching::{PATIENCE, Viewer},
};

fn open(name: &str, bytes: Vec<u8>) -> Viewer {
    let viewer = Viewer::open(Arc::new(SlowMedia::new(name, bytes, 0..0)));
    viewer.player.play();
    viewer
}

#[test]
fn what_is_no_film_is_called_so() {
    let text = b"Dear diary, today I wrote a text file.\n".repeat(400);
    let noise: Vec<u8> = (0_u64..60_000).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut zip = b"PK\x03\x04\x14\0\0\0\x08\0".to_vec();
    zip.extend_from_slice(&noise);
    for (name, bytes) in [
        ("diary.txt", text.clone()),
        ("lying.mp4", text),
        ("noise", noise),
        ("a.zip", zip),
        ("empty.mkv", vec![]),
    ] {
        println!("{name}");
        let error = open(name, bytes).error();
        assert_eq!(error, "this file is not a video, or its format isn't known", "{name}");
    }
}

#[test]
fn a_film_that_was_cut_off_before_its_index_is_damaged() {
    let mut film = Clip::Mp4IndexLast.bytes();
    film.truncate(film.len() / 2);
    let error = open("film.mp4", film).error();
    assert!(error.starts_with("this file is damaged"), "{error}");
}

#[test]
fn a_film_that_was_cut_off_later_plays_as_far_as_it_goes() {
    let mut film = Clip::Ts.bytes();
    film.truncate(film.len() * 3 / 4);
    let mut viewer = open("film.ts", film);
    viewer.runs();
    viewer.seek(5.0, SeekMode::Accurate);
    viewer.end();
    assert_eq!(viewer.stalls, 0);
}

/// What the program says of `clip` on a machine that lacks these decoders. The environment is read when
/// GStreamer starts, so it takes a process of its own.
fn measured_without(decoders: &str, clip: Clip) -> (bool, serde_json::Value) {
    let out = Command::new(env!("CARGO_BIN_EXE_nearcast-player"))
        .args(["measure", "--json", "--play", "0.2"])
        .arg(clip.path())
        .env("GST_PLUGIN_FEATURE_RANK", decoders)
        .output()
        .unwrap();
    (out.status.success(), serde_json::from_slice(&out.stdout).unwrap())
}

const NO_H264: &str = "avdec_h264:NONE,openh264dec:NONE,vah264dec:NONE,vaapih264dec:NONE,v4l2h264dec:NONE,\
                       v4l2slh264dec:NONE,nvh264dec:NONE";

#[test]
fn a_missing_decoder_is_called_by_its_codec() {
    let nothing = format!("{NO_H264},opusdec:NONE,avdec_opus:NONE");
    let (success, figures) = measured_without(&nothing, Clip::Mkv);
    let error = figures["error"].as_str().unwrap();
    assert!(
        error.starts_with("a decoder for H.264") && error.ends_with("is missing on this machine"),
        "{error}"
    );
    assert!(!success && figures["runs_ms"].is_null(), "{figures}");
}

#[test]
fn what_can_be_decoded_plays_and_what_is_missing_is_told() {
    let (success, figures) = measured_without(NO_H264, Clip::Mkv);
    assert!(figures["runs_ms"].is_number(), "the sound plays: {figures}");
    assert!(figures["error"].as_str().unwrap().starts_with("a decoder for H.264"), "{figures}");
    assert!(!success);
}

#[test]
fn probing_says_which_file_is_no_film() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("diary.txt");
    std::fs::write(&path, "Dear diary\n".repeat(100)).unwrap();
    let error = probe(&path, PATIENCE).unwrap_err();
    assert!(matches!(error, ProbeError::NotMedia { .. }), "{error:?}");
    assert!(error.to_string().contains("diary.txt"), "{error}");
    assert!(matches!(probe(folder.path(), PATIENCE), Err(ProbeError::Path { .. })));
    assert!(matches!(probe(&folder.path().join("none"), PATIENCE), Err(ProbeError::Path { .. })));
}
