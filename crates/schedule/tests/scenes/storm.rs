//! A viewer who seeks a hundred times, and events that are never told.

use nearcast_schedule::Fetch;
use proptest::{prelude::*, test_runner::Config};

use crate::world::{Node, World, mbit, secs};

const FILM: u64 = 1200;

proptest! {
    #![proptest_config(Config { cases: 16, ..Config::default() })]

    #[test]
    fn a_hundred_seeks_end_in_the_last_picture_and_leave_nothing_behind(
        seed in any::<u64>(),
        seeks in prop::collection::vec((0u64..FILM - 60, 1u64..400), 100),
    ) {
        let mut world = World::new(seed, FILM * mbit(6), mbit(6), Fetch::AroundPlayhead);
        world.watch(false);
        world.neighbours(5, mbit(4));
        let mut shown = 0;
        for (to, pause) in &seeks {
            world.run(world.now + secs(*pause as f64 / 1000.0));
            shown = world.player.as_ref().unwrap().pictures.len();
            world.player.as_mut().unwrap().seek(world.now, to * mbit(6));
            world.step_player();
        }
        let last = seeks.last().unwrap().0 * mbit(6);
        let near = world.geometry.covering(last..(last + 140 * mbit(6)).min(FILM * mbit(6)));
        if world.player.as_ref().unwrap().pictures.len() == shown {
            // The picture stands still for it, so nothing else is in its way but what is nearly there.
            let elsewhere = world.on_the_way().filter(|blocks| !near.contains(&blocks.start));
            let elsewhere: u64 = elsewhere.map(|blocks| blocks.end - blocks.start).sum();
            prop_assert!(elsewhere <= 20, "{} blocks of other places are on the way", elsewhere);
        }
        world.run(world.now + secs(3.0));
        let view = world.player.as_ref().unwrap();
        prop_assert_eq!(view.pictures.len(), shown + 1, "no picture within three seconds");
        prop_assert_eq!(&view.stalls, &[]);
        // Places left less than ten seconds ago may be gone on with at leisure. Then the last one is all.
        world.run(world.now + secs(10.0));
        for blocks in world.on_the_way() {
            prop_assert!(near.contains(&blocks.start), "{:?} is a leftover; {:?} is watched", blocks, near);
        }
        let statistics = world.schedule.statistics(world.now);
        prop_assert_eq!(statistics.requests, world.on_the_way().count());
    }

    #[test]
    fn lost_events_delay_a_film_and_never_stop_it(seed in any::<u64>(), lost in 1u32..60) {
        let mut world = World::new(seed, 60 * mbit(6), mbit(6), Fetch::Whole);
        let (first, second) = (world.join(Node::at(mbit(6))), world.join(Node::at(mbit(6))));
        world.neighbours(2, mbit(6));
        let piecemeal = world.join(Node::at(mbit(6)).having(0..1));
        world.lost = lost;
        for second in 1..40 {
            world.at(secs(second as f64), move |world| world.gain(piecemeal, second * 20..(second + 1) * 20));
        }
        world.at(secs(7.0), move |world| world.leave(first));
        world.at(secs(9.0), move |world| world.leave(second));
        world.run_while(secs(600.0), |world| !world.schedule.complete());
        prop_assert!(world.schedule.complete(), "it stopped at {} blocks", world.schedule.held().count());
    }
}
