//! Where the picture is: under the webview, which is transparent there.
//!
//! One backend per system, all with the same face: [`embed`] makes a place for the picture in the window, and
//! [`Surface::sink`] gives the element that draws there.

#[cfg(target_os = "linux")]
mod gtk;
#[cfg(not(target_os = "linux"))]
mod own_window;

#[cfg(target_os = "linux")]
pub use self::gtk::{Surface, embed, focus, warn_of_settings};
#[cfg(not(target_os = "linux"))]
pub use self::own_window::{Surface, embed, focus, warn_of_settings};
