//! Two schedulers as others describe theirs, to measure the shipped one against.
//!
//! Both are written from descriptions of what existing clients do, not from their code, and both get what
//! those clients have: whole pieces, each asked of one peer at a time, a size that is known, and a tracker
//! that knows nothing of networks.

mod ledger;
mod rarest;
mod sequential;

pub(crate) use rarest::RarestFirst;
pub(crate) use sequential::Sequential;
