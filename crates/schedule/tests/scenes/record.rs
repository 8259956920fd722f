//! The log: whole, bounded, and the same again.

use nearcast_protocol::{Blocks, Geometry, Group};
use nearcast_schedule::{
    Action, Divergence, Entry, Event, Fetch, Film, Peer, Reader, RequestId, Schedule, replay,
};

use crate::world::{Node, OTHER, World, mbit, secs};

fn eventful(seed: u64) -> Vec<Entry> {
    let mut world = World::cinema(seed, 60);
    let peers = world.neighbours(4, mbit(2));
    world.join(Node { breaks_off: 50, ..Node::at(mbit(3)).of(OTHER) });
    let frozen = peers[1];
    world.at(secs(2.0), move |world| world.change(frozen, |node| node.frozen = true));
    world.at(secs(9.0), move |world| world.leave(frozen));
    world.at(secs(5.0), |world| world.tell(Event::Playback { reader: Reader(1), rate: 1.37 }));
    world.at(secs(6.0), |world| world.tell(Event::Lost((3..9).into())));
    world.run(secs(20.0));
    world.entries
}

#[test]
fn a_log_written_as_json_lines_replays() {
    let lines: Vec<_> = eventful(1).iter().map(|entry| serde_json::to_string(entry).unwrap()).collect();
    assert!(lines.len() > 1000);
    assert!(lines.iter().all(|line| !line.contains('\n')));
    let entries: Vec<Entry> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(replay(entries), Ok(()));
}

#[test]
fn the_same_seed_gives_the_same_log_and_another_seed_another() {
    assert_eq!(eventful(2), eventful(2));
    assert_ne!(eventful(2), eventful(3));
}

#[test]
fn a_changed_log_diverges_where_it_was_changed() {
    let mut entries = eventful(4);
    let at = entries.len() / 2;
    let (index, action) = entries
        .iter_mut()
        .enumerate()
        .skip(at)
        .find_map(|(index, entry)| match entry {
            Entry::Action { action: action @ Action::Request { .. }, .. } => Some((index, action)),
            _ => None,
        })
        .unwrap();
    *action = Action::Cancel { peer: Peer(77), request: RequestId(77) };
    assert!(matches!(replay(entries.clone()), Err(Divergence::Differs { entry, .. }) if entry == index));
    entries.remove(index);
    assert!(matches!(replay(entries.clone()), Err(Divergence::Differs { .. })));
    assert_eq!(replay(entries.split_off(1)), Err(Divergence::NoBeginning));
}

fn schedule(count: u64) -> Schedule {
    let film = Film {
        geometry: Geometry::new(count * 16 * 1024),
        bit_rate: None,
        size_proved: true,
        held: Blocks::new(),
        own_group: Group(1),
        own_name: 0,
    };
    Schedule::new(film, Fetch::Whole, 0)
}

#[test]
fn a_log_that_nobody_reads_forgets_its_beginning_and_says_so() {
    let mut schedule = schedule(10);
    for block in 0..200_000u64 {
        schedule.handle(secs(1.0), Event::Held((block % 10..block % 10 + 1).into()));
    }
    let entries = schedule.log();
    assert!(entries.len() <= 16 * 1024);
    assert!(matches!(entries[0], Entry::Forgotten(forgotten) if forgotten > 100_000));
    assert_eq!(replay(entries), Err(Divergence::NoBeginning));
    assert_eq!(schedule.log(), []);
}

#[test]
fn what_is_said_of_strangers_is_harmless() {
    let mut schedule = schedule(10);
    let (peer, request, reader) = (Peer(9), RequestId(9), Reader(9));
    let all: Blocks = (0..u64::MAX).into();
    for event in [
        Event::PeerHas { peer, blocks: all.clone() },
        Event::PeerLost { peer, blocks: all.clone() },
        Event::PeerLeft { peer },
        Event::Progress { peer, request, bytes: u64::MAX },
        Event::Verified { peer, request, blocks: (2..3).into() },
        Event::ReaderClosed { reader },
        Event::Playback { reader, rate: f64::NAN },
        Event::Reading { reader, bytes: 5..u64::MAX, waiting: true },
        Event::BitRate(0),
        Event::Held(all.clone()),
        Event::Lost(all),
    ] {
        schedule.handle(secs(1.0), event);
        while schedule.poll(secs(1.0)).is_some() {}
    }
    assert!(schedule.held().is_empty());
    assert!(schedule.why_waiting(secs(2.0)).is_some());
}
