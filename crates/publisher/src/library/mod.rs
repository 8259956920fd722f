//! The publisher's library: the films of its folders, hashed, indexed, looked into and shared.
//!
//! [`Library`] is a cheap handle. What is up is a [`Snapshot`], replaced whole when something changes, so that
//! whoever shows it never waits for whoever hashes. [`Following::run`] does the work until it is stopped.

mod given;
mod grouping;
mod index;
mod keeper;
mod looking;
mod naming;
mod scan;
mod title;
mod watching;

use std::{path::PathBuf, sync::Arc, time::Duration};

use nearcast_protocol::ResourceId;
use nearcast_transfer::Controller;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::{index::Index, keeper::Keeper};

pub use self::given::{Given, GivenOf};
pub use self::title::{
    AudioTrack, Chapter, Episode, Facts, Film, Hashing, Problem, Sidecar, Snapshot, Storyboard,
    SubtitleTrack, Title, VideoTrack, Waiting,
};

/// Orders on their way; whoever gives more waits.
const ORDERS: usize = 64;

/// How a library is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folders and files that are put up.
    pub roots: Vec<PathBuf>,
    /// The publisher's own folder: index, posters, storyboards.
    pub state: PathBuf,
    /// How often everything is looked through even if nothing was told: network file systems tell nothing.
    pub rescan: Duration,
    /// How many files are hashed at once; a file is hashed by all cores in any case.
    pub at_once: usize,
    /// Whether posters and storyboards are made.
    pub pictures: bool,
}

impl Settings {
    /// The usual settings for one folder.
    pub fn new(root: impl Into<PathBuf>, state: impl Into<PathBuf>) -> Self {
        Self {
            roots: vec![root.into()],
            state: state.into(),
            rescan: Duration::from_secs(60),
            at_once: 2,
            pictures: true,
        }
    }
}

/// What the library is told.
#[derive(Debug)]
enum Order {
    Rescan,
    Add(PathBuf),
    Remove(ResourceId),
    Hold(ResourceId, bool),
    Rename(ResourceId, Option<String>),
}

/// Why the library doesn't do what it is told.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// There is no such title.
    #[error("there is no title {0} here; it may have been taken down or changed")]
    NoSuchTitle(ResourceId),
    /// There is nothing at the path, or it can't be read.
    #[error("{path} can't be put up: {reason}", path = .path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The name is empty or too long.
    #[error("a title's name has 1 to 200 characters, and no line breaks")]
    Name,
    /// The library has stopped.
    #[error("the library is stopping")]
    Stopped,
}

/// The library; a clone is the same one.
#[derive(Clone)]
pub struct Library {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    shown: watch::Sender<Arc<Snapshot>>,
    given: watch::Sender<Arc<Given>>,
    orders: mpsc::Sender<Order>,
}

/// The work of a library, to be run beside it.
pub struct Following {
    keeper: Keeper,
    orders: mpsc::Receiver<Order>,
}

impl Following {
    /// Keeps the library true to its folders until stopped; what it knows is written then.
    pub async fn run(self, stop: CancellationToken) {
        self.keeper.run(self.orders, stop).await;
    }
}

/// Why a library can't be opened.
#[derive(Debug, thiserror::Error)]
#[error("the publisher's own folder {folder} can't be used: {source}", folder = .folder.display())]
pub struct OpenError {
    folder: PathBuf,
    source: std::io::Error,
}

impl Library {
    /// Opens the library. The controller has to be set up with
    /// [`only_offered`](nearcast_transfer::Settings::only_offered), so that what is held back stays back, and with
    /// a folder that no other process uses. Nothing happens until [`Following::run`].
    ///
    /// # Errors
    /// When the publisher's own folder can't be used.
    pub fn open(mut settings: Settings, controller: Controller) -> Result<(Self, Following), OpenError> {
        let opened = std::fs::create_dir_all(&settings.state).and_then(|()| {
            settings.state = std::path::absolute(&settings.state)?;
            for root in &mut settings.roots {
                *root = std::path::absolute(&*root)?;
            }
            Index::read(&settings.state)
        });
        let failed = |source| OpenError { folder: settings.state.clone(), source };
        let index = opened.map_err(failed)?;
        let (orders, receiver) = mpsc::channel(ORDERS);
        let (shown, given) = (watch::Sender::default(), watch::Sender::default());
        let inner = Arc::new(Inner { settings, shown, given, orders });
        let keeper = Keeper::new(Arc::clone(&inner), controller, index);
        Ok((Self { inner }, Following { keeper, orders: receiver }))
    }

    /// How it was set up.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// What is up at this moment.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.inner.shown.borrow().clone()
    }

    /// Tells of every change.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.inner.shown.subscribe()
    }

    /// What was given, to whom, and what the viewers saved; as of a moment ago.
    pub fn given(&self) -> Arc<Given> {
        self.inner.given.borrow().clone()
    }

    /// Looks through all folders again, now.
    ///
    /// # Errors
    /// [`OrderError::Stopped`].
    pub async fn rescan(&self) -> Result<(), OrderError> {
        self.order(Order::Rescan).await
    }

    /// Puts up one more folder or file; remembered across restarts. Brings back what was removed.
    ///
    /// # Errors
    /// When nothing readable is there.
    pub async fn add(&self, path: PathBuf) -> Result<(), OrderError> {
        let absolute = std::path::absolute(&path).and_then(|path| std::fs::metadata(&path).map(|_| path));
        let wrong = |error: std::io::Error| OrderError::Path { path, reason: error.to_string() };
        self.order(Order::Add(absolute.map_err(wrong)?)).await
    }

    /// Stops sharing a title, for good: its files stay where they are, and are passed over from now on.
    ///
    /// # Errors
    /// [`OrderError::NoSuchTitle`].
    pub async fn remove(&self, key: ResourceId) -> Result<(), OrderError> {
        self.known(key)?;
        self.order(Order::Remove(key)).await
    }

    /// Holds a title back, at once, or gives it free again. Who is being served is cut off.
    ///
    /// # Errors
    /// [`OrderError::NoSuchTitle`].
    pub async fn hold(&self, key: ResourceId, held: bool) -> Result<(), OrderError> {
        self.known(key)?;
        self.order(Order::Hold(key, held)).await
    }

    /// Calls a title something else; `None` goes back to what its files say.
    ///
    /// # Errors
    /// [`OrderError::NoSuchTitle`], [`OrderError::Name`].
    pub async fn rename(&self, key: ResourceId, name: Option<String>) -> Result<(), OrderError> {
        self.known(key)?;
        let name = name.map(|name| name.trim().to_owned());
        let sound =
            |name: &String| (1..=200).contains(&name.chars().count()) && !name.chars().any(char::is_control);
        if name.as_ref().is_some_and(|name| !sound(name)) {
            return Err(OrderError::Name);
        }
        self.order(Order::Rename(key, name)).await
    }

    fn known(&self, key: ResourceId) -> Result<(), OrderError> {
        self.snapshot().title(&key).map(|_| ()).ok_or(OrderError::NoSuchTitle(key))
    }

    async fn order(&self, order: Order) -> Result<(), OrderError> {
        self.inner.orders.send(order).await.map_err(|_| OrderError::Stopped)
    }
}
