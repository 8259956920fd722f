//! Members of a group share the work of bringing a film in, and no member's word holds another up.

use std::ops::Range;

use nearcast_protocol::{Blocks, Geometry, Role};
use nearcast_schedule::{Action, Event, Fetch, Film, Peer, Schedule};

use crate::world::{Node, OTHER, OWN, World, mbit, secs};

/// Two schedules of one group, each with the other and a publisher connected, that have the whole film in
/// mind; what each asks the publisher for before anything has come.
fn asked_by_both(names: [u64; 2], count: u64) -> [Blocks; 2] {
    [0, 1].map(|own| {
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
        schedule.handle(secs(0.0), join(Peer(1), OWN, Role::Terminal, names[1 - own]));
        schedule.handle(secs(0.0), join(Peer(2), OTHER, Role::Publisher, 77));
        schedule.handle(secs(0.0), Event::PeerHas { peer: Peer(2), blocks: (0..count).into() });
        let mut asked = Blocks::new();
        let mut at = secs(0.0);
        // Each answer makes room for the next request.
        for _ in 0..400 {
            let mut answered = Vec::new();
            while let Some(action) = schedule.poll(at) {
                if let Action::Request { peer, request, blocks, .. } = action {
                    assert_eq!(peer, Peer(2), "only the publisher has anything");
                    asked.insert(blocks.clone());
                    answered.push((peer, request, blocks));
                }
            }
            at += secs(0.002);
            for (peer, request, blocks) in answered {
                let bytes = (blocks.end - blocks.start) * 16 * 1024;
                schedule.handle(at, Event::Progress { peer, request, bytes });
                schedule.handle(at, Event::Verified { peer, request, blocks: blocks.into() });
            }
        }
        asked
    })
}

#[test]
fn two_members_fetch_the_whole_film_between_them_and_nothing_twice() {
    for seed in 0..20 {
        let count = 1600;
        let [one, other] = asked_by_both([seed * 7919 + 1, seed * 104_729 + 2], count);
        assert_eq!(one.intersection(&other).count(), 0);
        assert_eq!(one.union(&other).count(), count);
        assert!(one.count() > count / 4 && other.count() > count / 4, "{} {}", one.count(), other.count());
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
