//! GStreamer's GTK sink in an overlay, with the webview on top of it.
//!
//! ```text
//! window → box → overlay ┬ the sink's widget: the picture
//!                        └ the webview, transparent where the picture is to be seen
//! ```

use anyhow::Context;
use gstreamer::{Element, ElementFactory, prelude::*};
use gtk::prelude::{BoxExt, ContainerExt, OverlayExt, WidgetExt};
use tauri::WebviewWindow;

/// The place for the picture.
pub struct Surface {
    sink: Element,
}

impl Surface {
    /// The element that draws the picture.
    pub fn sink(&self) -> Element {
        self.sink.clone()
    }
}

/// Puts a widget for the picture under the window's webview.
///
/// # Errors
/// When GStreamer's GTK plugin is missing, or the window isn't built as expected.
pub fn embed(window: &WebviewWindow) -> anyhow::Result<Surface> {
    let sink = ElementFactory::make("gtksink")
        .property("force-aspect-ratio", true)
        .build()
        .context("GStreamer's gtksink is missing; on Debian it is in gstreamer1.0-gtk3")?;
    let moved = sink.clone();
    let owner = window.clone();
    let (sender, done) = std::sync::mpsc::channel();
    window.with_webview(move |webview| {
        let outcome = widget(&moved).and_then(|picture| {
            let vbox = owner.default_vbox()?;
            let webview = webview.inner();
            let overlay = gtk::Overlay::new();
            vbox.remove(&webview);
            picture.set_hexpand(true);
            picture.set_vexpand(true);
            overlay.add(&picture);
            overlay.add_overlay(&webview);
            vbox.pack_start(&overlay, true, true, 0);
            vbox.show_all();
            webview.grab_focus();
            Ok(())
        });
        // The receiver waits below.
        let _ = sender.send(outcome);
    })?;
    done.recv().context("the webview is gone")??;
    Ok(Surface { sink })
}

/// Gives the keyboard to the webview: inside its overlay, GTK wouldn't do so by itself.
///
/// # Errors
/// When the webview is gone.
pub fn focus(window: &WebviewWindow) -> tauri::Result<()> {
    window.with_webview(|webview| webview.inner().grab_focus())
}

/// The sink's widget as GTK's own bindings know it.
#[expect(unsafe_code, reason = "GStreamer's and GTK's bindings stand on two versions of glib")]
fn widget(sink: &Element) -> anyhow::Result<gtk::Widget> {
    use gtk::glib::translate::from_glib_none;
    let object =
        sink.property::<Option<gstreamer::glib::Object>>("widget").context("the sink has no widget")?;
    let pointer = object.as_ptr();
    // SAFETY: the property is documented to be a GtkWidget and this is GTK's main thread, on which the sink made it.
    // `object` keeps it alive until `from_glib_none` has taken a reference of its own.
    Ok(unsafe { from_glib_none(pointer.cast::<gtk::ffi::GtkWidget>()) })
}

/// Warns of settings with which the picture is known not to show.
pub fn warn_of_settings() {
    for name in ["WEBKIT_DISABLE_DMABUF_RENDERER", "WEBKIT_DISABLE_COMPOSITING_MODE"] {
        if std::env::var_os(name).is_some() {
            tracing::warn!("{name} is set: the film may stay black or leave traces; try without it");
        }
    }
}
