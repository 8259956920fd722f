//! A film that is larger than the room for it.

use nearcast_protocol::{BLOCK_BYTES, Blocks};
use nearcast_schedule::{Entry, Event};
use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};

use crate::world::{Node, OTHER, World, mbit, secs};

const MEBI: u64 = 1024 * 1024;

/// Blocks that are held or on their way.
fn taken(world: &World) -> u64 {
    let way: Blocks = world.on_the_way().cloned().collect();
    way.union(world.schedule.held()).count()
}

/// Runs, and sees at each step that the room isn't overstepped.
fn run_within(world: &mut World, until: f64, room: u64) {
    while world.now < secs(until) {
        world.run(world.now + secs(0.05));
        let taken = taken(world) * BLOCK_BYTES;
        assert!(taken <= room, "{taken} bytes in a room of {room} at {:?}", world.now);
    }
}

#[test]
fn a_film_plays_to_its_end_in_a_fifth_of_its_size() {
    let mut world = World::cinema(41, 120);
    world.tell(Event::Room(Some(18 * MEBI)));
    world.neighbours(3, mbit(6));
    run_within(&mut world, 130.0, 18 * MEBI);
    let player = world.player.as_ref().unwrap();
    assert!(player.ended && player.stalls.is_empty(), "{:?}", player.stalls);
    // Each block was asked for once, and what didn't fit went.
    assert!(world.asked <= world.geometry.count() + world.broken, "{} asked", world.asked);
    let gone = world.forgotten.count() * BLOCK_BYTES;
    assert!(gone > 60 * MEBI, "{gone}");
}

#[test]
fn two_players_at_different_places_share_the_room() {
    let mut world = World::cinema(42, 120);
    world.tell(Event::Room(Some(20 * MEBI)));
    world.neighbours(4, mbit(8));
    world.run(secs(2.0));
    // Another one reads on in the second half.
    let reader = nearcast_schedule::Reader(2);
    world.tell(Event::ReaderOpened { reader });
    let (start, step) = (60 * mbit(6), 65_536);
    for read in 0..600 {
        let at = start + read * step;
        let held = world.schedule.held().contains_run(world.geometry.covering(at..at + step));
        world.tell(Event::Reading { reader, bytes: at..at + step, waiting: !held });
        if read > 20 {
            assert!(held, "read {read} of the second reader waits");
        }
        run_within(&mut world, 2.0 + (read + 1) as f64 * step as f64 / mbit(6) as f64, 20 * MEBI);
    }
    assert!(world.player.as_ref().unwrap().stalls.is_empty());
}

#[test]
fn whoever_reads_as_fast_as_it_can_gets_everything_once() {
    let mut world = World::new(45, 90 * MEBI, mbit(6), nearcast_schedule::Fetch::AroundPlayhead);
    world.tell(Event::Room(Some(24 * MEBI)));
    world.neighbours(2, mbit(2000));
    let reader = nearcast_schedule::Reader(1);
    world.tell(Event::ReaderOpened { reader });
    let mut asked = 0;
    // All of it, then a jump into the middle.
    for (start, end) in [(0, 90 * MEBI), (40 * MEBI, 70 * MEBI), (0, 10 * MEBI)] {
        let mut at = start;
        while at < end {
            let bytes = at..at + MEBI;
            while !world.schedule.held().contains_run(world.geometry.covering(bytes.clone())) {
                world.tell(Event::Reading { reader, bytes: bytes.clone(), waiting: true });
                assert!(world.now < secs(120.0), "{at}");
                let soon = world.now.as_secs_f64() + 0.05;
                run_within(&mut world, soon, 24 * MEBI);
            }
            world.tell(Event::Reading { reader, bytes: bytes.clone(), waiting: false });
            at = bytes.end;
        }
        asked += end - start;
    }
    // What was ahead at a jump is the only loss.
    let most = asked / BLOCK_BYTES + 2 * 18 * 64 + world.broken;
    assert!(world.asked <= most, "{} of {most} asked", world.asked);
}

#[test]
fn what_the_group_has_most_of_goes_first() {
    let mut world = World::cinema(43, 120);
    let count = world.geometry.count();
    world.join(Node::at(mbit(50)).of(OTHER));
    // Of the first 640 blocks a neighbour has every other 160.
    let neighbour = world.join(Node::at(mbit(20)).having(0..160));
    world.gain(neighbour, 320..480);
    world.run(secs(4.0));
    world.player.as_mut().unwrap().seek(world.now, (count / 2) * BLOCK_BYTES);
    world.run(secs(12.0));
    assert!(world.schedule.held().contains_run(4..640), "{:?}", world.schedule.held());
    world.tell(Event::Room(Some(count / 2 * BLOCK_BYTES)));
    world.run(secs(12.1));
    let gone = world.forgotten.clone();
    let of = |run: std::ops::Range<u64>| Blocks::from(run).intersection(&gone).count();
    assert!(of(16..160) == 144 && of(320..480) == 160, "{gone:?}");
}

#[test]
fn a_room_that_grows_lets_the_rest_come() {
    let mut world = World::cinema(44, 60);
    world.tell(Event::Room(Some(17 * MEBI)));
    world.neighbours(3, mbit(20));
    run_within(&mut world, 10.0, 17 * MEBI);
    world.tell(Event::Room(None));
    world.run(secs(60.0));
    assert!(world.schedule.complete());
    let forgets = world.entries.iter().filter(|entry| {
        matches!(entry, Entry::Action { action: nearcast_schedule::Action::Forget { .. }, .. })
    });
    let forgets = forgets.count();
    assert!(forgets < 60, "{forgets}: in lumps, not block by block");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn wherever_a_viewer_jumps_the_room_holds_and_the_picture_comes(
        seed in any::<u64>(), room in 16u64..40, jumps in proptest::collection::vec(0u64..60, 1..8),
    ) {
        let mut world = World::cinema(seed, 60);
        world.tell(Event::Room(Some(room * MEBI)));
        world.neighbours(3, mbit(9));
        run_within(&mut world, 3.0, room * MEBI);
        for jump in jumps {
            let before = world.player.as_ref().unwrap().pictures.len();
            let now = world.now;
            world.player.as_mut().unwrap().seek(now, jump * mbit(6));
            run_within(&mut world, (now + secs(4.0)).as_secs_f64(), room * MEBI);
            prop_assert!(world.player.as_ref().unwrap().pictures.len() > before);
        }
    }
}
