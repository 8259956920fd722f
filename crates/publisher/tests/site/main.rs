//! The site and the administration of the real program, over real connections.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod admin;
mod films;
mod hostile;
mod looks;
mod pages;
mod web;
