//! The transfer controller (传输控制端): finds, fetches, verifies, stores and serves resources.
//!
//! A [`Controller`] owns one network node, one library and one [`Transfer`] per resource in use. Each
//! transfer is a task that feeds the pure schedule with what happens and does what it decides:
//!
//! ```text
//! tracker ── peer list ──▶ drive ◀── position ── Reader ◀── player, local HTTP address
//!                          │   ▲                    ▲
//!                    request   verified             │ bytes
//!                          ▼   │                    │
//!                        session ── accept ──▶ store (disk or memory)
//! ```
//!
//! The two faces of the source document are [`Reader`] and [`local`] (第一接口, the player interface) and
//! [`session`] (第二接口, the network interface). Whatever is held is served to whoever asks, while it is
//! fetched and after (R5).

mod access;
mod acquaintances;
mod answers;
mod bounds;
pub mod controller;
mod dialling;
mod drive;
mod finding;
mod follow;
mod length;
mod load;
pub mod local;
mod meeting;
mod meter;
pub mod plain;
pub mod progress;
pub mod rate;
pub mod reader;
mod renewing;
pub mod resolve;
mod served;
mod session;
mod trace;
pub mod trackers;
mod tracking;
pub mod transfer;
mod upload;
mod web;

pub use nearcast_schedule::{Fetch, Wait};

pub use access::Protect;
pub use controller::{Controller, ControllerError, Keep, Settings};
pub use load::LoadRules;
pub use progress::{Progress, Stopped, WebSource};
pub use reader::{Interrupted, ReadError, Reader};
pub use resolve::{ResolveError, Resolved};
pub use served::Served;
pub use trackers::Trackers;
pub use tracking::{Reached, TrackerState};
pub use transfer::Transfer;
pub use web::PrivateSources;
