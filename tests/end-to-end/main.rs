//! Real programs on loopback, three networks on one machine.

mod bad;
mod kademlia;
mod kept;
mod load;
mod manners;
mod memory;
mod opened;
mod players;
mod publisher;
mod room;
mod rule;
mod soak;
mod swarm;
mod tokens;
mod traced;
mod trackers;
mod ways;
mod wire;
