//! What was served of each resource, to which networks: a publisher's own account.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use nearcast_protocol::{Group, ResourceId};

/// What was served of one resource since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Served {
    /// Payload bytes, by the network group a tracker has told for where they went; [`Group::UNKNOWN`] where
    /// none has.
    pub networks: BTreeMap<Group, u64>,
    /// Streams that are open now.
    pub streams: usize,
    /// Streams refused because enough were open (R7 a).
    pub refused_busy: u64,
    /// Streams refused because enough others hold it (R7 b).
    pub refused_enough: u64,
    /// Complete, reachable terminals, as last counted.
    pub complete_terminals: Option<u32>,
    /// The most there were at once.
    pub most_complete: u32,
    /// Whether only networks without a complete holder are served (R7 b).
    pub resting: bool,
}

/// The accounts of all resources.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    of: Mutex<BTreeMap<ResourceId, Served>>,
}

impl Accounts {
    pub fn with(&self, id: &ResourceId, note: impl FnOnce(&mut Served)) {
        note(self.of.lock().unwrap_or_else(PoisonError::into_inner).entry(*id).or_default());
    }

    pub fn all(&self) -> BTreeMap<ResourceId, Served> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
