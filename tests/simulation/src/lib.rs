//! The shipped scheduler and swarm on a virtual clock, with thousands of viewers.
//!
//! [`run`] plays a [`Scenario`], the same file that the lab plays with real processes, and returns its
//! [`Figures`]. Every node has the [`nearcast_schedule::Schedule`] as it is shipped, and all ask the
//! [`nearcast_tracker::Swarm`] as it is shipped; what lies between them, `transfer`'s sessions and the
//! network, is imitated. There is no thread, no socket and no real clock, so that a seed gives the same run
//! byte for byte.
//!
//! Two baselines, [`Brain::Sequential`] and [`Brain::Rarest`], play the same scenarios.
//!
//! # What is imitated, and how
//!
//! * A fragment of 32 KiB goes through its sender's uplink, its network's border, the other network's border
//!   and its receiver's downlink; each carries one fragment after another at its rate, and none is ever
//!   lost. Loss and jitter of a scenario are ignored. 4 % more than the film's bytes go over a line.
//! * An uplink serves its peers in turn, a fragment each; of one peer's requests the most urgent class goes
//!   first, then the earliest deadline.
//! * Words between peers (requests, cancels, what is held) take the way's delay and no place on a line.
//! * A node behind address translation can dial, and can't be dialled. The lab's translators are kinder.
//! * While a way is cut its connections stay: what is on it waits, and goes on some time after it is healed.
//! * A node serves fifty streams and refuses more (R7 a). R7 b, which is up to publishers, isn't imitated.
//! * Queues on lines have no end: what is asked for in vain stands in the way of what follows, as on a line
//!   with a large buffer.
//! * A killed node's connections break at once. The tracker isn't told; its lease runs out.
//! * The tracker stands in the middle, beyond every border.
//! * A viewer who is through goes on fetching the rest, and giving.
//!
//! | Module | What it holds |
//! | --- | --- |
//! | `world` | the nodes and what happens between them, in order of time |
//! | `brain`, `baseline` | who decides: the shipped schedule, and two written from descriptions |
//! | `player` | a viewer and a stopwatch |
//! | `tracker`, `finding`, `contacts` | who is asked for peers, and who is dialled |
//! | `node`, `upload`, `line` | what a node is, serves, and is connected by |
//! | `agenda`, `digest` | what comes next; one number for all that was |
//! | `figures` | [`Figures`] |

mod agenda;
mod baseline;
mod brain;
mod contacts;
mod digest;
mod figures;
mod finding;
mod line;
mod node;
mod player;
mod tracker;
mod upload;
mod world;

use std::time::Duration;

pub use brain::Brain;
pub use figures::{Figures, NetworkFigures, Quantiles, Seek, ViewerFigures};
use nearcast_scenario::Scenario;

/// Plays a scenario.
pub fn run(scenario: &Scenario, brain: Brain, seed: u64) -> Figures {
    world::World::new(scenario, brain, seed).run(|_, _| ())
}

/// Plays a scenario, and tells now and then what time it is in it and how many still watch.
pub fn run_telling(
    scenario: &Scenario,
    brain: Brain,
    seed: u64,
    progress: impl FnMut(Duration, usize),
) -> Figures {
    world::World::new(scenario, brain, seed).run(progress)
}
