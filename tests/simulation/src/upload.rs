//! What one peer has asked a node for, the most urgent first: `transfer`'s upload side without bytes.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use nearcast_protocol::pieces::{Class, MAX_FRAGMENT};
use nearcast_schedule::RequestId;

/// What lies in Yamux's queue and the kernel's, where no cancel reaches it: eleven frames and some more.
const COMMITTED: u64 = 208 * 1024;

/// What one peer waits for.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    /// In the order they are served: by class, then by deadline, then as they came.
    queue: BTreeMap<(Class, Duration, u64), Answer>,
    arrived: u64,
    current: Option<Answer>,
    /// On its way, whatever happens.
    committed: VecDeque<Part>,
}

#[derive(Debug, Clone, Copy)]
struct Answer {
    request: RequestId,
    rest: u64,
}

/// A part of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub request: RequestId,
    pub bytes: u32,
    pub last: bool,
}

impl Uploads {
    pub fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.current.is_none() && self.queue.is_empty()
    }

    pub fn push(&mut self, request: RequestId, class: Class, due: Duration, bytes: u64) {
        self.arrived += 1;
        self.queue.insert((class, due, self.arrived), Answer { request, rest: bytes });
    }

    /// Forgets a request, even in the middle of its answer; but what is on its way comes all the same.
    pub fn cancel(&mut self, request: RequestId) {
        self.queue.retain(|_, answer| answer.request != request);
        self.current.take_if(|answer| answer.request == request);
    }

    /// The next part to send.
    pub fn next(&mut self) -> Option<Part> {
        while self.committed.iter().map(|part| u64::from(part.bytes)).sum::<u64>() < COMMITTED {
            let Some(part) = self.draw() else { break };
            self.committed.push_back(part);
        }
        self.committed.pop_front()
    }

    /// The next part that a cancel would still reach. An answer that has begun is finished first.
    fn draw(&mut self) -> Option<Part> {
        let mut answer = match self.current.take() {
            Some(answer) => answer,
            None => self.queue.pop_first()?.1,
        };
        let bytes = u32::try_from(answer.rest).unwrap_or(u32::MAX).min(MAX_FRAGMENT as u32);
        answer.rest -= u64::from(bytes);
        let last = answer.rest == 0;
        if !last {
            self.current = Some(answer);
        }
        Some(Part { request: answer.request, bytes, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_class_then_deadline_and_never_in_the_middle_of_an_answer() {
        let mut uploads = Uploads::default();
        let fragment = MAX_FRAGMENT as u64;
        uploads.push(RequestId(1), Class::Background, Duration::ZERO, 2 * COMMITTED);
        let first = uploads.next();
        assert_eq!(first, Some(Part { request: RequestId(1), bytes: MAX_FRAGMENT as u32, last: false }));
        uploads.push(RequestId(2), Class::Urgent, Duration::from_secs(2), 10);
        uploads.push(RequestId(3), Class::Urgent, Duration::from_secs(1), 10);
        uploads.push(RequestId(4), Class::Urgent, Duration::ZERO, 10);
        uploads.cancel(RequestId(4));
        let rest: Vec<_> = std::iter::from_fn(|| uploads.next()).map(|part| part.request.0).collect();
        let first = usize::try_from(2 * COMMITTED / fragment).unwrap() - 1;
        assert_eq!(rest.len(), first + 2);
        assert!(rest[..first].iter().all(|request| *request == 1));
        assert_eq!(rest[first..], [3, 2]);
        assert!(uploads.is_empty());
    }

    #[test]
    fn what_is_on_its_way_is_reached_by_no_cancel() {
        let mut uploads = Uploads::default();
        uploads.push(RequestId(1), Class::Urgent, Duration::ZERO, 2 * COMMITTED);
        let first = uploads.next().map_or(0, |part| u64::from(part.bytes));
        uploads.cancel(RequestId(1));
        let rest: u64 = std::iter::from_fn(|| uploads.next()).map(|part| u64::from(part.bytes)).sum();
        assert!((COMMITTED..COMMITTED + MAX_FRAGMENT as u64).contains(&(first + rest)), "{first} {rest}");
    }
}
