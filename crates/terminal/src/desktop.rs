//! What the terminal asks of the desktop it runs on.

use nearcast_playback::{PlaybackError, Sinks};

/// The desktop: a window that can be shown and hidden, and a place for the picture. Called from any thread; none of
/// these may wait for the terminal.
pub trait Desktop: Send + Sync + 'static {
    /// Where picture and sound of the next film go.
    ///
    /// # Errors
    /// When GStreamer lacks what it takes.
    fn sinks(&self) -> Result<Sinks, PlaybackError>;

    /// Puts the window before the viewer.
    fn show(&self);

    /// Takes the window away; sharing goes on.
    fn hide(&self);

    /// Ends the program; everything of the terminal is closed by now.
    fn quit(&self);
}
