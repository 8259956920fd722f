//! The real app on a display of its own, used as a person would use it.
//!
//! It has to be built before: `scripts/screen build`, then `cargo build --workspace --bins`; `make test` does.

mod app;
mod clicked;
mod manners;
mod shared;
mod silence;
mod watching;
