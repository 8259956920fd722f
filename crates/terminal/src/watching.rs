//! The film being watched: the player, where its bytes come from, and what the screen shows of both.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use nearcast_playback::{PlaybackError, Player, PlayerEvent, SeekMode, Track, TrackKind};
use nearcast_protocol::tracker::Received;
use nearcast_transfer::{Progress, Stopped};

use crate::{
    flow::Flow,
    opening::Opened,
    screen::{Code, Figures, Film, Message, Playing, Source, Sources, TrackChoice, Wait},
    wait,
};

/// More parts than a seek bar has room for are joined.
const PARTS: usize = 200;
/// How long "Resumed at" stays.
const RESUMED: Duration = Duration::from_secs(8);

/// The film being watched.
pub struct Watching {
    /// What was opened.
    pub opened: Opened,
    /// Plays it.
    pub player: Arc<Player>,
    asked: Instant,
    paused: bool,
    seeking: bool,
    stalled: bool,
    runs: bool,
    failed: Option<Message>,
    figures: Figures,
    tracks: Vec<Track>,
    audio: Option<String>,
    text: Option<String>,
    resumed: Option<(u64, Instant)>,
    poster: bool,
    flows: [Flow; 5],
}

impl Watching {
    /// Watches over what `player` does with what was `opened` on a wish that was `asked` then.
    pub fn new(opened: Opened, player: Player, asked: Instant) -> Self {
        Self {
            opened,
            player: Arc::new(player),
            asked,
            paused: false,
            seeking: false,
            stalled: false,
            runs: false,
            failed: None,
            figures: Figures::default(),
            tracks: Vec::new(),
            audio: None,
            text: None,
            resumed: None,
            poster: false,
            flows: Default::default(),
        }
    }

    /// Lets it run; at its end, from the start.
    pub fn play(&mut self) {
        if self.player.is_ended() {
            self.seek(Duration::ZERO, false);
        }
        self.paused = false;
        self.player.play();
    }

    /// Lets it stand still.
    pub fn pause(&mut self) {
        self.paused = true;
        self.player.pause();
    }

    /// Goes elsewhere, at most to the end.
    pub fn seek(&mut self, to: Duration, exact: bool) {
        let to = self.player.duration().map_or(to, |duration| to.min(duration));
        self.seeking = true;
        self.runs = false;
        self.resumed = None;
        self.player.seek(to, if exact { SeekMode::Accurate } else { SeekMode::Fast });
    }

    /// Starts where one stopped.
    pub fn resume(&mut self, at_ms: u64, now: Instant) {
        self.seek(Duration::from_millis(at_ms), false);
        self.resumed = Some((at_ms, now));
    }

    /// One picture on or back.
    pub fn step(&mut self, forward: bool) {
        self.paused = true;
        self.player.step(forward);
    }

    /// Chooses subtitles, or none; shown as chosen at once.
    pub fn choose_text(&mut self, id: Option<String>) {
        self.player.choose_text(id.as_deref());
        self.text = id;
    }

    /// Chooses sound; shown as chosen at once.
    pub fn choose_audio(&mut self, id: String) {
        self.player.choose_audio(&id);
        self.audio = Some(id);
    }

    /// Whether a poster is still to be taken; yes only once.
    pub fn wants_poster(&mut self) -> bool {
        !std::mem::replace(&mut self.poster, true)
    }

    /// Whether the player runs and isn't paused.
    pub fn is_running(&self) -> bool {
        !self.paused && self.failed.is_none() && !self.player.is_ended()
    }

    /// Takes note of what the player says.
    pub fn heard(&mut self, event: PlayerEvent) {
        match event {
            PlayerEvent::FirstPicture { .. } => {
                self.figures.first_picture_ms = Some(ms(self.asked.elapsed()));
                self.seeking = false;
            }
            PlayerEvent::SeekPicture { since_seek, .. } => {
                if self.figures.first_picture_ms.is_none() {
                    self.figures.first_picture_ms = Some(ms(self.asked.elapsed()));
                } else {
                    self.figures.seek_picture_ms = Some(ms(since_seek));
                }
                self.seeking = false;
            }
            PlayerEvent::SeekRefused { .. } => self.seeking = false,
            PlayerEvent::Runs { .. } => self.runs = true,
            PlayerEvent::Stalled => {
                self.stalled = true;
                self.figures.stalls += 1;
            }
            PlayerEvent::Resumed { after } => {
                self.stalled = false;
                self.figures.stalled_ms += ms(after);
            }
            PlayerEvent::Tracks(tracks) => {
                if self.audio.is_none() {
                    let first = tracks.iter().find(|track| track.kind == TrackKind::Audio);
                    self.audio = first.map(|track| track.id.clone());
                }
                self.tracks = tracks;
            }
            PlayerEvent::Chosen { audio, text } => {
                self.audio = audio;
                self.text = text;
            }
            PlayerEvent::Error(error) => {
                self.failed = Some(Message { code: code(&error), detail: error.to_string() });
            }
            PlayerEvent::TrackUnplayable(_)
            | PlayerEvent::Duration(_)
            | PlayerEvent::Buffering(_)
            | PlayerEvent::EndOfStream
            | PlayerEvent::Stopped => {}
        }
    }

    /// ms into the film and its length, to be remembered.
    pub fn place(&self) -> Option<(u64, Option<u64>)> {
        let at = self.player.position()?;
        Some((ms(at), self.player.duration().map(ms)))
    }

    /// What the screen shows.
    pub fn film(&mut self, now: Instant) -> Film {
        let progress = self.opened.transfer.as_ref().map(nearcast_transfer::Transfer::progress);
        if let Some(stopped) = progress.as_ref().and_then(|progress| progress.stopped.as_ref())
            && self.failed.is_none()
            && *stopped != Stopped::Closed
        {
            let code = if matches!(stopped, Stopped::Store(_)) { Code::Disk } else { Code::WrongLink };
            self.failed = Some(Message { code, detail: stopped.to_string() });
        }
        if self.resumed.is_some_and(|(_, since)| now.duration_since(since) > RESUMED) {
            self.resumed = None;
        }
        let state = self.state();
        let sources = progress.as_ref().map(|progress| self.sources(progress, now));
        let duration = self.player.duration();
        Film {
            id: self.opened.id.clone(),
            title: self.opened.title.clone(),
            link: self.opened.link.as_ref().map(ToString::to_string),
            state,
            position_ms: self.player.position().map(ms).unwrap_or_default(),
            duration_ms: duration.map(ms),
            rate: self.player.rate(),
            audio: self.choices(TrackKind::Audio, self.audio.as_deref()),
            subtitles: self.choices(TrackKind::Text, self.text.as_deref()),
            held: progress.as_ref().map_or_else(
                || if self.opened.local { vec![(0.0, 1.0)] } else { Vec::new() },
                |progress| parts(progress, self.opened.link.as_ref().map(|link| link.geometry().count())),
            ),
            wait: matches!(state, Playing::Opening | Playing::Waiting).then(|| {
                let needed = duration
                    .filter(|length| !length.is_zero())
                    .map(|length| (self.opened.media.size() as f64 / length.as_secs_f64()) as u64);
                progress.as_ref().map_or(Wait::Buffering, |progress| wait::wait(progress, needed))
            }),
            error: self.failed.clone(),
            sources,
            resumed_at_ms: self.resumed.map(|(at, _)| at),
            figures: self.figures.clone(),
        }
    }

    fn state(&self) -> Playing {
        if self.failed.is_some() {
            Playing::Failed
        } else if self.figures.first_picture_ms.is_none() {
            Playing::Opening
        } else if self.player.is_ended() {
            Playing::Ended
        } else if self.paused {
            Playing::Paused
        } else if self.seeking || self.stalled || !self.runs {
            Playing::Waiting
        } else {
            Playing::Playing
        }
    }

    fn sources(&mut self, progress: &Progress, now: Instant) -> Sources {
        let (received, peers) = (progress.received, progress.peers);
        let Received { own_group, other_groups, publishers } = received;
        let bytes = [own_group, other_groups, publishers, progress.web, progress.uploaded];
        let web_sources = progress.sources.iter().filter(|source| source.dropped.is_none()).count();
        let [own, other, publisher, web, sent] = std::array::from_fn(|n| {
            self.flows[n].note(bytes[n], now);
            (self.flows[n].rate(), bytes[n])
        });
        let source = |peers, (rate, bytes)| Source { peers, rate, bytes };
        Sources {
            own_group: source(peers.own_group, own),
            other_groups: source(peers.other_groups, other),
            publisher: source(peers.publishers, publisher),
            web: source(web_sources, web),
            sent: source(0, sent),
            size: progress.size,
            held: progress.held_bytes,
        }
    }

    fn choices(&self, kind: TrackKind, chosen: Option<&str>) -> Vec<TrackChoice> {
        let of_kind = self.tracks.iter().filter(|track| track.kind == kind);
        of_kind
            .map(|track| TrackChoice {
                id: track.id.clone(),
                language: track.language.clone(),
                label: track.title.clone().or_else(|| track.codec.clone()),
                chosen: chosen == Some(track.id.as_str()),
            })
            .collect()
    }
}

/// What the screen shows before anything is known but what was asked for.
pub fn opening_film(title: &str) -> Film {
    Film {
        id: String::new(),
        title: title.into(),
        link: None,
        state: Playing::Opening,
        position_ms: 0,
        duration_ms: None,
        rate: 1.0,
        audio: Vec::new(),
        subtitles: Vec::new(),
        held: Vec::new(),
        wait: Some(Wait::FindingPeers),
        error: None,
        sources: None,
        resumed_at_ms: None,
        figures: Figures::default(),
    }
}

/// The parts held, as fractions. When there are more than [`PARTS`], the smallest gaps are drawn over.
fn parts(progress: &Progress, blocks: Option<u64>) -> Vec<(f64, f64)> {
    let Some(blocks) = blocks.filter(|blocks| *blocks > 0) else { return Vec::new() };
    let mut runs: Vec<_> = progress.held.runs().collect();
    if runs.len() > PARTS {
        let mut gaps: Vec<u64> = runs.windows(2).map(|pair| pair[1].start - pair[0].end).collect();
        gaps.sort_unstable_by(|a, b| b.cmp(a));
        let widest = gaps.get(PARTS - 1).copied().unwrap_or_default();
        let mut joined: Vec<std::ops::Range<u64>> = Vec::with_capacity(PARTS);
        for run in runs {
            match joined.last_mut() {
                Some(last) if run.start - last.end <= widest => last.end = run.end,
                _ => joined.push(run),
            }
        }
        runs = joined;
    }
    let fraction = |block: u64| block as f64 / blocks as f64;
    runs.into_iter().map(|run| (fraction(run.start), fraction(run.end))).collect()
}

fn code(error: &PlaybackError) -> Code {
    match error {
        PlaybackError::MissingDecoder { .. } => Code::MissingCodec,
        PlaybackError::Lost { .. } | PlaybackError::Output(_) => Code::Other,
        PlaybackError::Incomplete(_) => Code::MissingCodec,
        _ => Code::NotAFilm,
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
