//! The controller of one node: its network, its library, and the resources in use.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nearcast_content::{Entry, ImportProgress, Library, LibraryError, MemoryStore, Origin, Store};
use nearcast_network::{Config, IdentityError, Limit, Network, PieceStream, StartError, identity_on_disk};
use nearcast_protocol::{
    Guard, Link, Multiaddr, ResourceId, Role, TokenError,
    link::MAX_REPEATS,
    pieces::{Frame, Hello, Reason, Refuse},
    tracker::Claim,
};
use nearcast_schedule::Fetch;
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    access::{Access, Judge, Protect, token_of},
    bounds::Bounds,
    drive::{Drive, Parts, permille, refuse_stream},
    load::LoadRules,
    reader::Readers,
    served::{Accounts, Served},
    trackers::Trackers,
    tracking::{TrackerState, Tracking},
    transfer::{Command, Shared, Transfer},
};

/// How long a peer may take to say hello.
pub(crate) const HELLO_PATIENCE: Duration = Duration::from_secs(10);
/// Commands on their way to a transfer: incoming streams, mostly; more wait at their sender.
const COMMANDS: usize = 64;
/// How many strangers may be in the middle of a hello at once.
const GREETING: usize = 256;

/// How a controller is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the identity and the library are kept.
    pub folder: PathBuf,
    /// Where to listen; empty for any free port on all addresses.
    pub listen: Vec<Multiaddr>,
    /// Trackers that are asked besides those a link names.
    pub trackers: Vec<Multiaddr>,
    /// The upload limit in bytes/s.
    pub upload: Option<u64>,
    /// The download limit in bytes/s.
    pub download: Option<u64>,
    /// Whether neighbours on the local network are looked for (mDNS).
    pub neighbours: bool,
    /// What this node is there for.
    pub role: Role,
    /// How many streams are served at once for each resource (R7 a).
    pub streams: usize,
    /// How many streams are served at once of all resources together.
    pub streams_in_all: Option<usize>,
    /// What a publisher's load is kept to besides `streams` (R7); a terminal has no need of it.
    pub load: LoadRules,
    /// Upload no faster than this for any one resource, in bytes/s.
    pub upload_each: Option<u64>,
    /// Whether only what [`Controller::offer`] was called for since the start is offered and served, rather
    /// than all that the library holds. What a publisher was told to hold back stays back after a restart.
    pub only_offered: bool,
    /// The program and its version, as the tracker is told.
    pub version: String,
    /// Where the schedule of what is fetched writes its event log.
    pub trace: Option<PathBuf>,
    /// Which of the files that are shared are for bearers of this node's tokens only.
    pub protect: Option<Protect>,
}

impl Settings {
    /// A terminal's settings, with what it keeps in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            listen: Vec::new(),
            trackers: Vec::new(),
            upload: None,
            download: None,
            neighbours: true,
            role: Role::Terminal,
            streams: 50,
            streams_in_all: None,
            load: LoadRules::default(),
            upload_each: None,
            only_offered: false,
            version: concat!("nearcast/", env!("CARGO_PKG_VERSION")).into(),
            trace: None,
            protect: None,
        }
    }
}

/// Where the bytes of a transfer are kept (R5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// On disk, as a task that goes on after a restart.
    Disk,
    /// In memory only.
    Memory,
}

/// Why a controller can't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// The node's identity can't be read or made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The network can't be started.
    #[error(transparent)]
    Network(#[from] StartError),
    /// The library can't be used.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The link's token is no good.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The resource is in use under another size.
    #[error("this resource is in use with {known} bytes; the link says {claimed}")]
    SizeDiffers {
        /// The size in use.
        known: u64,
        /// The link's.
        claimed: u64,
    },
}

/// One node. Cheap to clone; [`Controller::stop`] ends it for all.
#[derive(Clone)]
pub struct Controller {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    network: Arc<Network>,
    library: Library,
    tracking: Arc<Tracking>,
    judge: Judge,
    transfers: Mutex<HashMap<ResourceId, InUse>>,
    /// What may be served, where not everything may.
    offered: Option<Mutex<HashSet<ResourceId>>>,
    accounts: Arc<Accounts>,
    bounds: Arc<Bounds>,
    /// The limit for any one resource, as it is now.
    upload_each: Mutex<Option<u64>>,
    tasks: TaskTracker,
    /// Set when nobody new is served any more.
    closed: AtomicBool,
    stop: CancellationToken,
}

struct InUse {
    transfer: Transfer,
    stop: CancellationToken,
}

impl Controller {
    /// Starts the node; what the library holds is offered from the start (R5).
    ///
    /// # Errors
    /// When the folder can't be used or the network can't be started.
    pub async fn start(settings: Settings) -> Result<Self, ControllerError> {
        let library = Library::open(&settings.folder.join("library"))?;
        let identity = identity_on_disk(&settings.folder.join("identity"))?;
        let mut config = Config::new(identity);
        if !settings.listen.is_empty() {
            config.listen = settings.listen.clone();
        }
        config.neighbours = settings.neighbours;
        config.upload = settings.upload;
        config.download = settings.download;
        let network = Arc::new(Network::start(config).await?);
        let incoming = network.incoming_pieces();
        let tracking = Arc::new(Tracking::new(Arc::clone(&network), settings.version.clone(), settings.role));
        let offered = settings.only_offered.then(Mutex::default);
        let bounds = Arc::new(Bounds::new(settings.streams, settings.streams_in_all));
        let upload_each = Mutex::new(settings.upload_each);
        let inner = Inner {
            offered,
            settings,
            network,
            library,
            tracking,
            judge: Judge::default(),
            transfers: Mutex::default(),
            accounts: Arc::default(),
            bounds,
            upload_each,
            tasks: TaskTracker::new(),
            closed: AtomicBool::new(false),
            stop: CancellationToken::new(),
        };
        let controller = Self { inner: Arc::new(inner) };
        if controller.inner.offered.is_none() {
            controller.offer_library();
        }
        if let Some(incoming) = incoming {
            let accepting = controller.clone().accept(incoming);
            let stop = controller.inner.stop.clone();
            controller.inner.tasks.spawn(async move { stop.run_until_cancelled(accepting).await });
        }
        Ok(controller)
    }

    fn offer_library(&self) {
        for entry in self.inner.library.entries().into_iter().filter(|entry| !entry.broken) {
            let geometry = entry.link.geometry();
            let share = entry.held_bytes.saturating_mul(1000).checked_div(geometry.size()).unwrap_or(1000);
            let share = u16::try_from(share).unwrap_or(999).min(999);
            let guard = self.guard_of(&entry);
            self.inner.tracking.guard(entry.link.id, guard);
            let permille = if entry.complete { 1000 } else { share.max(u16::from(entry.held_bytes > 0)) };
            self.inner.tracking.hold(entry.link.id, permille, &self.trackers_of(&entry.link));
        }
    }

    /// A link's trackers work as one, and so do the user's own (R8).
    fn trackers_of(&self, link: &Link) -> Trackers {
        Trackers::new([link.trackers.clone(), self.inner.settings.trackers.clone()])
    }

    /// The guard that this node's own identity is.
    pub fn guard(&self) -> Option<Guard> {
        Guard::of(&self.inner.network.peer_id())
    }

    /// Under whose protection an entry is offered: what this node puts up itself, as its settings say.
    fn guard_of(&self, entry: &Entry) -> Option<Guard> {
        let guard = match &self.inner.settings.protect {
            Some(protect) if entry.origin == Origin::Imported => {
                protect.covers(&entry.path).then(|| self.guard()).flatten()
            }
            _ => return entry.guard,
        };
        if let Err(error) = self.inner.library.set_guard(entry.link.id, guard) {
            tracing::warn!(%error, id = %entry.link.id, "its protection can't be noted");
            return entry.guard.or(guard);
        }
        guard
    }

    /// Puts the protection of what the library holds into force; to be called before it is offered. May read and
    /// write a file.
    fn protect(&self, id: &ResourceId) -> Option<Guard> {
        let guard = self.inner.library.entry(*id).and_then(|entry| self.guard_of(&entry));
        self.inner.tracking.guard(*id, guard);
        if let Some(used) = self.transfer(id) {
            used.access().set(guard, used.link());
        }
        guard
    }

    /// Links that keys signed, which this guard certified before `floor` (seconds since 1970), count no more here.
    pub fn revoke(&self, guard: Guard, floor: u64) {
        self.inner.judge.lock().unwrap_or_else(PoisonError::into_inner).raise(guard, floor);
    }

    /// Under whose protection a resource is, if it is held here and protected.
    pub fn protected_by(&self, id: &ResourceId) -> Option<Guard> {
        match self.transfer(id) {
            Some(transfer) => transfer.access().guard(),
            None => self.inner.library.entry(*id).and_then(|entry| entry.guard),
        }
    }

    /// The node's network face.
    pub fn network(&self) -> &Network {
        &self.inner.network
    }

    /// How it was set up.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// What is kept on disk.
    pub fn library(&self) -> Vec<Entry> {
        self.inner.library.entries()
    }

    /// Where the library is.
    pub fn folder(&self) -> &Path {
        &self.inner.settings.folder
    }

    /// How it stands with each tracker.
    pub fn trackers(&self) -> watch::Receiver<BTreeMap<Multiaddr, TrackerState>> {
        self.inner.tracking.states()
    }

    /// The resources in use.
    pub fn transfers(&self) -> Vec<Transfer> {
        self.lock().values().map(|in_use| in_use.transfer.clone()).collect()
    }

    /// One resource, if it is in use.
    pub fn transfer(&self, id: &ResourceId) -> Option<Transfer> {
        self.lock().get(id).map(|in_use| in_use.transfer.clone())
    }

    /// Opens a link: what is missing is fetched, what is there is served. Opening it again gives the same
    /// transfer.
    ///
    /// # Errors
    /// When the library can't take it, or the link's token isn't whole.
    pub async fn open(&self, link: &Link, keep: Keep, fetch: Fetch) -> Result<Transfer, ControllerError> {
        let token = token_of(link)?;
        let transfer = match self.transfer(&link.id) {
            Some(known) if known.link().size == link.size && known.stopped().is_none() => {
                if let Some(token) = token {
                    self.admit(&known, link, token.guard()).await?;
                }
                known
            }
            Some(known) if known.link().size != link.size && known.store().size_proved() => {
                let (known, claimed) = (known.link().size, link.size);
                return Err(ControllerError::SizeDiffers { known, claimed });
            }
            other => {
                if other.is_some() {
                    self.close(&link.id);
                }
                let store: Arc<dyn Store> = match keep {
                    Keep::Memory => Arc::new(MemoryStore::new(link.id, link.size)),
                    Keep::Disk => {
                        let (inner, link) = (Arc::clone(&self.inner), link.clone());
                        blocking(move || inner.library.task(&link)).await?
                    }
                };
                let entry = self.inner.library.entry(link.id);
                let known = entry.as_ref().and_then(|entry| entry.guard);
                let guard = match keep {
                    Keep::Disk => known,
                    Keep::Memory => known.or(token.map(|token| token.guard())),
                };
                let mut link = link.clone();
                if link.token.is_none() {
                    // The one that it was begun with is good for the rest.
                    link.token = entry.and_then(|entry| entry.link.token);
                }
                self.use_store(link, guard, store)?
            }
        };
        transfer.tell(Command::Fetch(fetch, self.trackers_of(link))).await;
        Ok(transfer)
    }

    /// Takes in a protected link to a resource in use: a fresh token, or the first word that it is protected.
    async fn admit(&self, known: &Transfer, link: &Link, guard: Guard) -> Result<(), ControllerError> {
        let before = (known.access().guard(), known.access().shown());
        let guard = if self.inner.library.entry(link.id).is_some() {
            let (inner, link) = (Arc::clone(&self.inner), link.clone());
            blocking(move || {
                inner.library.task(&link)?;
                Ok(inner.library.entry(link.id).and_then(|entry| entry.guard))
            })
            .await?
        } else {
            let complete = known.store().complete();
            match before.0 {
                Some(other) if other != guard && !complete => return Err(LibraryError::OtherGuard.into()),
                Some(same) => Some(same),
                None => (!complete).then_some(guard),
            }
        };
        known.access().set(guard, link);
        self.inner.tracking.guard(link.id, guard);
        if before != (guard, known.access().shown()) {
            known.tell(Command::FreshToken(before.0 != guard)).await;
        }
        Ok(())
    }

    /// Hashes a file where it lies, and serves it. Its link names the given trackers and the settings'.
    ///
    /// # Errors
    /// When the file can't be read, changes while it is read, or the library can't note it.
    pub async fn share(
        &self,
        path: &Path,
        trackers: &[Multiaddr],
        progress: impl Fn(ImportProgress) + Send + Sync + 'static,
        cancelled: Arc<AtomicBool>,
    ) -> Result<Transfer, ControllerError> {
        let (inner, path) = (Arc::clone(&self.inner), path.to_owned());
        let mut all = trackers.to_vec();
        all.extend(
            self.inner.settings.trackers.iter().filter(|tracker| !trackers.contains(tracker)).cloned(),
        );
        let controller = self.clone();
        let (link, guard, store) = blocking(move || {
            let store = inner.library.import(&path, &progress, &cancelled)?;
            inner.library.set_trackers(store.id(), all)?;
            let entry = inner.library.entry(store.id());
            let link = entry.map(|entry| entry.link).ok_or(LibraryError::NotHere(store.id()))?;
            Ok::<_, LibraryError>((link, controller.protect(&store.id()), store))
        })
        .await?;
        if self.transfer(&link.id).is_some_and(|known| known.link() != &link) {
            self.close(&link.id);
        }
        match self.transfer(&link.id) {
            Some(known) => Ok(known),
            None => self.use_store(link, guard, store),
        }
    }

    /// Takes a file into the library and offers it to whoever asks, without keeping it open: it is opened when
    /// somebody comes for it. Its link names the settings' trackers. A file that the caller `knows` to have been
    /// hashed, to that id and not changed since, isn't read.
    ///
    /// # Errors
    /// When the file can't be read, changes while it is read, or the library can't note it.
    pub async fn offer(
        &self,
        path: &Path,
        known: Option<ResourceId>,
        progress: impl Fn(ImportProgress) + Send + Sync + 'static,
        cancelled: Arc<AtomicBool>,
    ) -> Result<Link, ControllerError> {
        let (controller, path) = (self.clone(), path.to_owned());
        let link = blocking(move || {
            let inner = &controller.inner;
            let vouched = known.map(|id| inner.library.vouch(id, &path)).transpose()?.flatten();
            let mut link = match vouched {
                Some(link) => link,
                None => {
                    let id = inner.library.import(&path, &progress, &cancelled)?.id();
                    inner.library.entry(id).map(|entry| entry.link).ok_or(LibraryError::NotHere(id))?
                }
            };
            let mut trackers = inner.settings.trackers.clone();
            trackers.truncate(MAX_REPEATS);
            if link.trackers != trackers {
                inner.library.set_trackers(link.id, trackers.clone())?;
                link.trackers = trackers;
            }
            // Before it is offered to anyone.
            controller.protect(&link.id);
            Ok::<_, LibraryError>(link)
        })
        .await?;
        if self.transfer(&link.id).is_some_and(|used| used.link() != &link || !used.store().complete()) {
            // Its file has another place or name.
            self.close(&link.id);
        }
        if let Some(offered) = &self.inner.offered {
            offered.lock().unwrap_or_else(PoisonError::into_inner).insert(link.id);
        }
        self.inner.tracking.hold(link.id, 1000, &self.trackers_of(&link));
        Ok(link)
    }

    /// Offers a resource no longer and closes its streams at once; the library keeps it.
    pub fn withhold(&self, id: &ResourceId) {
        if let Some(offered) = &self.inner.offered {
            offered.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        }
        self.close(id);
        self.inner.tracking.drop_holding(id);
    }

    fn may_serve(&self, id: &ResourceId) -> bool {
        let offered = self.inner.offered.as_ref();
        offered.is_none_or(|offered| offered.lock().unwrap_or_else(PoisonError::into_inner).contains(id))
    }

    /// What was served of each resource since the start: a publisher's own account.
    pub fn served(&self) -> BTreeMap<ResourceId, Served> {
        self.inner.accounts.all()
    }

    /// Uploads no faster than this from now on, in bytes/s: all together, and of any one resource.
    pub fn set_upload(&self, all: Option<u64>, each: Option<u64>) {
        self.inner.network.set_upload_limit(all);
        *self.inner.upload_each.lock().unwrap_or_else(PoisonError::into_inner) = each;
        self.transfers().iter().for_each(|transfer| transfer.limit().set(each));
    }

    /// From now on at most so many streams are served at once: of one resource, and of all together (R7 a). None that
    /// runs is closed.
    pub fn set_streams(&self, each: usize, all: Option<usize>) {
        self.inner.bounds.set(each, all);
    }

    /// How many streams of one resource are served at once.
    pub fn streams_each(&self) -> usize {
        self.inner.bounds.each()
    }

    fn each(&self) -> Option<u64> {
        *self.inner.upload_each.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the files of complete resources that nobody is connected for: they are opened again when somebody
    /// comes. Whoever comes at this very moment has to dial again.
    pub fn close_idle(&self) {
        for transfer in self.transfers() {
            let id = transfer.id();
            let mut streams = 0;
            self.inner.accounts.with(&id, |served| streams = served.streams);
            if transfer.store().complete()
                && streams == 0
                && transfer.progress().peers.all() == 0
                && !transfer.readers().any()
            {
                self.close(&id);
            }
        }
    }

    /// Serves nobody new from now on, and withdraws from the trackers; who is being served goes on until
    /// [`Controller::stop`].
    pub fn close_doors(&self) {
        self.inner.closed.store(true, Ordering::Relaxed);
        self.inner.tracking.retire();
    }

    /// Whether what is held is offered to others and uploaded; on from the start. Off, trackers are told so and
    /// requests are refused, while fetching goes on.
    pub fn set_sharing(&self, on: bool) {
        self.inner.tracking.set_sharing(on);
    }

    /// Tells a tracker which URLs stand for links of this node (R6).
    pub fn claim(&self, tracker: &Multiaddr, claims: Vec<Claim>) {
        self.inner.tracking.claim(tracker, claims);
    }

    /// Copies a complete resource out of the library, as a hard link where that works.
    ///
    /// # Errors
    /// When it isn't complete, or the target can't be written.
    pub async fn export(&self, id: ResourceId, target: &Path) -> Result<(), ControllerError> {
        let (inner, target) = (Arc::clone(&self.inner), target.to_owned());
        Ok(blocking(move || inner.library.export(id, &target)).await?)
    }

    /// Stops using a resource; what is held stays in the library, but is served no more until it is asked
    /// for again.
    pub fn close(&self, id: &ResourceId) {
        if let Some(in_use) = self.lock().remove(id) {
            in_use.stop.cancel();
            if self.inner.library.entry(*id).is_none() {
                // It was kept in memory, and is gone with its transfer.
                self.inner.tracking.drop_holding(id);
            }
        }
    }

    /// Closes a resource and takes it out of the library.
    ///
    /// # Errors
    /// When its files can't be deleted.
    pub async fn remove(&self, id: ResourceId, delete_data: bool) -> Result<(), ControllerError> {
        self.withhold(&id);
        let inner = Arc::clone(&self.inner);
        blocking(move || inner.library.remove(id, delete_data)).await?;
        Ok(())
    }

    fn use_store(
        &self,
        link: Link,
        guard: Option<Guard>,
        store: Arc<dyn Store>,
    ) -> Result<Transfer, ControllerError> {
        let id = link.id;
        let trackers = self.trackers_of(&link);
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let own = self.inner.network.peer_id();
        let access = Access::new(own, &link, guard, Arc::clone(&self.inner.judge));
        let shared = Arc::new(Shared {
            link,
            access,
            readers: Readers::default(),
            arrivals: watch::Sender::new(0),
            progress: watch::Sender::default(),
            commands,
            store,
            limit: Arc::new(Limit::new(self.each())),
        });
        self.inner.tracking.guard(id, guard);
        self.inner.tracking.hold(id, permille(&*shared.store), &trackers);
        let parts = Parts {
            shared: Arc::clone(&shared),
            network: Arc::clone(&self.inner.network),
            tracking: Arc::clone(&self.inner.tracking),
            trackers,
            role: self.inner.settings.role,
            bounds: Arc::clone(&self.inner.bounds),
            load: (self.inner.settings.role == Role::Publisher).then_some(self.inner.settings.load),
            accounts: Arc::clone(&self.inner.accounts),
            trace: self.inner.settings.trace.clone(),
        };
        let transfer = Transfer::new(shared);
        let stop = self.inner.stop.child_token();
        let mut transfers = self.lock();
        if let Some(known) = transfers.get(&id) {
            // Somebody else was faster.
            return Ok(known.transfer.clone());
        }
        transfers.insert(id, InUse { transfer: transfer.clone(), stop: stop.clone() });
        self.inner.tasks.spawn(Drive::new(parts, receiver).run(stop));
        Ok(transfer)
    }

    /// Hands incoming streams to the transfers they are about.
    async fn accept(self, mut incoming: mpsc::Receiver<PieceStream>) {
        let greeting = Arc::new(tokio::sync::Semaphore::new(GREETING));
        while let Some(stream) = incoming.recv().await {
            let Ok(permit) = Arc::clone(&greeting).acquire_owned().await else { return };
            let controller = self.clone();
            let stop = self.inner.stop.clone();
            self.inner.tasks.spawn(async move {
                stop.run_until_cancelled(controller.welcome(stream)).await;
                drop(permit);
            });
        }
    }

    async fn welcome(&self, mut stream: PieceStream) {
        let hello = match tokio::time::timeout(HELLO_PATIENCE, stream.receive.next()).await {
            Ok(Ok(Some(Frame::Hello(hello)))) => hello,
            _ => return,
        };
        if self.inner.closed.load(Ordering::Relaxed) {
            let refuse = Refuse { id: None, reason: Reason::Busy, retry_after_ms: 30_000, peers: Vec::new() };
            return refuse_stream(stream, Frame::Refuse(refuse)).await;
        }
        match self.serve(&hello).await {
            Some(transfer) => match transfer.access().check(hello.token.as_ref(), &stream.peer) {
                Ok(()) => {
                    transfer.tell(Command::Incoming(Box::new(stream), hello)).await;
                }
                Err(error) => {
                    tracing::debug!(peer = %stream.peer, %error, "a peer may not have this");
                    let (reason, peers) = (error.reason(), Vec::new());
                    let refuse = Refuse { id: None, reason, retry_after_ms: 0, peers };
                    refuse_stream(stream, Frame::Refuse(refuse)).await;
                }
            },
            None => {
                let refuse =
                    Refuse { id: None, reason: Reason::NotHeld, retry_after_ms: 60_000, peers: Vec::new() };
                refuse_stream(stream, Frame::Refuse(refuse)).await;
            }
        }
    }

    /// The transfer a peer asks about: in use, or in the library.
    async fn serve(&self, hello: &Hello) -> Option<Transfer> {
        if !self.may_serve(&hello.resource) {
            return None;
        }
        if let Some(transfer) = self.transfer(&hello.resource) {
            return Some(transfer);
        }
        let (inner, id) = (Arc::clone(&self.inner), hello.resource);
        let opened = blocking(move || {
            let entry = inner.library.entry(id);
            let store = inner.library.store(id)?;
            Ok::<_, LibraryError>(entry.zip(store))
        });
        match opened.await {
            Ok(Some((entry, store))) => self.use_store(entry.link, entry.guard, store).ok(),
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "a resource can't be served");
                None
            }
        }
    }

    /// Stops everything: streams are closed, trackers told, what is held is synced. Bounded in time.
    pub async fn stop(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        let tracking = self.inner.tracking.stop();
        // Syncing a large file to a slow disk may take a while; longer than this it is not waited for,
        // and the next start verifies what is there.
        let tasks = tokio::time::timeout(Duration::from_secs(20), self.inner.tasks.wait());
        let ((), _) = tokio::join!(tracking, tasks);
        self.inner.network.stop().await;
        let inner = Arc::clone(&self.inner);
        if let Err(error) = blocking(move || inner.library.sync()).await {
            tracing::warn!(%error, "the library could not be synced");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ResourceId, InUse>> {
        self.inner.transfers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs what may block on a thread that may.
async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, LibraryError> + Send + 'static,
) -> Result<T, LibraryError> {
    match tokio::task::spawn_blocking(act).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Cancelled: the runtime is shutting down, and so is whoever waits here.
            Err(_) => std::future::pending().await,
        },
    }
}
