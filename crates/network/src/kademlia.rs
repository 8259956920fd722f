//! Finding holders without a tracker: provider records in a distributed hash table (Maymounkov and Mazières,
//! Kademlia, IPTPS 2002; libp2p's `kad`).
//!
//! It is the last resort, for when no tracker answers: it knows no groups and no counts, takes seconds where a tracker
//! takes a round trip, and whoever takes part sees who looks for what. So nothing is asked or told in it before, and
//! nobody is dialled for its sake alone: nodes only remember one another as they meet.
//!
//! An address in a record is kept if it is the one that the record came from; what comes from others' tables is
//! proved by dialling alone, and so few are given on that nobody can have a crowd dial a victim.

use std::{collections::HashMap, time::Duration};

use libp2p::{
    PeerId, StreamProtocol,
    core::Endpoint,
    kad::{
        self, GetProvidersOk, InboundRequest, Mode, QueryId, QueryResult, RecordKey, StoreInserts,
        store::{MemoryStore, MemoryStoreConfig, RecordStore as _},
    },
    swarm::{ConnectionId, NetworkBehaviour as _},
};
use nearcast_protocol::{Multiaddr, PeerAddress, ResourceId};
use tokio::sync::oneshot;

use crate::{address, known::Links};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/nearcast/kad/1");
/// How long one search may take.
const QUERY: Duration = Duration::from_secs(20);
/// A record is told anew within half of its life; an hour is long where viewers come and go.
const RECORD: Duration = Duration::from_secs(3600);
/// Resources that this node keeps records of, its own and others'. Each has at most 20 holders.
const KEPT: usize = 1024;
/// Holders that one search gives.
const FOUND: usize = 20;
/// Addresses of a holder that are believed.
const ADDRESSES: usize = 4;

/// What is done about the table.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// This peer was reached at these addresses.
    Met(PeerAddress),
    /// This node is reached at these addresses, or at none.
    Reached(Vec<Multiaddr>),
    Provide(ResourceId),
    Withdraw(ResourceId),
    Find(ResourceId, oneshot::Sender<Vec<PeerAddress>>),
}

/// A node's part in the table.
pub(crate) struct Searches {
    under_way: HashMap<QueryId, Search>,
}

struct Search {
    found: HashMap<PeerId, Vec<Multiaddr>>,
    reply: oneshot::Sender<Vec<PeerAddress>>,
}

pub(crate) type Table = kad::Behaviour<MemoryStore>;

pub(crate) fn table(peer: PeerId) -> Table {
    let mut config = kad::Config::new(PROTOCOL);
    config
        .set_query_timeout(QUERY)
        .set_record_filtering(StoreInserts::FilterBoth)
        .set_provider_record_ttl(Some(RECORD))
        .set_provider_publication_interval(Some(RECORD / 2))
        .set_caching(kad::Caching::Disabled)
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        // Nothing by itself.
        .set_periodic_bootstrap_interval(None)
        .set_replication_interval(None)
        .set_publication_interval(None);
    let records = MemoryStoreConfig { max_records: 0, max_provided_keys: KEPT, ..Default::default() };
    let mut table = Table::with_config(peer, MemoryStore::with_config(peer, records), config);
    // Until it is known that strangers can't dial it.
    table.set_mode(Some(Mode::Server));
    table
}

impl Searches {
    pub(crate) fn new() -> Self {
        Self { under_way: HashMap::new() }
    }

    /// Does what is wanted. Addresses at which this node is reached are the swarm's to know.
    pub(crate) fn act(&mut self, table: &mut Table, lookup: Lookup) {
        match lookup {
            Lookup::Met(PeerAddress { peer, addresses }) => {
                for address in addresses.into_iter().take(ADDRESSES) {
                    table.add_address(&peer, address);
                }
            }
            Lookup::Reached(addresses) => {
                table.set_mode(Some(if addresses.is_empty() { Mode::Client } else { Mode::Server }));
            }
            Lookup::Provide(resource) => {
                if let Err(error) = table.start_providing(key(&resource)) {
                    tracing::debug!(%resource, %error, "not told without a tracker");
                }
            }
            Lookup::Withdraw(resource) => table.stop_providing(&key(&resource)),
            Lookup::Find(resource, reply) => {
                let query = table.get_providers(key(&resource));
                self.under_way.insert(query, Search { found: HashMap::new(), reply });
            }
        }
    }

    pub(crate) fn handle(&mut self, table: &mut Table, links: &Links, event: kad::Event) {
        match event {
            kad::Event::OutboundQueryProgressed {
                id,
                result: QueryResult::GetProviders(result),
                step,
                ..
            } => {
                if let Ok(GetProvidersOk::FoundProviders { providers, .. }) = result
                    && let Some(search) = self.under_way.get_mut(&id)
                {
                    search.take(table, providers);
                }
                if step.last
                    && let Some(search) = self.under_way.remove(&id)
                {
                    let found = search.found.into_iter();
                    let found = found.map(|(peer, addresses)| PeerAddress::new(peer, addresses)).collect();
                    // Whoever asked may have found somebody otherwise.
                    search.reply.send(found).ok();
                }
            }
            kad::Event::InboundRequest {
                request: InboundRequest::AddProvider { record: Some(mut record) },
            } => {
                let from = links.best(record.provider).and_then(|link| address::ip(&link.remote));
                record.addresses.retain(|address| address::ip(address).is_some_and(|ip| Some(ip) == from));
                record.addresses.truncate(ADDRESSES);
                if let Err(error) = table.store_mut().add_provider(record) {
                    tracing::debug!(%error, "a record isn't kept");
                }
            }
            _ => {}
        }
    }
}

impl Search {
    fn take(&mut self, table: &mut Table, providers: impl IntoIterator<Item = PeerId>) {
        for peer in providers {
            if self.found.len() >= FOUND && !self.found.contains_key(&peer) {
                return;
            }
            // The table gives addresses to whoever dials, and only while the search goes on.
            let id = ConnectionId::new_unchecked(usize::MAX);
            let known = table.handle_pending_outbound_connection(id, Some(peer), &[], Endpoint::Dialer);
            let known = known.unwrap_or_default().into_iter().map(|address| address::split_peer(&address).0);
            let addresses = self.found.entry(peer).or_default();
            for address in known.take(ADDRESSES) {
                if !addresses.contains(&address) && addresses.len() < ADDRESSES {
                    addresses.push(address);
                }
            }
        }
    }
}

fn key(resource: &ResourceId) -> RecordKey {
    RecordKey::new(resource.as_bytes())
}
