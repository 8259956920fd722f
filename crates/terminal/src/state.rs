//! What the terminal knows and decides, one input at a time.

mod films;
mod sharing;
mod upkeep;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nearcast_protocol::Opening;
use tokio::sync::mpsc;

use crate::{
    desktop::Desktop,
    history::History,
    node::Node,
    opening::Target,
    own_tracker::OwnTracker,
    screen::{
        Code, Command, LinkAnswer, Machine, Message, Notice, Playing, Question, Reached, Screen, Sharing,
        Storage,
    },
    settings::{OnClose, Settings, SettingsFile},
    shares::Shares,
    stranger,
    terminal::{Input, Setup},
    today::Today,
    watching::Watching,
};

/// More notices than this would cover the screen.
const NOTICES: usize = 5;
/// A poster is taken this far into a film, when the titles are over.
const POSTER_AT_MS: u64 = 12_000;
/// How often what is remembered is written down.
const KEEP_EVERY: Duration = Duration::from_secs(10);

pub(crate) struct State {
    setup: Setup,
    desktop: Arc<dyn Desktop>,
    inputs: mpsc::Sender<Input>,
    settings: Settings,
    file: SettingsFile,
    /// The volume has changed since the settings were written down.
    unsaved: bool,
    first_start: bool,
    history: History,
    today: Today,
    node: Option<Node>,
    restart_node: bool,
    watching: Option<Watching>,
    /// The film that is being opened: the try's number, its title and when it was asked for.
    opening: Option<(u64, String, Instant)>,
    tries: u64,
    question: Option<Question>,
    /// The link that [`Question::Link`] is about.
    stranger: Option<Box<Opening>>,
    /// What was given before the first start was answered.
    waiting: Option<(String, PathBuf)>,
    paused_until: Option<SystemTime>,
    notices: Vec<Notice>,
    next_notice: u32,
    kept: Instant,
    rate: u64,
    storage: Storage,
    films: usize,
    shares: Shares,
    own_tracker: Option<OwnTracker>,
    reading: Option<tokio::task::JoinHandle<()>>,
}

impl State {
    pub(crate) fn new(setup: Setup, desktop: Arc<dyn Desktop>, inputs: mpsc::Sender<Input>) -> Self {
        let paths = &setup.paths;
        let (file, settings, wrong) = SettingsFile::open(&paths.config.join("settings.json"));
        let (history, trouble) = History::open(&paths.data, &paths.cache.join("posters"));
        let (shares, untold) = Shares::open(&paths.data);
        let today = Today::open(&paths.data.join("today.json"));
        let first_start = settings.is_none();
        let mut state = Self {
            settings: settings.unwrap_or_default(),
            file,
            unsaved: false,
            first_start,
            history,
            today,
            node: None,
            restart_node: false,
            watching: None,
            opening: None,
            tries: 0,
            question: None,
            stranger: None,
            waiting: None,
            paused_until: None,
            notices: Vec::new(),
            next_notice: 0,
            kept: Instant::now(),
            rate: 0,
            storage: Storage::default(),
            films: 0,
            shares,
            own_tracker: None,
            reading: None,
            setup,
            desktop,
            inputs,
        };
        for detail in wrong.map(|error| error.to_string()).into_iter().chain(trouble).chain(untold) {
            state.notice(Message { code: Code::Settings, detail });
        }
        state
    }

    pub(crate) fn first_screen(&self) -> Screen {
        Screen {
            first_start: self.first_start,
            settings: self.settings.clone(),
            machine: Machine {
                version: env!("CARGO_PKG_VERSION").into(),
                default_folder: self.setup.paths.default_films().to_string_lossy().into_owned(),
                tray: self.setup.tray,
                languages: self.setup.languages.clone(),
            },
            question: self.question.clone(),
            film: None,
            recent: Vec::new(),
            storage: self.storage.clone(),
            sharing: Sharing::default(),
            shares: Vec::new(),
            notices: self.notices.clone(),
        }
    }

    /// The first thing done: going on the network, if the user has ever agreed to that.
    pub(crate) async fn begin(&mut self) {
        if !self.first_start {
            self.go_online().await;
        }
        self.look_at_disk();
    }

    /// Takes one input; whether it was the last.
    pub(crate) async fn take(&mut self, input: Input) -> bool {
        match input {
            Input::Command(command) => return self.command(command).await,
            Input::Given { text, base } => self.given(text, &base).await,
            Input::Closed => return self.closed().await,
            Input::Quit => return true,
            Input::Resolved(number, link) => {
                if self.is_current(number) {
                    self.fetch(number, *link).await;
                }
            }
            Input::Opened(number, outcome) => {
                if self.is_current(number) {
                    match outcome {
                        Ok(opened) => self.play(*opened).await,
                        Err(message) => {
                            self.opening = None;
                            self.notice(message);
                        }
                    }
                }
            }
            Input::Player(number, event) => {
                if number == self.tries
                    && let Some(watching) = &mut self.watching
                {
                    watching.heard(event);
                }
            }
            Input::Poster(id, jpeg) => self.history.poster(&id, &jpeg),
            Input::Shared(number, outcome) => self.shared(number, outcome).await,
        }
        false
    }

    async fn command(&mut self, command: Command) -> bool {
        match command {
            Command::Begin { settings } => {
                if self.set(settings).await && self.first_start {
                    self.first_start = false;
                    self.go_online().await;
                    self.look_at_disk();
                    if let Some((text, base)) = self.waiting.take() {
                        self.given(text, &base).await;
                    }
                }
            }
            Command::Open { text } => match Target::read(&text, Path::new("/")) {
                Ok(target) => self.open(target).await,
                Err(message) => self.notice(message),
            },
            Command::OpenRecent { id } => {
                if let Some(text) = self.history.opening(&id) {
                    match Target::read(&text, Path::new("/")) {
                        Ok(target) => self.open(target).await,
                        Err(message) => self.notice(message),
                    }
                }
            }
            Command::AnswerLink { answer } => self.answer_link(answer).await,
            Command::AnswerClose { keep, remember } => {
                self.question = None;
                if remember {
                    let on_close = if keep { OnClose::Keep } else { OnClose::Quit };
                    self.set(Settings { on_close, ..self.settings.clone() }).await;
                }
                if !keep {
                    return true;
                }
                self.close_film().await;
                self.desktop.hide();
            }
            Command::CloseFilm => self.close_film().await,
            Command::Remove { id } => self.remove(&id).await,
            Command::Set { settings } => {
                self.set(settings).await;
            }
            Command::Share { paths } => self.share(paths).await,
            Command::StopSharing { id } => self.stop_sharing(id).await,
            Command::PauseSharing { minutes } => {
                let pause = Duration::from_secs(u64::from(minutes.min(7 * 24 * 60)) * 60);
                self.paused_until = (minutes > 0).then(|| SystemTime::now() + pause);
                self.apply_sharing();
            }
            Command::Dismiss { id } => self.notices.retain(|notice| notice.id != id),
            Command::SetVolume { volume, muted } => {
                // Dragging says this dozens of times a second: it is written down with the next places.
                self.settings = Settings { volume, muted, ..self.settings.clone() }.heard();
                self.unsaved = true;
                if let Some(watching) = &self.watching {
                    watching.player.set_volume(self.settings.volume, self.settings.muted);
                }
            }
            other => self.steer(other),
        }
        false
    }

    /// What goes to the player.
    fn steer(&mut self, command: Command) {
        let Some(watching) = &mut self.watching else { return };
        match command {
            Command::Play => watching.play(),
            Command::Pause => watching.pause(),
            Command::Seek { to_ms, exact } => watching.seek(Duration::from_millis(to_ms), exact),
            Command::Step { forward } => watching.step(forward),
            Command::SetRate { rate } => watching.player.set_rate(rate),
            Command::ChooseAudio { id } => watching.choose_audio(id),
            Command::ChooseSubtitles { id } => watching.choose_text(id),
            _ => {}
        }
    }

    async fn given(&mut self, text: String, base: &Path) {
        self.desktop.show();
        if text.is_empty() {
            return;
        }
        if self.first_start {
            self.waiting = Some((text, base.to_owned()));
            return;
        }
        match Target::read(&text, base) {
            Ok(Target::Remote(link)) => {
                match stranger::question(&link, &self.settings.trusted, &self.settings.trackers) {
                    Some(question) => {
                        if let Some(watching) = &mut self.watching {
                            watching.pause();
                        }
                        self.question = Some(question);
                        self.stranger = Some(link);
                    }
                    None => self.open(Target::Remote(link)).await,
                }
            }
            Ok(file) => self.open(file).await,
            Err(message) => self.notice(message),
        }
    }

    async fn answer_link(&mut self, answer: LinkAnswer) {
        let Some(link) = self.stranger.take() else { return };
        self.question = None;
        if answer == LinkAnswer::Always {
            let mut settings = self.settings.clone();
            for tracker in stranger::trackers(&link) {
                if !settings.trusted.contains(&tracker) {
                    settings.trusted.push(tracker);
                }
            }
            self.set(settings).await;
        }
        if answer != LinkAnswer::No {
            self.open(Target::Remote(link)).await;
        }
    }

    async fn closed(&mut self) -> bool {
        if let Some(watching) = &mut self.watching {
            watching.pause();
        }
        if self.first_start {
            return true;
        }
        match self.settings.on_close {
            OnClose::Quit => true,
            OnClose::Keep => {
                self.close_film().await;
                self.desktop.hide();
                false
            }
            OnClose::Ask => {
                self.question = Some(Question::Close { tray: self.setup.tray });
                false
            }
        }
    }

    async fn remove(&mut self, id: &str) {
        if self.watching.as_ref().is_some_and(|watching| watching.opened.id == id) {
            self.close_film().await;
        }
        if let (Some(node), Ok(resource)) = (&self.node, id.parse())
            && node.controller.library().iter().any(|entry| entry.link.id == resource)
            && let Err(error) = node.controller.remove(resource, true).await
        {
            return self.notice(Message { code: Code::Disk, detail: error.to_string() });
        }
        self.history.remove(id);
        if let Err(error) = self.history.save() {
            self.notice(Message { code: Code::Settings, detail: error.to_string() });
        }
        self.look_at_disk();
    }

    /// Applies and keeps settings; whether they could be taken.
    async fn set(&mut self, settings: Settings) -> bool {
        let mut settings = match settings.checked() {
            Ok(settings) => settings,
            Err(error) => {
                self.notice(Message { code: Code::Settings, detail: error.to_string() });
                return false;
            }
        };
        if settings.folder.is_empty() {
            settings.folder = self.setup.paths.default_films().to_string_lossy().into_owned();
        }
        if let Err(error) = self.file.save(&settings) {
            self.notice(Message { code: Code::Settings, detail: error.to_string() });
            return false;
        }
        let old = std::mem::replace(&mut self.settings, settings);
        if let Some(watching) = &self.watching {
            watching.player.set_volume(self.settings.volume, self.settings.muted);
        }
        if let Some(node) = &self.node {
            node.limit(&self.settings);
            if Node::must_restart(&old, &self.settings) {
                if self.watching.is_some() {
                    self.restart_node = true;
                } else {
                    self.go_online().await;
                }
            }
        }
        self.apply_sharing();
        if self.settings.own_tracker != old.own_tracker {
            self.offer_again().await;
        }
        if self.settings.limit < old.limit {
            self.shrink().await;
        }
        true
    }

    pub(crate) fn screen(&mut self) -> Screen {
        let now = Instant::now();
        let film = match (&mut self.watching, &self.opening) {
            (Some(watching), _) => Some(watching.film(now)),
            (None, Some((_, title, _))) => Some(crate::watching::opening_film(title)),
            (None, None) => None,
        };
        let node = self.node.as_ref();
        Screen {
            recent: if film.as_ref().is_some_and(|film| film.state != Playing::Failed) {
                // Nobody sees the list behind a film, and it is most of the bytes.
                Vec::new()
            } else {
                self.history.recent(|id| node.map_or(0, |node| node.held(id)))
            },
            film,
            sharing: Sharing {
                online: node.is_some(),
                paused_until_ms: self.paused_until.map(since_epoch),
                today: self.today.bytes(SystemTime::now()),
                rate: self.rate,
                films: self.films,
                reached: node.map_or(Reached::Unknown, |node| node.controller.reached().into()),
            },
            shares: self.shares.shown(|id| node.map_or(0, |node| node.peers(id))),
            ..self.first_screen()
        }
    }

    /// Ends everything, in an order that loses nothing.
    pub(crate) async fn end(&mut self) {
        self.close_film().await;
        self.stop_reading().await;
        self.keep();
        if let Some(node) = self.node.take() {
            node.controller.stop().await;
        }
        // Last, so that this terminal can still withdraw from it.
        if let Some(tracker) = self.own_tracker.take() {
            tracker.stop().await;
        }
        self.desktop.quit();
    }

    fn notice(&mut self, message: Message) {
        tracing::info!(code = ?message.code, detail = message.detail, "notice");
        if self.notices.iter().any(|notice| notice.message == message) {
            return;
        }
        self.next_notice += 1;
        self.notices.push(Notice { id: self.next_notice, message });
        if self.notices.len() > NOTICES {
            self.notices.remove(0);
        }
    }
}

fn unix_ms() -> u64 {
    since_epoch(SystemTime::now())
}

fn since_epoch(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
