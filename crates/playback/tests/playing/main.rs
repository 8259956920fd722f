//! Films played for real: made by GStreamer, read through the source element, shown to sinks on the clock.
//!
//! Nothing here asserts how fast anything is; the limits in [`watching`] only end a test that hangs.

// What a test can't do without ends it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod choosing;
mod clips;
mod formats;
mod slow;
mod starving;
mod steering;
mod watching;
mod wrong;
