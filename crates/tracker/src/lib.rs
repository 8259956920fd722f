//! Knows who holds what, and lists neighbours first (用户资源跟踪服务器).
//!
//! The source document gives the tracker three parts: information acquisition, computing and sending. The
//! first and the last are the [`Server`]; computing is the [`Swarm`], which is pure: the clock and the dice
//! are passed in, and nothing in it waits. Between the two stands the [`GroupTable`], by which an observed
//! address becomes a network group (R2).
//!
//! ```text
//! call → Server (pace, group of the address) → Swarm (leases, counts, R3) → answer
//! ```
//!
//! A node has one lease, however much it holds, and what it holds dies with the lease. Counts are kept, not
//! made: R3 and R7 (b) turn on exact numbers, and no question looks through a swarm to get them.
//!
//! | Module | What it holds |
//! | --- | --- |
//! | [`rules`] | the 40–50 rule's numbers, leases, limits |
//! | [`swarm`] | [`Swarm`]: who holds what, leases, claims |
//! | [`listing`] | R3 itself: [`Listing`], a list whose peers are still in the memory |
//! | [`bridges`] | links out of a group that stands still |
//! | [`top_up`] | how a list is filled from other groups: nearest, best, random, mixed |
//! | `distances` | how far networks are from one another |
//! | [`regroup`] | giving nodes new groups, a few at a time |
//! | `nodes`, `node`, `identity`, `home` | what is remembered of a node, and where it is at home |
//! | `resources`, `holders`, `holder` | who holds a resource, sorted and counted by home |
//! | `wheel` | when leases end |
//! | `index`, `lists` | numbers for keys; many short lists in one piece of memory |
//! | `claims` | which URL stands for which link |
//! | `guarding` | protected resources: tokens, and the ids of their swarms |
//! | [`group_table`] | [`GroupTable`]: address prefix → group, read from CSV |
//! | [`access`] | [`Access`]: the films that alone are tracked, and what is denied |
//! | [`limits`], [`pace`], `prefix` | how often one address may ask, for how much, with how many nodes |
//! | [`purge`] | forgetting what is denied, a few nodes at a time |
//! | [`survey`] | the films and networks that a status page shows |
//! | [`snapshot`] | what is remembered, saved to a file and read from it |
//! | [`metrics`] | [`Metrics`]: what is counted |
//! | [`datagrams`] | leases renewed without a connection |
//! | [`dial_back`], `dialled` | whether nodes can be dialled from outside, found out by dialling them |
//! | `introductions` | two nodes told of one another, so that both dial at once |
//! | [`server`] | [`Server`]: calls in, answers out |

pub mod access;
pub mod bridges;
mod claims;
pub mod datagrams;
pub mod dial_back;
mod dialled;
mod distances;
pub mod group_table;
mod guarding;
mod holder;
mod holders;
mod home;
mod identity;
mod index;
mod introductions;
pub mod limits;
pub mod listing;
mod lists;
pub mod metrics;
mod node;
mod nodes;
pub mod pace;
mod prefix;
pub mod purge;
pub mod regroup;
mod resources;
pub mod rules;
pub mod server;
pub mod snapshot;
pub mod survey;
pub mod swarm;
pub mod top_up;
mod wheel;

pub use access::{Access, AccessError};
pub use bridges::BridgePolicy;
pub use group_table::{BadLines, GroupTable, GroupTableError, Place};
pub use limits::{Limits, LimitsError};
pub use listing::{Listed, Listing};
pub use metrics::{Counted, Extent, Metrics};
pub use purge::Purging;
pub use regroup::Regrouping;
pub use rules::{MAX_PER_NODE, Rules, RulesError};
pub use server::Server;
pub use snapshot::{Restored, SnapshotError};
pub use survey::Survey;
pub use swarm::{Caller, Swarm};
pub use top_up::TopUp;
