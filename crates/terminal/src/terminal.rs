//! The terminal itself: one task that owns the film, the node and what is remembered of both.
//!
//! ```text
//!   screen ── Command ──▶ ┌──────────┐ ──▶ Node (network, library)
//!   links, files ───────▶ │ Terminal │ ──▶ Watching (player)
//!   player ── events ───▶ │  (task)  │ ──▶ Screen, to whoever shows it
//!   window closed ──────▶ └──────────┘ ──▶ Desktop (show, hide, quit)
//! ```

use std::{path::PathBuf, sync::Arc, time::Duration};

use nearcast_playback::PlayerEvent;
use nearcast_protocol::Multiaddr;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use crate::{
    desktop::Desktop,
    opening::Opened,
    paths::Paths,
    screen::{Command, Message, Screen},
    state::State,
};

/// What waits to be done. A viewer's hand doesn't reach it; a player's events come in dozens.
const INPUTS: usize = 256;
/// How often the screen is looked over while it may change by itself.
const GLANCE: Duration = Duration::from_millis(250);

/// How a terminal is set up.
pub struct Setup {
    /// Where settings, history and films are kept.
    pub paths: Paths,
    /// Where the controller listens; empty for any free port.
    pub listen: Vec<Multiaddr>,
    /// Whether the desktop shows tray icons.
    pub tray: bool,
    /// Languages the system asks for.
    pub languages: Vec<String>,
}

/// Something that happened.
pub(crate) enum Input {
    Command(Command),
    /// A link or file from outside the screen: command line, second start, click in a browser, drop.
    Given {
        text: String,
        base: PathBuf,
    },
    Closed,
    Quit,
    /// A try to open something came to an end; the number tells which try.
    Opened(u64, Result<Box<Opened>, Message>),
    Resolved(u64, Box<nearcast_protocol::Link>),
    Player(u64, PlayerEvent),
    Poster(String, Vec<u8>),
    /// A file that is to be shared was read; the number tells which reading.
    Shared(u32, Result<Box<nearcast_protocol::Link>, Message>),
}

/// A running terminal. Cheap to clone.
#[derive(Clone)]
pub struct Terminal {
    inputs: mpsc::Sender<Input>,
    screen: watch::Receiver<Arc<Screen>>,
}

impl Terminal {
    /// Starts it on the present tokio runtime. It ends after [`Desktop::quit`] was called.
    pub fn start(setup: Setup, desktop: Arc<dyn Desktop>) -> (Self, JoinHandle<()>) {
        let (inputs, receiver) = mpsc::channel(INPUTS);
        let state = State::new(setup, desktop, inputs.clone());
        let (sender, screen) = watch::channel(Arc::new(state.first_screen()));
        let task = tokio::spawn(run(state, receiver, sender));
        (Self { inputs, screen }, task)
    }

    /// The screen as it is, and each change.
    pub fn screen(&self) -> watch::Receiver<Arc<Screen>> {
        self.screen.clone()
    }

    /// Does what the viewer says.
    pub async fn act(&self, command: Command) {
        self.input(Input::Command(command)).await;
    }

    /// Opens a link or file from outside; relative paths count from `base`. A link asks first.
    pub async fn given(&self, text: String, base: PathBuf) {
        self.input(Input::Given { text, base }).await;
    }

    /// The viewer closed the window.
    pub async fn closed(&self) {
        self.input(Input::Closed).await;
    }

    /// Ends everything: places are remembered, streams closed, trackers told.
    pub async fn quit(&self) {
        self.input(Input::Quit).await;
    }

    async fn input(&self, input: Input) {
        if self.inputs.send(input).await.is_err() {
            tracing::debug!("the terminal has ended");
        }
    }
}

async fn run(mut state: State, mut inputs: mpsc::Receiver<Input>, screen: watch::Sender<Arc<Screen>>) {
    state.begin().await;
    let mut glance = tokio::time::interval(GLANCE);
    glance.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let input = tokio::select! {
            input = inputs.recv() => input,
            _ = glance.tick() => {
                state.glance().await;
                publish(&mut state, &screen);
                continue;
            }
        };
        let Some(input) = input else { break };
        if state.take(input).await {
            break;
        }
        publish(&mut state, &screen);
    }
    state.end().await;
}

fn publish(state: &mut State, screen: &watch::Sender<Arc<Screen>>) {
    let now = state.screen();
    screen.send_if_modified(|shown| {
        let news = **shown != now;
        if news {
            *shown = Arc::new(now);
        }
        news
    });
}
