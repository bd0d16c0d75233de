//! Bodies on their way through: limits and time-outs, without holding anything back.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::headers::trailers_to_client;
use super::pool::Lease;
use crate::body::BoxError;

/// Why an upload was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum UploadFailure {
    /// The body is longer than is forwarded.
    TooLarge = 1,
    /// The client paused for too long.
    Idle = 2,
    /// The client stopped in the middle.
    Broken = 3,
}

/// What is known about an upload while the answer is waited for.
#[derive(Debug, Default)]
pub(super) struct Upload {
    frames: AtomicU64,
    waits: AtomicBool,
    failure: AtomicU8,
}

/// Looks at an upload from where its answer passes: an extension of the answer.
#[derive(Debug, Clone)]
pub(crate) struct UploadWatch(pub(super) Arc<Upload>);

impl UploadWatch {
    /// Whether the client has not sent all of its request, or more than it may.
    pub(crate) fn has_failed(&self) -> bool {
        self.0.failure().is_some()
    }
}

impl Upload {
    /// Parts of the body that were sent.
    pub(super) fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Whether the client is to send more and has not: then the upload's own timer runs, not the upstream's.
    pub(super) fn waits_for_client(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    /// Why it was stopped, if it was.
    pub(super) fn failure(&self) -> Option<UploadFailure> {
        match self.failure.load(Ordering::Relaxed) {
            1 => Some(UploadFailure::TooLarge),
            2 => Some(UploadFailure::Idle),
            3 => Some(UploadFailure::Broken),
            _ => None,
        }
    }
}

/// A request's body on its way to the upstream.
pub(super) struct UploadBody(Option<Sending>);

struct Sending {
    inner: UnsyncBoxBody<Bytes, BoxError>,
    left: u64,
    /// The longest pause.
    pause: Duration,
    idle: IdleTimer,
    upload: Arc<Upload>,
}

impl UploadBody {
    pub(super) fn new(
        inner: UnsyncBoxBody<Bytes, BoxError>,
        max_bytes: u64,
        idle: Duration,
        upload: Arc<Upload>,
    ) -> Self {
        Self(Some(Sending { inner, left: max_bytes, pause: idle, idle: IdleTimer::default(), upload }))
    }

    /// No body.
    pub(super) const fn empty() -> Self {
        Self(None)
    }
}

impl Sending {
    fn fail(&self, failure: UploadFailure, error: BoxError) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.upload.failure.store(failure as u8, Ordering::Relaxed);
        Poll::Ready(Some(Err(error)))
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        self.upload.waits.store(polled.is_pending(), Ordering::Relaxed);
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.idle.moved();
                self.upload.frames.fetch_add(1, Ordering::Relaxed);
                if frame.is_trailers() {
                    // Nobody looked at them, and some upstreams take them for headers (RFC 9110, section 6.5.1).
                    return Poll::Ready(None);
                }
                let bytes = frame.data_ref().map_or(0, |data| u64::try_from(data.len()).unwrap_or(u64::MAX));
                match self.left.checked_sub(bytes) {
                    Some(left) => {
                        self.left = left;
                        Poll::Ready(Some(Ok(frame)))
                    }
                    None => self.fail(UploadFailure::TooLarge, "the body is too large".into()),
                }
            }
            Poll::Ready(Some(Err(error))) => self.fail(UploadFailure::Broken, error),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending if self.idle.poll_elapsed(self.pause, cx) => {
                self.fail(UploadFailure::Idle, "the client paused for too long".into())
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        // Nobody asks the client for more.
        self.upload.waits.store(false, Ordering::Relaxed);
    }
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.as_mut().map_or(Poll::Ready(None), |sending| sending.poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|sending| sending.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |sending| sending.inner.size_hint())
    }
}

/// Why an upstream's body ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamBodyError {
    /// The connection broke, or the body was not what its head announced.
    #[error("the upstream's body broke off")]
    Broken(#[source] hyper::Error),
    /// Nothing came for too long.
    #[error("the upstream's body paused for more than {ms} ms")]
    Idle {
        /// How long is waited, in milliseconds.
        ms: u64,
    },
}

/// The body of a proxy's answer.
pub struct ProxyBody(Kind);

enum Kind {
    /// The upstream's.
    Upstream {
        inner: Incoming,
        /// The longest pause.
        pause: Duration,
        idle: IdleTimer,
        /// Given back once the body has ended, after the body.
        lease: Option<Lease>,
    },
    /// The proxy's own.
    Own(Full<Bytes>),
}

impl ProxyBody {
    pub(super) fn upstream(inner: Incoming, pause: Duration, lease: Option<Lease>) -> Self {
        Self(Kind::Upstream { inner, pause, idle: IdleTimer::default(), lease })
    }

    pub(crate) const fn own(body: Full<Bytes>) -> Self {
        Self(Kind::Own(body))
    }
}

impl fmt::Debug for ProxyBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyBody")
    }
}

impl Body for ProxyBody {
    type Data = Bytes;
    type Error = UpstreamBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamBodyError>>> {
        match &mut self.get_mut().0 {
            Kind::Own(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Kind::Upstream { inner, pause, idle, lease } => match read_on(inner, lease, cx) {
                Poll::Ready(Some(Ok(mut frame))) => {
                    idle.moved();
                    if let Some(trailers) = frame.trailers_mut() {
                        trailers_to_client(trailers);
                    }
                    // Whoever knows the length asks for no more.
                    if inner.is_end_stream() {
                        give_back(lease, cx);
                    }
                    Poll::Ready(Some(Ok(frame)))
                }
                Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(UpstreamBodyError::Broken(error)))),
                Poll::Ready(None) => {
                    give_back(lease, cx);
                    Poll::Ready(None)
                }
                Poll::Pending if idle.poll_elapsed(*pause, cx) => {
                    let ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                    Poll::Ready(Some(Err(UpstreamBodyError::Idle { ms })))
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Own(body) => body.is_end_stream(),
            Kind::Upstream { inner, .. } => inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Own(body) => body.size_hint(),
            Kind::Upstream { inner, .. } => inner.size_hint(),
        }
    }
}

/// The next part of a body, and what its connection has to do for it.
fn read_on(
    body: &mut Incoming,
    lease: &mut Option<Lease>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
    // First, because the connection reads only what is asked for.
    let polled = Pin::new(&mut *body).poll_frame(cx);
    let (Poll::Pending, Some(lease)) = (&polled, lease) else { return polled };
    lease.drive(cx);
    Pin::new(body).poll_frame(cx)
}

/// The body was read.
fn give_back(lease: &mut Option<Lease>, cx: &mut Context<'_>) {
    if let Some(mut lease) = lease.take() {
        lease.rest(cx);
    }
}

/// Notices when nothing has moved for a while. Costs nothing while things move: the timer is looked at only when a body has
/// nothing to give, and armed again only when it rings.
#[derive(Debug, Default)]
pub(super) struct IdleTimer {
    timer: Option<Pin<Box<Sleep>>>,
    moved: bool,
}

impl IdleTimer {
    pub(super) const fn moved(&mut self) {
        self.moved = true;
    }

    /// Whether nothing has moved for so long. Never less, at most twice.
    pub(super) fn poll_elapsed(&mut self, after: Duration, cx: &mut Context<'_>) -> bool {
        loop {
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
            if timer.as_mut().poll(cx).is_pending() {
                return false;
            }
            self.timer = None;
            if !std::mem::take(&mut self.moved) {
                return true;
            }
        }
    }
}
