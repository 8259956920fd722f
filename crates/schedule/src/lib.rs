//! What to fetch next, from whom, and by when.
//!
//! A [`Schedule`] is told what happened ([`Schedule::handle`]) and asked what to do
//! ([`Schedule::poll`]). It owns no socket, no task, no clock and no dice: the caller passes the time since
//! the schedule began, and a seed. So the same code runs in the player, in a simulation of thousands of
//! viewers, and over a recorded log, with the same decisions to the last byte.
//!
//! It thinks in seconds of media, not in bytes. What a reader waits for is due at once, what follows its
//! cursor is due when the film's bit rate brings the cursor there; `demand` states that as a
//! few *lanes*. Every plan walks the lanes in the order of their deadlines and gives each run of blocks to
//! the peer that would deliver it first, counting what the peers are already busy with *and* what they will
//! be given before it (`assign`). Only what fits into a peer's short pipeline is really asked
//! for; the rest of the walk is thrown away and done again when something has happened. That one walk keeps
//! slow peers away from the playhead, tells early when a network group can't keep up on its own, and leaves
//! nothing to go stale. What was asked for and doesn't come is taken back and given to another peer
//! (`rescue`), as far as what that throws away stays below three hundredths of a minute's bytes (`budget`).
//!
//! It doesn't verify bytes (that is `content`) and doesn't know what a peer's address is (`network`).
//!
//! | Module | What it holds |
//! | --- | --- |
//! | `film`, `event`, `action` | the words: what is fetched, what happened, what to do |
//! | `schedule` | [`Schedule`]: the state, and what each event does to it |
//! | `demand`, `reader` | what is wanted by when; how a cursor is made of reads |
//! | `assign`, `rescue`, `budget` | who is asked; who is asked instead, and what that may cost |
//! | `room` | what goes where the film is larger than the room for it |
//! | `import` | who of a group fetches what into it, so that it comes in once |
//! | `neighbour`, `rate` | what is known of a peer |
//! | `wait`, `statistics` | why the picture waits, in one sentence; how much came from where |
//! | `log`, `recorded` | every event and decision, and their replay |

mod action;
mod assign;
mod budget;
mod demand;
mod event;
mod film;
mod import;
mod log;
mod neighbour;
mod rate;
mod reader;
mod recorded;
mod rescue;
mod room;
mod schedule;
mod statistics;
mod wait;

pub use action::{Action, Because};
pub use event::{Event, Failure};
pub use film::{Fetch, Film, Peer, Reader, RequestId};
pub use import::LEASE;
pub use log::{Divergence, Entry, replay};
pub use schedule::Schedule;
pub use statistics::{PeerStatistics, Statistics};
pub use wait::Wait;
