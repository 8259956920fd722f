//! Who is asked: the own group first, publishers last.

use nearcast_protocol::{Group, Role};
use nearcast_schedule::{Event, Fetch};

use crate::world::{Node, OTHER, World, mbit, secs};

#[test]
fn a_group_with_plenty_keeps_to_itself() {
    let mut world = World::cinema(1, 60);
    world.neighbours(5, mbit(20));
    for _ in 0..5 {
        world.join(Node::at(mbit(50)).of(OTHER));
    }
    world.join(Node::at(mbit(50)).of(OTHER).publisher());
    world.run(secs(1.0));
    let start = world.schedule.statistics(world.now);
    world.run(secs(70.0));
    let end = world.schedule.statistics(world.now);
    assert_eq!(end.other_groups, start.other_groups);
    assert_eq!(end.publishers, start.publishers);
    assert!(start.other_groups + start.publishers <= mbit(6) / 2, "{start:?}");
    assert!(world.schedule.complete());
    assert_eq!(world.player.unwrap().stalls, []);
}

#[test]
fn a_group_that_cannot_keep_up_is_helped_and_no_more() {
    let mut world = World::cinema(2, 120);
    world.neighbours(2, mbit(2));
    for _ in 0..3 {
        world.join(Node::at(mbit(10)).of(OTHER));
    }
    world.run(secs(125.0));
    let view = world.player.take().unwrap();
    let statistics = world.schedule.statistics(world.now);
    assert_eq!(view.stalls, []);
    // The group can give 4 of the 6 Mbit/s.
    let share = statistics.own_group as f64 / (120 * mbit(6)) as f64;
    assert!(share >= 0.55, "{share}");
    assert_eq!(statistics.publishers, 0);
}

#[test]
fn a_part_that_only_others_have_comes_from_them() {
    let mut world = World::new(3, 40 * mbit(6), mbit(6), Fetch::Whole);
    let half = world.geometry.count() / 2;
    world.join(Node::at(mbit(20)).having(0..half));
    world.join(Node::at(mbit(20)).of(OTHER));
    world.run(secs(60.0));
    assert!(world.schedule.complete());
    let statistics = world.schedule.statistics(world.now);
    let expected = world.geometry.size() - half * 16 * 1024;
    assert_eq!(statistics.other_groups, expected);
}

#[test]
fn the_publisher_gives_all_if_it_is_alone() {
    let mut world = World::cinema(4, 60);
    world.join(Node::at(mbit(12)).of(OTHER).publisher());
    world.run(secs(70.0));
    let view = world.player.take().unwrap();
    assert!(view.pictures[0] <= secs(0.5), "{:?}", view.pictures);
    assert_eq!(view.stalls, []);
    assert_eq!(world.schedule.statistics(world.now).publishers, world.geometry.size());
}

#[test]
fn unknown_groups_are_no_group_but_a_local_peer_is_a_neighbour() {
    let mut world = World::new(5, 20 * mbit(6), mbit(6), Fetch::Whole);
    world.tell(Event::Group(Group::UNKNOWN));
    let local = world.join(Node::at(mbit(5)).of(Group::UNKNOWN));
    world.tell(Event::PeerJoined {
        peer: local,
        group: Group::UNKNOWN,
        role: Role::Terminal,
        local: true,
        name: 1,
    });
    let stranger = world.join(Node::at(mbit(50)).of(Group::UNKNOWN));
    world.run(secs(60.0));
    let statistics = world.schedule.statistics(world.now);
    let given = |peer| statistics.peers.iter().find(|other| other.peer == peer).unwrap().given;
    assert_eq!(given(local), world.geometry.size() - given(stranger));
    assert!(given(stranger) <= 16 * 1024, "at most the proof of the size");
}
