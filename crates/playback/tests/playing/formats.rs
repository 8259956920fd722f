//! Every kind of file plays, can be sought in, and ends.

use std::{sync::Arc, time::Duration};

use nearcast_playback::{
    FileMedia, Media, PlaybackError, PlayerEvent, Script, SeekMode, TrackKind, measure, probe,
};

use super::{
    clips::{Clip, SECONDS},
    watching::{PATIENCE, Viewer},
};

fn plays_through(clip: Clip) {
    let mut viewer = Viewer::of(clip);
    viewer.player.play();
    let tracks = viewer.until("the tracks", |event| match event {
        PlayerEvent::Tracks(tracks) => Some(tracks.clone()),
        _ => None,
    });
    assert_eq!(tracks.iter().any(|track| track.kind == TrackKind::Video), clip.has_pictures(), "{tracks:?}");
    assert!(tracks.iter().all(|track| track.codec.is_some()), "{tracks:?}");
    viewer.first_picture();
    viewer.runs();
    viewer.wait_beyond(0.3);

    let duration = viewer.player.duration().expect("the duration is known once it runs").as_secs_f64();
    // A file that doesn't say its length is as long as the place where its last cluster begins.
    let off = if clip == Clip::MkvWithoutCues { 1.1 } else { 0.5 };
    assert!((duration - SECONDS as f64).abs() < off, "{clip:?} claims {duration} s");

    let landed = viewer.seek(5.48, SeekMode::Accurate);
    // One picture lasts 40 ms, a piece of sound up to 26 ms; Theora and Opus tracks begin a little late.
    assert!((landed - 5.48).abs() < 0.1, "{clip:?}: 5.48 s was asked, {landed} s came");
    viewer.runs();

    // Nothing but an index says where pictures stand by themselves: without one a demuxer estimates.
    let landed = viewer.seek(3.2, SeekMode::Fast);
    assert!((0.0..5.0).contains(&landed), "{clip:?}: 3.2 s was asked, {landed} s came");
    viewer.runs();

    viewer.seek(SECONDS as f64 - 0.7, SeekMode::Accurate);
    viewer.end();
    assert!(viewer.player.is_ended());
    assert_eq!(viewer.stalls, 0, "{clip:?}: all of it was there");

    // The end is no wall: one can go back.
    viewer.seek(1.0, SeekMode::Accurate);
    assert!(!viewer.player.is_ended());
    viewer.runs();
}

#[test]
fn mp4_with_its_index_first() {
    plays_through(Clip::Mp4IndexFirst);
}

#[test]
fn mp4_with_its_index_last() {
    plays_through(Clip::Mp4IndexLast);
}

#[test]
fn mkv() {
    plays_through(Clip::Mkv);
}

#[test]
fn mkv_without_cues() {
    plays_through(Clip::MkvWithoutCues);
}

#[test]
fn webm() {
    plays_through(Clip::Webm);
}

#[test]
fn ts() {
    plays_through(Clip::Ts);
}

#[test]
fn ogg() {
    plays_through(Clip::Ogg);
}

#[test]
fn mp3() {
    plays_through(Clip::Mp3);
}

#[test]
fn flac() {
    plays_through(Clip::Flac);
}

#[test]
fn measuring_gives_a_figure_for_each_start() {
    let open =
        || Ok::<_, PlaybackError>(Arc::new(FileMedia::open(&Clip::Mkv.path()).unwrap()) as Arc<dyn Media>);
    let script = Script {
        play: Some(Duration::from_millis(400)),
        play_after_seek: Some(Duration::from_millis(400)),
        seeks: vec![Duration::from_secs(4), Duration::from_millis(7_600)],
        mode: SeekMode::Accurate,
        patience: PATIENCE,
    };
    let figures = measure(open, &script).unwrap();
    assert_eq!(figures.error, None);
    assert!(figures.first_picture_ms.unwrap() <= figures.runs_ms.unwrap());
    let [there, near_the_end] = figures.seeks.as_slice() else { panic!("{figures:?}") };
    assert!((there.landed_s.unwrap() - 4.0).abs() < 0.1 && there.runs_ms >= there.picture_ms);
    assert!((near_the_end.landed_s.unwrap() - 7.6).abs() < 0.1);
    assert_eq!(figures.stalls, 0);
    assert!(figures.played_ms > 0.0 && figures.duration_ms.unwrap() > 7_500.0);
}

#[test]
fn probing_tells_what_each_file_holds() {
    for clip in Clip::ALL {
        let info = probe(&clip.path(), PATIENCE).unwrap();
        assert!(info.duration_ms.abs_diff(SECONDS * 1000) <= 1000, "{clip:?} {info:?}");
        assert_eq!(info.container.is_some(), clip.has_pictures(), "{clip:?} {info:?}");
        assert_eq!(info.audio[0].channels, 2, "{clip:?} {info:?}");
        if clip.has_pictures() {
            assert_eq!((info.video[0].width, info.video[0].height), (192, 108), "{clip:?} {info:?}");
            assert!(info.video[0].fps.is_none_or(|fps| (fps - 25.0).abs() < 0.1), "{clip:?} {info:?}");
        }
    }
}
