//! Films whose data don't come, come late, or never.

use std::{
    sync::{Arc, mpsc::sync_channel},
    time::Duration,
};

use nearcast_playback::{PlayerEvent, SeekMode};

use super::{
    clips::Clip,
    slow::SlowMedia,
    watching::{PATIENCE, Viewer},
};

/// A film whose middle isn't there: about 3.2 to 5.6 of its 8 s.
fn with_a_hole(clip: Clip) -> (Arc<SlowMedia>, Viewer) {
    let film = clip.bytes();
    let hole = film.len() * 4 / 10..film.len() * 7 / 10;
    let media = Arc::new(SlowMedia::new("film", film, hole));
    let viewer = Viewer::open(media.clone());
    (media, viewer)
}

/// A film of which nothing is there yet.
fn unheld(clip: Clip) -> (Arc<SlowMedia>, Viewer) {
    let film = clip.bytes();
    let all = 0..film.len();
    let media = Arc::new(SlowMedia::new("film", film, all));
    let viewer = Viewer::open(media.clone());
    (media, viewer)
}

#[test]
fn a_stall_is_told_once_and_ends_when_the_data_come() {
    for clip in [Clip::Mp4IndexFirst, Clip::Mkv, Clip::Webm, Clip::Ts, Clip::Ogg] {
        println!("{clip:?}");
        let (media, mut viewer) = with_a_hole(clip);
        viewer.player.play();
        viewer.runs();
        viewer.stall();
        let position = viewer.player.position().unwrap();
        media.wait_until_blocked();
        media.release();
        viewer.resumed();
        viewer.end();
        assert_eq!(viewer.stalls, 1, "{clip:?}");
        assert!(position > Duration::from_secs(1), "{clip:?} stalled at {position:?}: most of it was there");
    }
}

#[test]
fn the_film_stands_still_during_a_stall_and_skips_nothing() {
    let (media, mut viewer) = with_a_hole(Clip::Mp4IndexFirst);
    viewer.player.play();
    viewer.stall();
    let before = viewer.player.position().unwrap();
    // Long enough for a clock that wasn't stopped to show.
    std::thread::sleep(Duration::from_millis(700));
    let after = viewer.player.position().unwrap();
    assert!(after - before < Duration::from_millis(200), "it moved from {before:?} to {after:?}");
    media.release();
    viewer.resumed();
    let resumed = viewer.player.position().unwrap();
    assert!(resumed - before < Duration::from_millis(500), "it jumped from {before:?} to {resumed:?}");
}

#[test]
fn the_wait_for_the_first_picture_is_no_stall() {
    let (media, mut viewer) = unheld(Clip::Mkv);
    viewer.player.play();
    media.wait_until_blocked();
    media.release();
    viewer.first_picture();
    viewer.runs();
    viewer.wait_beyond(1.0);
    assert_eq!(viewer.stalls, 0);
}

#[test]
fn a_seek_gets_through_a_blocked_read_and_is_no_stall() {
    for clip in [Clip::Mp4IndexFirst, Clip::Mp4IndexLast, Clip::Mkv, Clip::Webm] {
        println!("{clip:?}");
        let (media, mut viewer) = with_a_hole(clip);
        viewer.player.play();
        viewer.runs();
        // Into the hole, and out of it before anything came.
        viewer.player.seek(Duration::from_secs_f64(4.5), SeekMode::Fast);
        media.wait_until_blocked();
        let landed = viewer.seek(7.0, SeekMode::Accurate);
        assert!((landed - 7.0).abs() < 0.1, "{clip:?}: landed at {landed} s");
        viewer.runs();
        assert_eq!(viewer.stalls, 0, "{clip:?}");
    }
}

#[test]
fn an_interrupted_read_is_taken_up_again() {
    let (media, mut viewer) = with_a_hole(Clip::Mp4IndexFirst);
    viewer.player.play();
    viewer.runs();
    viewer.player.seek(Duration::from_secs_f64(4.5), SeekMode::Accurate);
    media.wait_until_blocked();
    viewer.seek(7.0, SeekMode::Accurate);
    viewer.player.seek(Duration::from_secs_f64(4.5), SeekMode::Accurate);
    media.wait_until_blocked();
    media.release();
    let landed = viewer.landed();
    assert!((landed - 4.5).abs() < 0.1, "landed at {landed} s");
    viewer.end();
}

#[test]
fn a_demuxer_that_searches_where_nothing_is_can_be_called_off() {
    // Without cues a seek reads its way through the file, on the thread that seeks.
    for clip in [Clip::MkvWithoutCues, Clip::Ogg, Clip::Ts] {
        println!("{clip:?}");
        let (media, mut viewer) = with_a_hole(clip);
        viewer.player.play();
        viewer.runs();
        viewer.player.seek(Duration::from_secs_f64(4.4), SeekMode::Accurate);
        media.wait_until_blocked();
        let landed = viewer.seek(0.5, SeekMode::Accurate);
        assert!((landed - 0.5).abs() < 0.1, "{clip:?}: landed at {landed} s");
        viewer.runs();
    }
}

#[test]
fn a_player_closes_while_a_read_is_blocked() {
    for clip in [Clip::Mp4IndexLast, Clip::Mkv, Clip::Ogg, Clip::Ts, Clip::Mp3] {
        println!("{clip:?}");
        let (media, mut viewer) = unheld(clip);
        viewer.player.play();
        media.wait_until_blocked();
        viewer.player.stop();
        viewer.until("the last event", |event| matches!(event, PlayerEvent::Stopped).then_some(()));
        let (done, closed) = sync_channel(1);
        let closing = std::thread::spawn(move || {
            drop(viewer);
            done.send(())
        });
        closed.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{clip:?} never closed"));
        closing.join().unwrap().unwrap();
        // Nothing is left that would still want it.
        assert_eq!(Arc::strong_count(&media), 1, "{clip:?}");
    }
}

#[test]
fn a_player_closes_while_a_seek_searches() {
    let (media, mut viewer) = with_a_hole(Clip::MkvWithoutCues);
    viewer.player.play();
    viewer.runs();
    viewer.player.seek(Duration::from_secs_f64(4.4), SeekMode::Accurate);
    media.wait_until_blocked();
    viewer.player.stop();
    viewer.until("the last event", |event| matches!(event, PlayerEvent::Stopped).then_some(()));
}

#[test]
fn a_pause_is_no_stall_even_with_nothing_left() {
    let (media, mut viewer) = with_a_hole(Clip::Mkv);
    viewer.player.play();
    viewer.runs();
    // Near enough to the hole that the queue, which fills up during the pause, reaches it.
    viewer.wait_beyond(1.6);
    viewer.player.pause();
    media.wait_until_blocked();
    media.release();
    viewer.player.play();
    viewer.end();
    assert_eq!(viewer.stalls, 0);
}

#[test]
fn data_that_never_come_are_told_with_the_reason() {
    let (media, mut viewer) = with_a_hole(Clip::Mp4IndexFirst);
    viewer.player.play();
    viewer.runs();
    media.lose("nobody who has this film is reachable");
    assert_eq!(viewer.error(), "nobody who has this film is reachable");
    viewer.until("the last event", |event| matches!(event, PlayerEvent::Stopped).then_some(()));
}

#[test]
fn data_that_never_come_before_the_first_picture() {
    let (media, mut viewer) = unheld(Clip::Mkv);
    media.wait_until_blocked();
    media.lose("the publisher is gone");
    assert_eq!(viewer.error(), "the publisher is gone");
}
