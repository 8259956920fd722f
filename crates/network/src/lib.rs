//! The libp2p node: who we are, how we reach others, and how fast we may.
//!
//! A [`Network`] listens, dials and carries two protocols. Peers exchange [`Frame`]s over a [`PieceStream`],
//! one long-lived stream per peer and resource (`/nearcast/pieces/1`). A tracker is asked on one stream per
//! connection ([`Network::ask`]), one question after another without waiting (`/nearcast/tracker/1`). It hears
//! what came together as a [`TrackerCall`] with the address of the very connection it came on, from which the
//! asker's network group is derived (R1).
//!
//! TCP + Noise + Yamux carries the bulk; QUIC stands by where TCP fails, at twice the processor time per
//! byte. One task owns libp2p's swarm and does little: the bytes move in the tasks of the connections and
//! of those who hold a stream. Payload in each direction passes one token bucket for all streams, so a limit
//! holds for the whole node and streams take turns.
//!
//! It does not know what a frame means (`transfer`), which peer to ask (`schedule`), or whether bytes are
//! right (`content`). Everything a stranger controls is bounded: connections in all, per peer and per
//! address, handshakes under way, streams per peer, the length of each message and frame, bans remembered.
//!
//! | Module | What it holds |
//! | --- | --- |
//! | `network` | [`Network`]: the handle, and the start of everything |
//! | `driver` | the task that owns the swarm |
//! | `connections`, `handler` | which connections there are; what happens on one |
//! | `frames`, `exchange` | the two protocols on a stream |
//! | `asking`, `answering` | the two ends of a stream to a tracker |
//! | `transport`, `source` | the stack of transports; dialling from the right address |
//! | `kademlia` | finding holders without a tracker |
//! | `dialler` | finding out whether a peer can be dialled |
//! | `bucket`, `limit` | rate limits: the arithmetic, and the waiting in order |
//! | `ledbat`, `line` | uploads that give way to others on the line: the arithmetic, and what is measured |
//! | `signals` | when the system wants the program to end |
//! | `known`, `neighbours`, `address` | who is connected or banned; mDNS; what an address says |
//!
//! [`Frame`]: nearcast_protocol::pieces::Frame

mod address;
mod answering;
mod asking;
mod bucket;
mod config;
mod connections;
mod dialler;
mod driver;
mod error;
mod exchange;
mod frames;
mod handler;
mod identity;
mod kademlia;
mod known;
mod ledbat;
mod limit;
mod line;
mod neighbours;
mod network;
mod signals;
mod source;
mod transport;

pub use address::split_peer;
pub use config::Config;
pub use dialler::{Dialler, Unreached};
pub use error::{AskError, OpenError, StartError};
pub use exchange::TrackerCall;
pub use frames::{FrameReceiver, FrameSender, PieceStream, StreamError};
pub use identity::{IdentityError, identity_on_disk};
pub use libp2p::identity::Keypair;
pub use limit::{Limit, Ticket};
pub use network::Network;
pub use signals::Signals;
