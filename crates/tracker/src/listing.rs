//! Making a peer list: R3, exactly.

use std::{net::IpAddr, time::Duration};

use indexmap::IndexSet;
use nearcast_protocol::{
    PeerId, ResourceId,
    tracker::{Counts, PeerList, Rule},
};
use rand::{Rng, seq::SliceRandom};

use crate::{
    group_table::Place,
    holders::{Holders, sample},
    node::Home,
    swarm::Swarm,
};

/// The most outsiders that are looked at for one list: a large swarm is sampled before it is ranked, so
/// that no request costs more than this.
const POOL: usize = 512;
const AGAIN: Duration = Duration::from_secs(60);
const AGAIN_IF_FEW: Duration = Duration::from_secs(20);

impl Swarm {
    /// The list for one asker, who is never in it (R2, R3).
    pub fn find(
        &mut self,
        now: Duration,
        asker: PeerId,
        observed: IpAddr,
        place: Place,
        resource: &ResourceId,
        rng: &mut impl Rng,
    ) -> PeerList {
        self.expire(now);
        let home = Home::of(observed, place);
        let counts = self.counts(&asker, home, resource);
        let (low, high) = (self.rules.low, self.rules.high);
        let n = counts.in_group as usize;
        let nobody = Holders::default();
        let holders = self.holders.get(resource).unwrap_or(&nobody);
        let own = holders.at(home);
        let mut chosen = own.map(|own| sample(own, &asker, high, rng)).unwrap_or_default();
        chosen.shuffle(rng);
        let rule = match n {
            n if n > high => Rule::AboveRange,
            n if n >= low => Rule::InRange,
            _ => {
                let need = high.saturating_sub(chosen.len());
                let outsiders = self.outsiders(holders, home, (observed, place), need, resource, &asker, rng);
                chosen.extend(outsiders);
                Rule::ToppedUp
            }
        };
        let listed = chosen.iter().filter_map(|peer| Some((peer, self.nodes.get(peer)?)));
        let peers = listed.map(|(peer, node)| node.listed(*peer, resource, observed)).collect();
        let again = if n < low { AGAIN_IF_FEW } else { AGAIN };
        let ask_again_ms = u32::try_from(again.as_millis()).unwrap_or(u32::MAX);
        PeerList { rule, group: place.group, counts, peers, ask_again_ms }
    }

    #[expect(clippy::too_many_arguments, reason = "one request's facts, used once")]
    fn outsiders(
        &self,
        holders: &Holders,
        home: Home,
        asker: (IpAddr, Place),
        need: usize,
        resource: &ResourceId,
        asking: &PeerId,
        rng: &mut impl Rng,
    ) -> Vec<PeerId> {
        let pool = holders.sample_outside(home, POOL, rng);
        let pool = pool.into_iter().filter(|peer| peer != asking);
        let candidates = pool.filter_map(|peer| Some((peer, self.nodes.get(&peer)?))).collect();
        let chosen = self.rules.top_up.choose(candidates, need, resource, asker, rng);
        let mut chosen: Vec<_> = chosen.into_iter().map(|(peer, _)| peer).collect();
        // A list without a single complete source may never complete anyone.
        let own_complete = holders.at(home).is_some_and(|own| own.iter().any(|p| holders.complete().contains(p)));
        if !own_complete && !chosen.iter().any(|peer| holders.complete().contains(peer)) {
            let source = complete_outside(holders.complete(), asking, rng);
            if let (Some(source), Some(last)) = (source, chosen.last_mut()) {
                *last = source;
            }
        }
        chosen
    }

    /// How many hold a resource, without the asker.
    pub(crate) fn counts(&self, asker: &PeerId, home: Home, resource: &ResourceId) -> Counts {
        let Some(holders) = self.holders.get(resource) else { return Counts::default() };
        let asking = self.nodes.get(asker).filter(|node| node.holdings.contains_key(resource));
        let asking_home = asking.filter(|node| node.reachable()).map(|node| node.home());
        let own = holders.at(home).map_or(0, IndexSet::len);
        let in_group = own - usize::from(asking_home == Some(home));
        let outside = holders.total() - own - usize::from(asking_home.is_some_and(|other| other != home));
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Counts {
            in_group: number(in_group),
            outside: number(outside),
            complete_terminals: number(holders.complete_terminals()),
            complete_in_group: number(holders.complete_terminals_at(home)),
        }
    }
}

/// One who holds all of it. Nobody at the asker's own home does, or this isn't asked.
fn complete_outside(complete: &IndexSet<PeerId>, asking: &PeerId, rng: &mut impl Rng) -> Option<PeerId> {
    sample(complete, asking, 1, rng).first().copied()
}
