//! What a viewer does with a film.

use std::{sync::Arc, time::Duration};

use nearcast_playback::{PlayerEvent, SeekMode};

use super::{clips::Clip, slow::SlowMedia, watching::Viewer};

#[test]
fn the_first_picture_comes_before_anyone_presses_play() {
    let mut viewer = Viewer::of(Clip::Mp4IndexLast);
    viewer.first_picture();
    viewer.player.play();
    viewer.runs();
}

#[test]
fn a_seek_before_the_film_is_open_is_kept_for_then() {
    let film = Clip::Mkv.bytes();
    let all = 0..film.len();
    let media = Arc::new(SlowMedia::new("film.mkv", film, all));
    let mut viewer = Viewer::open(media.clone());
    viewer.player.play();
    media.wait_until_blocked();
    viewer.player.seek(Duration::from_secs(2), SeekMode::Accurate);
    viewer.player.seek(Duration::from_secs(5), SeekMode::Accurate);
    assert_eq!(viewer.player.position(), Some(Duration::from_secs(5)));
    media.release();
    let landed = viewer.landed();
    assert!((landed - 5.0).abs() < 0.1, "landed at {landed} s");
    viewer.runs();
}

#[test]
fn of_many_seeks_the_last_one_counts() {
    for clip in [Clip::Mp4IndexFirst, Clip::Mkv, Clip::Ts] {
        println!("{clip:?}");
        let mut viewer = Viewer::of(clip);
        viewer.player.play();
        viewer.runs();
        for step in 1..=30 {
            viewer.player.seek(Duration::from_millis(200 * step), SeekMode::Accurate);
        }
        viewer.until("the last place", |event| match event {
            PlayerEvent::SeekPicture { at, .. } => ((at.as_secs_f64() - 6.0).abs() < 0.1).then_some(()),
            _ => None,
        });
        viewer.runs();
        assert!(viewer.player.position().unwrap() >= Duration::from_secs(6), "{clip:?}");
    }
}

#[test]
fn a_paused_film_stays_paused_over_a_seek() {
    let mut viewer = Viewer::of(Clip::Mp4IndexFirst);
    viewer.first_picture();
    let landed = viewer.seek(3.0, SeekMode::Accurate);
    assert!((landed - 3.0).abs() < 0.1);
    std::thread::sleep(Duration::from_millis(300));
    let position = viewer.player.position().unwrap();
    assert!(position < Duration::from_millis(3_200), "it moved to {position:?}");
    viewer.player.play();
    viewer.runs();
}

#[test]
fn the_speed_changes_and_the_media_are_told() {
    let film = Clip::Mp4IndexFirst.bytes();
    let size = film.len() as u64;
    let media = Arc::new(SlowMedia::new("film.mp4", film, 0..0));
    let mut viewer = Viewer::open(media.clone());
    viewer.player.play();
    viewer.runs();
    assert_eq!(media.rate(), Some(1.0));
    // The film is 8 s long, about, and a byte has 8 bits.
    let bit_rate = media.bit_rate().expect("told once the duration is known");
    assert!((size * 9 / 10..size * 11 / 10).contains(&bit_rate), "{bit_rate} bit/s of {size} bytes");
    viewer.player.set_rate(4.0);
    assert_eq!(viewer.player.rate(), 4.0);
    viewer.end();
    assert_eq!(media.rate(), Some(4.0));
    viewer.player.pause();
    viewer.player.stop();
    viewer.until("the last event", |event| matches!(event, PlayerEvent::Stopped).then_some(()));
    assert_eq!(media.rate(), Some(0.0));
    assert_eq!(viewer.stalls, 0);
}

#[test]
fn a_change_of_speed_does_not_take_a_seek_back() {
    let film = Clip::Mp4IndexFirst.bytes();
    let hole = film.len() * 4 / 10..film.len() * 7 / 10;
    let media = Arc::new(SlowMedia::new("film.mp4", film, hole));
    let mut viewer = Viewer::open(media.clone());
    viewer.player.play();
    viewer.runs();
    viewer.player.seek(Duration::from_secs_f64(4.5), SeekMode::Accurate);
    media.wait_until_blocked();
    viewer.player.set_rate(2.0);
    assert_eq!(viewer.player.position(), Some(Duration::from_secs_f64(4.5)));
    media.release();
    let landed = viewer.landed();
    assert!((landed - 4.5).abs() < 0.1, "landed at {landed} s");
    viewer.end();
}

#[test]
fn two_films_at_once_do_not_mix() {
    let (mut one, mut other) = (Viewer::of(Clip::Mkv), Viewer::of(Clip::Mp3));
    one.player.play();
    other.player.play();
    one.runs();
    other.runs();
    drop(other);
    let landed = one.seek(4.0, SeekMode::Accurate);
    assert!((landed - 4.0).abs() < 0.1, "landed at {landed} s");
}
