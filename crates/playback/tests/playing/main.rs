//! Films played for real: made by GStreamer, read through the source element, shown to sinks on the clock.
//!
//! Nothing here asserts how fast anything is; the limits in [`watching`] only end a test that hangs.

mod clips;
mod formats;
mod slow;
mod starving;
mod steering;
mod watching;
mod wrong;
