//! The words on the wire: what a resource is called, what a link says, what nodes tell the tracker and
//! one another, and how large any of it may be.
//!
//! Nothing here touches a socket, a file or a clock. Whatever is decoded was written by a stranger: every
//! length is checked against a limit before anything is allocated for it, and a bad message is an error
//! with a sentence, never a panic.
//!
//! | Module | What it holds |
//! | --- | --- |
//! | [`resource`] | [`ResourceId`]: the BLAKE3 hash that names a file |
//! | [`blocks`] | [`Geometry`] and [`Blocks`]: a file cut into 16 KiB blocks, and sets of them |
//! | [`link`] | [`Link`]: `nearcast://…`, enough to fetch and verify a file |
//! | [`opening`] | [`Opening`]: whatever a person may type, paste or click |
//! | [`token`] | tokens of protected resources, and who guards them |
//! | [`tracker`] | the messages of `/nearcast/tracker/1` |
//! | [`renewal`] | a lease renewed by one datagram |
//! | [`pieces`] | the frames of `/nearcast/pieces/1` |
//! | [`wire`] | bounded encoding and decoding shared by both |

#[cfg(test)]
mod arbitrary;
pub mod blocks;
pub mod link;
pub mod opening;
pub mod peer;
pub mod pieces;
pub mod renewal;
pub mod resource;
pub mod token;
pub mod tracker;
pub mod wire;

pub use blocks::{BLOCK_BYTES, Blocks, Geometry};
pub use libp2p_identity::PeerId;
pub use link::{Link, LinkError};
pub use multiaddr::Multiaddr;
pub use opening::{Opening, OpeningError};
pub use peer::{Group, PeerAddress, Role, Token};
pub use resource::{ResourceId, ResourceIdError};
pub use token::{Guard, LinkToken, TokenError};
