//! The site and the administration of the real program, over real connections.

mod admin;
mod films;
mod hostile;
mod looks;
mod pages;
mod web;
