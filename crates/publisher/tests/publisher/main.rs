//! The publisher: its library, what it gives, and the programs as an operator and a visitor meet them. One program,
//! so that there is less to link.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod given;
mod library;
#[cfg(feature = "posters")]
mod pictures;
mod program;
mod site;
mod starting;
