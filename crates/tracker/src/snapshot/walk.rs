//! Going through the nodes, a few at a time.

use std::{net::IpAddr, time::Duration};

use nearcast_protocol::{
    PeerId, ResourceId,
    tracker::{Claim, Registration},
};
use rand::Rng;

use super::file::Kept;
use crate::{
    dialled::Verdict,
    node::Slot,
    swarm::{Caller, Swarm},
    wheel::milliseconds,
};

/// How far a walk has come.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    next: Slot,
    /// The URL that was taken last of the node that is next.
    url: String,
    /// Whether that node is done but for its claims.
    claiming: bool,
}

/// What a walk has passed by.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    pub nodes: Vec<Seen>,
    pub claims: Vec<(PeerId, Vec<Claim>)>,
}

/// A node as it is at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub peer: PeerId,
    pub observed: IpAddr,
    /// In seconds of the tracker's clock.
    pub reported: u32,
    /// In ms of the tracker's clock.
    pub ends: u64,
    /// Its holdings are apart.
    pub registration: Registration,
    pub held: Vec<(ResourceId, u16)>,
    /// What came of dialling it.
    pub verdict: Option<Verdict>,
}

impl Swarm {
    /// Copies some nodes, and says whether there are no more. Looking at a node takes one of the budget, and so
    /// does copying one of its holdings or claims; a node is never copied in part, claims are.
    pub(crate) fn walk_some(&self, walk: &mut Walk, mut budget: usize) -> (Passed, bool) {
        let mut some = Passed::default();
        while budget > 0 && walk.next < self.nodes.end() {
            if !walk.claiming {
                budget = budget.saturating_sub(1);
                if let Some(seen) = self.see(walk.next) {
                    budget = budget.saturating_sub(seen.held.len());
                    some.nodes.push(seen);
                    walk.claiming = true;
                }
            }
            if walk.claiming {
                let claims = self.claims.some_of(walk.next, &walk.url, budget.max(1));
                budget = budget.saturating_sub(claims.len());
                walk.url = claims.last().map(|claim| claim.url.clone()).unwrap_or_default();
                let peer = self.nodes.get(walk.next).and_then(|node| node.identity.peer());
                walk.claiming = !claims.is_empty();
                if let Some(peer) = peer.filter(|_| walk.claiming) {
                    some.claims.push((peer, claims));
                }
            }
            if !walk.claiming {
                walk.next += 1;
            }
        }
        (some, walk.next >= self.nodes.end())
    }

    fn see(&self, slot: Slot) -> Option<Seen> {
        let node = self.nodes.get(slot)?;
        let stand = node.stand(slot, &self.homes);
        let held = self.lists.get(&node.held).iter().filter_map(|number| {
            let (id, _) = self.resources.get(number.number())?;
            Some((id, self.resources.holder(number.number(), stand?)?.permille()))
        });
        Some(Seen {
            peer: node.identity.peer()?,
            observed: node.observed,
            reported: node.reported,
            ends: self.leases.ends(slot)?,
            registration: node.registration(&self.locals),
            held: held.collect(),
            verdict: node.dialled.verdict(),
        })
    }

    /// Takes a node in as it was seen, with the lease it had.
    pub(crate) fn restore(
        &mut self,
        now: Duration,
        caller: &Caller,
        kept: &Kept,
        ends: Duration,
        reported: u32,
        rng: &mut impl Rng,
    ) {
        if self.register(now, caller, &kept.registration, rng).is_none() {
            return;
        }
        let Some(slot) = self.nodes.slot_of(&caller.peer) else { return };
        self.leases.set(slot, milliseconds(ends));
        if let Some(node) = self.nodes.get_mut(slot) {
            node.reported = reported;
        }
        if let Some(verdict) = kept.verdict {
            self.restore_verdict(now, &caller.peer, verdict);
        }
    }
}
