//! One film after another: opened, played, closed.

use std::{sync::Arc, time::Instant};

use nearcast_playback::Player;
use nearcast_protocol::Opening;
use nearcast_transfer::Resolved;

use super::{State, unix_ms};
use crate::{
    history::Watched,
    opening::{self, Opened, Target},
    quota::LEAST_ROOM,
    screen::{Code, Message},
    terminal::Input,
    watching::Watching,
};

/// This far into a film there is something to see.
const LIT_MS: u64 = 4_000;

impl State {
    pub(super) fn is_current(&self, number: u64) -> bool {
        self.opening.as_ref().is_some_and(|(current, ..)| *current == number)
    }

    pub(super) async fn open(&mut self, target: Target) {
        self.close_film().await;
        self.tries += 1;
        let number = self.tries;
        let title = match &target {
            Target::File(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()),
            Target::Remote(opening) => match &**opening {
                Opening::Link(link) => Some(opening::title(&link.name)),
                Opening::Url(url) | Opening::Request(url) => url.host_str().map(str::to_owned),
            },
        };
        self.opening = Some((number, title.unwrap_or_default(), Instant::now()));
        match target {
            Target::File(path) => {
                let outcome = opening::file(&path).map(Box::new);
                Box::pin(self.opened(number, outcome)).await;
            }
            Target::Remote(opening) => {
                let Some(node) = &self.node else {
                    self.opening = None;
                    self.notice(Message { code: Code::Network, detail: "the network isn't started".into() });
                    return;
                };
                if let Opening::Link(link) = &*opening {
                    let link = (**link).clone();
                    self.fetch(number, link).await;
                    return;
                }
                let (controller, inputs) = (node.controller.clone(), self.inputs.clone());
                tokio::spawn(async move {
                    let input = match opening::resolve(&controller, &opening).await {
                        Ok(Resolved::Link(link)) => Input::Resolved(number, link),
                        Ok(Resolved::Plain(url)) => {
                            let again = url.to_string();
                            Input::Opened(
                                number,
                                opening::plain(url, again, controller.folder()).await.map(Box::new),
                            )
                        }
                        Err(message) => Input::Opened(number, Err(message)),
                    };
                    // A terminal that has ended wants to know nothing more.
                    let _ = inputs.send(input).await;
                });
            }
        }
    }

    async fn opened(&mut self, number: u64, outcome: Result<Box<Opened>, Message>) {
        self.take(Input::Opened(number, outcome)).await;
    }

    pub(super) async fn fetch(&mut self, number: u64, link: nearcast_protocol::Link) {
        let Some(node) = &self.node else { return };
        let watched = |id: &str| self.history.watched_at(id);
        let outcome = match node.make_room(link.id, link.size, self.settings.limit, watched).await {
            Ok(room) if room >= LEAST_ROOM.min(link.size) => {
                opening::link(&node.controller, link, room).await.map(Box::new)
            }
            Ok(room) => Err(Message {
                code: Code::Limit,
                detail: format!(
                    "this film has {:.1} GB, and there is room for {:.1} GB: free some of the disk, or let films have more",
                    link.size as f64 / 1e9,
                    room as f64 / 1e9
                ),
            }),
            Err(error) => Err(Message { code: Code::Disk, detail: error.to_string() }),
        };
        Box::pin(self.opened(number, outcome)).await;
    }

    pub(super) async fn play(&mut self, opened: Opened) {
        let Some((number, _, asked)) = self.opening.take() else { return };
        let sinks = match self.desktop.sinks() {
            Ok(sinks) => sinks,
            Err(error) => {
                return self.notice(Message { code: Code::MissingCodec, detail: error.to_string() });
            }
        };
        let (player, events) = match Player::open(Arc::clone(&opened.media), sinks) {
            Ok(player) => player,
            Err(error) => {
                return self.notice(Message { code: Code::MissingCodec, detail: error.to_string() });
            }
        };
        let inputs = self.inputs.clone();
        let forward = std::thread::Builder::new().name("player events".into()).spawn(move || {
            for event in events {
                if inputs.blocking_send(Input::Player(number, event)).is_err() {
                    return;
                }
            }
        });
        if let Err(error) = forward {
            return self.notice(Message { code: Code::Other, detail: error.to_string() });
        }
        if self.settings.history {
            let watched = Watched {
                id: opened.id.clone(),
                title: opened.title.clone(),
                opening: opened.again.clone(),
                size: Some(opened.media.size()),
                local: opened.local,
            };
            self.history.watched(watched, unix_ms());
        }
        player.set_volume(self.settings.volume, self.settings.muted);
        let place = self.settings.resume.then(|| self.history.position(&opened.id)).flatten();
        let mut watching = Watching::new(opened, player, asked);
        if let Some(place) = place.filter(|place| *place > 0) {
            watching.resume(place, Instant::now());
        }
        watching.play();
        self.watching = Some(watching);
    }

    /// Ends the film, if there is one, and remembers where it stopped. Waits until the player has let go of the
    /// screen, so that the next one can take it.
    pub(super) async fn close_film(&mut self) {
        self.opening = None;
        self.note_place();
        let Some(watching) = self.watching.take() else { return };
        // Films open on black.
        let begun = watching.place().is_some_and(|(at, _)| at >= LIT_MS);
        let (player, opened) = (watching.player, watching.opened);
        // What isn't watched isn't fetched: the disk's limit is reckoned with one film on its way.
        if let Some(transfer) = &opened.transfer {
            transfer.pause(true).await;
        }
        let wanted = begun && !self.history.has_poster(&opened.id) && self.settings.history;
        player.pause();
        let closing = tokio::task::spawn_blocking(move || {
            let poster = if wanted { player.snapshot() } else { None };
            player.stop();
            drop(player);
            poster
        });
        match closing.await {
            Ok(Some(poster)) => self.history.poster(&opened.id, &poster),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the player could not be closed"),
        }
        if let Err(error) = self.history.save() {
            self.notice(Message { code: Code::Settings, detail: error.to_string() });
        }
        if std::mem::take(&mut self.restart_node) {
            self.go_online().await;
        }
    }

    pub(super) fn note_place(&mut self) {
        let Some(watching) = &self.watching else { return };
        if let Some((at, length)) = watching.place() {
            self.history.at(&watching.opened.id, at, length);
        }
    }
}
