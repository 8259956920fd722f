//! What goes on beside the film: the network, what was sent, posters, what is written down.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use super::{KEEP_EVERY, POSTER_AT_MS, State};
use crate::{
    node::Node,
    quota,
    screen::{Code, Message, Storage},
    terminal::Input,
};

impl State {
    pub(super) fn apply_sharing(&mut self) {
        let on = self.settings.share && self.paused_until.is_none();
        if let Some(node) = &mut self.node {
            node.share(on);
        }
    }

    pub(super) async fn go_online(&mut self) {
        self.stop_reading().await;
        if let Some(node) = self.node.take() {
            node.controller.stop().await;
        }
        let folder = match &*self.settings.folder {
            "" => self.setup.paths.default_films(),
            folder => folder.into(),
        };
        match Node::start(&self.settings, folder, self.setup.listen.clone()).await {
            Ok(node) => {
                self.node = Some(node);
                self.apply_sharing();
                self.offer_again().await;
            }
            Err(error) => {
                self.notice(Message { code: Code::Network, detail: error.to_string() });
            }
        }
    }

    /// Looks over what changes by itself.
    pub(crate) async fn glance(&mut self) {
        if self.paused_until.is_some_and(|until| until <= SystemTime::now()) {
            self.paused_until = None;
            self.apply_sharing();
        }
        if let Some(node) = &mut self.node {
            let (more, rate) = node.sent(Instant::now());
            self.today.add(more, SystemTime::now());
            self.rate = rate;
        }
        self.take_poster();
        if self.kept.elapsed() >= KEEP_EVERY {
            self.kept = Instant::now();
            self.look_at_disk();
            self.keep_to_limit().await;
            self.look_at_shares();
            self.keep();
        }
    }

    fn take_poster(&mut self) {
        let Some(watching) = &mut self.watching else { return };
        let far = watching.place().is_some_and(|(at, _)| at >= POSTER_AT_MS);
        if far && watching.is_running() && self.settings.history && watching.wants_poster() {
            let (player, id, inputs) =
                (Arc::clone(&watching.player), watching.opened.id.clone(), self.inputs.clone());
            tokio::task::spawn_blocking(move || {
                if let Some(jpeg) = player.snapshot() {
                    let _ = inputs.try_send(Input::Poster(id, jpeg));
                }
            });
        }
    }

    /// Writes down what would be missed after a crash.
    pub(super) fn keep(&mut self) {
        self.note_place();
        self.note_shared();
        if std::mem::take(&mut self.unsaved)
            && !self.first_start
            && let Err(error) = self.file.save(&self.settings)
        {
            self.notice(Message { code: Code::Settings, detail: error.to_string() });
        }
        for error in [self.history.save().err(), self.today.save().err(), self.shares.save().err()]
            .into_iter()
            .flatten()
        {
            self.notice(Message { code: Code::Settings, detail: error.to_string() });
        }
    }

    /// Removes what a lowered limit has no room for. The film being watched stays.
    pub(super) async fn shrink(&mut self) {
        let Some(node) = &self.node else { return };
        let playing = self.watching.as_ref().map(|watching| watching.opened.id.as_str());
        let watched = |id: &str| self.history.watched_at(id);
        if let Err(error) = node.shrink(playing, self.settings.limit, watched).await {
            self.notice(Message { code: Code::Disk, detail: error.to_string() });
        }
        self.keep_to_limit().await;
        self.look_at_disk();
    }

    /// The film being watched has the room that others, the limit and the disk leave it at this moment.
    async fn keep_to_limit(&self) {
        let watched = self.watching.as_ref().and_then(|watching| watching.opened.transfer.as_ref());
        if let Some((node, transfer)) = self.node.as_ref().zip(watched) {
            let room = node.room(&transfer.id().to_string(), self.settings.limit);
            transfer.set_room(Some(room)).await;
        }
    }

    fn note_shared(&mut self) {
        let Some(node) = &mut self.node else { return };
        for (id, more) in node.shared() {
            self.history.shared(&id, more);
            self.shares.sent(&id, more);
        }
    }

    pub(super) fn look_at_disk(&mut self) {
        let (used, films) = self.node.as_ref().map_or((0, 0), Node::used);
        let folder = match &self.node {
            Some(node) => node.folder().clone(),
            None => self.setup.paths.default_films(),
        };
        self.storage = Storage { used, free: quota::free_bytes(&folder) };
        self.films = films;
    }
}
