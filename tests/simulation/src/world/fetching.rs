//! What a node's scheduler is told, and what becomes of its decisions.

use std::{ops::Range, rc::Rc, time::Duration};

use nearcast_protocol::{BLOCK_BYTES, Blocks, Group, Role};
use nearcast_scenario::Kind;
use nearcast_schedule::{Action, Event, Failure, Peer, RequestId};

use super::{Fragment, Happening, MOMENT, Word, World};
use crate::node::Open;

/// As in `transfer`: how long verified blocks are gathered before peers are told, and how many bytes may
/// wait for the size to be proved.
const ANNOUNCE: Duration = Duration::from_millis(100);
const UNPROVED: u64 = 8 << 20;
/// Of what was cancelled so much is remembered.
const MOST_LATE: usize = 64;

impl World<'_> {
    /// Tells a node's scheduler, if it has one.
    pub(super) fn tell(&mut self, node: u32, event: Event) {
        let now = self.now;
        let Some(fetching) = &mut self.nodes[node as usize].fetching else { return };
        fetching.scheduler.handle(now - fetching.began, event);
        if !std::mem::replace(&mut fetching.polling, true) {
            self.soon(MOMENT, Happening::Decide(node));
        }
    }

    /// Does what the scheduler decides.
    pub(super) fn decide(&mut self, node: u32) {
        loop {
            let now = self.now;
            let Some(fetching) = &mut self.nodes[node as usize].fetching else { return };
            let began = fetching.began;
            let Some(action) = fetching.scheduler.poll(now - began) else { return };
            match action {
                Action::WakeAt(at) => self.agenda.note((began + at).max(now + MOMENT), Happening::Wake(node)),
                Action::Import { blocks } => self.tell_group(node, &blocks),
                // No node of a scenario has too little room.
                Action::Forget { .. } => {}
                Action::Cancel { peer, request } => self.cancel(node, peer.0, request),
                Action::Request { peer, request, blocks, class, deadline } => {
                    let bytes = self.film.bytes(blocks.clone());
                    fetching.open.insert(request, Open { peer: peer.0, blocks, came: 0 });
                    let (due, bytes) = (began + deadline, bytes.end - bytes.start);
                    if let Some(link) = self.nodes[node as usize].links.get(&peer.0) {
                        let word = Word::Request { request, class, due, bytes };
                        self.say(node, peer.0, link.connection, word);
                    }
                }
            }
        }
    }

    fn tell_group(&mut self, node: u32, blocks: &Range<u64>) {
        let group = self.nodes[node as usize].group;
        let member = |of: Group| of.same_network(group) || of == Group::UNKNOWN;
        let links = self.nodes[node as usize].links.iter();
        let told: Vec<_> = links
            .filter(|(_, link)| link.role == Role::Terminal && member(link.group))
            .map(|(peer, link)| (*peer, link.connection))
            .collect();
        for (peer, connection) in told {
            self.say(node, peer, connection, Word::Importing(blocks.clone()));
        }
    }

    fn cancel(&mut self, node: u32, peer: u32, request: RequestId) {
        let canceller = &mut self.nodes[node as usize];
        let Some(fetching) = &mut canceller.fetching else { return };
        if let Some(open) = fetching.open.remove(&request) {
            canceller.tally.wasted += open.came;
            fetching.late.insert(request, open);
            if fetching.late.len() > MOST_LATE {
                fetching.late.pop_first();
            }
        }
        if let Some(link) = canceller.links.get(&peer) {
            let connection = link.connection;
            self.say(node, peer, connection, Word::Cancel(request));
        }
    }

    /// A fragment has come.
    pub(super) fn arrived(&mut self, fragment: Fragment) {
        let Fragment { from, to, connection, request, bytes, last } = fragment;
        let node = &mut self.nodes[to as usize];
        let bytes = u64::from(bytes);
        node.tally.came += bytes;
        let linked = node.links.get(&from).is_some_and(|link| link.connection == connection);
        let Some(fetching) = node.fetching.as_mut().filter(|_| linked) else {
            node.tally.wasted += bytes;
            return;
        };
        let wanted = fetching.open.get_mut(&request).filter(|open| open.peer == from);
        let late = wanted.is_none();
        let Some(open) = wanted.or_else(|| fetching.late.get_mut(&request)) else {
            node.tally.wasted += bytes;
            return;
        };
        open.came += bytes;
        if late {
            node.tally.wasted += bytes;
        }
        self.tell(to, Event::Progress { peer: Peer(from), request, bytes });
        match (late, last) {
            (false, true) => self.answered(to, from, request),
            (false, false) => {}
            (true, true) => self.keep_late(to, request),
            (true, false) => return,
        }
        if !late {
            self.settle(to, from);
        }
    }

    /// A peer has gone on to another answer: what has come of those that were cancelled is all that will.
    fn settle(&mut self, node: u32, from: u32) {
        let Some(fetching) = &self.nodes[node as usize].fetching else { return };
        let late = fetching.late.iter().filter(|(_, open)| open.peer == from && open.came > 0);
        let late: Vec<_> = late.map(|(request, _)| *request).collect();
        late.into_iter().for_each(|request| self.keep_late(node, request));
    }

    /// Keeps what has come of a cancelled answer, to the last whole block.
    fn keep_late(&mut self, node: u32, request: RequestId) {
        let Some(fetching) = &mut self.nodes[node as usize].fetching else { return };
        let Some(mut open) = fetching.late.remove(&request) else { return };
        let proved = fetching.proved;
        let lies = self.nodes[open.peer as usize].kind == Kind::Liar;
        let whole = self.film.bytes(open.blocks.clone());
        if open.came < whole.end - whole.start {
            open.blocks.end = open.blocks.start + open.came / BLOCK_BYTES;
        }
        if proved && !lies && !open.blocks.is_empty() {
            let kept = self.keep(node, request, open);
            self.nodes[node as usize].tally.wasted -= kept;
            self.go_on_with(node, kept > 0);
        }
    }

    fn answered(&mut self, node: u32, from: u32, request: RequestId) {
        let lies = self.nodes[from as usize].kind == Kind::Liar;
        let last = self.film.last();
        let Some(fetching) = &mut self.nodes[node as usize].fetching else { return };
        let Some(open) = fetching.open.get(&request) else { return };
        let proof = open.blocks.contains(&last);
        match (fetching.proved || proof, lies) {
            // Until the size is proved the link may be to blame for anything, so nobody is banned.
            (true, true) if fetching.proved => {
                self.fail(node, from, request, Failure::Wrong);
                self.ban(node, from);
            }
            (true, true) => self.fail(node, from, request, Failure::Incomplete),
            (true, false) => self.verify(node, request),
            (false, _) => {
                let parked = fetching.unproved.iter().filter_map(|request| fetching.open.get(request));
                if parked.map(|open| open.came).sum::<u64>() > UNPROVED {
                    self.fail(node, from, request, Failure::Incomplete);
                } else {
                    fetching.unproved.push(request);
                }
            }
        }
    }

    fn fail(&mut self, node: u32, peer: u32, request: RequestId, failure: Failure) {
        let failing = &mut self.nodes[node as usize];
        let open = failing.fetching.as_mut().and_then(|fetching| fetching.open.remove(&request));
        if let Some(open) = open {
            failing.tally.wasted += open.came;
            let verified = Blocks::new();
            self.tell(node, Event::Failed { peer: Peer(peer), request, verified, failure });
        }
    }

    fn verify(&mut self, node: u32, request: RequestId) {
        let Some(fetching) = &mut self.nodes[node as usize].fetching else { return };
        let Some(open) = fetching.open.remove(&request) else { return };
        let proves = !fetching.proved && open.blocks.contains(&self.film.last());
        let came = open.came;
        let kept = self.keep(node, request, open);
        self.nodes[node as usize].tally.wasted += came.saturating_sub(kept);
        if proves {
            self.size_is_proved(node);
        }
        self.go_on_with(node, kept > 0);
    }

    /// Keeps what has verified, and tells how many bytes of it are new.
    fn keep(&mut self, node: u32, request: RequestId, open: Open) -> u64 {
        let Open { peer, blocks, .. } = open;
        let receiver = &mut self.nodes[node as usize];
        let home = receiver.network;
        let run = Blocks::from(blocks);
        let new = run.difference(&receiver.held);
        let bytes = self.film.bytes_in(&new);
        receiver.held = receiver.held.union(&new);
        receiver.news = receiver.news.union(&new);
        let giver = &self.nodes[peer as usize];
        let (role, near) = (giver.role(), giver.network == home);
        let tally = &mut self.nodes[node as usize].tally;
        *match (role, near) {
            (Role::Publisher, _) => &mut tally.publishers,
            (Role::Terminal, true) => &mut tally.own_group,
            (Role::Terminal, false) => &mut tally.other_groups,
        } += bytes;
        self.tell(node, Event::Verified { peer: Peer(peer), request, blocks: run });
        bytes
    }

    fn size_is_proved(&mut self, node: u32) {
        self.tell(node, Event::SizeProved);
        let Some(fetching) = &mut self.nodes[node as usize].fetching else { return };
        fetching.proved = true;
        for request in std::mem::take(&mut fetching.unproved) {
            let open = self.nodes[node as usize].fetching.as_ref().and_then(|f| f.open.get(&request));
            if let Some(from) = open.map(|open| open.peer) {
                self.answered(node, from, request);
            }
        }
    }

    /// What follows from new blocks.
    fn go_on_with(&mut self, node: u32, news: bool) {
        let receiver = &mut self.nodes[node as usize];
        if news && !std::mem::replace(&mut receiver.announcing, true) {
            self.soon(ANNOUNCE, Happening::Announce(node));
        }
        if self.nodes[node as usize].player.as_ref().is_some_and(crate::player::Player::waits) {
            self.look(node);
        }
        let receiver = &mut self.nodes[node as usize];
        if !receiver.complete && receiver.held.contains_run(0..self.film.count()) {
            receiver.complete = true;
            self.completed(node);
        }
    }

    /// All is held: nothing is wanted of those who hold all of it, or of publishers.
    fn completed(&mut self, node: u32) {
        self.announce(node);
        // It takes back what it has asked for in vain.
        self.decide(node);
        let count = self.film.count();
        let done = &mut self.nodes[node as usize];
        if let Some(fetching) = done.fetching.take() {
            debug_assert_eq!(fetching.scheduler.held(), &done.held, "what it was told is what came");
        }
        let idle = done
            .links
            .iter()
            .filter(|(_, link)| link.role == Role::Publisher || link.has.contains_run(0..count));
        let idle: Vec<_> = idle.map(|(peer, _)| *peer).collect();
        idle.into_iter().for_each(|peer| self.leave(node, peer, Duration::ZERO));
    }

    /// Tells the peers, but for those who have everything, and the tracker.
    pub(super) fn announce(&mut self, node: u32) {
        let count = self.film.count();
        let teller = &mut self.nodes[node as usize];
        teller.announcing = false;
        let news = Rc::new(std::mem::take(&mut teller.news));
        if news.is_empty() {
            return;
        }
        let curious = teller.links.iter().filter(|(_, link)| !link.has.contains_run(0..count));
        let curious: Vec<_> = curious.map(|(peer, link)| (*peer, link.connection)).collect();
        for (peer, connection) in curious {
            self.say(node, peer, connection, Word::Have(Rc::clone(&news)));
        }
        self.offer(node);
    }
}
