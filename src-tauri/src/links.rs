//! Links and files from outside: a second start, a click in a browser, a drop on the window.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
};

use clap::Parser;
use nearcast_terminal::Terminal;
use tauri::{AppHandle, Manager, Wry, plugin::TauriPlugin};
use tauri_plugin_deep_link::DeepLinkExt;

use crate::cli::Cli;

/// Makes a second start hand its arguments to the first. Each `--root` is a program of its own.
pub fn single_instance(cli: &Cli) -> TauriPlugin<Wry> {
    let mut builder = tauri_plugin_single_instance::Builder::new().callback(|app, arguments, folder| {
        let Some(terminal) = app.try_state::<Terminal>() else { return };
        let terminal = terminal.inner().clone();
        let open = Cli::try_parse_from(arguments).map(|cli| cli.open).unwrap_or_default();
        let base = PathBuf::from(folder);
        tauri::async_runtime::spawn(async move {
            // Nothing to open: the window is wanted.
            let texts = if open.is_empty() { vec![String::new()] } else { open };
            for text in texts {
                terminal.given(text, base.clone()).await;
            }
        });
    });
    if let Some(root) = cli.root.as_ref().and_then(|root| std::path::absolute(root).ok()) {
        let mut hasher = DefaultHasher::new();
        root.hash(&mut hasher);
        builder = builder.dbus_id(format!("network.nearcast.app.root{:016x}", hasher.finish()));
    }
    builder.build()
}

/// Makes the system hand `nearcast:` links to this program, where it isn't so already. Installed packages say so by
/// themselves; a program that is merely run has to.
pub fn register(app: &AppHandle) {
    #[cfg(any(windows, target_os = "linux"))]
    if !app.deep_link().is_registered("nearcast").unwrap_or(true)
        && std::env::var_os("NEARCAST_KEEP_LINKS").is_none()
        && let Err(error) = app.deep_link().register_all()
    {
        tracing::warn!(%error, "nearcast: links won't open this program");
    }
    let _ = app;
}

/// Opens what was dropped on the window.
pub fn dropped(app: &AppHandle, paths: &[PathBuf]) {
    let terminal = app.state::<Terminal>().inner().clone();
    let Some(path) = paths.first().cloned() else { return };
    tauri::async_runtime::spawn(async move {
        terminal.given(path.to_string_lossy().into_owned(), PathBuf::from("/")).await;
    });
}
