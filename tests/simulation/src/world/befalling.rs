//! What goes wrong.

use std::time::Duration;

use nearcast_scenario::Harm;

use super::{Happening, World};

/// A node that was silent for so long is given up by its peers.
const SILENCE: Duration = Duration::from_secs(60);
/// Senders try again ever more rarely while nothing gets through: when it does again, the next try is about
/// half as long away as the silence was, and not longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl World<'_> {
    pub(super) fn befall(&mut self, fault: usize) {
        let Some(fault) = self.scenario.faults.get(fault) else { return };
        let now = self.now;
        match fault.harm {
            Harm::Kill(node) => self.kill(node as u32),
            Harm::Freeze(node) => {
                self.nodes[node].frozen = true;
                self.soon(SILENCE, Happening::GivenUp(node as u32));
            }
            Harm::Thaw(node) => {
                self.nodes[node].frozen = false;
                for missed in std::mem::take(&mut self.nodes[node].missed) {
                    self.agenda.note(now, missed);
                }
            }
            Harm::Unplug(node) => {
                self.nodes[node].unplugged.get_or_insert(now);
                self.soon(SILENCE, Happening::GivenUp(node as u32));
            }
            Harm::Plug(node) => {
                let since = self.nodes[node].unplugged.take();
                self.get_through(since);
            }
            Harm::Slow(node, rate) => {
                self.nodes[node].up.slow(rate.bytes());
                self.nodes[node].down.slow(rate.bytes());
            }
            Harm::RestartTracker => self.tracker.restart(),
            Harm::Cut(network) => {
                self.borders[network].cut.get_or_insert(now);
            }
            Harm::Heal(network) => {
                let since = self.borders[network].cut.take();
                self.get_through(since);
            }
        }
    }

    /// Its connections break at once. The tracker isn't told: nobody is left who could.
    fn kill(&mut self, node: u32) {
        if self.nodes[node as usize].killed {
            return;
        }
        self.break_all(node);
        self.stop_watching(node);
        self.nodes[node as usize].killed = true;
    }

    fn break_all(&mut self, node: u32) {
        let peers: Vec<_> = self.nodes[node as usize].links.keys().copied().collect();
        peers.into_iter().for_each(|peer| self.leave(node, peer, Duration::ZERO));
    }

    pub(super) fn give_up(&mut self, node: u32) {
        let given_up = &self.nodes[node as usize];
        if given_up.killed || !given_up.frozen && given_up.unplugged.is_none() {
            return;
        }
        // Both ends give up by themselves: no word gets through.
        let peers: Vec<_> = given_up.links.keys().copied().collect();
        for peer in peers {
            self.left(peer, node, Duration::ZERO);
            self.left(node, peer, Duration::ZERO);
        }
    }

    /// Something works again: what was held up is sent anew, and senders go on.
    fn get_through(&mut self, since: Option<Duration>) {
        let silence = since.map_or(Duration::ZERO, |since| self.now - since);
        let pause = (silence / 2).min(LONGEST_PAUSE);
        for happening in std::mem::take(&mut self.held_up) {
            self.soon(pause, happening);
        }
        for node in 0..self.nodes.len() {
            let waits = !self.nodes[node].sending && !self.nodes[node].turns.is_empty();
            if waits {
                self.nodes[node].sending = true;
                self.soon(pause, Happening::Send(node as u32));
            }
        }
    }
}
