//! Knows who holds what, and lists neighbours first (用户资源跟踪服务器).
//!
//! The source document gives the tracker three parts: information acquisition, computing and sending. The
//! first and the last are [`server`]; computing is the [`Swarm`], which is pure: the clock and the dice are
//! passed in, and nothing in it waits. Between the two stands the [`GroupTable`], from which an observed
//! address becomes a network group (R2).
//!
//! | Module | What it holds |
//! | --- | --- |
//! | [`swarm`] | who holds what, by group; leases; the 40–50 rule (R3) |
//! | [`top_up`] | how a list is filled from other groups: nearest, best, random, mixed |
//! | [`group_table`] | address prefix → group, read from CSV |
//! | [`pace`] | how often one address may ask |
//! | [`server`] | calls in, answers out |

pub mod group_table;
mod holders;
mod listing;
mod node;
pub mod pace;
pub mod server;
pub mod swarm;
pub mod top_up;

pub use group_table::{GroupTable, GroupTableError, Place};
pub use swarm::{Rules, RulesError, Swarm};
pub use top_up::TopUp;
