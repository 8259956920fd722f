//! The three commands that the screen may call.

use nearcast_terminal::{
    Terminal,
    screen::{Command, Screen},
};
use serde::{Deserialize, Serialize};
use tauri::{AppHandle, State, WebviewWindow, ipc::Channel};
use tauri_plugin_clipboard_manager::ClipboardExt;
use tauri_plugin_dialog::DialogExt;

/// Sends the whole screen at once and at each change, until the page is gone.
#[tauri::command]
pub async fn connect(terminal: State<'_, Terminal>, channel: Channel<Screen>) -> Result<(), ()> {
    let mut screen = terminal.screen();
    screen.mark_changed();
    tauri::async_runtime::spawn(async move {
        while screen.changed().await.is_ok() {
            let now = (**screen.borrow_and_update()).clone();
            if channel.send(now).is_err() {
                break;
            }
        }
    });
    Ok(())
}

/// Does what the viewer says; what goes wrong is told on the screen.
#[tauri::command]
pub async fn act(terminal: State<'_, Terminal>, command: Command) -> Result<(), ()> {
    terminal.act(command).await;
    Ok(())
}

/// Something that only the window can do.
#[derive(Debug, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// Chooses a film with the system's dialog and opens it.
    OpenDialog,
    /// Chooses videos with the system's dialog and shares them.
    ShareDialog,
    /// Chooses a folder with the system's dialog.
    ChooseFolder,
    /// Fills the screen, or doesn't.
    Fullscreen {
        /// Which.
        on: bool,
    },
    /// Whether it fills the screen.
    IsFullscreen,
    /// Ends the program.
    Quit,
    /// Puts a text on the clipboard.
    Copy {
        /// The text.
        text: String,
    },
}

/// What the window answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// Yes or no.
    Is(bool),
    /// A path.
    Path(Option<String>),
    /// It is done.
    Done(()),
}

/// Does what only the window can.
#[tauri::command]
pub async fn window(
    app: AppHandle,
    window: WebviewWindow,
    terminal: State<'_, Terminal>,
    ask: Ask,
) -> Result<Answer, String> {
    let failed = |error: tauri::Error| error.to_string();
    match ask {
        Ask::OpenDialog => {
            let (sender, picked) = tokio::sync::oneshot::channel();
            app.dialog().file().set_parent(&window).pick_file(move |file| {
                let _ = sender.send(file);
            });
            let path = picked.await.ok().flatten().and_then(|file| file.into_path().ok());
            if let Some(path) = path {
                terminal.given(path.to_string_lossy().into_owned(), "/".into()).await;
            }
        }
        Ask::ShareDialog => {
            let (sender, picked) = tokio::sync::oneshot::channel();
            app.dialog().file().set_parent(&window).pick_files(move |files| {
                let _ = sender.send(files);
            });
            let files = picked.await.ok().flatten().unwrap_or_default();
            let paths = files.into_iter().filter_map(|file| file.into_path().ok());
            let paths: Vec<_> = paths.map(|path| path.to_string_lossy().into_owned()).collect();
            if !paths.is_empty() {
                terminal.act(Command::Share { paths }).await;
            }
        }
        Ask::ChooseFolder => {
            let (sender, picked) = tokio::sync::oneshot::channel();
            app.dialog().file().set_parent(&window).pick_folder(move |folder| {
                let _ = sender.send(folder);
            });
            let path = picked.await.ok().flatten().and_then(|folder| folder.into_path().ok());
            return Ok(Answer::Path(path.map(|path| path.to_string_lossy().into_owned())));
        }
        Ask::Fullscreen { on } => window.set_fullscreen(on).map_err(failed)?,
        Ask::IsFullscreen => return window.is_fullscreen().map(Answer::Is).map_err(failed),
        Ask::Quit => terminal.quit().await,
        Ask::Copy { text } => app.clipboard().write_text(text).map_err(|error| error.to_string())?,
    }
    Ok(Answer::Done(()))
}
