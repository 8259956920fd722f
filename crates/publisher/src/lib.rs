//! Puts films up once: a folder in, a catalogue page and a seed out (资源发布服务器).
//!
//! The source document gives a publisher two parts, upload and upload control. Both are the transfer
//! controller's, with the role of a publisher; what is here is around it: [`library`] finds the
//! films, hashes, shares and remembers them, and [`site`] serves the page of the [`catalogue`] and answers
//! requests for a film with a redirect to its link (R6). [`access`] says who may have it.

pub mod access;
pub mod catalogue;
pub mod hours;
pub mod library;
mod page;
pub mod site;

pub use access::Access;
pub use catalogue::Catalogue;
pub use library::Library;
pub use site::{Site, SiteError};
