//! The tracker: its rules alone, its server among real nodes, and the program as an operator has it. One program,
//! so that there is less to link; every test has addresses of its own on loopback.

#![allow(clippy::unwrap_used, clippy::panic)]

mod any_bytes;
mod datagrams;
mod dial_back;
mod hostile;
mod introductions;
mod model;
#[cfg(unix)]
mod operating;
mod over_the_network;
mod program;
#[cfg(unix)]
mod reload;
mod rule_three;
#[cfg(unix)]
mod running;
#[cfg(unix)]
mod signals;
