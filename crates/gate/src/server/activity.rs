//! What a connection is doing, and when it has done nothing for too long: [`Activity`] is told by the socket, by every
//! request and by every answer, and [`Activity::overdue`] is ready once the connection is to be closed.
//!
//! It never closes anything itself, and a request that waits for us (for a rail, for the upstream) is never overdue: those
//! waits have limits of their own. There is no clock in it: it looks now and then and counts how long nothing was different.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::joined::Joined;

/// How long a connection may do nothing, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// From its beginning to its first whole head of a request, and in HTTP/1.1 from the end of one request to the head of the
    /// next. Never more, at most an eighth less.
    pub(super) head_ms: u64,
    /// Without a request. Never less, at most half as long again; so the next.
    pub(super) idle_ms: u64,
    /// With an answer that the client does not read.
    pub(super) stall_ms: u64,
}

impl Limits {
    /// The time between two looks.
    fn tick_ms(&self) -> u64 {
        (self.head_ms / 8).min(self.idle_ms / 4).min(self.stall_ms / 4).clamp(1, 5_000)
    }

    /// Whether this has lasted too long: for `quiet_ms` for certain, and for a tick more perhaps.
    fn are_over(&self, phase: Phase, speaks: Speaks, quiet_ms: u64) -> bool {
        let no_head = quiet_ms.saturating_add(self.tick_ms()) >= self.head_ms;
        match (phase, speaks) {
            (Phase::First, _) => no_head,
            (Phase::Idle, Speaks::Http1) => no_head || quiet_ms >= self.idle_ms,
            (Phase::Idle, Speaks::Http2) => quiet_ms >= self.idle_ms,
            (Phase::Stalled, _) => quiet_ms >= self.stall_ms,
            (Phase::Working, _) => false,
        }
    }
}

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    /// HTTP/1.1, as far as is known.
    Http1,
    /// HTTP/2.
    Http2,
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
    /// [`Requests`], in one number: it is counted several times a request.
    requests: AtomicU64,
    /// Parts of answers that were handed over.
    frames: AtomicU64,
    /// Bytes that the socket took.
    written: AtomicU64,
    /// Whether the socket takes no more.
    blocked: AtomicBool,
    /// Whether a request of HTTP/2 has come.
    http2: AtomicBool,
}

/// The requests of a connection, packed: half of the number for those that began or ended, a quarter each for those in
/// progress (from the head to the end of the answer's body) and for those of them that wait for us.
struct Requests {
    turns: u64,
    in_progress: u64,
    ours: u64,
}

impl Requests {
    const TURN: u64 = 1 << 32;
    const IN_PROGRESS: u64 = 1 << 16;
    const OURS: u64 = 1;

    const fn unpack(packed: u64) -> Self {
        Self { turns: packed >> 32, in_progress: packed >> 16 & 0xffff, ours: packed & 0xffff }
    }
}

/// What is compared from one look to the next.
#[derive(PartialEq, Eq)]
struct Look {
    phase: Phase,
    moved: Option<(u64, u64, u64)>,
}

impl Activity {
    /// The most requests at once that are counted right.
    pub(super) const MOST_REQUESTS: u32 = 0xffff;
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
            let speaks = if self.http2.load(Relaxed) { Speaks::Http2 } else { Speaks::Http1 };
            if limits.are_over(last.phase, speaks, quiet_ms) {
                return last.phase;
            }
        }
    }

    fn look(&self) -> Look {
        let Requests { turns, in_progress, ours } = Requests::unpack(self.requests.load(Relaxed));
        let phase = if in_progress == 0 && turns == 0 {
            Phase::First
        } else if self.blocked.load(Relaxed) {
            Phase::Stalled
        } else if in_progress == 0 {
            Phase::Idle
        } else if ours == 0 {
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
    pub(super) fn begin(activity: &Arc<Activity>, version: Version) -> Self {
        if version >= Version::HTTP_2 {
            activity.http2.store(true, Relaxed);
        }
        activity.requests.fetch_add(Requests::TURN + Requests::IN_PROGRESS + Requests::OURS, Relaxed);
        Self { activity: Arc::clone(activity), ours: true }
    }

    /// A request that has an answer, which the client has to take.
    pub(super) fn answering(activity: &Arc<Activity>) -> Self {
        activity.requests.fetch_add(Requests::TURN + Requests::IN_PROGRESS, Relaxed);
        Self { activity: Arc::clone(activity), ours: false }
    }

    /// Its answer's body; from here on it is the client that has to take it.
    pub(super) fn answered<B>(mut self, inner: B) -> WatchedBody<B> {
        self.wait_for_client();
        WatchedBody { inner, request: self }
    }

    fn wait_for_us(&mut self) {
        if !std::mem::replace(&mut self.ours, true) {
            self.activity.requests.fetch_add(Requests::OURS, Relaxed);
        }
    }

    fn wait_for_client(&mut self) {
        if std::mem::replace(&mut self.ours, false) {
            self.activity.requests.fetch_sub(Requests::OURS, Relaxed);
        }
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        let ours = if self.ours { Requests::OURS } else { 0 };
        self.activity.requests.fetch_add(Requests::TURN - Requests::IN_PROGRESS - ours, Relaxed);
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
    inner: Joined<S>,
    activity: Arc<Activity>,
    /// Bytes that the socket took.
    written: u64,
    /// What is read first.
    put_back: Bytes,
}

impl<S> WatchedIo<S> {
    pub(super) const fn new(inner: S, activity: Arc<Activity>) -> Self {
        Self { inner: Joined::new(inner), activity, written: 0, put_back: Bytes::new() }
    }

    /// Lets these bytes be read again, before all others.
    pub(super) fn put_back(&mut self, bytes: Bytes) {
        self.put_back = bytes;
    }

    fn note(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.activity.blocked.store(polled.is_pending(), Relaxed);
        if let Poll::Ready(Ok(bytes)) = &polled {
            self.written = self.written.wrapping_add(u64::try_from(*bytes).unwrap_or(u64::MAX));
            self.activity.written.store(self.written, Relaxed);
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
        if !self.put_back.is_empty() {
            let fits = self.put_back.len().min(buffer.remaining());
            buffer.put_slice(&self.put_back.split_to(fits));
            return Poll::Ready(Ok(()));
        }
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
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, bytes);
        self.note(polled)
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

#[cfg(test)]
mod tests {
    use super::{Limits, Phase, Speaks};

    /// A head is waited for no longer than is said, whenever within a tick the wait began; the others no shorter.
    #[test]
    fn limits_are_kept_within_a_tick() {
        for limits in [
            Limits { head_ms: 15_000, idle_ms: 60_000, stall_ms: 60_000 },
            Limits { head_ms: 100, idle_ms: 100, stall_ms: 60_000 },
            Limits { head_ms: 600_000, idle_ms: 150, stall_ms: 1_000 },
        ] {
            let tick_ms = limits.tick_ms();
            let closed = |phase, speaks| {
                (1_u64..).map(|n| n * tick_ms).find(|quiet_ms| limits.are_over(phase, speaks, *quiet_ms))
            };
            for (phase, speaks) in [(Phase::First, Speaks::Http1), (Phase::First, Speaks::Http2)] {
                let quiet_ms = closed(phase, speaks).unwrap_or_default();
                assert!(quiet_ms < limits.head_ms, "{limits:?}");
                assert!(quiet_ms + 2 * tick_ms >= limits.head_ms, "{limits:?}: no earlier than it has to be");
            }
            let (http1, http2) = (closed(Phase::Idle, Speaks::Http1), closed(Phase::Idle, Speaks::Http2));
            assert!(http2.is_some_and(|ms| ms >= limits.idle_ms), "{limits:?}");
            assert!(http1 <= http2 && http1 <= closed(Phase::First, Speaks::Http1), "{limits:?}");
            assert!(
                closed(Phase::Stalled, Speaks::Http1).is_some_and(|ms| ms >= limits.stall_ms),
                "{limits:?}"
            );
            assert!(!limits.are_over(Phase::Working, Speaks::Http1, u64::MAX));
        }
    }
}
