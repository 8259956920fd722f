//! The picture in a window of its own: what works on every system, until it has a backend that embeds it.

use gstreamer::{Element, ElementFactory};
use tauri::WebviewWindow;

/// Makes a sink for each film; it opens a window when the film starts.
pub struct Surface(Element);

impl Surface {
    /// The element that draws the picture.
    pub fn sink(&self) -> Element {
        self.0.clone()
    }
}

/// Nothing to embed.
///
/// # Errors
/// When GStreamer has no video output.
pub fn embed(_window: &WebviewWindow) -> anyhow::Result<Surface> {
    Ok(Surface(ElementFactory::make("autovideosink").build()?))
}

/// The webview has the window's keyboard.
///
/// # Errors
/// Never.
pub fn focus(_window: &WebviewWindow) -> tauri::Result<()> {
    Ok(())
}

/// Nothing is known to spoil the picture here.
pub fn warn_of_settings() {}
