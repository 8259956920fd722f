//! The desktop app: a window with the film under the screen, a tray icon, and links.
//!
//! It wires; what is decided is decided in `nearcast-terminal`.

#![cfg_attr(all(windows, not(debug_assertions)), windows_subsystem = "windows")]

mod bridge;
mod cli;
mod host;
mod links;
mod surface;
mod tray;
mod window;

use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use nearcast_terminal::{Setup, Terminal};
use tauri::{Manager, RunEvent, WindowEvent};
use tauri_plugin_window_state::StateFlags;
use tracing_subscriber::EnvFilter;

use crate::{cli::Cli, window::Host};

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let quiet = EnvFilter::new("warn,libp2p_kad=error,nearcast_terminal=info");
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or(quiet))
        .with_writer(std::io::stderr)
        .init();
    surface::warn_of_settings();
    nearcast_playback::init().context("GStreamer can't be started")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    tauri::async_runtime::set(runtime.handle().clone());
    let setup = Setup {
        paths: cli.paths()?,
        listen: cli.listen.clone(),
        tray: runtime.block_on(host::shows_tray_icons()),
        languages: host::languages(),
    };
    let mut builder = tauri::Builder::default().plugin(links::single_instance(&cli));
    if cli.root.is_none() && cli.windowed.is_none() {
        let flags = StateFlags::SIZE | StateFlags::POSITION | StateFlags::MAXIMIZED;
        builder =
            builder.plugin(tauri_plugin_window_state::Builder::default().with_state_flags(flags).build());
    }
    let app = builder
        .plugin(tauri_plugin_deep_link::init())
        .plugin(tauri_plugin_dialog::init())
        .plugin(tauri_plugin_clipboard_manager::init())
        .invoke_handler(tauri::generate_handler![bridge::connect, bridge::act, bridge::window])
        .setup(move |app| {
            // Here this is the first start: a second one has ended by now, and must not do so while a thread of its
            // own loads libraries.
            std::thread::Builder::new().name("warm up".into()).spawn(|| {
                if let Err(error) = nearcast_playback::warm_up() {
                    tracing::warn!(%error, "nothing was loaded ahead");
                }
            })?;
            let window = window::build(app.handle(), cli.windowed)?;
            let surface = surface::embed(&window)?;
            let host = Arc::new(Host::new(app.handle().clone(), surface));
            let has_tray = setup.tray;
            let (terminal, _) = tauri::async_runtime::block_on(async { Terminal::start(setup, host) });
            app.manage(terminal.clone());
            links::register(app.handle());
            tray::build(app.handle(), &terminal, has_tray)?;
            host::quit_on_signals(terminal.clone());
            for text in &cli.open {
                let (terminal, text) = (terminal.clone(), text.clone());
                let base = std::env::current_dir().unwrap_or_default();
                tauri::async_runtime::spawn(async move { terminal.given(text, base).await });
            }
            window.show()?;
            Ok(())
        })
        .build(tauri::generate_context!())
        .context("the window can't be made")?;
    app.run(|app, event| match event {
        RunEvent::WindowEvent { event: WindowEvent::CloseRequested { api, .. }, .. } => {
            // The terminal decides whether the window goes; it closes the film first.
            api.prevent_close();
            let terminal = app.state::<Terminal>().inner().clone();
            tauri::async_runtime::spawn(async move { terminal.closed().await });
        }
        RunEvent::WindowEvent {
            event: WindowEvent::DragDrop(tauri::DragDropEvent::Drop { paths, .. }),
            ..
        } => links::dropped(app, &paths),
        // Without a code it is the last window that closed: the tray is still there.
        RunEvent::ExitRequested { code: None, api, .. } => api.prevent_exit(),
        _ => {}
    });
    Ok(())
}
