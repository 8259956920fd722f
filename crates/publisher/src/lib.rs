//! Puts films up once: a folder in, a catalogue page and a seed out (资源发布服务器).
//!
//! The source document gives a publisher two parts, upload and upload control. Both are the transfer
//! controller's, with the role of a publisher; what is here is around it: [`folder`] finds the films,
//! [`catalogue`] hashes and shares them, [`length`] learns how long they are, and [`site`] serves the page
//! and answers requests for a film with a redirect to its link (R6).

pub mod catalogue;
pub mod folder;
pub mod length;
pub mod library;
pub mod site;

pub use catalogue::{Catalogue, Title};
pub use site::{Site, SiteError};
