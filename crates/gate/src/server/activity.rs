//! What a connection is doing, and when it has done nothing for too long: [`Activity`] is told by the socket, by every
//! request and by every answer, and [`Activity::overdue`] is ready once the connection is to be closed.
//!
//! It never closes anything itself, and a request that waits for us (for a rail, for the upstream) is never overdue: those
//! waits have limits of their own. There is no clock in it: it looks now and then and counts how long nothing was different.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How long a connection may do nothing, in milliseconds. Never less, at most half as long again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// From its beginning to its first whole head of a request.
    pub(super) first_ms: u64,
    /// Without a request.
    pub(super) idle_ms: u64,
    /// With an answer that the client does not read.
    pub(super) stall_ms: u64,
}

impl Limits {
    /// The time between two looks.
    fn tick_ms(&self) -> u64 {
        (self.first_ms.min(self.idle_ms).min(self.stall_ms) / 4).clamp(1, 5_000)
    }

    const fn of(&self, phase: Phase) -> Option<u64> {
        match phase {
            Phase::First => Some(self.first_ms),
            Phase::Idle => Some(self.idle_ms),
            Phase::Stalled => Some(self.stall_ms),
            Phase::Working => None,
        }
    }
}

/// Whom a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// For the client's first request.
    First,
    /// For the client's next request.
    Idle,
    /// For the client to read what it asked for.
    Stalled,
    /// For us.
    Working,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "it sent no request",
            Self::Idle => "it was idle",
            Self::Stalled => "it stopped reading",
            Self::Working => "it worked",
        })
    }
}

/// What one connection is doing.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Requests that began, and requests that ended.
    turns: AtomicU64,
    /// Requests in progress: from the head to the end of the answer's body.
    requests: AtomicUsize,
    /// Those of them that wait for us.
    ours: AtomicUsize,
    /// Parts of answers that were handed over.
    frames: AtomicU64,
    /// Bytes that the socket took.
    written: AtomicU64,
    /// Whether the socket takes no more.
    blocked: AtomicBool,
}

/// What is compared from one look to the next.
#[derive(PartialEq, Eq)]
struct Look {
    phase: Phase,
    moved: Option<(u64, u64, u64)>,
}

impl Activity {
    /// What counts as something written. More than keeping a connection alive costs, so that pings alone do not.
    const CHUNK: u64 = 4_096;

    /// Ready once a limit is reached: the connection is to be closed, for this reason.
    pub(super) async fn overdue(&self, limits: Limits) -> Phase {
        let tick_ms = limits.tick_ms();
        let (mut last, mut quiet_ms) = (self.look(), 0_u64);
        loop {
            tokio::time::sleep(Duration::from_millis(tick_ms)).await;
            let look = self.look();
            if look != last {
                (last, quiet_ms) = (look, 0);
                continue;
            }
            quiet_ms = quiet_ms.saturating_add(tick_ms);
            if limits.of(last.phase).is_some_and(|limit_ms| quiet_ms >= limit_ms) {
                return last.phase;
            }
        }
    }

    fn look(&self) -> Look {
        let (requests, turns) = (self.requests.load(Relaxed), self.turns.load(Relaxed));
        let phase = if requests == 0 && turns == 0 {
            Phase::First
        } else if self.blocked.load(Relaxed) {
            Phase::Stalled
        } else if requests == 0 {
            Phase::Idle
        } else if self.ours.load(Relaxed) == 0 {
            Phase::Stalled
        } else {
            Phase::Working
        };
        // Before the first request nothing is progress: a byte now and then keeps no connection open.
        let moved = (phase != Phase::First)
            .then(|| (turns, self.frames.load(Relaxed), self.written.load(Relaxed) / Self::CHUNK));
        Look { phase, moved }
    }
}

/// A request in progress, until it is dropped.
#[derive(Debug)]
pub(super) struct InProgress {
    activity: Arc<Activity>,
    ours: bool,
}

impl InProgress {
    /// A request that has begun, and waits for us.
    pub(super) fn begin(activity: &Arc<Activity>) -> Self {
        activity.ours.fetch_add(1, Relaxed);
        activity.requests.fetch_add(1, Relaxed);
        activity.turns.fetch_add(1, Relaxed);
        Self { activity: Arc::clone(activity), ours: true }
    }

    /// Its answer's body; from here on it is the client that has to take it.
    pub(super) fn answered<B>(mut self, inner: B) -> WatchedBody<B> {
        self.wait_for_client();
        WatchedBody { inner, request: self }
    }

    fn wait_for_us(&mut self) {
        if !std::mem::replace(&mut self.ours, true) {
            self.activity.ours.fetch_add(1, Relaxed);
        }
    }

    fn wait_for_client(&mut self) {
        if std::mem::replace(&mut self.ours, false) {
            self.activity.ours.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.wait_for_client();
        self.activity.turns.fetch_add(1, Relaxed);
        self.activity.requests.fetch_sub(1, Relaxed);
    }
}

/// The body of an answer. Asked for a part, it waits for us until it has one; else it is the client that makes it wait.
#[derive(Debug)]
pub(super) struct WatchedBody<B> {
    inner: B,
    request: InProgress,
}

impl<B: Body + Unpin> Body for WatchedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if polled.is_pending() {
            self.request.wait_for_us();
        } else {
            self.request.wait_for_client();
            self.request.activity.frames.fetch_add(1, Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A socket that says what it takes.
#[derive(Debug)]
pub(super) struct WatchedIo<S> {
    inner: S,
    activity: Arc<Activity>,
    /// Pieces of a short write, one after the other.
    joined: Vec<u8>,
}

impl<S> WatchedIo<S> {
    /// What is written in one piece, in bytes: a head with a short body. To copy that costs less than what the kernel does for a
    /// list of pieces.
    const JOINED: usize = 4_096;

    pub(super) const fn new(inner: S, activity: Arc<Activity>) -> Self {
        Self { inner, activity, joined: Vec::new() }
    }

    fn note(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.activity.blocked.store(polled.is_pending(), Relaxed);
        if let Poll::Ready(Ok(bytes)) = &polled {
            self.activity.written.fetch_add(u64::try_from(*bytes).unwrap_or(u64::MAX), Relaxed);
        }
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.note(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let whole: usize = bytes.iter().map(|piece| piece.len()).sum();
        let polled = if whole <= Self::JOINED {
            this.joined.clear();
            bytes.iter().for_each(|piece| this.joined.extend_from_slice(piece));
            Pin::new(&mut this.inner).poll_write(cx, &this.joined)
        } else {
            Pin::new(&mut this.inner).poll_write_vectored(cx, bytes)
        };
        this.note(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
