//! TCP connections that tell how long the queue before the line is, so that uploads give way to others on it.
//!
//! The kernel knows each connection's round trips (`TCP_INFO`, Linux). A busy connection is looked at as it is written
//! to, so that nothing is asked of those at rest; what they tell goes to one [`Ledbat`], whose rate bounds the node's
//! uploads. Loopback has no line.

use std::{
    io::{self, IoSlice, IoSliceMut},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::io::{AsyncRead, AsyncWrite};
use libp2p::tcp::tokio::TcpStream;

use crate::{
    frames::Limits,
    ledbat::{Ledbat, Sample},
};

/// How often a busy connection is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Who gets less than this through in a second isn't busy, and its delay is of nobody's making.
const BUSY: u64 = 2 << 10;
const BUSY_FOR: Duration = Duration::from_secs(1);
/// What a connection takes beyond what it has sent, in bytes: more would wait in the kernel where nothing overtakes it.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 32 << 10;

/// The line that all connections share.
#[derive(Debug)]
pub(crate) struct Line {
    gives_way: AtomicBool,
    ledbat: Mutex<Ledbat>,
    limits: Limits,
}

impl Line {
    pub(crate) fn new(gives_way: bool, limits: Limits) -> Self {
        Self { gives_way: gives_way.into(), ledbat: Mutex::default(), limits }
    }

    /// Whether uploads give way to others.
    pub(crate) fn set_gives_way(&self, gives_way: bool) {
        let mut ledbat = self.ledbat();
        self.gives_way.store(gives_way, Ordering::Relaxed);
        if !gives_way {
            *ledbat = Ledbat::default();
            self.limits.upload.bound(None);
        }
    }

    fn sampled(&self, now: Instant, acked: u64, delay: Duration) {
        let sample = Sample { acked, delay, received: self.limits.download.passed() };
        let mut ledbat = self.ledbat();
        if self.gives_way.load(Ordering::Relaxed)
            && let Some(bound) = ledbat.sample(now, sample)
        {
            self.limits.upload.bound(bound);
        }
    }

    fn ledbat(&self) -> MutexGuard<'_, Ledbat> {
        // Numbers that a panic can't leave half done.
        self.ledbat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A TCP connection that is looked at while it is busy.
pub(crate) struct OnLine {
    stream: TcpStream,
    /// None on loopback, and where nothing is uploaded.
    line: Option<Arc<Line>>,
    looked: Instant,
    /// When it was last found busy or given up, and what had been acknowledged then.
    since: Instant,
    acked: u64,
}

impl OnLine {
    pub(crate) fn new(stream: TcpStream, line: Option<Arc<Line>>) -> Self {
        // A connection whose other end is already unknown ends by itself.
        let remote = stream.0.peer_addr().ok().filter(|remote| !remote.ip().to_canonical().is_loopback());
        if remote.is_some() {
            bound_unsent(&stream);
        }
        let now = Instant::now();
        Self { stream, line: line.filter(|_| remote.is_some()), looked: now, since: now, acked: 0 }
    }

    fn look(&mut self) {
        let Some(line) = &self.line else { return };
        let now = Instant::now();
        if now < self.looked + LOOK {
            return;
        }
        self.looked = now;
        let Some(state) = kernel::state(&self.stream.0) else { return };
        let acked = state.acked.saturating_sub(self.acked);
        let busy = acked >= BUSY;
        if busy || now > self.since + BUSY_FOR {
            (self.since, self.acked) = (now, state.acked);
        }
        if busy {
            line.sampled(now, acked, state.round_trip.saturating_sub(state.shortest));
        }
    }
}

#[cfg(target_os = "linux")]
fn bound_unsent(stream: &TcpStream) {
    if let Err(error) = socket2::SockRef::from(&stream.0).set_tcp_notsent_lowat(UNSENT) {
        tracing::debug!(%error, "what waits in the kernel isn't bounded on a connection");
    }
}

#[cfg(not(target_os = "linux"))]
fn bound_unsent(_: &TcpStream) {}

impl AsyncRead for OnLine {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read_vectored(cx, into)
    }
}

impl AsyncWrite for OnLine {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.look();
        Pin::new(&mut self.stream).poll_write(cx, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.look();
        Pin::new(&mut self.stream).poll_write_vectored(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// What the kernel knows of a connection.
struct State {
    round_trip: Duration,
    shortest: Duration,
    /// Bytes acknowledged since it began.
    acked: u64,
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::time::Duration;

    use nix::{
        libc,
        sys::socket::{getsockopt, sockopt::GetStruct},
    };
    use tokio::net::TcpStream;

    use super::State;

    #[derive(Clone, Copy)]
    struct TcpInfo;

    nix::getsockopt_impl!(TcpInfo, libc::IPPROTO_TCP, libc::TCP_INFO, Known, GetStruct<Known>);

    /// The head of the kernel's `struct tcp_info`, as far as it is needed: Linux 4.6 and later have that much, and
    /// a kernel gives no more than is asked for.
    #[repr(C)]
    #[derive(Clone, Copy)]
    #[allow(dead_code, reason = "what isn't read holds the places of what is")]
    struct Known {
        bytes: [u8; 8],
        before_round_trip: [u32; 15],
        /// Microseconds, smoothed.
        rtt: u32,
        after_round_trip: [u32; 8],
        rates: [u64; 2],
        bytes_acked: u64,
        bytes_received: u64,
        segments: [u32; 2],
        unsent: u32,
        /// Microseconds.
        min_rtt: u32,
    }

    pub(super) fn state(stream: &TcpStream) -> Option<State> {
        let info = getsockopt(stream, TcpInfo).ok()?;
        let micros = |micros: u32| Duration::from_micros(micros.into());
        // The kernel says so while it hasn't measured any.
        let measured = info.min_rtt != u32::MAX && info.rtt > 0;
        measured.then(|| State {
            round_trip: micros(info.rtt),
            shortest: micros(info.min_rtt),
            acked: info.bytes_acked,
        })
    }

    #[cfg(test)]
    mod tests {
        use std::mem::offset_of;

        use super::*;

        #[test]
        fn the_fields_are_where_the_kernel_has_them() {
            assert_eq!(offset_of!(Known, rtt), offset_of!(libc::tcp_info, tcpi_rtt));
            assert_eq!(offset_of!(Known, bytes_acked), offset_of!(libc::tcp_info, tcpi_bytes_acked));
            assert_eq!(offset_of!(Known, min_rtt), offset_of!(libc::tcp_info, tcpi_min_rtt));
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    use tokio::net::TcpStream;

    use super::State;

    /// Other systems are not asked.
    pub(super) fn state(_: &TcpStream) -> Option<State> {
        None
    }
}
