//! The tray icon: state, today's upload, a pause, the way back and the way out.

use nearcast_terminal::{
    Terminal,
    screen::{Command, Screen},
    settings::Language,
};
use tauri::{
    AppHandle, Wry,
    image::Image,
    menu::{Menu, MenuItem, PredefinedMenuItem},
    tray::TrayIconBuilder,
};

const OPEN: &str = "open";
const PAUSE: &str = "pause";
const QUIT: &str = "quit";

struct Items {
    open: MenuItem<Wry>,
    state: MenuItem<Wry>,
    today: MenuItem<Wry>,
    pause: MenuItem<Wry>,
    quit: MenuItem<Wry>,
}

/// Puts the icon into the tray and keeps its menu true. Where nothing shows icons, there is none.
///
/// # Errors
/// When the menu can't be made.
pub fn build(app: &AppHandle, terminal: &Terminal, shown: bool) -> tauri::Result<()> {
    if !shown {
        return Ok(());
    }
    let item = |id: &str, enabled| MenuItem::with_id(app, id, "", enabled, None::<&str>);
    let items = Items {
        open: item(OPEN, true)?,
        state: item("state", false)?,
        today: item("today", false)?,
        pause: item(PAUSE, true)?,
        quit: item(QUIT, true)?,
    };
    let line = || PredefinedMenuItem::separator(app);
    let menu = Menu::with_items(
        app,
        &[&items.open, &line()?, &items.state, &items.today, &items.pause, &line()?, &items.quit],
    )?;
    write(&items, &terminal.screen().borrow())?;
    let chosen = terminal.clone();
    TrayIconBuilder::with_id("nearcast")
        .icon(Image::from_bytes(include_bytes!("../icons/tray.png"))?)
        .tooltip("Nearcast")
        .menu(&menu)
        .show_menu_on_left_click(true)
        .on_menu_event(move |_, event| choose(&chosen, event.id().as_ref()))
        .build(app)?;
    let mut screen = terminal.screen();
    tauri::async_runtime::spawn(async move {
        while screen.changed().await.is_ok() {
            let now = screen.borrow_and_update().clone();
            if let Err(error) = write(&items, &now) {
                tracing::debug!(%error, "the tray's menu is out of date");
            }
        }
    });
    Ok(())
}

fn choose(terminal: &Terminal, id: &str) {
    let terminal = terminal.clone();
    let id = id.to_owned();
    tauri::async_runtime::spawn(async move {
        match &*id {
            OPEN => terminal.given(String::new(), std::path::PathBuf::new()).await,
            PAUSE => {
                let paused = terminal.screen().borrow().sharing.paused_until_ms.is_some();
                terminal.act(Command::PauseSharing { minutes: if paused { 0 } else { 60 } }).await;
            }
            QUIT => terminal.quit().await,
            _ => {}
        }
    });
}

fn write(items: &Items, screen: &Screen) -> tauri::Result<()> {
    let words = Words::of(screen);
    for (item, text) in [
        (&items.open, words.open),
        (&items.state, &*words.state),
        (&items.today, &*words.today),
        (&items.pause, words.pause),
        (&items.quit, words.quit),
    ] {
        // Each call crosses to the desktop's bus.
        if item.text()? != text {
            item.set_text(text)?;
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq)]
struct Words {
    open: &'static str,
    state: String,
    today: String,
    pause: &'static str,
    quit: &'static str,
}

impl Words {
    fn of(screen: &Screen) -> Self {
        let sharing = &screen.sharing;
        let paused = sharing.paused_until_ms.is_some();
        let on = sharing.online && screen.settings.share;
        // Full megabytes: a menu that changes under the pointer is a nuisance.
        let today = sharing.today / 1_000_000;
        match screen.settings.language {
            Language::En => Self {
                open: "Open Nearcast",
                state: match (on, paused) {
                    (false, _) => "Not sharing".into(),
                    (true, true) => "Sharing is paused".into(),
                    (true, false) => format!("Sharing, films: {}", sharing.films),
                },
                today: format!("Sent today: {today} MB"),
                pause: if paused { "Go on sharing" } else { "Pause sharing for an hour" },
                quit: "Quit",
            },
            Language::ZhCn => Self {
                open: "打开 Nearcast",
                state: match (on, paused) {
                    (false, _) => "未分享".into(),
                    (true, true) => "分享已暂停".into(),
                    (true, false) => format!("正在分享 {} 部影片", sharing.films),
                },
                today: format!("今日上传：{today} MB"),
                pause: if paused { "继续分享" } else { "暂停分享一小时" },
                quit: "退出",
            },
        }
    }
}
