//! What the terminal knows and decides, one input at a time.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nearcast_playback::Player;
use nearcast_protocol::Opening;
use nearcast_transfer::Resolved;
use tokio::sync::mpsc;

use crate::{
    desktop::Desktop,
    history::{History, Watched},
    node::Node,
    opening::{self, Opened, Target},
    quota,
    screen::{
        Code, Command, LinkAnswer, Machine, Message, Notice, Playing, Question, Screen, Sharing, Storage,
    },
    settings::{OnClose, Settings, SettingsFile},
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
}

impl State {
    pub(crate) fn new(setup: Setup, desktop: Arc<dyn Desktop>, inputs: mpsc::Sender<Input>) -> Self {
        let paths = &setup.paths;
        let (file, settings, wrong) = SettingsFile::open(&paths.config.join("settings.json"));
        let (history, trouble) = History::open(&paths.data, &paths.cache.join("posters"));
        let today = Today::open(&paths.data.join("today.json"));
        let first_start = settings.is_none();
        let mut state = Self {
            settings: settings.unwrap_or_default(),
            file,
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
            setup,
            desktop,
            inputs,
        };
        for detail in wrong.map(|error| error.to_string()).into_iter().chain(trouble) {
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
            Command::PauseSharing { minutes } => {
                let pause = Duration::from_secs(u64::from(minutes.min(7 * 24 * 60)) * 60);
                self.paused_until = (minutes > 0).then(|| SystemTime::now() + pause);
                self.apply_sharing();
            }
            Command::Dismiss { id } => self.notices.retain(|notice| notice.id != id),
            Command::SetVolume { volume, muted } => {
                let settings = Settings { volume, muted, ..self.settings.clone() };
                self.set(settings).await;
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

    fn is_current(&self, number: u64) -> bool {
        self.opening.as_ref().is_some_and(|(current, ..)| *current == number)
    }

    async fn open(&mut self, target: Target) {
        self.close_film().await;
        self.tries += 1;
        let number = self.tries;
        let title = match &target {
            Target::File(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()),
            Target::Remote(opening) => match &**opening {
                Opening::Link(link) => Some(opening::title(&link.name)),
                Opening::Url(url) | Opening::Request(url) => url.host_str().map(str::to_owned),
            },
        };
        self.opening = Some((number, title.unwrap_or_default(), Instant::now()));
        match target {
            Target::File(path) => {
                let outcome = opening::file(&path).map(Box::new);
                Box::pin(self.opened(number, outcome)).await;
            }
            Target::Remote(opening) => {
                let Some(node) = &self.node else {
                    self.opening = None;
                    self.notice(Message { code: Code::Network, detail: "the network isn't started".into() });
                    return;
                };
                if let Opening::Link(link) = &*opening {
                    let link = (**link).clone();
                    self.fetch(number, link).await;
                    return;
                }
                let (controller, inputs) = (node.controller.clone(), self.inputs.clone());
                tokio::spawn(async move {
                    let input = match opening::resolve(&controller, &opening).await {
                        Ok(Resolved::Link(link)) => Input::Resolved(number, link),
                        Ok(Resolved::Plain(url)) => {
                            let again = url.to_string();
                            Input::Opened(number, opening::plain(url, again).await.map(Box::new))
                        }
                        Err(message) => Input::Opened(number, Err(message)),
                    };
                    // A terminal that has ended wants to know nothing more.
                    let _ = inputs.send(input).await;
                });
            }
        }
    }

    async fn opened(&mut self, number: u64, outcome: Result<Box<Opened>, Message>) {
        self.take(Input::Opened(number, outcome)).await;
    }

    async fn fetch(&mut self, number: u64, link: nearcast_protocol::Link) {
        let Some(node) = &self.node else { return };
        let watched = |id: &str| self.history.watched_at(id);
        let outcome = match node.make_room(link.id, link.size, self.settings.limit, watched).await {
            Ok(true) => opening::link(&node.controller, link).await.map(Box::new),
            Ok(false) => Err(Message {
                code: Code::Limit,
                detail: format!(
                    "this film has {:.1} GB, and all films together may have {:.1} GB",
                    link.size as f64 / 1e9,
                    self.settings.limit as f64 / 1e9
                ),
            }),
            Err(error) => Err(Message { code: Code::Disk, detail: error.to_string() }),
        };
        Box::pin(self.opened(number, outcome)).await;
    }

    async fn play(&mut self, opened: Opened) {
        let Some((number, _, asked)) = self.opening.take() else { return };
        let sinks = match self.desktop.sinks() {
            Ok(sinks) => sinks,
            Err(error) => {
                return self.notice(Message { code: Code::MissingCodec, detail: error.to_string() });
            }
        };
        let (player, events) = match Player::open(Arc::clone(&opened.media), sinks) {
            Ok(player) => player,
            Err(error) => {
                return self.notice(Message { code: Code::MissingCodec, detail: error.to_string() });
            }
        };
        let inputs = self.inputs.clone();
        let forward = std::thread::Builder::new().name("player events".into()).spawn(move || {
            for event in events {
                if inputs.blocking_send(Input::Player(number, event)).is_err() {
                    return;
                }
            }
        });
        if let Err(error) = forward {
            return self.notice(Message { code: Code::Other, detail: error.to_string() });
        }
        if self.settings.history {
            let watched = Watched {
                id: opened.id.clone(),
                title: opened.title.clone(),
                opening: opened.again.clone(),
                size: Some(opened.media.size()),
                local: opened.local,
            };
            self.history.watched(watched, unix_ms());
        }
        player.set_volume(self.settings.volume, self.settings.muted);
        let place = self.settings.resume.then(|| self.history.position(&opened.id)).flatten();
        let mut watching = Watching::new(opened, player, asked);
        if let Some(place) = place.filter(|place| *place > 0) {
            watching.resume(place, Instant::now());
        }
        watching.play();
        self.watching = Some(watching);
    }

    /// Ends the film, if there is one, and remembers where it stopped. Waits until the player has let go of the
    /// screen, so that the next one can take it.
    async fn close_film(&mut self) {
        self.opening = None;
        self.note_place();
        let Some(watching) = self.watching.take() else { return };
        let (player, opened) = (watching.player, watching.opened);
        let wanted = !self.history.has_poster(&opened.id) && self.settings.history;
        player.pause();
        let closing = tokio::task::spawn_blocking(move || {
            let poster = if wanted { player.snapshot() } else { None };
            player.stop();
            drop(player);
            poster
        });
        match closing.await {
            Ok(Some(poster)) => self.history.poster(&opened.id, &poster),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the player could not be closed"),
        }
        if let Err(error) = self.history.save() {
            self.notice(Message { code: Code::Settings, detail: error.to_string() });
        }
        if std::mem::take(&mut self.restart_node) {
            self.go_online().await;
        }
    }

    fn note_place(&mut self) {
        let Some(watching) = &self.watching else { return };
        if let Some((at, length)) = watching.place() {
            self.history.at(&watching.opened.id, at, length);
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
        true
    }

    fn apply_sharing(&mut self) {
        let on = self.settings.share && self.paused_until.is_none();
        if let Some(node) = &mut self.node {
            node.share(on);
        }
    }

    async fn go_online(&mut self) {
        if let Some(node) = self.node.take() {
            node.controller.stop().await;
        }
        let folder = match &*self.settings.folder {
            "" => self.setup.paths.default_films(),
            folder => folder.into(),
        };
        match Node::start(&self.settings, folder, self.setup.listen.clone()).await {
            Ok(node) => {
                self.node = Some(node);
                self.apply_sharing();
            }
            Err(error) => {
                self.notice(Message { code: Code::Network, detail: error.to_string() });
            }
        }
    }

    /// Looks over what changes by itself.
    pub(crate) async fn glance(&mut self) {
        if self.paused_until.is_some_and(|until| until <= SystemTime::now()) {
            self.paused_until = None;
            self.apply_sharing();
        }
        if let Some(node) = &mut self.node {
            let (more, rate) = node.sent(Instant::now());
            self.today.add(more, SystemTime::now());
            self.rate = rate;
        }
        self.take_poster();
        if self.kept.elapsed() >= KEEP_EVERY {
            self.kept = Instant::now();
            self.look_at_disk();
            self.keep();
        }
    }

    fn take_poster(&mut self) {
        let Some(watching) = &mut self.watching else { return };
        let far = watching.place().is_some_and(|(at, _)| at >= POSTER_AT_MS);
        if far && watching.is_running() && self.settings.history && watching.wants_poster() {
            let (player, id, inputs) =
                (Arc::clone(&watching.player), watching.opened.id.clone(), self.inputs.clone());
            tokio::task::spawn_blocking(move || {
                if let Some(jpeg) = player.snapshot() {
                    let _ = inputs.try_send(Input::Poster(id, jpeg));
                }
            });
        }
    }

    /// Writes down what would be missed after a crash.
    fn keep(&mut self) {
        self.note_place();
        self.note_shared();
        for outcome in [
            self.history.save().err().map(|error| error.to_string()),
            self.today.save().err().map(|error| error.to_string()),
        ] {
            if let Some(detail) = outcome {
                self.notice(Message { code: Code::Settings, detail });
            }
        }
    }

    fn note_shared(&mut self) {
        let Some(node) = &mut self.node else { return };
        for (id, more) in node.shared() {
            self.history.shared(&id, more);
        }
    }

    fn look_at_disk(&mut self) {
        let (used, films) = self.node.as_ref().map_or((0, 0), Node::used);
        let folder = match &self.node {
            Some(node) => node.folder().clone(),
            None => self.setup.paths.default_films(),
        };
        self.storage = Storage { used, free: quota::free_bytes(&folder) };
        self.films = films;
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
            },
            ..self.first_screen()
        }
    }

    /// Ends everything, in an order that loses nothing.
    pub(crate) async fn end(&mut self) {
        self.close_film().await;
        self.keep();
        if let Some(node) = self.node.take() {
            node.controller.stop().await;
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
