//! Films with several tracks: sound and subtitles are chosen.

use std::{path::Path, sync::Arc, time::Duration};

use gstreamer::prelude::*;
use nearcast_playback::{FileMedia, Player, PlayerEvent, Sinks, TrackKind};

/// Two sounds and one set of subtitles.
fn film(folder: &Path) -> std::path::PathBuf {
    let subtitles = folder.join("subtitles.srt");
    std::fs::write(&subtitles, "1\n00:00:00,500 --> 00:00:07,000\n字幕\n").unwrap();
    let film = folder.join("film.mkv");
    let sound =
        "num-buffers=375 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=2 ! opusenc ! queue ! mux.";
    let line = format!(
        "videotestsrc num-buffers=200 ! video/x-raw,width=192,height=108,framerate=25/1 ! vp8enc deadline=1 \
         keyframe-max-dist=25 ! queue ! mux. audiotestsrc wave=sine {sound} audiotestsrc wave=saw {sound} \
         filesrc location=\"{}\" ! subparse ! queue ! mux. matroskamux name=mux ! filesink location=\"{}\"",
        subtitles.display(),
        film.display()
    );
    gstreamer::init().unwrap();
    let pipeline = gstreamer::parse::launch(&line).unwrap();
    pipeline.set_state(gstreamer::State::Playing).unwrap();
    let end = [gstreamer::MessageType::Eos, gstreamer::MessageType::Error];
    let message =
        pipeline.bus().unwrap().timed_pop_filtered(gstreamer::ClockTime::from_seconds(60), &end).unwrap();
    assert_eq!(message.type_(), gstreamer::MessageType::Eos, "{message:?}");
    pipeline.set_state(gstreamer::State::Null).unwrap();
    film
}

#[test]
fn subtitles_are_off_until_chosen_and_sound_can_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    let media = FileMedia::open(&film(folder.path())).unwrap();
    let (player, events) = Player::open(Arc::new(media), Sinks::headless().unwrap()).unwrap();
    player.play();
    let wait = |what: &str, mut is: Box<dyn FnMut(PlayerEvent) -> bool>| {
        loop {
            // Only a hang is ended by time.
            match events.recv_timeout(Duration::from_secs(60)) {
                Ok(PlayerEvent::Error(error)) => panic!("{what}: {error}; {error:?}"),
                Ok(event) => {
                    if is(event) {
                        return;
                    }
                }
                Err(error) => panic!("{what} never came: {error}"),
            }
        }
    };
    let tracks = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let seen = std::rc::Rc::clone(&tracks);
    wait(
        "the film without subtitles",
        Box::new(move |event| match event {
            PlayerEvent::Tracks(found) => {
                *seen.borrow_mut() = found;
                false
            }
            PlayerEvent::Chosen { text: None, .. } => true,
            _ => false,
        }),
    );
    let of = |kind| {
        tracks
            .borrow()
            .iter()
            .filter(|track| track.kind == kind)
            .map(|track| track.id.clone())
            .collect::<Vec<_>>()
    };
    let (sounds, texts) = (of(TrackKind::Audio), of(TrackKind::Text));
    assert_eq!((sounds.len(), texts.len()), (2, 1));

    player.choose_text(Some(&texts[0]));
    let text = texts[0].clone();
    wait(
        "the subtitles",
        Box::new(
            move |event| matches!(event, PlayerEvent::Chosen { text: Some(chosen), .. } if chosen == text),
        ),
    );
    player.choose_audio(&sounds[1]);
    let sound = sounds[1].clone();
    wait(
        "the other sound",
        Box::new(
            move |event| matches!(event, PlayerEvent::Chosen { audio: Some(chosen), .. } if chosen == sound),
        ),
    );
    player.choose_text(None);
    wait("no subtitles", Box::new(|event| matches!(event, PlayerEvent::Chosen { text: None, .. })));
    player.stop();
    wait("the end", Box::new(|event| matches!(event, PlayerEvent::Stopped)));
}
