//! What holds whatever the neighbours are like: the budget for what is thrown away, and that nobody who could bring
//! what is late sits idle.

use std::time::Duration;

use nearcast_schedule::Peer;
use proptest::{prelude::*, test_runner::Config};

use crate::world::{Node, World, mbit, secs};

/// How often is looked.
const STEP: Duration = Duration::from_millis(100);
/// Cancelling, asking and the first bytes take so long.
const IDLE: u32 = 15;
/// What may be thrown away of the bytes of any minute, and what a few requests taken back may come to in any case.
const BUDGET: f64 = 0.03;
const FEW: u64 = 256 * 1024;

#[derive(Debug, Clone)]
struct Neighbour {
    kbit: u64,
    round_trip_ms: u64,
    /// From when, and for how long.
    frozen: Option<(f64, f64)>,
}

fn neighbour() -> impl Strategy<Value = Neighbour> {
    let frozen = prop::option::weighted(0.3, (1.0f64..80.0, 0.2f64..20.0));
    (300u64..9000, 1u64..150, frozen).prop_map(|(kbit, round_trip_ms, frozen)| Neighbour {
        kbit,
        round_trip_ms,
        frozen,
    })
}

fn joined(world: &mut World, neighbour: &Neighbour) -> Peer {
    let round_trip = Duration::from_millis(neighbour.round_trip_ms);
    let peer = world.join(Node { round_trip, ..Node::at(neighbour.kbit * 125) });
    if let Some((from, long)) = neighbour.frozen {
        world.at(secs(from), move |world| world.change(peer, |node| node.frozen = true));
        world.at(secs(from + long), move |world| world.change(peer, |node| node.frozen = false));
    }
    peer
}

proptest! {
    #![proptest_config(Config { cases: 200, ..Config::default() })]

    #[test]
    fn little_is_wasted_and_nobody_idle_watches_another_be_late(
        seed in any::<u64>(),
        neighbours in prop::collection::vec(neighbour(), 2..8),
        seeks in prop::collection::vec((5.0f64..100.0, 0u64..80), 0..3),
    ) {
        let mut world = World::cinema(seed, 100);
        let sound: Vec<bool> = neighbours.iter().map(|neighbour| neighbour.frozen.is_none()).collect();
        for neighbour in &neighbours {
            joined(&mut world, neighbour);
        }
        // A seek takes back all that is on its way, which may be a second's worth of everybody.
        let second: u64 = neighbours.iter().map(|neighbour| neighbour.kbit * 125).sum();
        for &(at, to) in &seeks {
            world.at(secs(at), move |world| {
                let now = world.now;
                world.player.as_mut().unwrap().seek(now, to * mbit(6));
                world.step_player();
            });
        }
        let mut spent = vec![(0, 0)];
        let mut late: Option<(u64, u32)> = None;
        while world.now < secs(120.0) {
            world.run(world.now + STEP);
            spent.push((world.came, world.thrown));
            let (now, before) = (spent[spent.len() - 1], spent[spent.len().saturating_sub(601)]);
            let (came, thrown) = (now.0 - before.0, now.1 - before.1);
            let minute = world.now.saturating_sub(secs(60.0))..world.now;
            let seeks = seeks.iter().map(|(at, _)| *at);
            // Who was silent may have been given up, and its answers come all the same.
            let frozen = neighbours.iter().filter_map(|neighbour| neighbour.frozen);
            let frozen = frozen.flat_map(|(from, long)| [from, from + long]);
            let turns = seeks.chain(frozen).filter(|at| minute.contains(&secs(*at))).count() as u64;
            prop_assert!(
                thrown <= FEW.max((came as f64 * BUDGET) as u64) + turns * second,
                "{thrown} of {came} bytes in the minute before {:?}", world.now
            );
            let waits = world.player.as_ref().unwrap().waits_for().map(|byte| world.geometry.block_at(byte));
            let overlooked = waits.filter(|block| {
                let rate = world.asked_of(*block).map_or(0, |peer| {
                    let node = world.node(peer);
                    if node.frozen { 0 } else { node.rate }
                });
                let better = |node: &Node| node.rate > 3 * rate;
                world.idle_with(*block).any(|(peer, node)| sound[peer.0 as usize] && better(node))
            });
            late = overlooked.map(|block| match late {
                Some((same, steps)) if same == block => (block, steps + 1),
                _ => (block, 1),
            });
            prop_assert!(
                late.is_none_or(|(_, steps)| steps <= IDLE),
                "{late:?} waits at {:?} and somebody who could bring it is idle", world.now
            );
        }
    }
}
