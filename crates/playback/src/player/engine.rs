//! The player's thread: sleeps on the pipeline's bus, does what is wished, tells what happens.

mod closing;
mod findings;
mod seeking;

use std::{
    sync::{
        Arc,
        mpsc::{SyncSender, TrySendError},
    },
    time::{Duration, Instant},
};

use gstreamer::{Bus, Caps, ClockTime, Element, Message, MessageView, State, message, prelude::*};

use super::{
    Shared,
    choice::{self, Choice},
    error::{Cause, Missing, PlaybackError, explain, is_lost, missing_error},
    event::{PlayerEvent, Track},
    flow::{Flow, Step},
    head,
    pipeline::{Inside, Wake},
    sinks::{Sinks, Watch},
    tracks::tracks,
    wishes::{Seek, Wishes},
};
use crate::{MediaError, gate::Address};

/// Shows the next picture and stands still again.
fn one_picture_on() -> gstreamer::Event {
    gstreamer::event::Step::new(gstreamer::format::Buffers::ONE, 1.0, true, false)
}

/// How often a running film is looked at: whether a sink has run dry has no event of its own. Two pictures
/// of a 24 fps film are 83 ms.
const LOOK: ClockTime = ClockTime::from_mseconds(50);

/// After this long a pipeline that isn't open, and neither reads nor says anything, is stuck: GStreamer 1.22 drops
/// an error that a demuxer posts while it is being plugged in, so there is no event to wait for, and now and then
/// its threads wait for one another. It begins anew, with more patience each time.
const STUCK: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(5)];

/// The last time it is given up: long enough for a slow machine to load a decoder and decode one picture.
const LAST: Duration = Duration::from_secs(10);

/// What the next picture belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Awaited {
    Nothing,
    Open,
    Seek(Seek),
}

/// How far what is awaited has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    Nothing,
    Picture,
    Runs,
}

pub(super) struct Engine {
    pipeline: Element,
    bus: Bus,
    inside: Inside,
    address: Address,
    video: Arc<Watch>,
    audio: Arc<Watch>,
    events: SyncSender<PlayerEvent>,
    shared: Arc<Shared>,
    opened: Instant,
    flow: Flow,
    playing: bool,
    rate: f64,
    /// The film is open: it can be sought in.
    open: bool,
    awaited: Awaited,
    progress: Progress,
    next_seek: Option<Seek>,
    /// A seek that hasn't come to its picture.
    in_flight: bool,
    /// The pipeline is being told of a seek on a thread of its own: some demuxers read meanwhile.
    calling: bool,
    /// That seek's reads were interrupted, for a newer one.
    called_off: bool,
    /// One was called off, and no picture has come since.
    interrupted: bool,
    /// That was more than its demuxer could bear.
    broken: bool,
    latency_changed: bool,
    has_video: Option<bool>,
    tracks: Vec<Track>,
    choice: Choice,
    /// A choice is on its way through the pipeline.
    choosing: bool,
    /// What kind of file it is, if its head says so.
    format: Option<Caps>,
    missing: Vec<Missing>,
    /// Since when nothing has happened, and how much had been read by then.
    quiet: (Instant, Option<u64>),
    /// How often it was stuck before it was open.
    stuck: usize,
    told_percent: u8,
}

/// Whether the thread goes on.
type Outcome = Result<(), End>;

enum End {
    Stopped,
    Failed(PlaybackError),
}

impl Engine {
    #[expect(clippy::too_many_arguments, reason = "called once, where all of it is made")]
    pub(super) fn new(
        pipeline: Element,
        bus: Bus,
        inside: Inside,
        address: Address,
        sinks: &Sinks,
        events: SyncSender<PlayerEvent>,
        shared: Arc<Shared>,
        opened: Instant,
    ) -> Self {
        let watch = |sink: &Element| {
            let bus = bus.clone();
            Watch::over(sink, move || Wake::Arrival.post(&bus))
        };
        let (video, audio) = (watch(&sinks.video), watch(&sinks.audio));
        Self {
            pipeline,
            bus,
            inside,
            address,
            video,
            audio,
            events,
            shared,
            opened,
            flow: Flow::new(),
            playing: false,
            rate: 1.0,
            open: false,
            awaited: Awaited::Open,
            progress: Progress::Nothing,
            next_seek: None,
            in_flight: false,
            calling: false,
            called_off: false,
            interrupted: false,
            broken: false,
            latency_changed: false,
            has_video: None,
            tracks: Vec::new(),
            choice: Choice::default(),
            choosing: false,
            format: None,
            missing: Vec::new(),
            quiet: (opened, None),
            stuck: 0,
            told_percent: 100,
        }
    }

    /// Plays until it is stopped or fails, and leaves nothing behind.
    pub(super) fn run(mut self) {
        if let End::Failed(error) = self.watch_over() {
            // A demuxer that a stop takes the data from complains, now and then before the wish is read.
            if self.shared.wishes().stop {
                tracing::debug!(error = &error as &dyn std::error::Error, "of a film that was stopped");
            } else {
                tracing::warn!(error = &error as &dyn std::error::Error, "playing failed");
                self.tell(PlayerEvent::Error(error));
            }
        }
        self.address.gate().shut_by_player(true);
        while self.calling {
            let message = self.bus.timed_pop_filtered(None, &[gstreamer::MessageType::Application]);
            if message.is_none_or(|message| matches!(wake_of(&message), Some(Wake::SeekReturned(_)))) {
                self.calling = false;
            }
        }
        self.close();
        self.address.gate().media().set_rate(0.0);
        self.tell(PlayerEvent::Stopped);
    }

    fn watch_over(&mut self) -> End {
        let mut outcome = self.look_at_head().and_then(|()| self.set_state(State::Paused));
        loop {
            if let Err(end) = outcome {
                return end;
            }
            // Asleep unless there is something that no message tells: a sink gone dry, a read gone stuck.
            let look = self.flow.is_running() || self.flow.is_held_unasked() || self.next_seek.is_some();
            let message = if look {
                self.bus.timed_pop(LOOK)
            } else if self.open {
                self.bus.timed_pop(ClockTime::NONE)
            } else {
                self.bus.timed_pop(ClockTime::SECOND)
            };
            if !self.open {
                outcome = self.check_stuck(message.is_some());
                if outcome.is_err() {
                    continue;
                }
            }
            outcome = message.map_or(Ok(()), |message| self.message(&message)).and_then(|()| self.look());
        }
    }

    fn check_stuck(&mut self, news: bool) -> Outcome {
        let reads = self.address.gate().reads();
        if news || reads.is_none() || reads != self.quiet.1 {
            self.quiet = (Instant::now(), reads);
            return Ok(());
        }
        // Where something is missing, beginning anew doesn't bring it.
        let times = if self.missing.is_empty() { self.stuck } else { STUCK.len() };
        if self.quiet.0.elapsed() < STUCK.get(times).copied().unwrap_or(LAST) {
            return Ok(());
        }
        self.stuck += 1;
        if times < STUCK.len() {
            tracing::info!(times = self.stuck, "the pipeline is stuck and begins anew");
            self.quiet = (Instant::now(), None);
            return self.reopen();
        }
        let cause = Cause::new("the pipeline neither reads nor gives a picture");
        Err(End::Failed(missing_error(&self.missing).unwrap_or(match self.format {
            Some(_) => PlaybackError::Damaged(cause),
            None => PlaybackError::NotMedia(cause),
        })))
    }

    fn look_at_head(&mut self) -> Outcome {
        match head::look(self.address.gate().media().as_ref()) {
            Ok(Some(format)) => {
                self.format = Some(format.clone());
                self.inside.set_format(format);
            }
            Ok(None) => tracing::debug!("the film's head doesn't tell what it is"),
            // Only a stop interrupts it: the pipeline doesn't run yet.
            Err(MediaError::Interrupted) => return Err(End::Stopped),
            Err(MediaError::Lost(sentence)) => {
                let cause = Cause::new("the first bytes of the film can't be read");
                return Err(End::Failed(PlaybackError::Lost { sentence, cause }));
            }
        }
        Ok(())
    }

    fn message(&mut self, message: &Message) -> Outcome {
        let now = Instant::now();
        tracing::trace!(?message);
        match message.view() {
            MessageView::Application(application) => match Wake::read(application) {
                Some(Wake::Wish) => return self.take_wishes(now),
                Some(Wake::SeekReturned(accepted)) => return self.seek_returned(now, accepted),
                // What is on its way is of the old tracks, seconds of it, and of subtitles only the next would come.
                Some(Wake::TracksChosen)
                    if std::mem::take(&mut self.choosing) && self.choice.is_the_viewers() =>
                {
                    self.seek_in_place(now);
                }
                Some(Wake::Arrival | Wake::TracksChosen) | None => {}
            },
            MessageView::AsyncDone(_) => return self.prerolled(now),
            MessageView::Buffering(buffering) => return self.buffering(now, buffering.percent()),
            MessageView::Eos(_) => {
                let steps = self.flow.ended(now);
                self.shared.view().ended = true;
                self.apply(steps)?;
                self.tell(PlayerEvent::EndOfStream);
            }
            MessageView::DurationChanged(_) if !self.calling => self.ask_duration(),
            MessageView::StreamCollection(found) => {
                return self.tracks_found(tracks(&found.stream_collection()));
            }
            MessageView::StreamsSelected(selected) => {
                let video = selected
                    .streams()
                    .any(|stream| stream.stream_type().contains(gstreamer::StreamType::VIDEO));
                self.has_video = Some(video);
                let (audio, text) = choice::selected(selected, &self.tracks);
                self.tell(PlayerEvent::Chosen { audio, text });
            }
            MessageView::Element(_) => {
                if let Some(missing) = Missing::from_message(message) {
                    // Without a demuxer there will be no track, and nothing more is said.
                    if self.format.as_ref().is_some_and(|format| missing.is_for(format)) {
                        return Err(End::Failed(missing.into_error()));
                    }
                    self.missing.push(missing);
                }
            }
            MessageView::Warning(warning) => {
                tracing::debug!(warning = %warning.error(), debug = ?warning.debug(), "pipeline");
            }
            // A demuxer that was interrupted amid its search complains, sooner or later.
            MessageView::Error(error) if self.interrupted && !is_lost(error) => {
                tracing::debug!(error = %error.error(), "of a seek that was called off");
                self.broken = true;
                if !self.calling {
                    return self.reopen();
                }
            }
            MessageView::Error(error) => return Err(self.failed(error)),
            MessageView::Latency(_) => {
                self.latency_changed = true;
                self.recalculate_latency();
            }
            MessageView::ClockLost(_) if self.flow.is_running() => {
                self.set_state(State::Paused)?;
                self.set_state(State::Playing)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// What has to be looked at, as no message tells it.
    fn look(&mut self) -> Outcome {
        let now = Instant::now();
        self.tell_arrivals();
        if self.flow.is_running() && !self.in_flight {
            let dry = self
                .pipeline
                .current_running_time()
                .is_some_and(|time| self.video.is_dry(time) || self.audio.is_dry(time));
            if dry {
                let short = self.is_short(Duration::ZERO);
                let steps = self.flow.dry(now, short);
                self.apply(steps)?;
            }
        } else if self.flow.is_held_unasked() && !self.is_short(self.flow.cushion()) {
            let steps = self.flow.flowing(now);
            self.apply(steps)?;
        }
        // One thing at a time: a choice amid a seek, or amid another choice, may never come to an end.
        if self.choice.waits() && self.open && !self.in_flight && !self.choosing {
            self.choosing = self.choice.apply(&self.pipeline, &self.tracks);
        }
        self.next_seek(now)
    }

    /// Not while a demuxer seeks: whatever goes through the pipeline then waits for it, and so would this
    /// thread, which is the one that can call it off.
    fn recalculate_latency(&mut self) {
        if !self.calling
            && std::mem::take(&mut self.latency_changed)
            && let Some(bin) = self.pipeline.downcast_ref::<gstreamer::Bin>()
            && let Err(error) = bin.recalculate_latency()
        {
            tracing::debug!(%error, "the pipeline's latency");
        }
    }

    /// Whether a track has no more than `level` left in the queue while a read is blocked. The queue itself
    /// tells that it is low only when *all* its tracks are.
    fn is_short(&self, level: Duration) -> bool {
        self.address.gate().media().waiting().is_some()
            && self.inside.lowest_level().is_some_and(|held| held <= level)
    }

    fn take_wishes(&mut self, now: Instant) -> Outcome {
        let Wishes { playing, rate, seek, audio, text, step, stop } =
            std::mem::take(&mut *self.shared.wishes());
        if stop {
            return Err(End::Stopped);
        }
        if let Some(rate) = rate.filter(|rate| *rate != self.rate) {
            self.rate = rate;
            self.seek_in_place(now);
        }
        if let Some(playing) = playing {
            self.playing = playing;
            let steps = self.flow.want(now, playing);
            self.apply(steps)?;
        }
        if rate.is_some() || playing.is_some() {
            self.address.gate().media().set_rate(if self.playing { self.rate } else { 0.0 });
        }
        if seek.is_some() {
            self.next_seek = seek;
        }
        if step && !self.in_flight && !self.pipeline.send_event(one_picture_on()) {
            tracing::debug!("the pipeline takes no step");
        }
        audio.into_iter().for_each(|id| self.choice.audio(id));
        text.into_iter().for_each(|id| self.choice.text(id));
        Ok(())
    }

    fn prerolled(&mut self, now: Instant) -> Outcome {
        // Until the call returns nobody knows whether this is of before the seek.
        if self.calling {
            return Ok(());
        }
        if !std::mem::replace(&mut self.open, true) {
            self.tell_unplayable();
            self.choice.begins(&self.tracks);
        }
        self.in_flight = false;
        self.interrupted = false;
        self.landed();
        self.ask_duration();
        self.tell_arrivals();
        let steps = self.flow.prerolled(now);
        self.apply(steps)
    }

    fn buffering(&mut self, now: Instant, percent: i32) -> Outcome {
        let percent = u8::try_from(percent.clamp(0, 100)).unwrap_or(100);
        if !self.flow.is_running() && (percent == 100 || percent.abs_diff(self.told_percent) >= 5) {
            if percent != self.told_percent {
                self.tell(PlayerEvent::Buffering(percent));
            }
            self.told_percent = percent;
        }
        let steps = self.flow.buffering(now, percent);
        self.apply(steps)
    }

    fn apply(&mut self, steps: Vec<Step>) -> Outcome {
        for step in steps {
            tracing::debug!(?step);
            match step {
                Step::Run(true) => self.set_state(State::Playing)?,
                Step::Run(false) => self.set_state(State::Paused)?,
                Step::Stalled => {
                    self.inside.set_cushion(self.flow.cushion());
                    self.told_percent = 0;
                    self.tell(PlayerEvent::Stalled);
                }
                Step::Resumed(after) => self.tell(PlayerEvent::Resumed { after }),
            }
        }
        Ok(())
    }

    fn set_state(&mut self, state: State) -> Outcome {
        if self.pipeline.set_state(state).is_ok() {
            return Ok(());
        }
        // Whatever refused has put its reason on the bus.
        while let Some(message) =
            self.bus.pop_filtered(&[gstreamer::MessageType::Error, gstreamer::MessageType::Element])
        {
            self.message(&message)?;
        }
        Err(End::Failed(PlaybackError::Incomplete(Cause::new("the pipeline refused to change its state"))))
    }

    fn failed(&mut self, error: &message::Error) -> End {
        // What is missing is often told right after the error that it causes.
        while let Some(message) = self.bus.pop_filtered(&[gstreamer::MessageType::Element]) {
            self.missing.extend(Missing::from_message(&message));
        }
        End::Failed(explain(error, &self.missing, self.progress != Progress::Nothing))
    }

    /// Tells of first pictures and first runs, with the times at which they were.
    fn tell_arrivals(&mut self) {
        let watch = if self.has_video == Some(false) { &self.audio } else { &self.video };
        let (first, runs) = (watch.first(), watch.runs());
        let since = match self.awaited {
            Awaited::Nothing => return,
            Awaited::Open => self.opened,
            Awaited::Seek(seek) => seek.asked,
        };
        if self.progress == Progress::Nothing
            && let Some(first) = first
        {
            self.progress = Progress::Picture;
            let waited = first.when.saturating_duration_since(since);
            match self.awaited {
                Awaited::Open => self.tell(PlayerEvent::FirstPicture { since_open: waited }),
                Awaited::Seek(seek) if seek.told => {
                    self.tell(PlayerEvent::SeekPicture { since_seek: waited, at: first.at });
                }
                Awaited::Seek(_) | Awaited::Nothing => {}
            }
        }
        if self.progress == Progress::Picture
            && let Some(runs) = runs
        {
            self.progress = Progress::Runs;
            if !matches!(self.awaited, Awaited::Seek(Seek { told: false, .. })) {
                self.tell(PlayerEvent::Runs { since: runs.saturating_duration_since(since) });
            }
        }
    }

    fn tell(&self, event: PlayerEvent) {
        match self.events.try_send(event) {
            Ok(()) | Err(TrySendError::Full(PlayerEvent::Buffering(_)) | TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(event)) => tracing::warn!(?event, "nobody reads the player's events"),
        }
    }
}

fn wake_of(message: &Message) -> Option<Wake> {
    match message.view() {
        MessageView::Application(application) => Wake::read(application),
        _ => None,
    }
}
