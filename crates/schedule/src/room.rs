//! How much of the film may be held at once.
//!
//! Where the film doesn't fit, only the readers' windows are fetched, cut to share three quarters of the room,
//! and what they have left behind goes to make room for what they come to. What goes first is what others of the
//! group hold most often: they have it to give, and nobody misses this copy.

use std::{cmp::Reverse, ops::Range, time::Duration};

use nearcast_protocol::{BLOCK_BYTES, Blocks};

use crate::{
    action::{Action, Because},
    assign::Pick,
    demand::{Lane, PREFETCH, Rank},
    import::segment_end,
    rate::bytes_in,
    reader::Cursor,
    schedule::Schedule,
};

/// No room is smaller, in blocks: 16 MiB.
const LEAST: u64 = 1024;
/// What lies so close behind a cursor isn't left behind yet, in bytes.
const BEHIND: u64 = 512 * 1024;
/// A cursor's place with what lies close behind it, and the last reads of it: blocks, at most.
const PLACE: u64 = 96;
/// However many cursors share the room, each has so many blocks ahead.
const AHEAD: u64 = 16;
/// The head has what a player looks at first whenever it opens.
const HEAD: u64 = 4;

fn in_segments(run: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let mut start = run.start;
    std::iter::from_fn(move || {
        let segment = start..segment_end(start).min(run.end);
        start = segment.end;
        (!segment.is_empty()).then_some(segment)
    })
}

/// A room of so many bytes, in blocks.
pub(crate) fn in_blocks(bytes: u64) -> u64 {
    (bytes / BLOCK_BYTES).max(LEAST)
}

impl Schedule {
    /// How many blocks may be held, if not all may.
    pub(crate) fn tight_room(&self) -> Option<u64> {
        self.room.filter(|room| *room < self.geometry.count())
    }

    fn live_cursors(&self) -> impl Iterator<Item = u64> {
        let cursors = self.readers.values().flat_map(|place| &place.cursors);
        cursors.filter(|cursor| cursor.parked.is_none()).map(|cursor| self.lowest(cursor))
    }

    /// Where what a cursor wants begins: in a tight room not far below where it reads on.
    pub(crate) fn lowest(&self, cursor: &Cursor) -> u64 {
        let lowest = cursor.lowest().min(cursor.next);
        let tight = self.tight_room().map(|_| cursor.next.saturating_sub(BEHIND));
        lowest.max(tight.unwrap_or_default())
    }

    /// How far the window of a cursor reaches, in bytes.
    pub(crate) fn window(&self, pace: u64) -> u64 {
        let prefetch = bytes_in(PREFETCH, pace);
        match self.tight_room() {
            None => prefetch,
            Some(room) => {
                let cursors = (self.live_cursors().count() as u64).max(1);
                let share = (room / 4 * 3).saturating_sub(cursors * PLACE) / cursors;
                (share.max(AHEAD) * BLOCK_BYTES).min(prefetch)
            }
        }
    }

    /// Gives up what has to go, so that a little room is free at any time.
    pub(crate) fn make_room(&mut self, now: Duration, lanes: &[Lane]) {
        let Some(room) = self.tight_room() else { return };
        let spare = room / 16;
        let taken = self.taken.count();
        if taken + spare <= room {
            return;
        }
        // Twice as much as must: it isn't looked for at every block.
        let mut over = taken + 2 * spare - room;
        let mut going = Blocks::new();
        for segment in self.least_useful(lanes) {
            if over == 0 {
                break;
            }
            let end = segment.end.min(segment.start + over);
            over -= end - segment.start;
            going.insert(segment.start..end);
        }
        if !going.is_empty() {
            self.held = self.held.difference(&going);
            self.taken = self.taken.difference(&going);
            self.act(now, Action::Forget { blocks: going }, Because::NoRoom);
        }
    }

    /// What may go, in the order in which it goes: what no reader comes to, and if even that is too little, what
    /// one comes to last.
    fn least_useful(&self, lanes: &[Lane]) -> Vec<Range<u64>> {
        let cursors: Vec<u64> = self.live_cursors().collect();
        let around = |behind: u64, ahead: u64| {
            let run =
                move |at: &u64| self.geometry.covering(at.saturating_sub(behind)..at.saturating_add(ahead));
            cursors.iter().map(run).collect::<Vec<_>>()
        };
        let wanted =
            |most: Rank| lanes.iter().filter(move |lane| lane.rank <= most).map(|lane| lane.blocks.clone());
        let at_hand: Blocks = wanted(Rank::Waiting).chain(around(0, AHEAD * BLOCK_BYTES)).collect();
        let ends = [0..HEAD.min(self.geometry.count()), self.tail()];
        let kept: Blocks = wanted(Rank::Window).chain(around(BEHIND, 1)).chain(ends).collect();
        let blocks: Vec<u64> = cursors.iter().map(|at| self.geometry.block_at(*at)).collect();
        let mut segments: Vec<_> =
            [self.held.difference(&kept), self.held.intersection(&kept).difference(&at_hand)]
                .iter()
                .enumerate()
                .flat_map(|(kept, may_go)| {
                    may_go
                        .runs()
                        .flat_map(in_segments)
                        .map(move |segment| (kept, segment))
                        .collect::<Vec<_>>()
                })
                .collect();
        segments.sort_by_cached_key(|(kept, segment)| {
            let near = self.peers.values().filter(|peer| peer.tier(self.own_group) == 0);
            let copies = near.filter(|peer| peer.blocks.contains(segment.start)).count();
            let distance = blocks.iter().map(|at| at.abs_diff(segment.start)).min().unwrap_or(segment.start);
            let ahead = blocks.iter().any(|at| *at <= segment.start);
            (*kept, ahead, Reverse(if *kept == 0 { copies } else { 0 }), Reverse(distance))
        });
        segments.into_iter().map(|(_, segment)| segment).collect()
    }

    /// Cuts a request to what there is room for; nothing if there is none.
    pub(crate) fn fit(&self, mut pick: Pick) -> Option<Pick> {
        if let Some(room) = self.tight_room() {
            let free = room.saturating_sub(self.taken.count());
            // What is asked for a second time is in the room already.
            let new = Blocks::from(pick.blocks.clone()).difference(&self.taken).count();
            if new > free {
                pick.blocks.end = pick.blocks.start + free;
            }
        }
        (!pick.blocks.is_empty()).then_some(pick)
    }
}
