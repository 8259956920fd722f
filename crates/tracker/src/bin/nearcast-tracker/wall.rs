//! What the status page shows, at one moment: looked up seldom, however many look at it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use nearcast_protocol::{Group, tracker::Received};
use nearcast_tracker::{Counted, Extent, Server, Survey, dial_back::Tally, survey::SHOWN};
use tokio::{
    sync::Mutex,
    time::{MissedTickBehavior, interval},
};

/// How far back the rate of requests is drawn, in seconds.
pub const DRAWN: usize = 120;
/// Over how many seconds a rate is told.
const TOLD: usize = 5;
/// How old a look at the whole memory may be: it costs some milliseconds for a million films.
const LOOK: Duration = Duration::from_secs(3);

/// What is known of the tracker, for whoever looks.
#[derive(Clone)]
pub struct Wall {
    server: Server,
    began: Instant,
    /// Requests until each of the last seconds.
    requests: Arc<std::sync::Mutex<VecDeque<u64>>>,
    look: Arc<Mutex<Option<Dated>>>,
}

/// A look, and when it was taken.
type Dated = (Instant, Arc<Look>);

/// The tracker at one moment.
pub struct Look {
    pub uptime: Duration,
    pub extent: Extent,
    pub counted: Counted,
    pub dialled: Tally,
    pub received: Received,
    /// Requests in each of the last seconds, the latest last.
    pub rates: Vec<u64>,
    pub networks: Vec<Network>,
    pub survey: Survey,
}

/// One network; the last may stand for all that no table knows.
pub struct Network {
    pub group: Group,
    pub name: String,
    pub nodes: u32,
    pub received: Received,
}

impl Look {
    /// Requests a second, lately.
    pub fn rate(&self) -> f64 {
        let latest: Vec<_> = self.rates.iter().rev().take(TOLD).collect();
        let sum: u64 = latest.iter().copied().sum();
        if latest.is_empty() { 0.0 } else { sum as f64 / latest.len() as f64 }
    }
}

impl Wall {
    pub fn new(server: Server) -> Self {
        Self { server, began: Instant::now(), requests: Arc::default(), look: Arc::default() }
    }

    /// Counts on, for ever.
    pub async fn keep(&self) {
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            second.tick().await;
            let now = self.server.metrics().counted().requests;
            let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
            if requests.len() > DRAWN {
                requests.pop_front();
            }
            requests.push_back(now);
        }
    }

    /// The tracker as it was a few seconds ago at most. Who comes while another looks waits for that look.
    pub async fn look(&self) -> anyhow::Result<Arc<Look>> {
        let mut look = self.look.lock().await;
        if let Some((_, known)) = look.as_ref().filter(|(at, _)| at.elapsed() < LOOK) {
            return Ok(known.clone());
        }
        let wall = self.clone();
        let new = Arc::new(tokio::task::spawn_blocking(move || wall.take()).await?);
        *look = Some((Instant::now(), new.clone()));
        Ok(new)
    }

    fn take(&self) -> Look {
        let survey = self.server.survey();
        let received = self.server.received();
        let rates = {
            let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
            requests
                .iter()
                .zip(requests.iter().skip(1))
                .map(|(before, after)| after.saturating_sub(*before))
                .collect()
        };
        Look {
            uptime: self.began.elapsed(),
            extent: self.server.extent(),
            counted: self.server.metrics().counted(),
            dialled: self.server.dialled_back(),
            received: received.values().fold(Received::default(), |all, (_, sum)| all.plus(*sum)),
            rates,
            networks: self.networks(&survey, &received),
            survey,
        }
    }

    /// Those with most nodes, then those that have reported and are empty now.
    fn networks(&self, survey: &Survey, received: &BTreeMap<Group, (String, Received)>) -> Vec<Network> {
        let sum = |group| received.get(&group).map(|(_, sum)| *sum).unwrap_or_default();
        let name = |group| self.server.name_of(group).unwrap_or_default();
        let network = |group, nodes| Network { group, name: name(group), nodes, received: sum(group) };
        let mut networks: Vec<_> =
            survey.networks().into_iter().map(|(group, nodes)| network(group, nodes)).collect();
        let mut empty: Vec<_> = received
            .keys()
            .filter(|group| **group != Group::UNKNOWN && networks.iter().all(|known| known.group != **group))
            .map(|group| network(*group, 0))
            .collect();
        empty.sort_by_key(|network| std::cmp::Reverse(network.received.all()));
        networks.extend(empty);
        networks.truncate(SHOWN);
        let unknown = network(Group::UNKNOWN, survey.unknown());
        if unknown.nodes > 0 || unknown.received.all() > 0 {
            networks.push(unknown);
        }
        networks
    }
}
