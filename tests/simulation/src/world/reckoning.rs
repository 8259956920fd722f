//! What a run comes to.

use std::time::Duration;

use nearcast_scenario::Kind;

use super::World;
use crate::{
    figures::{Figures, NetworkFigures, Seek, ViewerFigures, ms, share},
    node::Tally,
};

impl World<'_> {
    pub(super) fn reckon(mut self) -> Figures {
        let now = self.now;
        let mut viewers = Vec::new();
        let mut all = Tally::default();
        for (node, written) in self.nodes.iter_mut().zip(&self.scenario.nodes) {
            let tally = node.tally;
            all.own_group += tally.own_group;
            all.other_groups += tally.other_groups;
            all.publishers += tally.publishers;
            all.came += tally.came;
            all.wasted += tally.wasted;
            let Some(player) = &mut node.player else {
                continue;
            };
            if !node.killed {
                player.stop(now);
            }
            let first = player.views.first().copied().unwrap_or_default();
            let seeks = player.views.iter().skip(1);
            viewers.push(ViewerFigures {
                name: written.name.clone(),
                network: self
                    .scenario
                    .networks
                    .get(written.network)
                    .map(|n| n.name.clone())
                    .unwrap_or_default(),
                survived: !node.killed,
                through: player.through,
                start_ms: first.picture.map(ms),
                runs_ms: first.runs.map(ms),
                stalls: player.stalls,
                stalled_ms: ms(player.stalled),
                played_ms: ms(player.played),
                seeks: seeks
                    .map(|view| Seek { picture_ms: view.picture.map(ms), runs_ms: view.runs.map(ms) })
                    .collect(),
                read_bytes: player.read,
                complete: node.complete,
                own_group: tally.own_group,
                other_groups: tally.other_groups,
                publishers: tally.publishers,
                wasted: tally.wasted,
            });
        }
        let size = self.film.size() as f64;
        let sources = |network: usize| {
            let here = self.scenario.nodes.iter().filter(|node| node.network == network);
            here.into_iter().any(|node| matches!(node.kind, Kind::Publisher | Kind::Holder))
        };
        let networks = self.scenario.networks.iter().zip(&self.borders).enumerate();
        let networks = networks.map(|(index, (network, border))| NetworkFigures {
            name: network.name.clone(),
            has_source: sources(index),
            copies_in: share(border.into.carried as f64, size),
            copies_out: share(border.out.carried as f64, size),
        });
        let gave = self.nodes.iter().filter(|node| matches!(node.kind, Kind::Publisher | Kind::Holder));
        let gave: u64 = gave.map(|node| node.up.carried).sum();
        Figures::of(
            Figures {
                scenario: self.scenario.name.clone(),
                brain: self.brain,
                seed: self.seed,
                seconds: ms(now.max(Duration::ZERO)) / 1000.0,
                happened: self.happened,
                digest: self.digest.hex(),
                networks: networks.collect(),
                source_copies: share(gave as f64, size),
                own_group_share: share(all.own_group as f64, all.verified() as f64),
                duplicates_share: share(all.wasted as f64, all.came as f64),
                ..Figures::default()
            },
            viewers,
        )
    }
}
