//! How fragments get from one node to another.

use super::{Fragment, Happening, Part, World};

impl World<'_> {
    /// Has a node send on, if it has something to send and isn't at it.
    pub(super) fn begin_sending(&mut self, node: u32) {
        let idle = &mut self.nodes[node as usize];
        if !idle.sending && !idle.turns.is_empty() {
            idle.sending = true;
            self.send(node);
        }
    }

    /// The uplink is free: the next peer in turn gets a fragment.
    pub(super) fn send(&mut self, node: u32) {
        for _ in 0..self.nodes[node as usize].turns.len() {
            let Some(to) = self.nodes[node as usize].turns.pop_front() else { break };
            let open = self.is_open(node, to);
            let sender = &mut self.nodes[node as usize];
            let Some(link) = sender.links.get_mut(&to) else { continue };
            if !open {
                sender.turns.push_back(to);
                continue;
            }
            let part = link.uploads.next();
            link.in_turn = part.is_some() && !link.uploads.is_empty();
            if link.in_turn {
                sender.turns.push_back(to);
            }
            let Some(part) = part else { continue };
            link.last_upload = self.now;
            let connection = link.connection;
            let through = sender.up.pass(self.now, part.bytes.into());
            let delay = sender.delay;
            self.agenda.note(through, Happening::Send(node));
            let fragment = Fragment {
                from: node,
                to,
                connection,
                request: part.request,
                bytes: part.bytes,
                last: part.last,
            };
            self.agenda.note(through + delay, Happening::Hop(fragment, Part::BorderOut));
            return;
        }
        self.nodes[node as usize].sending = false;
    }

    /// A fragment goes as far as it can without waiting.
    pub(super) fn hop(&mut self, fragment: Fragment, mut part: Part) {
        if !self.is_open(fragment.from, fragment.to) {
            self.held_up.push(Happening::Hop(fragment, part));
            return;
        }
        if part == Part::There {
            self.arrived(fragment);
            return;
        }
        let (home, abroad) =
            (self.nodes[fragment.from as usize].network, self.nodes[fragment.to as usize].network);
        let mut at = self.now;
        loop {
            let (pipe, delay, next) = match part {
                Part::BorderOut if home == abroad => {
                    part = Part::Downlink;
                    continue;
                }
                Part::BorderOut => {
                    let border = &mut self.borders[home];
                    (&mut border.out, border.delay, Part::BorderIn)
                }
                Part::BorderIn => {
                    let border = &mut self.borders[abroad];
                    (&mut border.into, border.delay, Part::Downlink)
                }
                Part::Downlink => {
                    let node = &mut self.nodes[fragment.to as usize];
                    (&mut node.down, node.delay, Part::There)
                }
                Part::There => break,
            };
            if pipe.is_limited() && at > self.now {
                // It isn't there yet, and others may come before it.
                break;
            }
            at = pipe.pass(at, fragment.bytes.into()) + delay;
            part = next;
        }
        self.agenda.note(at, Happening::Hop(fragment, part));
    }
}
