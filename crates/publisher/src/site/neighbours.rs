//! Who else holds a film, as the trackers say: asked beside the pages, which never wait for it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use nearcast_protocol::{
    Link, ResourceId,
    link::MAX_SIZE,
    tracker::{Answer, Counts, Request},
};
use nearcast_transfer::Controller;
use tokio::sync::Semaphore;
use url::Url;

/// A count is good for this long.
const FRESH: Duration = Duration::from_secs(10);
/// And better than nothing for this long.
const STALE: Duration = Duration::from_secs(600);
/// Counts that are kept; a visitor who asks for random ids pushes out nothing but counts.
const KEPT: usize = 4096;
/// Questions on their way at once: trackers pace by address.
const AT_ONCE: usize = 8;
const PATIENCE: Duration = Duration::from_secs(3);

/// What the trackers said lately; cheap to clone.
#[derive(Clone)]
pub(crate) struct Neighbours {
    controller: Controller,
    kept: Arc<Mutex<HashMap<ResourceId, (Instant, Counts)>>>,
    asking: Arc<Semaphore>,
}

/// What is known of a film that isn't here.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere {
    /// How many hold it.
    pub holders: u32,
    /// Its link, if its size could be learnt.
    pub link: Option<Link>,
}

impl Neighbours {
    pub(crate) fn new(controller: Controller) -> Self {
        Self { controller, kept: Arc::default(), asking: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// What is known without asking.
    pub(crate) fn known(&self, id: &ResourceId) -> Option<Counts> {
        self.lock().get(id).filter(|(at, _)| at.elapsed() < STALE).map(|(_, counts)| *counts)
    }

    /// How many hold it; asks if that isn't known, or not lately. `None` if nobody can say.
    pub(crate) async fn counts(&self, id: &ResourceId) -> Option<Counts> {
        let fresh = self.lock().get(id).filter(|(at, _)| at.elapsed() < FRESH).map(|(_, counts)| *counts);
        if fresh.is_some() {
            return fresh;
        }
        let Ok(_place) = self.asking.try_acquire() else { return self.known(id) };
        for tracker in &self.controller.settings().trackers {
            let asked = self.controller.network().ask(tracker, &Request::Count(*id), PATIENCE).await;
            if let Ok(Answer::Counted(counts)) = asked {
                let mut kept = self.lock();
                if kept.len() >= KEPT {
                    kept.retain(|_, (at, _)| at.elapsed() < FRESH);
                }
                if kept.len() >= KEPT {
                    kept.clear();
                }
                kept.insert(*id, (Instant::now(), counts));
                return Some(counts);
            }
        }
        self.known(id)
    }

    /// What can be said of a film that isn't here. Its link can be made if another publisher of this very
    /// address claims one, or if the visitor's address says the size, which every player proves anyway.
    pub(crate) async fn elsewhere(
        &self,
        id: &ResourceId,
        address: &Url,
        said: Option<(u64, String)>,
    ) -> Elsewhere {
        let counts = self.counts(id).await.unwrap_or_default();
        let holders = counts.in_group.saturating_add(counts.outside);
        if holders == 0 {
            return Elsewhere::default();
        }
        let trackers = self.controller.settings().trackers.clone();
        let claimed = self.claimed(id, address).await;
        let named = claimed.map(|link| (link.size, link.name)).or(said);
        let link = named.filter(|(size, _)| *size <= MAX_SIZE).map(|(size, name)| Link {
            id: *id,
            name,
            size,
            trackers,
            sources: Vec::new(),
            token: None,
        });
        Elsewhere { holders, link }
    }

    async fn claimed(&self, id: &ResourceId, address: &Url) -> Option<Link> {
        let _place = self.asking.try_acquire().ok()?;
        let request = Request::Resolve { url: address.as_str().to_owned() };
        for tracker in &self.controller.settings().trackers {
            let Ok(Answer::Resolved(links)) =
                self.controller.network().ask(tracker, &request, PATIENCE).await
            else {
                continue;
            };
            let mut links = links.iter().filter_map(|link| link.0.parse::<Link>().ok());
            if let Some(link) = links.find(|link| link.id == *id) {
                return Some(link);
            }
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ResourceId, (Instant, Counts)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
