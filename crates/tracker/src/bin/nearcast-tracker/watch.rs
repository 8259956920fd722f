//! The group table, the lists and the settings, read anew when their files change or when the system says so.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use nearcast_tracker::Server;
use tokio::time::{MissedTickBehavior, interval};

use crate::{notify, print, settings::Settings};

/// How often the files are looked at. A table is a matter of days; a look is one call of the system.
const LOOK: Duration = Duration::from_secs(1);

/// What is seen of files from outside: when each was written, and how long it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen(Vec<Option<(Option<SystemTime>, u64)>>);

impl Seen {
    fn of<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        let seen = files.into_iter().map(|file| std::fs::metadata(file).ok());
        Self(seen.map(|seen| seen.map(|file| (file.modified().ok(), file.len()))).collect())
    }
}

/// Files of one kind, as they were when they were read.
struct Files {
    read: Seen,
    last: Seen,
}

impl Files {
    fn new(seen: Seen) -> Self {
        Self { last: seen.clone(), read: seen }
    }

    /// Whether they have changed since they were read. What differs from the last look is still being written.
    fn changed(&mut self, now: Seen) -> bool {
        let changed = now != self.read && now == self.last;
        if changed {
            self.read = now.clone();
        }
        self.last = now;
        changed
    }
}

/// Keeps what the tracker goes by as its files say.
pub struct Watch {
    /// As they were typed, without the settings file.
    flags: Settings,
    /// Those in force.
    settings: Settings,
    tables: Files,
    lists: Files,
}

impl Watch {
    /// Notes how the files are; to be done before they are read, so that what changes meanwhile is read again.
    pub fn new(flags: Settings, settings: Settings) -> Self {
        let (tables, lists) = (Files::new(tables(&settings)), Files::new(lists(&settings)));
        Self { flags, settings, tables, lists }
    }

    /// For ever. `told` is done each time the system asks for a reading.
    pub async fn keep(mut self, server: &Server, mut hangups: Hangups, told: impl Fn()) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                () = hangups.next() => true,
                _ = look.tick() => false,
            };
            if asked {
                notify::reloading();
                self.read_settings(server).await;
            }
            // A look at a file on a server that doesn't answer would hold up whoever else is on this thread.
            let settings = self.settings.clone();
            let looked = tokio::task::spawn_blocking(move || (tables(&settings), lists(&settings)));
            let Ok((tables, lists)) = looked.await else { continue };
            if self.tables.changed(tables.clone()) || asked {
                self.tables = Files::new(tables);
                self.read_table(server, asked).await;
            }
            if self.lists.changed(lists.clone()) || asked {
                self.lists = Files::new(lists);
                self.read_lists(server, asked).await;
            }
            if asked {
                told();
                notify::ready();
            }
        }
    }

    /// Takes over what the settings file says now; what makes no sense is told and changes nothing.
    async fn read_settings(&mut self, server: &Server) {
        if self.flags.config.is_none() {
            return;
        }
        let flags = self.flags.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let settings = flags.with_file()?;
            Ok::<_, anyhow::Error>((settings.rules()?, settings.limits()?, settings))
        });
        match reading.await.map_err(anyhow::Error::from).flatten() {
            Ok((rules, limits, settings)) => {
                server.set_rules(rules);
                server.set_limits(limits);
                let waiting = self.settings.need_restart(&settings).join(", ");
                self.settings = settings;
                tracing::info!("the settings were read anew");
                if !waiting.is_empty() {
                    tracing::warn!("only a restart brings into force what changed of: {waiting}");
                }
            }
            Err(error) => tracing::error!("the settings stay as they were: {}", print::sentence(&error)),
        }
    }

    /// Reads the group table anew; a bad one is told and changes nothing.
    async fn read_table(&self, server: &Server, asked: bool) {
        if self.settings.groups.is_empty() {
            if asked {
                tracing::warn!("there is no group table to read anew; give --groups FILE");
            }
            return;
        }
        let (putting, settings) = (server.clone(), self.settings.clone());
        // A table may have hundreds of thousands of lines; calls are answered meanwhile.
        let reading = tokio::task::spawn_blocking(move || {
            let table = settings.table()?;
            let prefixes = table.len();
            putting.set_table(table);
            Ok::<_, anyhow::Error>(prefixes)
        });
        let outcome = reading.await.map_err(anyhow::Error::from).flatten();
        server.metrics().table_read(outcome.is_ok());
        match outcome {
            Ok(prefixes) => tracing::info!(prefixes, "the group table was read anew"),
            Err(error) => tracing::error!("the group table stays as it was: {}", print::sentence(&error)),
        }
    }

    /// Reads the lists of who and what is served anew; bad ones are told and change nothing.
    async fn read_lists(&self, server: &Server, asked: bool) {
        let (putting, settings) = (server.clone(), self.settings.clone());
        if asked && settings.listed.is_none() && settings.deny.is_empty() {
            // Those of before may have been taken out of the settings.
            putting.set_access(nearcast_tracker::Access::default());
            return;
        }
        let reading = tokio::task::spawn_blocking(move || {
            let access = settings.access()?;
            let (listed, denied) = (access.listed(), access.denied());
            Ok::<_, anyhow::Error>((listed, denied, putting.set_access(access)))
        });
        let outcome = reading.await.map_err(anyhow::Error::from).flatten();
        server.metrics().lists_read(outcome.is_ok());
        match outcome {
            Ok((listed, denied, gone)) => tracing::info!(
                listed,
                denied,
                nodes_forgotten = gone.nodes,
                holdings_forgotten = gone.holdings,
                "the lists were read anew"
            ),
            Err(error) => tracing::error!("the lists stay as they were: {}", print::sentence(&error)),
        }
    }
}

fn tables(settings: &Settings) -> Seen {
    Seen::of(&settings.groups)
}

fn lists(settings: &Settings) -> Seen {
    Seen::of(settings.listed.iter().chain(&settings.deny))
}

/// The signal HUP, where there is one: a daemon's custom for reading its settings anew.
pub struct Hangups {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Hangups {
    pub fn listen() -> std::io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self { signal: signal(SignalKind::hangup())? })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    pub async fn next(&mut self) {
        #[cfg(unix)]
        if self.signal.recv().await.is_some() {
            return;
        }
        std::future::pending().await
    }
}
