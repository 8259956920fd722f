//! A terminal with a desktop that only counts what it is asked.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use gstreamer::prelude::*;
use nearcast_playback::{PlaybackError, Sinks};
use nearcast_terminal::{
    Desktop, Paths, Setup, Terminal,
    screen::{Command, Screen},
    settings::Settings,
};

#[derive(Default)]
pub struct Counting(Mutex<Vec<&'static str>>);

impl Counting {
    fn note(&self, what: &'static str) {
        self.0.lock().unwrap().push(what);
    }

    pub fn told(&self, what: &str) -> bool {
        self.0.lock().unwrap().contains(&what)
    }
}

impl Desktop for Counting {
    fn sinks(&self) -> Result<Sinks, PlaybackError> {
        Sinks::headless()
    }

    fn show(&self) {
        self.note("show");
    }

    fn hide(&self) {
        self.note("hide");
    }

    fn quit(&self) {
        self.note("quit");
    }
}

pub struct Rig {
    pub terminal: Terminal,
    pub task: tokio::task::JoinHandle<()>,
    pub desktop: Arc<Counting>,
}

impl Rig {
    pub fn start(root: &Path) -> Self {
        let desktop = Arc::new(Counting::default());
        let setup = Setup {
            paths: Paths::under(root),
            listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
            tray: true,
            languages: vec!["en".into()],
        };
        let (terminal, task) = Terminal::start(setup, Arc::clone(&desktop) as Arc<dyn Desktop>);
        Self { terminal, task, desktop }
    }

    /// Waits for the screen to show something; the bound only ends a test that hangs.
    pub async fn until(&self, what: &str, shows: impl Fn(&Screen) -> bool) -> Screen {
        let mut screen = self.terminal.screen();
        let waited =
            tokio::time::timeout(std::time::Duration::from_secs(60), screen.wait_for(|screen| shows(screen)));
        match waited.await {
            Ok(Ok(screen)) => (**screen).clone(),
            _ => panic!("{what} never showed; the screen is {:#?}", self.terminal.screen().borrow()),
        }
    }

    pub async fn begin(&self, root: &Path) {
        let folder = root.join("films").to_string_lossy().into_owned();
        let settings = Settings { folder, neighbours: false, ..Settings::default() };
        self.terminal.act(Command::Begin { settings }).await;
        self.until("the network", |screen| screen.sharing.online).await;
    }

    pub async fn end(self) {
        self.terminal.quit().await;
        self.task.await.unwrap();
        assert!(self.desktop.told("quit"));
    }
}

pub fn film(path: &Path, pictures: u32) {
    gstreamer::init().unwrap();
    let line = format!(
        "videotestsrc num-buffers={pictures} ! video/x-raw,width=320,height=180,framerate=25/1 ! vp8enc deadline=1 \
         keyframe-max-dist=25 ! webmmux ! filesink location=\"{}\"",
        path.display()
    );
    let pipeline = gstreamer::parse::launch(&line).unwrap();
    pipeline.set_state(gstreamer::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let end = [gstreamer::MessageType::Eos, gstreamer::MessageType::Error];
    let message = bus.timed_pop_filtered(gstreamer::ClockTime::from_seconds(60), &end).unwrap();
    assert_eq!(message.type_(), gstreamer::MessageType::Eos);
    pipeline.set_state(gstreamer::State::Null).unwrap();
}
