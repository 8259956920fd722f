//! Members of a group share the work of bringing a film in, and no member's word holds another up.

use std::ops::Range;

use nearcast_protocol::{Blocks, Geometry, Role};
use nearcast_schedule::{Action, Event, Fetch, Film, Peer, Schedule};

use crate::world::{Node, OTHER, OWN, World, mbit, secs};

/// Two schedules of one group, each with the other and a publisher connected, that fetch the whole film: how
/// many blocks each asks the publisher for.
fn asked_by_both(names: [u64; 2], count: u64) -> [u64; 2] {
    let mut both = [0, 1].map(|own| {
        let film = Film {
            geometry: Geometry::new(count * 16 * 1024),
            bit_rate: Some(6_000_000),
            size_proved: true,
            held: Blocks::new(),
            own_group: OWN,
            own_name: names[own],
        };
        let mut schedule = Schedule::new(film, Fetch::Whole, own as u64);
        let join = |peer, group, role, name| Event::PeerJoined { peer, group, role, local: false, name };
        schedule.handle(secs(0.0), join(OTHER_ONE, OWN, Role::Terminal, names[1 - own]));
        schedule.handle(secs(0.0), join(SOURCE, OTHER, Role::Publisher, 77));
        schedule.handle(secs(0.0), Event::PeerHas { peer: SOURCE, blocks: (0..count).into() });
        schedule
    });
    let mut asked = [0, 0];
    let mut at = secs(0.0);
    while at < secs(30.0) && both.iter().any(|schedule| !schedule.complete()) {
        let next = at + secs(0.002);
        // What each is told comes with the next step, so that neither is ahead of the other.
        let mut told: [Vec<Event>; 2] = Default::default();
        for own in [0, 1] {
            while let Some(action) = both[own].poll(at) {
                match action {
                    Action::Import { blocks } => {
                        told[1 - own].push(Event::PeerImports { peer: OTHER_ONE, blocks });
                    }
                    Action::Request { peer, request, blocks, .. } => {
                        asked[own] += if peer == SOURCE { blocks.end - blocks.start } else { 0 };
                        let blocks: Blocks = blocks.into();
                        let bytes = blocks.count() * 16 * 1024;
                        told[1 - own].push(Event::PeerHas { peer: OTHER_ONE, blocks: blocks.clone() });
                        told[own].push(Event::Progress { peer, request, bytes });
                        told[own].push(Event::Verified { peer, request, blocks });
                    }
                    Action::Cancel { .. } | Action::Forget { .. } | Action::WakeAt(_) => {}
                }
            }
        }
        for (schedule, events) in both.iter_mut().zip(told) {
            events.into_iter().for_each(|event| schedule.handle(next, event));
        }
        at = next;
    }
    assert!(both.iter().all(Schedule::complete), "{asked:?}");
    asked
}

const OTHER_ONE: Peer = Peer(1);
const SOURCE: Peer = Peer(2);

#[test]
fn two_members_fetch_the_whole_film_between_them_and_hardly_anything_twice() {
    for seed in 0..20 {
        let count = 1600;
        let [one, other] = asked_by_both([seed * 7919 + 1, seed * 104_729 + 2], count);
        // Before the first word of the other each may have begun a few segments.
        assert!(one + other <= count + count / 20, "{one} and {other} of {count}");
        assert!(one > count / 5 && other > count / 5, "{one} and {other} of {count}");
    }
}

/// A viewer, a publisher far away, and a member of the own group that has nothing and claims everything, again
/// and again.
fn with_a_claimer(seed: u64, claims: bool) -> World {
    let mut world = World::cinema(seed, 60);
    world.join(Node::at(mbit(20)).of(OTHER).publisher());
    let claimer = world.join(Node::at(mbit(20)).having(0..0));
    for tenth in 0..600 {
        world.at(secs(f64::from(tenth) / 10.0), move |world| {
            if claims {
                world.tell(Event::PeerImports { peer: claimer, blocks: 0..u64::MAX });
            }
        });
    }
    world
}

#[test]
fn a_liar_who_claims_everything_costs_less_than_a_lease() {
    for seed in 0..10 {
        let [honest, lied_to] = [false, true].map(|claims| {
            let mut world = with_a_claimer(seed, claims);
            world.run(secs(70.0));
            assert!(world.player.as_ref().unwrap().ended);
            world.player.take().unwrap()
        });
        assert!(lied_to.runs[0] <= honest.runs[0] + secs(2.0), "{:?} {:?}", lied_to.runs, honest.runs);
        assert_eq!(lied_to.stalls, []);
    }
}

#[test]
fn what_a_member_brings_is_left_to_it_while_it_brings_it() {
    let mut world = World::cinema(3, 60);
    world.join(Node::at(mbit(50)).of(OTHER).publisher());
    let importer = world.join(Node::at(mbit(50)).having(0..0));
    // It brings what lies ten seconds ahead, a quarter every 400 ms, and says so before.
    let first = (10 * mbit(6) / (16 * 1024)).next_multiple_of(16);
    let claimed = first..first + 128;
    for step in 0..4 {
        let (told, run) = (claimed.clone(), first + 32 * step..first + 32 * (step + 1));
        world.at(secs(0.4 * step as f64), move |world| {
            world.tell(Event::PeerImports { peer: importer, blocks: told });
        });
        world.at(secs(0.4 * step as f64 + 0.39), move |world| world.gain(importer, run));
    }
    world.run(secs(62.0));
    assert_eq!(world.player.as_ref().unwrap().stalls, []);
    let within = |run: &Range<u64>| run.start < claimed.end && claimed.start < run.end;
    let asked = world.requests();
    let asked: Vec<_> = asked.iter().filter(|(_, run)| within(run)).collect();
    assert!(!asked.is_empty() && asked.iter().all(|(peer, _)| *peer == importer), "{asked:?}");
}

#[test]
fn a_member_that_fetches_nothing_takes_no_turns() {
    let fetched = |idle: bool| {
        let mut world = World::new(4, 40 * mbit(6), mbit(6), Fetch::Whole);
        world.join(Node::at(mbit(20)).of(OTHER).publisher());
        for _ in 0..if idle { 3 } else { 0 } {
            world.join(Node::at(mbit(20)).having(0..10));
        }
        world.run_while(secs(120.0), |world| !world.schedule.complete());
        assert!(world.schedule.complete());
        world.now
    };
    assert!(fetched(true) <= fetched(false) + secs(0.5), "{:?} {:?}", fetched(true), fetched(false));
}
