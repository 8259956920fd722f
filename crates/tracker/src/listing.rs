//! Making a peer list: R3, exactly.

use std::time::Duration;

use nearcast_protocol::{
    ResourceId, Role,
    tracker::{Counts, PeerList, Rule},
};
use rand::Rng;

use crate::{
    holders::Holders,
    node::{Home, Slot},
    swarm::{Caller, Swarm},
};

/// The most outsiders that are looked at for one list: of a large swarm a random part is ranked, so that no
/// request costs more than this.
const POOL: usize = 512;
/// When to ask again if the group has enough holders.
const AGAIN: Duration = Duration::from_secs(60);
/// When to ask again if it hasn't: neighbours may have come.
const AGAIN_IF_FEW: Duration = Duration::from_secs(20);

impl Swarm {
    /// The list for one asker, who is never in it (R2, R3). Its own group comes first, in random order.
    ///
    /// Every holder with a lease and a port counts as fresh and reachable.
    pub fn find(
        &mut self,
        now: Duration,
        caller: &Caller,
        resource: &ResourceId,
        rng: &mut impl Rng,
    ) -> PeerList {
        let counts = self.count(now, caller, resource);
        let (low, high) = (self.rules.low, self.rules.high);
        let rule = match usize::try_from(counts.in_group).unwrap_or(usize::MAX) {
            n if n > high => Rule::AboveRange,
            n if n >= low => Rule::InRange,
            _ => Rule::ToppedUp,
        };
        let mut chosen = Vec::new();
        if let Some(holders) = self.holders.get(resource) {
            let asking = self.slots.get(&caller.peer).copied();
            chosen = holders.sample_at(Home::of(caller), asking, high, rng);
            if rule == Rule::ToppedUp {
                let outsiders = self.outsiders(caller, resource, holders, &chosen, rng);
                chosen.extend(outsiders);
            }
        }
        let listed = chosen.into_iter().filter_map(|slot| self.nodes.get(slot));
        let peers = listed.map(|node| node.listed(resource, caller.observed)).collect();
        let again = if rule == Rule::ToppedUp { AGAIN_IF_FEW } else { AGAIN };
        let ask_again_ms = u32::try_from(again.as_millis()).unwrap_or(u32::MAX);
        PeerList { rule, group: caller.place.group, counts, peers, ask_again_ms }
    }

    /// Those who fill up a list of `own`, all there are of the asker's group.
    fn outsiders(
        &self,
        caller: &Caller,
        resource: &ResourceId,
        holders: &Holders,
        own: &[Slot],
        rng: &mut impl Rng,
    ) -> Vec<Slot> {
        let asking = self.slots.get(&caller.peer).copied();
        let need = self.rules.high.saturating_sub(own.len());
        let pool = holders.sample_outside(Home::of(caller), asking, POOL, rng);
        let candidates = pool.into_iter().filter_map(|slot| Some((slot, self.nodes.get(slot)?))).collect();
        let mut chosen = self.rules.top_up.choose(candidates, need, caller, resource, rng);
        // A list without a single complete source may never complete anyone.
        let complete = own.iter().chain(&chosen).any(|slot| holders.is_complete(*slot));
        if let (false, Some(last)) = (complete, chosen.last_mut())
            && let Some(source) = holders.sample_complete(asking, rng)
        {
            *last = source;
        }
        chosen
    }

    /// How many hold a resource, without the asker (R7 b).
    pub fn count(&mut self, now: Duration, caller: &Caller, resource: &ResourceId) -> Counts {
        self.expire(now);
        let Some(holders) = self.holders.get(resource) else { return Counts::default() };
        let home = Home::of(caller);
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let mut counts = Counts {
            in_group: number(holders.at(home)),
            outside: number(holders.total() - holders.at(home)),
            complete_terminals: number(holders.complete_terminals()),
            complete_in_group: number(holders.complete_terminals_at(home)),
        };
        let asking = self.slots.get(&caller.peer).filter(|slot| holders.contains(**slot));
        if let Some((slot, node)) = asking.and_then(|slot| Some((*slot, self.nodes.get(*slot)?))) {
            let complete = u32::from(node.role == Role::Terminal && holders.is_complete(slot));
            counts.complete_terminals -= complete;
            // It may ask from elsewhere than where it registered.
            if node.home() == home {
                counts.in_group -= 1;
                counts.complete_in_group -= complete;
            } else {
                counts.outside -= 1;
            }
        }
        counts
    }
}
