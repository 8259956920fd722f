//! The controller of one node: its network, its library, and the resources in use.

mod incoming;
mod offering;
mod settings;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use nearcast_content::{Entry, Library, LibraryError, Location, MemoryStore, Origin, Store};
use nearcast_network::{Config, IdentityError, Limit, Network, StartError, identity_on_disk};
use nearcast_protocol::{Guard, Link, Multiaddr, ResourceId, Role, TokenError, tracker::Claim};
use nearcast_schedule::Fetch;
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::settings::Settings;
use crate::{
    access::{Access, Judge, token_of},
    acquaintances::Acquaintances,
    bounds::Bounds,
    drive::{Drive, Parts, permille},
    reader::Readers,
    served::{Accounts, Served},
    trackers::Trackers,
    tracking::{Reached, TrackerState, Tracking},
    transfer::{Command, Shared, Transfer},
};

/// How long a peer may take to say hello.
pub(crate) const HELLO_PATIENCE: Duration = Duration::from_secs(10);
/// How long another program may take to let go of the library: one that is ending, or `nearcast status`.
const LETTING_GO: Duration = Duration::from_secs(3);
/// How often is looked whether it has; a file lock tells nobody.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Commands on their way to a transfer: incoming streams, mostly; more wait at their sender.
const COMMANDS: usize = 64;
/// How many strangers may be in the middle of a hello at once.
const GREETING: usize = 256;

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
    acquaintances: Arc<Acquaintances>,
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

/// Opens the library, and waits a little for a program that has it.
async fn open_library(folder: &Path) -> Result<Library, LibraryError> {
    let until = Instant::now() + LETTING_GO;
    loop {
        match Library::open(folder) {
            Err(LibraryError::InUse(_)) if Instant::now() < until => tokio::time::sleep(LOOK_AGAIN).await,
            opened => return opened,
        }
    }
}

impl Controller {
    /// Starts the node; what the library holds is offered from the start (R5).
    ///
    /// # Errors
    /// When the folder can't be used or the network can't be started.
    pub async fn start(settings: Settings) -> Result<Self, ControllerError> {
        let library = open_library(&settings.folder.join("library")).await?;
        let identity = identity_on_disk(&settings.folder.join("identity"))?;
        let mut config = Config::new(identity);
        if !settings.listen.is_empty() {
            config.listen = settings.listen.clone();
        }
        config.neighbours = settings.neighbours;
        config.map_ports = settings.map_ports;
        config.upload = settings.upload;
        config.give_way = settings.give_way;
        config.download = settings.download;
        let network = Arc::new(Network::start(config).await?);
        let incoming = network.incoming_pieces();
        let acquaintances = Acquaintances::read(&settings.folder, &network);
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
            acquaintances: Arc::new(acquaintances),
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
        let keeping = Arc::clone(&controller.inner.acquaintances).keep();
        let stop = controller.inner.stop.clone();
        controller.inner.tasks.spawn(async move { stop.run_until_cancelled(keeping).await });
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

    /// How viewers elsewhere get to this node, as far as its trackers know.
    pub fn reached(&self) -> Reached {
        Reached::of(self.inner.tracking.states().borrow().values())
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
                    Keep::Memory => {
                        Arc::new(MemoryStore::new(link.id, link.size).map_err(LibraryError::from)?)
                    }
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
        if matches!(transfer.store().location(), Location::Memory(_)) {
            transfer.set_room(Some(self.inner.settings.memory)).await;
        }
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
            acquaintances: Arc::clone(&self.inner.acquaintances),
            private_sources: self.inner.settings.private_sources,
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
        let end = move || {
            inner.acquaintances.save();
            inner.library.sync()
        };
        if let Err(error) = blocking(end).await {
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
