//! The terminal (点播终端): one transfer controller, one player, and what the viewer sees of both.
//!
//! The window, the tray and the webview stand outside; they hand in [`screen::Command`]s and opened links, and get
//! whole [`screen::Screen`]s back. So everything the desktop app decides is decided here and tested without a
//! window.

mod atomic;
mod desktop;
mod flow;
pub mod history;
mod node;
mod opening;
mod own_tracker;
pub mod paths;
mod quota;
pub mod screen;
pub mod settings;
mod shares;
mod state;
mod stranger;
mod terminal;
mod today;
mod wait;
mod watching;

pub use desktop::Desktop;
pub use nearcast_protocol::Multiaddr;
pub use paths::Paths;
pub use terminal::{Setup, Terminal};
