//! Somebody watches: how soon the picture comes, and whether it stays.

use std::time::Duration;

use nearcast_protocol::BLOCK_BYTES;
use nearcast_schedule::{Event, Fetch, Reader};

use crate::world::{Node, World, mbit, secs};

const TIGHT: (u32, u64) = (5, mbit(2));
const PLENTY: (u32, u64) = (5, mbit(20));

fn seek(world: &mut World, to: u64) {
    let now = world.now;
    world.player.as_mut().unwrap().seek(now, to);
    world.step_player();
}

#[test]
fn five_slow_neighbours_carry_a_film_together() {
    let mut world = World::cinema(1, 120);
    world.neighbours(TIGHT.0, TIGHT.1);
    world.run(secs(130.0));
    let view = world.player.unwrap();
    assert!(view.pictures[0] <= secs(0.5), "first picture after {:?}", view.pictures[0]);
    assert!(view.runs[0] <= secs(1.3), "ran after {:?}", view.runs[0]);
    assert_eq!(view.stalls, []);
    assert!(view.ended);
}

#[test]
fn fast_neighbours_open_a_film_at_once() {
    let mut world = World::cinema(2, 120);
    world.neighbours(PLENTY.0, PLENTY.1);
    world.run(secs(5.0));
    let view = world.player.unwrap();
    assert!(view.pictures[0] <= secs(0.3), "first picture after {:?}", view.pictures[0]);
    assert!(view.runs[0] <= secs(0.4), "ran after {:?}", view.runs[0]);
}

#[test]
fn an_index_at_the_end_costs_a_moment() {
    for ((count, rate), limit) in [(PLENTY, 0.4), (TIGHT, 0.6)] {
        let mut world = World::cinema(3, 120);
        world.watch(true);
        world.neighbours(count, rate);
        world.run(secs(5.0));
        let view = world.player.unwrap();
        assert!(view.pictures[0] <= secs(limit), "first picture after {:?}", view.pictures[0]);
        assert_eq!(view.stalls, []);
    }
}

#[test]
fn a_seek_to_a_part_not_held_shows_it_soon() {
    for ((count, rate), picture, runs) in [(PLENTY, 0.3, 0.5), (TIGHT, 0.8, 2.0)] {
        let mut world = World::cinema(4, 1200);
        world.neighbours(count, rate);
        for (at, to) in [(10.3, 600), (20.1, 300), (31.7, 1100), (40.9, 900)] {
            world.run(secs(at));
            seek(&mut world, to * mbit(6));
        }
        world.run(secs(60.0));
        assert!(world.waste() <= 0.03, "{}", world.waste());
        let view = world.player.unwrap();
        assert_eq!(view.pictures.len(), 5);
        for (picture_after, runs_after) in view.pictures.iter().zip(&view.runs) {
            assert!(*picture_after <= secs(picture), "pictures after {:?}", view.pictures);
            assert!(*runs_after <= secs(runs), "ran after {:?}", view.runs);
        }
        assert_eq!(view.stalls, []);
    }
}

#[test]
fn a_short_skip_needs_no_more_than_a_long_one() {
    let mut world = World::cinema(5, 1200);
    world.neighbours(TIGHT.0, TIGHT.1);
    world.run(secs(2.0));
    seek(&mut world, 30 * mbit(6));
    world.run(secs(60.0));
    let view = world.player.unwrap();
    assert!(view.pictures[1] <= secs(0.8), "{:?}", view.pictures);
    assert_eq!(view.stalls, []);
}

#[test]
fn a_storm_of_seeks_ends_right() {
    let mut world = World::cinema(6, 1200);
    world.neighbours(TIGHT.0, TIGHT.1);
    world.run(secs(1.0));
    for step in 0..60u64 {
        let to = (step * 7919 % 1190) * mbit(6);
        seek(&mut world, to);
        world.run(world.now + Duration::from_millis(30));
    }
    seek(&mut world, 555 * mbit(6));
    let begun = world.player.as_ref().unwrap().pictures.len();
    world.run(world.now + secs(30.0));
    let view = world.player.unwrap();
    assert!(view.pictures[begun] <= secs(0.9), "{:?}", view.pictures);
    assert_eq!(view.stalls, []);
}

#[test]
fn a_slow_neighbour_is_kept_away_from_the_playhead() {
    let mut world = World::cinema(7, 60);
    world.neighbours(4, mbit(3));
    let slow = world.join(Node::at(20_000));
    world.run(secs(70.0));
    let view = world.player.take().unwrap();
    assert!(view.pictures[0] <= secs(0.6), "{:?}", view.pictures);
    assert_eq!(view.stalls, []);
    let given = world.schedule.statistics(world.now).peers;
    let given = given.iter().find(|peer| peer.peer == slow).unwrap().given;
    assert!(given > 0, "but it is of use");
}

#[test]
fn two_players_of_one_film_both_run() {
    let mut world = World::cinema(8, 600);
    world.neighbours(5, mbit(4));
    world.run(secs(5.0));
    // A second reader far away, that reads at the same pace.
    let reader = Reader(2);
    world.tell(Event::ReaderOpened { reader });
    let mut waited = 0;
    for step in 0..600u64 {
        let at = 300 * mbit(6) + step * mbit(6) / 20;
        let bytes = at..at + mbit(6) / 20;
        let run = at / BLOCK_BYTES..bytes.end.div_ceil(BLOCK_BYTES);
        let waiting = !world.schedule.held().contains_run(run);
        waited += u32::from(waiting && step > 40);
        world.tell(Event::Reading { reader, bytes, waiting });
        world.run(world.now + Duration::from_millis(50));
    }
    assert_eq!(waited, 0, "the second waits only at its start");
    assert_eq!(world.player.unwrap().stalls, []);
}

#[test]
fn around_the_playhead_nothing_else_is_fetched() {
    let mut world = World::new(9, 1200 * mbit(6), mbit(6), Fetch::AroundPlayhead);
    world.watch(false);
    world.neighbours(5, mbit(40));
    world.run(secs(60.0));
    let held = world.schedule.held().count() * BLOCK_BYTES;
    let most = (60 + 2 + 120 + 2) * mbit(6);
    assert!(held <= most && held >= most - 5 * mbit(6), "{held} of at most {most}");
    assert_eq!(world.player.unwrap().stalls, []);
}

#[test]
fn a_paused_fetch_goes_on_where_it_was() {
    let mut world = World::cinema(10, 60);
    world.neighbours(5, mbit(4));
    world.run(secs(1.0));
    world.tell(Event::Pause(true));
    world.run(secs(10.0));
    assert_eq!(world.schedule.statistics(world.now).requests, 0);
    assert_eq!(world.schedule.why_waiting(world.now).unwrap().to_string(), "fetching is paused");
    world.tell(Event::Pause(false));
    world.run(secs(80.0));
    assert!(world.player.unwrap().ended);
}
