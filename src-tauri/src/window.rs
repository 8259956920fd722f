//! The window, and what the terminal asks of it.

use nearcast_playback::{PlaybackError, Sinks};
use nearcast_terminal::Desktop;
use tauri::{AppHandle, Manager, WebviewUrl, WebviewWindow, WebviewWindowBuilder, utils::config::Color};

use crate::{
    cli::Size,
    surface::{self, Surface},
};

const LABEL: &str = "main";

/// Makes the window, not shown yet.
///
/// # Errors
/// When the system has no window to give.
pub fn build(app: &AppHandle, size: Option<Size>) -> tauri::Result<WebviewWindow> {
    let Size { width, height } = size.unwrap_or(Size { width: 1120, height: 680 });
    WebviewWindowBuilder::new(app, LABEL, WebviewUrl::App("index.html".into()))
        .title("Nearcast")
        .inner_size(width.into(), height.into())
        .min_inner_size(480.0, 300.0)
        .center()
        .visible(false)
        .background_color(Color(0, 0, 0, 0))
        .build()
}

/// The window as the terminal sees it.
pub struct Host {
    app: AppHandle,
    surface: Surface,
}

impl Host {
    /// The app's window, with a place for the picture.
    pub fn new(app: AppHandle, surface: Surface) -> Self {
        Self { app, surface }
    }

    fn with_window(&self, act: impl FnOnce(&WebviewWindow) -> tauri::Result<()>) {
        if let Some(window) = self.app.get_webview_window(LABEL)
            && let Err(error) = act(&window)
        {
            tracing::warn!(%error, "the window doesn't obey");
        }
    }
}

impl Desktop for Host {
    fn sinks(&self) -> Result<Sinks, PlaybackError> {
        Ok(Sinks { video: self.surface.sink(), audio: Sinks::audio_output()? })
    }

    fn show(&self) {
        self.with_window(|window| {
            window.show()?;
            window.unminimize()?;
            window.set_focus()?;
            surface::focus(window)
        });
    }

    fn hide(&self) {
        self.with_window(|window| {
            if window.is_fullscreen()? {
                window.set_fullscreen(false)?;
            }
            window.hide()
        });
    }

    fn quit(&self) {
        self.app.exit(0);
    }
}
