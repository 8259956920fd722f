//! One stream with one peer about one resource: the network interface (第二接口).
//!
//! Two halves run side by side, so that reading never waits for writing: the receiving half puts answers
//! together, has them verified and reports; the sending half writes what the schedule decides and what the
//! peer has asked for.

use std::{
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use bytes::BytesMut;
use nearcast_content::{AcceptError, Fault, PAIR_BYTES, Store};
use nearcast_network::{FrameReceiver, FrameSender, Limit, PieceStream, StreamError, Ticket};
use nearcast_protocol::{
    Blocks,
    pieces::{Class, Data, Frame, Importing, PieceRequest, Reason, Refuse, VERSION_KNOWN},
};
use nearcast_schedule::{Peer, RequestId};
use tokio::sync::mpsc;

use crate::{
    answers::{Answer, Answers, Brought, TOLD},
    upload::{self, Fragment, Next, Uploads},
};

/// The most orders on the way to a session: a window of requests and as many cancels fit.
const ORDERS: usize = 256;
/// Frames from the peer that the sending half hasn't seen yet; beyond it the receiving half waits.
const FROM_PEER: usize = 160;

/// An answer of more blocks than these isn't made much shorter by what is known of it.
const FEW: u64 = 16;

/// What a session is told to do.
pub(crate) enum Order {
    Request(PieceRequest, Range<u64>),
    /// What comes of it all the same is to be kept, or not.
    Cancel(RequestId, bool),
    Say(Frame),
}

/// What a session reports.
pub(crate) enum Report {
    Has(Blocks),
    Lost(Blocks),
    /// It fetches these blocks into its group.
    Imports(Range<u64>),
    Progress {
        request: RequestId,
        bytes: u64,
    },
    Answered {
        request: RequestId,
        result: Result<Blocks, AcceptError>,
    },
    /// An answer that can't be judged before the size is proved.
    Unproved {
        request: RequestId,
        blocks: Range<u64>,
        encoded: BytesMut,
    },
    Refused {
        request: RequestId,
        refuse: Refuse,
    },
    Uploaded(u64),
    /// The store has found these blocks damaged and given them up.
    Damaged(Blocks),
    Ended(Ending),
}

/// Why a session has ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The peer closed the stream, or the connection is gone.
    Closed,
    /// The peer wants no stream now.
    Refused(Refuse),
    /// A web source is of no use for this film any more: why.
    Dropped(String),
    /// The peer broke the protocol.
    Violation(&'static str),
}

/// The drive's end of a session.
pub(crate) struct Session {
    orders: mpsc::Sender<Order>,
}

impl Session {
    /// Hands an order over. A session that can't keep up with its orders is as good as gone.
    pub fn order(&self, order: Order) -> bool {
        self.orders.try_send(order).is_ok()
    }

    /// Makes the two ends.
    pub fn new() -> (Self, mpsc::Receiver<Order>) {
        let (orders, receiver) = mpsc::channel(ORDERS);
        (Self { orders }, receiver)
    }
}

/// Whether the peer is given what it requests.
pub(crate) struct Leave {
    /// Off while the user wants nothing uploaded.
    pub sharing: Arc<AtomicBool>,
    /// The resource's own upload limit.
    pub limit: Arc<Limit>,
    /// Why this peer isn't given anything, if it has shown no token that is good for this.
    pub denied: Option<Reason>,
}

/// Runs a session to its end, and reports why it ended.
pub(crate) async fn run(
    peer: Peer,
    stream: PieceStream,
    store: Arc<dyn Store>,
    orders: mpsc::Receiver<Order>,
    reports: mpsc::Sender<(Peer, Report)>,
    leave: Leave,
    version: u16,
) {
    let answers = Arc::<Mutex<Answers>>::default();
    let (to_sender, from_peer) = mpsc::channel(FROM_PEER);
    let PieceStream { send, receive, .. } = stream;
    let receiving = Receiving {
        peer,
        receive,
        store: Arc::clone(&store),
        answers: Arc::clone(&answers),
        to_sender,
        reports: reports.clone(),
    };
    let sending =
        Sending { peer, send, store, answers, orders, from_peer, reports: reports.clone(), leave, version };
    let ending = tokio::select! {
        ending = receiving.run() => ending,
        ending = sending.run() => ending,
    };
    // The drive may be gone first; then nobody needs to know.
    reports.send((peer, Report::Ended(ending))).await.ok();
}

fn lock(answers: &Mutex<Answers>) -> std::sync::MutexGuard<'_, Answers> {
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Receiving {
    peer: Peer,
    receive: FrameReceiver,
    store: Arc<dyn Store>,
    answers: Arc<Mutex<Answers>>,
    to_sender: mpsc::Sender<Frame>,
    reports: mpsc::Sender<(Peer, Report)>,
}

impl Receiving {
    async fn run(mut self) -> Ending {
        loop {
            let frame = match self.receive.next().await {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ending::Closed,
                Err(StreamError::Malformed(error)) => {
                    tracing::debug!(%error, "a peer sent nonsense");
                    return Ending::Violation("it sent frames that can't be read");
                }
                Err(_) => return Ending::Closed,
            };
            if let Err(ending) = self.take(frame).await {
                return ending;
            }
        }
    }

    async fn take(&mut self, frame: Frame) -> Result<(), Ending> {
        match frame {
            Frame::Have(blocks) => {
                let has = self.bounded(&blocks);
                self.report(Report::Has(has)).await
            }
            Frame::Gone(blocks) => {
                let lost = self.bounded(&blocks);
                self.report(Report::Lost(lost)).await
            }
            Frame::Data(data) => self.data(data).await,
            Frame::Request(_) | Frame::Cancel(_) => {
                self.to_sender.send(frame).await.map_err(|_| Ending::Closed)
            }
            Frame::Refuse(refuse) => match refuse.id {
                Some(id) => {
                    if lock(&self.answers).refused(id) {
                        self.report(Report::Refused { request: RequestId(id), refuse }).await?;
                    }
                    Ok(())
                }
                None => Err(Ending::Refused(refuse)),
            },
            Frame::Hello(_) => Err(Ending::Violation("it said hello twice")),
            Frame::Importing(Importing { first, count, .. }) => {
                self.report(Report::Imports(first..first.saturating_add(count))).await
            }
        }
    }

    /// What a peer claims to have, cut to what the file has.
    fn bounded(&self, blocks: &Blocks) -> Blocks {
        blocks.intersection(&self.store.geometry().all())
    }

    async fn data(&mut self, data: Data) -> Result<(), Ending> {
        let geometry = self.store.geometry();
        let brought = lock(&self.answers).take(&data, geometry, Instant::now());
        let Brought { progress, answers } = brought.map_err(Ending::Violation)?;
        if let Some(bytes) = progress {
            self.report(Report::Progress { request: RequestId(data.id), bytes }).await?;
        }
        for answer in answers {
            self.judge(answer).await?;
        }
        Ok(())
    }

    async fn judge(&mut self, answer: Answer) -> Result<(), Ending> {
        let Answer { request, blocks, encoded, whole } = answer;
        let request = RequestId(request);
        if !self.store.size_proved() && !blocks.contains(&self.store.geometry().last()) {
            if !whole {
                return Ok(());
            }
            return self.report(Report::Unproved { request, blocks, encoded }).await;
        }
        let (store, reports, peer) = (Arc::clone(&self.store), self.reports.clone(), self.peer);
        // The verdict is told from where it is found: what is stored must be known, even if this session
        // ends meanwhile.
        let verdict = tokio::task::spawn_blocking(move || {
            let result = match store.accept(blocks, &encoded) {
                // It was cancelled, so it may end anywhere.
                Err(AcceptError { verified, fault: Fault::Short }) if !whole => Ok(verified),
                result => result,
            };
            reports.blocking_send((peer, Report::Answered { request, result })).is_ok()
        });
        if verdict.await.unwrap_or(false) { Ok(()) } else { Err(Ending::Closed) }
    }

    async fn report(&mut self, report: Report) -> Result<(), Ending> {
        self.reports.send((self.peer, report)).await.map_err(|_| Ending::Closed)
    }
}

struct Sending {
    peer: Peer,
    send: FrameSender,
    store: Arc<dyn Store>,
    answers: Arc<Mutex<Answers>>,
    orders: mpsc::Receiver<Order>,
    from_peer: mpsc::Receiver<Frame>,
    reports: mpsc::Sender<(Peer, Report)>,
    leave: Leave,
    /// Which version of the protocol the peer speaks.
    version: u16,
}

impl Sending {
    async fn run(mut self) -> Ending {
        let mut uploads = Uploads::default();
        // A fragment that waits for the upload limit; requests and cancels overtake it.
        let mut fragment: Option<Fragment> = None;
        // Whether the resource's own limit has let it through.
        let mut through = false;
        let (mut told, mut untold) = (Instant::now(), 0);
        loop {
            let payload = fragment.as_ref().map_or(0, |fragment| fragment.data.payload.len());
            // With what is more urgent waiting behind it, a fragment is as urgent as that.
            let place = fragment.as_ref().map(|fragment| {
                let behind = uploads.most_urgent().unwrap_or(fragment.class);
                (fragment.class.min(behind), fragment.ticket)
            });
            let frame = tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(order) => self.obey(order).await,
                    None => return Ending::Closed,
                },
                frame = self.from_peer.recv() => match frame {
                    Some(Frame::Request(request)) if self.leave.denied.is_some() => {
                        self.leave.denied.map(|reason| upload::refusal(request.id, reason))
                    }
                    Some(Frame::Request(request)) if !self.leave.sharing.load(Ordering::Relaxed) => {
                        Some(upload::paused(request.id))
                    }
                    Some(Frame::Request(request)) => uploads.push(Instant::now(), request).err(),
                    Some(Frame::Cancel(id)) => {
                        uploads.cancel(id);
                        if fragment.take_if(|fragment| fragment.data.id == id).is_some() {
                            through = false;
                        }
                        None
                    }
                    Some(_) => None,
                    None => return Ending::Closed,
                },
                () = pass(&self.leave.limit, place, payload), if !through => {
                    through = true;
                    continue;
                }
                allowed = allow(&mut self.send, place, payload), if through => match allowed {
                    Ok(()) => {
                        through = false;
                        fragment.take().map(|fragment| Frame::Data(fragment.data))
                    }
                    Err(_) => return Ending::Closed,
                },
                () = std::future::ready(()), if fragment.is_none() && !uploads.is_empty() => {
                    let (ticket, most) = (self.send.ticket(), self.send.fragment());
                    let next = uploads.next(&self.store, ticket, most).await;
                    if let Some(lost) = uploads.damaged.take()
                        && self.reports.send((self.peer, Report::Damaged(lost))).await.is_err()
                    {
                        return Ending::Closed;
                    }
                    match next {
                        Some(Next::Fragment(next)) => {
                            fragment = Some(next);
                            None
                        }
                        Some(Next::Refusal(refusal)) => Some(refusal),
                        None => None,
                    }
                }
            };
            let Some(frame) = frame else {
                // A cancel may leave the last fragment of another answer behind.
                if uploads.is_empty() && fragment.is_none() && self.send.flush().await.is_err() {
                    return Ending::Closed;
                }
                continue;
            };
            let uploaded = if let Frame::Data(data) = &frame { data.payload.len() as u64 } else { 0 };
            if self.send.feed(frame).await.is_err() {
                return Ending::Closed;
            }
            // A run of fragments goes out together; the last of them, and whatever isn't bulk, at once.
            if (uploads.is_empty() || uploaded == 0) && self.send.flush().await.is_err() {
                return Ending::Closed;
            }
            untold += uploaded;
            if untold > 0 && (uploads.is_empty() || told.elapsed() >= TOLD) {
                told = Instant::now();
                let report = Report::Uploaded(std::mem::take(&mut untold));
                if self.reports.send((self.peer, report)).await.is_err() {
                    return Ending::Closed;
                }
            }
        }
    }

    async fn obey(&mut self, order: Order) -> Option<Frame> {
        match order {
            Order::Request(mut request, blocks) => {
                let known = self.known(&blocks).await;
                request.known = u8::try_from(known.len() / PAIR_BYTES as usize).unwrap_or_default();
                lock(&self.answers).ask(request.id, blocks, &known, Instant::now());
                Some(Frame::Request(request))
            }
            Order::Cancel(RequestId(id), keep) => {
                lock(&self.answers).cancel(id, keep).then_some(Frame::Cancel(id))
            }
            Order::Say(frame) => Some(frame),
        }
    }

    /// What of the answer's encoding the peer needn't send.
    async fn known(&mut self, blocks: &Range<u64>) -> Vec<u8> {
        let many = blocks.end - blocks.start > FEW;
        if many || self.version < VERSION_KNOWN || !self.store.size_proved() {
            return Vec::new();
        }
        let (store, blocks) = (Arc::clone(&self.store), blocks.clone());
        tokio::task::spawn_blocking(move || store.known(&blocks)).await.unwrap_or_default()
    }
}

/// Waits for the resource's own limit; for ever if there is nothing to send.
async fn pass(limit: &Limit, place: Option<(Class, Ticket)>, payload: usize) {
    match place {
        Some(_) if limit.try_take(payload) => {}
        Some((class, ticket)) => limit.take_as(class, ticket, payload).await,
        None => std::future::pending().await,
    }
}

/// Waits for the node's limit; for ever if there is nothing to send.
async fn allow(
    send: &mut FrameSender,
    place: Option<(Class, Ticket)>,
    payload: usize,
) -> Result<(), StreamError> {
    match place {
        Some((class, ticket)) => send.allow(payload, class, ticket).await,
        None => std::future::pending().await,
    }
}

/// Whether a refusal of a stream may pass.
pub(crate) fn may_pass(reason: Reason) -> bool {
    !reason.denies() && reason != Reason::Invalid
}
