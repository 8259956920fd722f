//! Viewers: the click, and what they see.

use std::{collections::BTreeMap, time::Duration};

use nearcast_protocol::{Blocks, Group};
use nearcast_scenario::Node as Written;
use nearcast_schedule::Film;
use rand::Rng;

use super::{Happening, World, meeting::name_of};
use crate::{
    finding::Finding,
    node::Fetching,
    player::{Leg, Player},
};

impl World<'_> {
    pub(super) fn click(&mut self, node: u32) {
        let Some(written) = self.scenario.nodes.get(node as usize) else { return };
        // What others are told with a film's pieces, its size, we have to prove.
        let proved = !self.brain.knows_groups();
        let film = Film {
            geometry: self.film,
            bit_rate: None,
            size_proved: proved,
            held: Blocks::new(),
            own_group: Group::UNKNOWN,
            own_name: name_of(node),
        };
        let scheduler = self.brain.scheduler(film, self.dice.random());
        let player = Player::new(
            self.film,
            self.scenario.film.rate(),
            self.scenario.film.index_last(),
            self.legs(written),
        );
        let viewer = &mut self.nodes[node as usize];
        viewer.fetching = Some(Fetching {
            scheduler,
            began: self.now,
            open: BTreeMap::new(),
            proved,
            late: BTreeMap::new(),
            unproved: Vec::new(),
            polling: false,
        });
        viewer.finding = Finding::new(self.now);
        viewer.player = Some(player);
        self.soon(Duration::ZERO, Happening::Find(node));
        self.look(node);
    }

    fn legs(&self, written: &Written) -> Vec<Leg> {
        let rate = self.scenario.film.rate();
        let byte = |time: Duration| {
            let byte = time.as_millis() * u128::from(rate) / 1000;
            u64::try_from(byte).unwrap_or(u64::MAX).min(self.film.size() - 1)
        };
        let seeks =
            written.seeks.iter().map(|to| Leg { from: byte(*to), watch: Some(written.watch_after_seek) });
        std::iter::once(Leg { from: 0, watch: written.watch }).chain(seeks).collect()
    }

    /// Looks at a viewer's clock.
    pub(super) fn look(&mut self, node: u32) {
        let now = self.now;
        let viewer = &mut self.nodes[node as usize];
        let Some(player) = viewer.player.as_mut().filter(|player| !player.through) else { return };
        let mut said = std::mem::take(&mut self.said);
        let again = player.step(now, &viewer.held, &mut said);
        let through = player.through;
        let earlier = player.look_at.is_none_or(|at| at <= now || again.is_some_and(|again| again < at));
        if earlier {
            player.look_at = again;
        }
        for event in said.drain(..) {
            self.tell(node, event);
        }
        self.said = said;
        if through {
            self.watching -= 1;
        } else if let Some(at) = again.filter(|_| earlier) {
            self.agenda.note(at, Happening::Look(node));
        }
    }

    /// When a viewer's program is killed nobody watches any more.
    pub(super) fn stop_watching(&mut self, node: u32) {
        let viewer = &mut self.nodes[node as usize];
        let written = self.scenario.nodes.get(node as usize);
        let is_viewer = written.is_some_and(|node| node.kind == nearcast_scenario::Kind::Viewer);
        if is_viewer && viewer.player.as_ref().is_none_or(|player| !player.through) {
            self.watching -= 1;
        }
    }
}
