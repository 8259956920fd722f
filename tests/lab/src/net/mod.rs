//! Networks on one machine: namespaces joined by cables, with translators where the scenario wants them.

mod address;
mod cable;
mod far;
mod space;
mod topology;
mod translator;

pub use space::Space;
pub use topology::{Host, Topology};
