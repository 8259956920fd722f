//! Opens a film and waits for what a test expects of it.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use nearcast_playback::{FileMedia, Media, Player, PlayerEvent, SeekMode, Sinks};

use super::clips::Clip;

/// After this long a test counts as hung. Nothing takes a fiftieth of it, on a machine that is idle.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A player and what it has told so far.
pub struct Viewer {
    pub player: Player,
    events: Receiver<PlayerEvent>,
    pub stalls: u32,
}

impl Viewer {
    pub fn open(media: Arc<dyn Media>) -> Self {
        // RUST_LOG=trace shows what the pipeline said.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let (player, events) = Player::open(media, Sinks::headless().unwrap()).unwrap();
        Self { player, events, stalls: 0 }
    }

    pub fn of(clip: Clip) -> Self {
        Self::open(Arc::new(FileMedia::open(&clip.path()).unwrap()))
    }

    /// The next event for which `pick` gives something.
    pub fn until<T>(&mut self, what: &str, mut pick: impl FnMut(&PlayerEvent) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => {
                    if matches!(event, PlayerEvent::Stalled) {
                        self.stalls += 1;
                    }
                    if let Some(found) = pick(&event) {
                        return found;
                    }
                    if let PlayerEvent::Error(error) = &event {
                        panic!("waiting for {what}: {error} {:?}", std::error::Error::source(error));
                    }
                    seen.push(event);
                }
                Err(RecvTimeoutError::Timeout) => panic!("{what} never came, after {seen:?}"),
                Err(RecvTimeoutError::Disconnected) => panic!("ended before {what}, after {seen:?}"),
            }
        }
    }

    pub fn first_picture(&mut self) {
        self.until("the first picture", |event| {
            matches!(event, PlayerEvent::FirstPicture { .. }).then_some(())
        });
    }

    pub fn runs(&mut self) {
        self.until("running", |event| matches!(event, PlayerEvent::Runs { .. }).then_some(()));
    }

    pub fn end(&mut self) {
        self.until("the end", |event| matches!(event, PlayerEvent::EndOfStream).then_some(()));
    }

    pub fn stall(&mut self) {
        self.until("a stall", |event| matches!(event, PlayerEvent::Stalled).then_some(()));
    }

    pub fn resumed(&mut self) {
        self.until("the end of a stall", |event| matches!(event, PlayerEvent::Resumed { .. }).then_some(()));
    }

    /// Goes to a place and says where the picture landed.
    pub fn seek(&mut self, seconds: f64, mode: SeekMode) -> f64 {
        self.player.seek(Duration::from_secs_f64(seconds), mode);
        self.landed()
    }

    pub fn landed(&mut self) -> f64 {
        self.until("the picture of a seek", |event| match event {
            PlayerEvent::SeekPicture { at, .. } => Some(at.as_secs_f64()),
            _ => None,
        })
    }

    pub fn error(&mut self) -> String {
        self.until("an error", |event| match event {
            PlayerEvent::Error(error) => {
                assert!(std::error::Error::source(error).is_some(), "the cause is lost: {error}");
                Some(error.to_string())
            }
            _ => None,
        })
    }

    /// Returns once the film stands beyond `seconds`.
    pub fn wait_beyond(&mut self, seconds: f64) {
        let deadline = Instant::now() + PATIENCE;
        while self.player.position().is_none_or(|position| position.as_secs_f64() <= seconds) {
            assert!(Instant::now() < deadline, "the position never got beyond {seconds} s");
            // The position has no event: it is time itself.
            match self.events.recv_timeout(Duration::from_millis(20)) {
                Ok(PlayerEvent::Stalled) => self.stalls += 1,
                Ok(PlayerEvent::Error(error)) => panic!("while playing: {error}"),
                _ => {}
            }
        }
    }
}
