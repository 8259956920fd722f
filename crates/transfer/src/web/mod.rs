//! What comes from web servers rather than from peers.
//!
//! A link's `source=` URLs are web seeds: files with byte ranges, and beside each the pairs of its tree, under
//! the same address with `.obao4` at its end. What a source gives is put together to an encoding and verified
//! like a peer's. [`session`] stands for a source where a [`crate::session`] stands for a peer, so that the
//! schedule asks both alike; a source that can't be used is dropped for this film, with a sentence.

mod guard;
mod proofs;
mod remote;
pub(crate) mod session;

use url::Url;

pub(crate) use self::{guard::Reach, remote::SourceError};
use crate::resolve::is_private;

/// Which sources of a link may lie on this machine or in a private network. What a name leads to is looked at
/// when a connection is made, also after a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrivateSources {
    /// None.
    #[default]
    Never,
    /// Those whose address says so, since the user has seen it and said yes. A name that looks public must lead
    /// to a public address.
    Named,
    /// All.
    Any,
}

impl PrivateSources {
    /// How far a source may reach, if it may be used at all.
    pub(crate) fn reach(self, url: &Url) -> Option<Reach> {
        match (self, is_private(url)) {
            (Self::Any, _) | (Self::Named, true) => Some(Reach::Anywhere),
            (Self::Never | Self::Named, false) => Some(Reach::Public),
            (Self::Never, true) => None,
        }
    }
}
