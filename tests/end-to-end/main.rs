//! Real programs on loopback, three networks on one machine.

mod bad;
mod kept;
mod load;
mod manners;
mod opened;
mod players;
mod rule;
mod swarm;
mod traced;
mod wire;
