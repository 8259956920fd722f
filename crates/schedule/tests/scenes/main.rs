//! Scenes from the life of a schedule, played in virtual time.

// All of this is a test; clippy only knows the functions that say so.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod faults;
mod groups;
mod player;
mod playing;
mod promises;
mod record;
mod room;
mod sharing;
mod sources;
mod storm;
mod world;
