//! The terminal without a window. One program, so that there is less to link.

// What a test can't do without ends it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod headless;
mod rig;
mod sharing;
