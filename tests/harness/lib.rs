//! Starting the real programs on loopback, and waiting for what they say.
//!
//! Everything binds addresses in 127.0.0.0/8, so that one machine holds several networks: the demo's group
//! table makes `127.1.0.0/16`, `127.2.0.0/16` and `127.3.0.0/16` three of them. Nothing waits for a time:
//! a program is ready when it has said so.

mod display;
mod film;
mod program;
mod swarm;
mod window;

pub use display::Display;
pub use film::{Film, film, random_file};
pub use program::{PATIENCE, Program, binary, run};
pub use swarm::{Neighbour, Publisher, Tracker, groups};
pub use window::Window;
