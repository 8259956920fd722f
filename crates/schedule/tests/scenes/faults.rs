//! Neighbours that freeze, die, refuse, break off, or aren't there yet.

use std::time::Duration;

use nearcast_schedule::{Event, Fetch, Wait};
use proptest::{prelude::*, test_runner::Config};

use crate::world::{Node, OTHER, World, mbit, secs};

#[test]
fn a_frozen_neighbour_stops_nobody() {
    for seed in 0..10 {
        let mut world = World::cinema(seed, 90);
        let peers = world.neighbours(5, mbit(2));
        let frozen = peers[seed as usize % 5];
        world.at(secs(3.0), move |world| world.change(frozen, |node| node.frozen = true));
        world.run(secs(100.0));
        assert!(world.waste() <= 0.03, "seed {seed}: {}", world.waste());
        let view = world.player.unwrap();
        assert_eq!(view.stalls, [], "seed {seed}");
        assert!(view.ended);
    }
}

#[test]
fn a_moment_in_which_nobody_answers_wastes_little() {
    for seed in 0..10 {
        let mut world = World::cinema(seed, 60);
        let peers = world.neighbours(5, mbit(3));
        for moment in 0..5 {
            for (number, peer) in peers.iter().copied().enumerate() {
                let at = secs(4.0 + 6.0 * f64::from(moment));
                world.at(at, move |world| world.change(peer, |node| node.frozen = true));
                let back = at + Duration::from_millis(1000 + 5 * number as u64);
                world.at(back, move |world| world.change(peer, |node| node.frozen = false));
            }
        }
        world.run(secs(70.0));
        assert!(world.waste() <= 0.03, "seed {seed}: {}", world.waste());
        assert_eq!(world.player.unwrap().stalls, [], "seed {seed}");
    }
}

#[test]
fn a_machine_that_slept_holds_it_against_nobody() {
    let mut world = World::new(1, 60 * mbit(6), mbit(6), Fetch::Whole);
    world.neighbours(5, mbit(2));
    for time in [2.0, 5.0, 9.0] {
        world.run(secs(time) + world.now);
        let rate = |world: &World| {
            world.schedule.statistics(world.now).peers.iter().map(|peer| peer.rate).sum::<u64>()
        };
        let before = rate(&world);
        world.sleep(secs(25.0));
        world.run(world.now + secs(0.3));
        assert!(rate(&world) > before * 9 / 10, "{} was {before}", rate(&world));
    }
    world.run(world.now + secs(60.0));
    assert!(world.schedule.complete());
    assert_eq!(world.broken, 0);
}

#[test]
fn a_neighbour_frozen_from_the_start_costs_little() {
    for seed in 0..10 {
        let mut world = World::cinema(seed, 90);
        for number in 0..5u64 {
            let frozen = number == seed % 5;
            world.join(Node { frozen, ..Node::at(mbit(2)) });
        }
        world.run(secs(20.0));
        let view = world.player.unwrap();
        assert!(view.pictures[0] <= secs(0.65), "seed {seed}: {:?}", view.pictures);
        assert_eq!(view.stalls, [], "seed {seed}");
    }
}

#[test]
fn half_of_the_neighbours_die() {
    for seed in 0..10 {
        let mut world = World::cinema(seed, 120);
        let peers = world.neighbours(10, mbit(2));
        for (number, peer) in peers.into_iter().enumerate().filter(|(number, _)| number % 2 == 0) {
            let at = secs(2.0 + number as f64 + seed as f64 / 10.0);
            world.at(at, move |world| {
                // Half of them silently, as a pulled plug does; the connection ends later.
                world.change(peer, |node| node.frozen = true);
                let later = world.now + if number % 4 == 0 { secs(10.0) } else { secs(0.0) };
                world.at(later, move |world| world.leave(peer));
            });
        }
        world.run(secs(130.0));
        let view = world.player.unwrap();
        assert_eq!(view.stalls, [], "seed {seed}");
        assert!(view.ended);
    }
}

#[test]
fn a_frozen_neighbour_that_thaws_is_used_again() {
    let mut world = World::new(3, 60 * mbit(6), mbit(6), Fetch::Whole);
    let peers = world.neighbours(2, mbit(4));
    let frozen = peers[0];
    world.at(secs(2.0), move |world| world.change(frozen, |node| node.frozen = true));
    world.at(secs(12.0), move |world| world.change(frozen, |node| node.frozen = false));
    let given = |world: &World| world.schedule.statistics(world.now).peers[0].given;
    world.run(secs(13.0));
    let before = given(&world);
    world.run(secs(200.0));
    assert!(world.schedule.complete());
    assert!(given(&world) > before + mbit(4), "{} then {}", before, given(&world));
}

#[test]
fn the_only_holder_is_tried_again_and_again() {
    let mut world = World::new(4, 20 * mbit(6), mbit(6), Fetch::WholeInBackground);
    world.watch(false);
    let only = world.join(Node { breaks_off: 1000, ..Node::at(mbit(12)) });
    world.at(secs(40.0), move |world| world.change(only, |node| node.breaks_off = 0));
    world.run(secs(43.0));
    assert!(!world.schedule.held().is_empty(), "no bench lasts longer for the only one");
    world.run(secs(80.0));
    assert!(world.schedule.complete());
}

#[test]
fn who_refuses_is_left_alone_for_as_long_as_it_says() {
    let mut world = World::cinema(5, 60);
    let refusing = world.join(Node { refuses: Some(Some(secs(5.0))), ..Node::at(mbit(50)) });
    world.neighbours(5, mbit(2));
    // The world itself asserts that nobody is asked too early.
    world.at(secs(20.0), move |world| world.change(refusing, |node| node.refuses = None));
    world.run(secs(70.0));
    let view = world.player.take().unwrap();
    assert!(view.pictures[0] <= secs(0.6), "{:?}", view.pictures);
    assert_eq!(view.stalls, []);
    assert!(world.schedule.statistics(world.now).peers[0].given > 0, "asked again when it may be");
}

#[test]
fn who_does_not_have_it_after_all_is_not_asked_for_it_again() {
    let mut world = World::new(6, 20 * mbit(6), mbit(6), Fetch::Whole);
    let peer = world.join(Node::at(mbit(10)));
    world.run(secs(1.0));
    let request = world.schedule.statistics(world.now).requests;
    assert!(request > 0);
    let all = world.geometry.all();
    world.tell(Event::PeerLost { peer, blocks: all });
    world.run(secs(3.0));
    assert_eq!(world.schedule.statistics(world.now).requests, 0);
}

#[test]
fn nobody_has_it_then_somebody_comes() {
    let mut world = World::cinema(7, 60);
    world.run(secs(5.0));
    let why = |world: &World| world.schedule.why_waiting(world.now);
    assert_eq!(why(&world), Some(Wait::NoNeighbours));
    world.join(Node::at(mbit(10)).having(0..0));
    world.run(secs(8.0));
    assert_eq!(why(&world), Some(Wait::NobodyHasIt { neighbours: 1 }));
    let came = world.now;
    let peer = world.join(Node::at(mbit(10)));
    world.run(secs(30.0));
    let view = world.player.as_ref().unwrap();
    let opened = view.pictures[0].checked_sub(came).unwrap();
    assert!(opened <= secs(0.5), "{opened:?}");
    assert_eq!(view.stalls, []);
    assert_eq!(why(&world), None);
    world.leave(peer);
}

#[test]
fn slowness_is_said_in_figures() {
    let mut world = World::cinema(8, 600);
    world.join(Node::at(mbit(2)));
    world.join(Node::at(mbit(1)));
    world.join(Node::at(mbit(9)).having(0..0));
    world.run_while(secs(60.0), |world| {
        !matches!(world.schedule.why_waiting(world.now), Some(Wait::SlowNeighbours { .. }))
            || world.now < secs(20.0)
    });
    let said = world.schedule.why_waiting(world.now).unwrap().to_string();
    assert!(said.starts_with("2 of 3 neighbours have this part; the fastest gives 2"), "{said}");
    assert!(said.ends_with("kB/s, the film needs 750"), "{said}");
}

#[test]
fn two_halves_make_a_whole() {
    let mut world = World::cinema(9, 60);
    let half = world.geometry.count() / 2;
    world.join(Node::at(mbit(12)).having(0..half));
    world.join(Node::at(mbit(12)).having(half..u64::from(u32::MAX)));
    let odd = (0..world.geometry.count()).filter(|block| block % 2 == 1).map(|block| block..block + 1);
    world.join(Node { has: Some(odd.collect()), ..Node::at(mbit(12)) });
    world.run(secs(70.0));
    assert!(world.schedule.complete());
    assert_eq!(world.player.unwrap().stalls, []);
}

#[test]
fn nothing_is_asked_for_twice_if_nothing_goes_wrong() {
    let mut world = World::new(10, 100 * mbit(6), mbit(6), Fetch::Whole);
    world.neighbours(3, mbit(8));
    world.join(Node::at(mbit(1)));
    world.run(secs(200.0));
    assert!(world.schedule.complete());
    assert_eq!((world.asked, world.broken), (world.geometry.count(), 0));
    assert_eq!(world.schedule.poll(world.now), None);
}

#[test]
fn a_slow_disk_is_no_fault_of_the_peers() {
    let mut world = World::cinema(10, 60);
    world.verdict = Duration::from_millis(400);
    world.neighbours(5, mbit(4));
    world.run(secs(80.0));
    assert!(world.schedule.complete());
    assert!(world.waste() <= 0.005, "{}", world.waste());
    assert_eq!(world.player.unwrap().stalls, []);
}

#[test]
fn when_all_is_done_nobody_wakes() {
    let mut world = World::new(11, mbit(6), mbit(6), Fetch::Whole);
    world.neighbours(3, mbit(8));
    world.run(secs(30.0));
    assert!(world.schedule.complete());
    let count = world.entries.len();
    world.run(secs(600.0));
    assert_eq!(world.entries.len(), count);
}

#[test]
fn before_the_size_is_proved_little_else_is_asked_for() {
    let mut world = World::new(12, 1000 * mbit(6), mbit(6), Fetch::WholeInBackground);
    world.join(Node::at(mbit(100)).having(0..1000));
    world.run(secs(60.0));
    assert!(world.asked * 16 * 1024 <= 4 * 1024 * 1024, "{}", world.asked);
    assert!(world.schedule.held().is_empty());
    // Kept aside, not late: nothing was given up meanwhile.
    assert_eq!(world.broken, 0);
    world.join(Node::at(mbit(100)));
    world.run(secs(61.0));
    assert!(!world.schedule.held().is_empty());
}

#[test]
fn a_lost_verdict_does_not_stall() {
    let mut world = World::cinema(13, 30);
    world.neighbours(2, mbit(10));
    world.run(secs(1.0));
    // A request of a peer that the world never heard of: as if its answer and its end were both lost.
    let lost = world.join(Node { frozen: true, ..Node::at(mbit(100)) });
    world.run(secs(40.0));
    assert!(world.player.unwrap().stalls.is_empty());
    assert!(world.schedule.complete());
    assert!(world.schedule.statistics(world.now).peers.iter().any(|peer| peer.peer == lost));
}

#[test]
fn wrong_bytes_before_the_proof_are_not_asked_for_in_a_circle() {
    let mut world = World::new(14, mbit(60), mbit(6), Fetch::Whole);
    let liar = world.join(Node { lies: true, ..Node::at(mbit(50)) });
    world.run(secs(20.0));
    assert!((3..=12).contains(&world.asked), "{} requests in twenty seconds", world.asked);
    // It was the link after all, or the peer has seen reason: nobody was banned.
    world.at(secs(21.0), move |world| world.change(liar, |node| node.lies = false));
    world.run(secs(60.0));
    assert!(world.schedule.complete());
}

proptest! {
    #![proptest_config(Config { cases: 100, failure_persistence: None, ..Config::default() })]

    /// The world checks every request: of who has it, of nobody else at the time, never what is held.
    #[test]
    fn whatever_happens_the_film_arrives(seed in any::<u64>(), seconds in 5u64..40, watched in any::<bool>()) {
        let mut world = World::new(seed, seconds * mbit(6) + seed % 16384, mbit(6), Fetch::WholeInBackground);
        if watched {
            world.watch(seed % 2 == 0);
        }
        let count = world.geometry.count();
        // One who always has all, so that the film can arrive.
        world.join(Node::at(mbit(3)).of(OTHER).publisher());
        for number in 1..8u64 {
            let start = seed.rotate_left(number as u32 * 7) % count;
            let mut node = Node::at(mbit(1 + seed.rotate_left(number as u32) % 9));
            node.round_trip = Duration::from_millis(seed.rotate_left(number as u32 * 3) % 200);
            node.breaks_off = if number % 3 == 0 { 100 } else { 0 };
            node.refuses = (number == 4).then_some(Some(secs(2.0)));
            if number % 2 == 0 {
                node = node.having(start..count);
            }
            let peer = world.join(node);
            let at = secs((seed.rotate_left(number as u32 * 5) % 20_000) as f64 / 1000.0);
            match number {
                1 | 5 => world.at(at, move |world| world.leave(peer)),
                2 | 6 => world.at(at, move |world| {
                    world.change(peer, |node| node.frozen = true);
                    let thaw = world.now + secs(7.0);
                    world.at(thaw, move |world| world.change(peer, |node| node.frozen = false));
                }),
                _ => {}
            }
        }
        world.run_while(secs(600.0), |world| !world.schedule.complete());
        prop_assert!(world.schedule.complete(), "{:?} of {count}", world.schedule.held());
        prop_assert_eq!(world.schedule.statistics(world.now).requests, 0);
        let statistics = world.schedule.statistics(world.now);
        let given = statistics.own_group + statistics.other_groups + statistics.publishers;
        prop_assert_eq!(given, world.geometry.size());
        prop_assert_eq!(world.asked - world.broken, count, "each block was verified once");
        prop_assert!(nearcast_schedule::replay(world.entries.iter().cloned()).is_ok());
    }
}
