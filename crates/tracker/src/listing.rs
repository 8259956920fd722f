//! Making a peer list: R3, exactly.

pub(crate) mod sent;

use std::{net::IpAddr, time::Duration};

use nearcast_protocol::{
    Group, PeerAddress, PeerId, ResourceId, Role,
    tracker::{Counts, ListedPeer, PeerList, Rule},
};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::{
    bridges::{self, BridgePolicy},
    holder::{Holder, Key},
    holders::{CHUNK, Holders},
    home::{Home, HomeId},
    node::{Node, Slot},
    swarm::{Caller, Swarm},
    top_up::{Added, Candidate, Glimpse, TopUp},
};

/// How often outsiders are drawn for one list if too many are of one prefix.
const ROUNDS: usize = 4;
/// When to ask again if the group has enough holders.
const AGAIN: Duration = Duration::from_secs(60);
/// When to ask again if it hasn't: neighbours may have come.
const AGAIN_IF_FEW: Duration = Duration::from_secs(20);

/// What a list is made in; kept, so that making one allocates nothing.
#[derive(Default)]
pub(crate) struct Draw {
    /// The list, the own group first.
    listed: Vec<Holder>,
    pool: Vec<Holder>,
    glimpses: Vec<Glimpse>,
    candidates: Vec<Candidate>,
    added: Added,
    seen: Seen,
}

/// A list whose peers still lie in the tracker's memory.
pub struct Listing<'a> {
    /// Which part of R3 made it.
    pub rule: Rule,
    /// The asker's group.
    pub group: Group,
    /// How many hold the resource.
    pub counts: Counts,
    swarm: &'a Swarm,
    asker: IpAddr,
}

/// One peer of a [`Listing`].
#[derive(Clone, Copy)]
pub struct Listed<'a> {
    node: &'a Node,
    holder: Holder,
    listing: &'a Listing<'a>,
}

/// Who asks, as the memory knows it.
#[derive(Clone, Copy)]
struct Asker {
    home: Option<HomeId>,
    /// What it would be among the holders.
    key: Option<Key>,
    /// The home of those that only nodes behind its own address can dial, if there are any.
    behind: Option<HomeId>,
    /// What it would be among those.
    key_behind: Option<Key>,
}

/// Those who hold a resource, as far as an asker can dial them.
#[derive(Clone, Copy)]
struct Held<'a> {
    holders: &'a Holders,
    behind: Option<&'a Holders>,
}

impl Swarm {
    /// The list for one asker, who is never in it (R2, R3). Its own group comes first, in random order; if it
    /// is `stalled` there may be bridges beside it.
    ///
    /// Every holder with a lease and a port counts as fresh and reachable, until the tracker has dialled it in
    /// vain. Then it counts for those alone who are behind the same address: they may reach it from within.
    pub fn find(
        &mut self,
        now: Duration,
        caller: &Caller,
        resource: &ResourceId,
        stalled: bool,
        rng: &mut impl Rng,
    ) -> PeerList {
        let mut list = self.choose(now, caller, resource, rng).to_list();
        if self.tells_bridges(list.rule, stalled) {
            list.bridges =
                self.bridges(now, caller, resource, rng).peers().filter_map(Listed::to_peer).collect();
        }
        list
    }

    /// Whether bridges may stand beside a list.
    fn tells_bridges(&self, rule: Rule, stalled: bool) -> bool {
        let may = match self.rules.bridges {
            BridgePolicy::Never => false,
            BridgePolicy::Stalled => stalled,
            BridgePolicy::Always => true,
        };
        // A list that is filled up leads outside as it is.
        may && rule != Rule::ToppedUp
    }

    /// A few holders outside the asker's group, if it is its turn to be told of any.
    fn bridges(
        &mut self,
        now: Duration,
        caller: &Caller,
        resource: &ResourceId,
        rng: &mut impl Rng,
    ) -> Listing<'_> {
        let mut draw = std::mem::take(&mut self.draw);
        draw.listed.clear();
        let asker = self.asker(caller);
        if let (Some(number), Some(home)) = (self.resources.number_of(resource), asker.home)
            && self.bridges.admit(now, number, home, &caller.peer)
            && let Some(holders) = self.resources.holders(number)
        {
            self.fill_up(&mut draw, caller, &asker, holders, (TopUp::Best, bridges::EACH), rng);
            draw.listed.extend_from_slice(&draw.added.holders);
        }
        self.draw = draw;
        let (rule, counts) = (Rule::ToppedUp, Counts::default());
        Listing { rule, group: caller.place.group, counts, swarm: self, asker: caller.observed }
    }

    /// The list that a node at another place would get, for a publisher which that node has come to. Local
    /// addresses are given as to the publisher itself: it has no right to those of the other place. `None` if
    /// the caller isn't a publisher that holds all of it.
    pub fn find_for(
        &mut self,
        now: Duration,
        caller: &Caller,
        there: &Caller,
        resource: &ResourceId,
        rng: &mut impl Rng,
    ) -> Option<PeerList> {
        self.expire(now);
        let slot = self.nodes.slot_of(&caller.peer)?;
        let node = self.nodes.get(slot).filter(|node| node.role == Role::Publisher)?;
        let stand = node.stand(slot, &self.homes)?;
        let held = self.resources.holder(self.resources.number_of(resource)?, stand);
        held.filter(|holder| holder.complete())?;
        let mut listing = self.choose(now, there, resource, rng);
        listing.asker = caller.observed;
        Some(listing.to_list())
    }

    /// As [`Swarm::find`], but nothing is copied out of the memory yet.
    pub fn choose(
        &mut self,
        now: Duration,
        caller: &Caller,
        resource: &ResourceId,
        rng: &mut impl Rng,
    ) -> Listing<'_> {
        self.expire(now);
        // One throw of the good dice; what follows from it needs no secrecy.
        let mut rng = SmallRng::seed_from_u64(rng.next_u64());
        let mut draw = std::mem::take(&mut self.draw);
        draw.listed.clear();
        let asker = self.asker(caller);
        let held = self.held(resource);
        let counts = held.map(|held| self.counts(&asker, held)).unwrap_or_default();
        let (low, high) = (self.rules.low, self.rules.high);
        let own = usize::try_from(counts.in_group).unwrap_or(usize::MAX);
        let rule = match own {
            n if n > high => Rule::AboveRange,
            n if n >= low => Rule::InRange,
            _ => Rule::ToppedUp,
        };
        if let Some(held) = held {
            draw.own(&asker, held, own, high, &mut rng);
            // Those behind the address are remembered as at home there.
            for listed in &mut draw.listed {
                if Some(listed.home()) != asker.home
                    && let Some(node) = self.nodes.get(listed.slot())
                {
                    *listed = Holder::new(node.home, listed.slot(), node.role, listed.permille());
                }
            }
            let holders = held.holders;
            if rule == Rule::ToppedUp {
                let need = high.saturating_sub(draw.listed.len());
                let by = (self.rules.top_up, need);
                self.fill_up(&mut draw, caller, &asker, holders, by, &mut rng);
                draw.listed.extend_from_slice(&draw.added.holders);
            }
        }
        self.draw = draw;
        Listing { rule, group: caller.place.group, counts, swarm: self, asker: caller.observed }
    }

    /// Chooses those who fill up a list of all that there are of the asker's group.
    fn fill_up(
        &self,
        draw: &mut Draw,
        caller: &Caller,
        asker: &Asker,
        holders: &Holders,
        (top_up, need): (TopUp, usize),
        rng: &mut impl Rng,
    ) {
        let distances = self.distances.from(caller.place.group);
        let glimpse = |holder: Holder| {
            let mut glimpse = Glimpse::of(holder, self.nodes.get(holder.slot())?);
            glimpse.distance = distances.and_then(|from| from.to(self.homes.group(holder.home())));
            Some(glimpse)
        };
        let Draw { listed, pool, glimpses, candidates, added, seen } = draw;
        added.clear();
        let amount = top_up.pool(need);
        let outside = |holder: &Holder| Some(holder.home()) != asker.home && Some(holder.key()) != asker.key;
        let few = holders.all().holders as usize <= CHUNK.max(2 * amount);
        if few {
            pool.clear();
            holders.pieces().for_each(|piece| pool.extend(piece.iter().copied().filter(outside)));
        } else {
            seen.begin((ROUNDS + 1) * amount);
        }
        for round in 0..ROUNDS {
            glimpses.clear();
            // Of many, those whose network is known to be near are looked at in any case.
            if !few
                && round == 0
                && let Some(from) = distances
            {
                let near = from.nearest().into_iter().filter_map(|group| self.homes.get(&Home::Group(group)));
                let near = near.flat_map(|home| holders.run(home)).flatten().filter(|holder| outside(holder));
                let near = near.filter(|holder| seen.insert(holder.slot())).take(amount);
                glimpses.extend(near.copied().filter_map(glimpse));
            }
            if few {
                let from = shuffle_to_the_end(pool, amount, rng);
                glimpses.extend(pool.drain(from..).filter_map(glimpse));
            } else {
                // Few are of the asker's home, and most places have a holder.
                pool.clear();
                holders.draw(amount, rng, pool);
                pool.retain(|drawn| outside(drawn) && seen.insert(drawn.slot()));
                glimpses.extend(pool.iter().copied().filter_map(glimpse));
            }
            candidates.clear();
            candidates.extend(glimpses.iter().map(|glimpse| glimpse.judge(caller)));
            if candidates.is_empty() {
                break;
            }
            top_up.choose(candidates, need, added, rng);
            if added.holders.len() >= need {
                break;
            }
        }
        // A list without a single complete source may never complete anyone.
        if !listed.iter().chain(&added.holders).any(|holder| holder.complete())
            // Should it be one of the own group, beside whose list these are bridges, that group has its source.
            && let Some(source) = holders.draw_complete(asker.key, rng).filter(outside).and_then(glimpse)
        {
            added.insist(&source.judge(caller), need);
        }
    }

    /// How many hold a resource, without the asker (R7 b).
    pub fn count(&mut self, now: Duration, caller: &Caller, resource: &ResourceId) -> Counts {
        self.expire(now);
        self.held(resource).map(|held| self.counts(&self.asker(caller), held)).unwrap_or_default()
    }

    fn held(&self, resource: &ResourceId) -> Option<Held<'_>> {
        let number = self.resources.number_of(resource)?;
        Some(Held { holders: self.resources.holders(number)?, behind: self.resources.behind(number) })
    }

    fn asker(&self, caller: &Caller) -> Asker {
        let slot = self.nodes.slot_of(&caller.peer);
        let key = slot.and_then(|slot| Some(Key::new(self.nodes.get(slot)?.home, slot)));
        let behind = self.homes.get(&Home::Address(caller.observed));
        let key_behind = behind.zip(slot).map(|(home, slot)| Key::new(home, slot));
        Asker { home: self.homes.get(&Home::of(caller)), key, behind, key_behind }
    }

    fn counts(&self, asker: &Asker, Held { holders, behind }: Held<'_>) -> Counts {
        let all = holders.all();
        let inside = asker.home.map(|home| holders.at(home)).unwrap_or_default();
        let mut counts = Counts {
            in_group: inside.holders,
            outside: all.holders - inside.holders,
            complete_terminals: all.complete_terminals,
            complete_in_group: inside.complete_terminals,
        };
        if let Some(asking) = asker.key.and_then(|key| holders.get(key)) {
            let complete = u32::from(asking.complete_terminal());
            counts.complete_terminals -= complete;
            // It may ask from elsewhere than where it registered.
            if Some(asking.home()) == asker.home {
                counts.in_group -= 1;
                counts.complete_in_group -= complete;
            } else {
                counts.outside -= 1;
            }
        }
        if let Some((holders, home)) = behind.zip(asker.behind) {
            let tally = holders.at(home);
            let asking = asker.key_behind.and_then(|key| holders.get(key));
            let complete = asking.is_some_and(|asking| asking.complete_terminal());
            let complete_terminals = tally.complete_terminals - u32::from(complete);
            counts.in_group += tally.holders - u32::from(asking.is_some());
            counts.complete_terminals += complete_terminals;
            counts.complete_in_group += complete_terminals;
        }
        counts
    }
}

impl Draw {
    /// Lists at most `amount` of the `own` ones of the asker's group, each as likely as any other, in random
    /// order.
    fn own(&mut self, asker: &Asker, held: Held<'_>, own: usize, amount: usize, rng: &mut impl Rng) {
        let (inside, behind) = (asker.home.map(|home| (held.holders, home)), held.behind.zip(asker.behind));
        let asking = |holder: &Holder| [asker.key, asker.key_behind].contains(&Some(holder.key()));
        let (listed, seen, pool) = (&mut self.listed, &mut self.seen, &mut self.pool);
        if own <= CHUNK.max(4 * amount) {
            for (holders, home) in inside.into_iter().chain(behind) {
                holders.run(home).for_each(|piece| listed.extend_from_slice(piece));
            }
            if let Some(asking) = listed.iter().position(asking) {
                listed.swap_remove(asking);
            }
            let from = shuffle_to_the_end(listed, amount, rng);
            listed.drain(..from);
            return;
        }
        seen.begin(amount);
        let size = |(holders, home): (&Holders, HomeId)| holders.at(home).holders;
        let (of_inside, of_behind) = (inside.map_or(0, size), behind.map_or(0, size));
        while listed.len() < amount {
            let more = amount - listed.len();
            let from_inside = match of_behind {
                0 => more,
                _ => (0..more).filter(|_| rng.random_range(0..of_inside + of_behind) < of_inside).count(),
            };
            pool.clear();
            for (of, many) in [(inside, from_inside), (behind, more - from_inside)] {
                if let Some((holders, home)) = of.filter(|_| many > 0) {
                    holders.draw_at(home, many, rng, pool);
                }
            }
            pool.retain(|drawn| !asking(drawn));
            listed.extend(pool.iter().filter(|drawn| seen.insert(drawn.slot())).take(more));
        }
    }
}

/// Puts `amount` by chance, or all, to the end, in random order, and says where they begin.
fn shuffle_to_the_end(holders: &mut [Holder], amount: usize, rng: &mut impl Rng) -> usize {
    let from = holders.len().saturating_sub(amount);
    for place in (from..holders.len()).rev() {
        holders.swap(place, rng.random_range(0..=place));
    }
    from
}

/// Slots that have been drawn, a few hundred at most.
#[derive(Default)]
struct Seen {
    /// Each is where its number says or soon after.
    table: Vec<Slot>,
}

impl Seen {
    const EMPTY: Slot = Slot::MAX;

    fn begin(&mut self, amount: usize) {
        self.table.clear();
        self.table.resize((2 * amount).next_power_of_two().max(2), Self::EMPTY);
    }

    /// Notes a slot; `false` if it is noted already.
    fn insert(&mut self, slot: Slot) -> bool {
        let mask = self.table.len() - 1;
        // Fibonacci hashing (Knuth, volume 3, 6.4).
        let mut at = (u64::from(slot).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & mask;
        while let Some(place) = self.table.get_mut(at) {
            if *place == slot {
                return false;
            }
            if *place == Self::EMPTY {
                *place = slot;
                return true;
            }
            at = (at + 1) & mask;
        }
        false
    }
}

impl Listing<'_> {
    /// The peers, the own group first.
    pub fn peers(&self) -> impl Iterator<Item = Listed<'_>> {
        let holders = self.swarm.draw.listed.iter();
        holders.filter_map(|holder| {
            let node = self.swarm.nodes.get(holder.slot())?;
            Some(Listed { node, holder: *holder, listing: self })
        })
    }

    /// The list as it is sent.
    pub fn to_list(&self) -> PeerList {
        let peers = self.peers().filter_map(|peer| peer.to_peer()).collect();
        let Self { rule, group, counts, .. } = *self;
        let (ask_again_ms, bridges, introduces) = (self.ask_again_ms(), Vec::new(), self.swarm.introduces);
        PeerList { rule, group, counts, peers, ask_again_ms, bridges, introduces }
    }

    fn ask_again_ms(&self) -> u32 {
        let again = if self.rule == Rule::ToppedUp { AGAIN_IF_FEW } else { AGAIN };
        u32::try_from(again.as_millis()).unwrap_or(u32::MAX)
    }
}

impl<'a> Listed<'a> {
    /// What tells its identity from others: the key or its hash.
    pub fn identity(self) -> &'a [u8] {
        self.node.identity.bytes()
    }

    /// The address it was observed at.
    pub fn observed(self) -> IpAddr {
        self.node.observed
    }

    /// The ports it listens on for TCP and for QUIC; 0 if it doesn't.
    pub fn ports(self) -> (u16, u16) {
        (self.node.tcp_port, self.node.quic_port)
    }

    /// How much of the resource it holds, in thousandths.
    pub fn permille(self) -> u16 {
        self.holder.permille()
    }

    /// Its group.
    pub fn group(self) -> Group {
        self.listing.swarm.homes.group(self.holder.home())
    }

    /// The peer as it is sent to the asker.
    fn to_peer(self) -> Option<ListedPeer> {
        let Self { node, listing, .. } = self;
        let peer: PeerId = node.identity.peer()?;
        let addresses = node.addresses_for(listing.asker, &listing.swarm.locals);
        Some(ListedPeer {
            address: PeerAddress::new(peer, addresses),
            group: self.group(),
            role: node.role,
            permille: self.permille(),
            spare_upload: node.spare_upload(),
            awaits: node.dialled.awaits(),
        })
    }
}
