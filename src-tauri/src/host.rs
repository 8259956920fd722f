//! What the desktop can do.

use nearcast_terminal::Terminal;

/// Whether tray icons would be seen: the tray's own calls succeed without anybody who shows them.
pub async fn shows_tray_icons() -> bool {
    #[cfg(target_os = "linux")]
    {
        let asked = tokio::time::timeout(std::time::Duration::from_secs(1), ask_watcher());
        match asked.await {
            Ok(Ok(host)) => host,
            Ok(Err(error)) => {
                tracing::info!(%error, "this desktop has no tray");
                false
            }
            Err(_) => false,
        }
    }
    #[cfg(not(target_os = "linux"))]
    true
}

#[cfg(target_os = "linux")]
async fn ask_watcher() -> zbus::Result<bool> {
    let bus = zbus::Connection::session().await?;
    let watcher = zbus::Proxy::new(
        &bus,
        "org.kde.StatusNotifierWatcher",
        "/StatusNotifierWatcher",
        "org.kde.StatusNotifierWatcher",
    )
    .await?;
    watcher.get_property("IsStatusNotifierHostRegistered").await
}

/// Ends the program in good order when the system or a terminal asks for it.
pub fn quit_on_signals(terminal: Terminal) {
    tauri::async_runtime::spawn(async move {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut end), Ok(mut hang_up)) =
                (signal(SignalKind::terminate()), signal(SignalKind::hangup()))
            else {
                return;
            };
            tokio::select! {
                _ = end.recv() => {}
                _ = hang_up.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            return;
        }
        terminal.quit().await;
    });
}

/// Languages the system asks for, best first, such as `zh-CN`.
pub fn languages() -> Vec<String> {
    let asked = ["LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    asked.unwrap_or_default().split(':').filter_map(language).collect()
}

fn language(locale: &str) -> Option<String> {
    let name = locale.split(['.', '@']).next().unwrap_or_default().replace('_', "-");
    let plain = !name.is_empty() && name.len() <= 16 && !matches!(&*name, "C" | "POSIX");
    (plain && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')).then_some(name)
}

#[cfg(test)]
mod tests {
    #[test]
    fn locales_become_language_tags() {
        assert_eq!(super::language("zh_CN.UTF-8").as_deref(), Some("zh-CN"));
        assert_eq!(super::language("de_DE@euro").as_deref(), Some("de-DE"));
        assert_eq!(super::language("C.UTF-8"), None);
        assert_eq!(super::language("<script>"), None);
    }
}
