//! The link's web sources, as the drive has them.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use nearcast_schedule::{Event, Peer, Schedule};
use tokio::task::AbortHandle;
use url::Url;

use super::{Done, Drive};
use crate::{
    progress::WebSource,
    session::Session,
    web::{SourceError, session::Source},
};

/// So long peers have to come before a web server is asked for anything.
const HEAD_START: Duration = Duration::from_millis(700);

/// The web sources of one film.
#[derive(Default)]
pub(super) struct Sources {
    /// When they can be asked, until then.
    due: Option<Instant>,
    open: BTreeMap<Peer, Open>,
    dropped: Vec<WebSource>,
}

struct Open {
    url: Url,
    session: Session,
    task: AbortHandle,
}

impl Sources {
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn knows(&self, peer: Peer) -> bool {
        self.open.contains_key(&peer)
    }

    pub(super) fn session(&self, peer: Peer) -> Option<&Session> {
        self.open.get(&peer).map(|open| &open.session)
    }

    /// Whether any may bring something yet.
    pub(super) fn are_left(&self) -> bool {
        self.due.is_some() || !self.open.is_empty()
    }

    pub(super) fn shown(&self) -> Vec<WebSource> {
        let open = self.open.values().map(|open| WebSource { url: open.url.clone(), dropped: None });
        open.chain(self.dropped.iter().cloned()).collect()
    }
}

impl Drive {
    /// Fetching begins: sources wait for peers, unless there is nobody to wait for.
    pub(super) fn expect_sources(&mut self) {
        if self.parts.shared.link.sources.is_empty() {
            return;
        }
        let now = Instant::now();
        let alone = self.parts.shared.link.trackers.is_empty() && self.contacts.count() == 0;
        self.sources.due = Some(if alone { now } else { now + HEAD_START });
    }

    pub(super) fn join_sources(&mut self, now: Instant) {
        if self.sources.due.take_if(|due| *due <= now).is_none() {
            return;
        }
        self.sources.dropped.clear();
        for url in self.parts.shared.link.sources.clone() {
            let peer = self.number_peer();
            let reach = self.parts.private_sources.reach(&url).ok_or(SourceError::Private);
            let (store, network) = (Arc::clone(&self.parts.shared.store), Arc::clone(&self.parts.network));
            let reports = self.reports.0.clone();
            let source =
                reach.and_then(|reach| Source::new(peer, url.clone(), reach, store, network, reports));
            match source {
                Ok(source) => {
                    let (session, orders) = Session::new();
                    let task = self.jobs.spawn(async move {
                        source.run(orders).await;
                        Done::Session
                    });
                    self.sources.open.insert(peer, Open { url, session, task });
                    self.handle(Event::SourceJoined { peer });
                }
                Err(error) => self.drop_url(url, error.to_string()),
            }
        }
    }

    /// Asks a source nothing any more; says why if there is a reason.
    pub(super) fn leave_source(&mut self, peer: Peer, why: Option<String>) {
        let Some(open) = self.sources.open.remove(&peer) else { return };
        open.task.abort();
        self.unproved.retain(|(from, ..)| *from != peer);
        self.handle(Event::PeerLeft { peer });
        if let Some(why) = why {
            self.drop_url(open.url, why);
        }
    }

    /// Once all verdicts are told, sources have nothing more to do.
    pub(super) fn leave_sources_at_the_end(&mut self) {
        if !self.schedule.as_ref().is_some_and(Schedule::complete) {
            return;
        }
        self.sources.due = None;
        let all: Vec<_> = self.sources.open.keys().copied().collect();
        all.into_iter().for_each(|peer| self.leave_source(peer, None));
    }

    fn drop_url(&mut self, url: Url, why: String) {
        tracing::warn!(%url, why, "a web source is of no use for this film");
        self.sources.dropped.push(WebSource { url, dropped: Some(why) });
    }
}
