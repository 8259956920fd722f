//! Plays a film by a script, without a screen, and measures what a viewer would have noticed.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{Media, PlaybackError, Player, PlayerEvent, SeekMode, Sinks};

/// What to play, in this order: from the start, then from each place in `seeks`.
#[derive(Debug, Clone)]
pub struct Script {
    /// How long to play after the start, not counting the wait for it; `None` plays to the end.
    pub play: Option<Duration>,
    /// The same after each seek.
    pub play_after_seek: Option<Duration>,
    /// Where to go.
    pub seeks: Vec<Duration>,
    /// How exactly to go there.
    pub mode: SeekMode,
    /// How long to wait for a first run, or through one stall, before giving up.
    pub patience: Duration,
}

/// What was measured. Times in ms, on the wall clock.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Figures {
    /// From opening to the first decoded picture.
    pub first_picture_ms: Option<f64>,
    /// From opening to the second picture shown on the clock.
    pub runs_ms: Option<f64>,
    /// For each seek that was made.
    pub seeks: Vec<SeekFigures>,
    /// How often the film stood still for want of data, other than after opening or a seek.
    pub stalls: u32,
    /// For how long, in all.
    pub stalled_ms: f64,
    /// How long it ran.
    pub played_ms: f64,
    /// How long the film is.
    pub duration_ms: Option<f64>,
    /// Whether it came to the film's end.
    pub ended: bool,
    /// Why it could not go on, in one sentence.
    pub error: Option<String>,
}

/// What was measured of one seek.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SeekFigures {
    /// Where to, s.
    pub to_s: f64,
    /// From the seek to its first picture.
    pub picture_ms: Option<f64>,
    /// From the seek to its second picture on the clock.
    pub runs_ms: Option<f64>,
    /// Where in the film that first picture stands, s.
    pub landed_s: Option<f64>,
}

/// Opens a film and plays it as `script` says. Blocks until that is done. What `open` takes counts: it is
/// the viewer's click.
///
/// # Errors
/// What `open` says, or a [`PlaybackError`] when no player can be made; whatever goes wrong later is in the
/// figures.
pub fn measure<E: From<PlaybackError>>(
    open: impl FnOnce() -> Result<Arc<dyn Media>, E>,
    script: &Script,
) -> Result<Figures, E> {
    // A viewer clicks in a program that is already running.
    crate::warm_up()?;
    let clicked = Instant::now();
    let media = open()?;
    let opening = clicked.elapsed();
    let (player, events) = Player::open(media, Sinks::headless()?)?;
    player.play();
    let mut run = Run { events, opening, patience: script.patience, figures: Figures::default() };
    let mut next = run.play(script.play);
    for to in &script.seeks {
        if next == Next::GiveUp {
            break;
        }
        run.figures.ended = false;
        run.figures.seeks.push(SeekFigures { to_s: to.as_secs_f64(), ..SeekFigures::default() });
        player.seek(*to, script.mode);
        next = run.play(script.play_after_seek);
    }
    drop(player);
    Ok(run.figures)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    GiveUp,
}

struct Run {
    events: Receiver<PlayerEvent>,
    /// What opening took before the player was made.
    opening: Duration,
    patience: Duration,
    figures: Figures,
}

impl Run {
    /// Follows the player from an opening or a seek until it has run for `play`, or can't.
    fn play(&mut self, play: Option<Duration>) -> Next {
        let started = Instant::now();
        let mut ran: Option<Instant> = None;
        let mut stalled: Option<Instant> = None;
        let mut stood = Duration::ZERO;
        let next = loop {
            let now = Instant::now();
            let until = match (ran, stalled) {
                (None, _) => Some(started + self.patience),
                (Some(_), Some(since)) => Some(since + self.patience),
                (Some(ran), None) => play.map(|play| ran + stood + play),
            };
            let event = match until {
                Some(until) => self.events.recv_timeout(until.saturating_duration_since(now)),
                None => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match event {
                Err(RecvTimeoutError::Timeout) if ran.is_some() && stalled.is_none() => break Next::GoOn,
                Err(RecvTimeoutError::Timeout) => {
                    let waited = self.patience.as_secs_f64();
                    self.figures.error = Some(format!("no picture moved for {waited} s"));
                    break Next::GiveUp;
                }
                Err(RecvTimeoutError::Disconnected) | Ok(PlayerEvent::Stopped) => break Next::GiveUp,
                Ok(PlayerEvent::Runs { since }) => {
                    ran = Some(Instant::now());
                    self.runs(since);
                }
                Ok(PlayerEvent::Stalled) => {
                    self.figures.stalls += 1;
                    stalled = Some(Instant::now());
                }
                Ok(PlayerEvent::Resumed { after }) => {
                    stalled = None;
                    stood += after;
                }
                Ok(PlayerEvent::EndOfStream) => {
                    self.figures.ended = true;
                    break Next::GoOn;
                }
                Ok(PlayerEvent::SeekRefused { to }) => {
                    self.figures.error =
                        Some(format!("the film can't be played from {} s", to.as_secs_f64()));
                    break Next::GoOn;
                }
                Ok(PlayerEvent::Error(error)) => {
                    self.figures.error = Some(error.to_string());
                    break Next::GiveUp;
                }
                Ok(other) => self.note(&other),
            }
        };
        if let Some(since) = stalled {
            stood += since.elapsed();
        }
        self.figures.stalled_ms += ms(stood);
        self.figures.played_ms += ran.map_or(0.0, |ran| ms(ran.elapsed().saturating_sub(stood)));
        next
    }

    fn runs(&mut self, since: Duration) {
        match self.figures.seeks.last_mut() {
            Some(seek) => seek.runs_ms = Some(ms(since)),
            None => self.figures.runs_ms = Some(ms(self.opening + since)),
        }
    }

    fn note(&mut self, event: &PlayerEvent) {
        match event {
            PlayerEvent::FirstPicture { since_open } => {
                self.figures.first_picture_ms = Some(ms(self.opening + *since_open));
            }
            PlayerEvent::SeekPicture { since_seek, at } => {
                if let Some(seek) = self.figures.seeks.last_mut() {
                    seek.picture_ms = Some(ms(*since_seek));
                    seek.landed_s = Some(at.as_secs_f64());
                }
            }
            PlayerEvent::TrackUnplayable(error) => self.figures.error = Some(error.to_string()),
            PlayerEvent::Duration(duration) => self.figures.duration_ms = Some(ms(*duration)),
            _ => {}
        }
    }
}

/// In ms, to a tenth: what lies below is the machine's noise.
fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
