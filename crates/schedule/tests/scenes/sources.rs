//! Web sources: asked for what no peer has in time, and for nothing else.

use nearcast_schedule::Fetch;

use crate::world::{Node, OTHER, World, mbit, secs};

#[test]
fn a_source_beside_peers_who_keep_up_gives_next_to_nothing() {
    let mut world = World::cinema(21, 60);
    world.neighbours(4, mbit(5));
    world.run(secs(0.7));
    world.join(Node::at(mbit(100)).web());
    world.run(secs(70.0));
    assert!(world.schedule.complete());
    let statistics = world.schedule.statistics(world.now);
    let share = statistics.web as f64 / (60 * mbit(6)) as f64;
    assert!(share <= 0.02, "{share}");
    assert_eq!(world.player.unwrap().stalls, []);
}

#[test]
fn a_source_takes_over_when_the_peers_are_gone() {
    let mut world = World::cinema(22, 60);
    let peers = [world.join(Node::at(mbit(10))), world.join(Node::at(mbit(10)).of(OTHER).publisher())];
    world.join(Node::at(mbit(20)).web());
    world.run(secs(10.0));
    for peer in peers {
        world.leave(peer);
    }
    world.run(secs(70.0));
    assert!(world.schedule.complete());
    assert!(world.schedule.statistics(world.now).web > 0);
    assert_eq!(world.player.unwrap().stalls, []);
}

#[test]
fn what_nobody_has_comes_from_the_source_without_a_viewer_too() {
    let mut world = World::new(23, 40 * mbit(6), mbit(6), Fetch::Whole);
    let half = world.geometry.count() / 2;
    world.join(Node::at(mbit(20)).having(0..half));
    world.join(Node::at(mbit(20)).web());
    world.run(secs(60.0));
    assert!(world.schedule.complete());
    let expected = world.geometry.size() - half * 16 * 1024;
    assert_eq!(world.schedule.statistics(world.now).web, expected);
}
