//! The transfer controller and real web servers. One program, so that there is less to link.

#![allow(clippy::unwrap_used, clippy::panic)]

mod plain;
mod sources;
