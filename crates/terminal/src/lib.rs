//! The terminal (点播终端): one transfer controller, one player, and what the viewer sees of both.
//!
//! The window, the tray and the webview stand outside; they hand in [`screen::Command`]s and opened links, and get
//! whole [`screen::Screen`]s back. So everything the desktop app decides is decided here and tested without a
//! window.

pub mod screen;
pub mod settings;
