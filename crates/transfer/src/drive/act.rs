//! What the schedule decides is done: requests, cancels and words to the group go to the sessions.

use nearcast_protocol::{
    Group, Role,
    pieces::{Frame, Importing, PieceRequest},
};
use nearcast_schedule::{Action, LEASE};

use super::Drive;
use crate::session::Order;

impl Drive {
    pub(super) fn act(&mut self) {
        let now = self.now();
        let Some(schedule) = &mut self.schedule else { return };
        // One that is still to come stands: the schedule tells of a wake only once.
        if self.wake.is_some_and(|wake| wake <= now) {
            self.wake = None;
        }
        let (mut lost, mut forgotten) = (Vec::new(), Vec::new());
        // Where there is no room for all of it, there is none for what comes unasked.
        let keep = self.room.0.is_none_or(|room| room >= self.parts.shared.link.size);
        while let Some(action) = schedule.poll(now) {
            match action {
                Action::Request { peer, request, blocks, class, deadline } => {
                    let left = deadline.saturating_sub(now).as_millis();
                    let piece = PieceRequest {
                        id: request.0,
                        first: blocks.start,
                        count: blocks.end - blocks.start,
                        class,
                        deadline_ms: u32::try_from(left).unwrap_or(u32::MAX),
                        known: 0,
                    };
                    let session = self.peers.get(&peer).map(|connected| &connected.session);
                    let session = session.or_else(|| self.sources.session(peer));
                    if !session.is_some_and(|session| session.order(Order::Request(piece, blocks))) {
                        lost.push(peer);
                    }
                }
                Action::Cancel { peer, request } => {
                    let session = self.peers.get(&peer).map(|connected| &connected.session);
                    let session = session.or_else(|| self.sources.session(peer));
                    if session.is_some_and(|session| !session.order(Order::Cancel(request, keep))) {
                        lost.push(peer);
                    }
                }
                Action::Import { blocks } => {
                    let frame = Frame::Importing(Importing {
                        first: blocks.start,
                        count: blocks.end - blocks.start,
                        lease_ms: u32::try_from(LEASE.as_millis()).unwrap_or(u32::MAX),
                    });
                    // Whose group isn't known yet may well be a member.
                    let member = |group: Group| group.same_network(self.group) || group == Group::UNKNOWN;
                    for (peer, connected) in &self.peers {
                        let told = connected.role == Role::Terminal && member(connected.group);
                        if told && !connected.session.order(Order::Say(frame.clone())) {
                            lost.push(*peer);
                        }
                    }
                }
                Action::Forget { blocks } => forgotten.push(blocks),
                Action::WakeAt(wake) => self.wake = Some(self.wake.map_or(wake, |known| known.min(wake))),
            }
        }
        forgotten.into_iter().for_each(|blocks| self.forget(blocks));
        let Some(schedule) = &mut self.schedule else { return };
        if let Some(trace) = &mut self.trace {
            trace.write(schedule);
        }
        if !lost.is_empty() {
            for peer in lost {
                self.leave(peer, None);
                self.leave_source(peer, Some("it can't keep up with what is asked".into()));
            }
            self.act();
        }
    }
}
