//! [`Link`]: one connection to the upstream, and who drives it. A request without a body is driven by whoever waits for its
//! answer: nobody is woken in between. One with a body is driven by a task, because its body has to go on when nobody reads
//! the answer.
//!
//! A link at rest is driven by nobody: that the upstream has closed it is seen when it is used next, or when it grows old.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper::rt::{Read, Write};

use super::stream::{IdleTimer, UploadBody};

/// Who is to drive a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Driver {
    /// Whoever waits for the answer.
    Waiter,
    /// A task of its own.
    Task,
}

/// A connection.
pub(super) struct Link {
    sender: http1::SendRequest<UploadBody>,
    /// None where a task drives it, and when it has ended.
    connection: Option<Connection>,
    /// Kept from call to call: to arm a timer costs more than to look at one.
    waits: IdleTimer,
}

type Connection = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

impl Link {
    /// A connection over this stream, at rest.
    pub(super) async fn open<S>(stream: S) -> hyper::Result<Self>
    where
        S: Read + Write + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(stream).await?;
        Self { sender, connection: Some(Box::pin(connection)), waits: IdleTimer::default() }.rested().await
    }

    /// The same link, driven so from now on. A task does not give one back.
    pub(super) fn driven_by(mut self, driver: Driver) -> Self {
        if let Some(connection) = self.connection.take_if(|_| driver == Driver::Task) {
            tokio::spawn(async move { ended(connection.await) });
        }
        self
    }

    /// Whether it is at rest and open, as far as anybody has looked.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Begins a call. What comes of it is known once the link was driven.
    pub(super) fn send(
        &mut self,
        request: Request<UploadBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<UploadBody>>>> + use<> {
        self.waits.moved();
        self.sender.try_send_request(request)
    }

    /// Goes on with what the connection has to do.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && let Poll::Ready(end) = connection.as_mut().poll(cx)
        {
            self.connection = None;
            ended(end);
        }
    }

    /// Whether the call's answer was waited for in vain: never less than `patience`, and at most twice that since `goes_on`
    /// said so last.
    pub(super) fn has_waited(
        &mut self,
        cx: &mut Context<'_>,
        patience: Duration,
        goes_on: impl FnOnce() -> bool,
    ) -> bool {
        if goes_on() {
            self.waits.moved();
        }
        self.waits.poll_elapsed(patience, cx)
    }

    /// Waits until the connection is at rest.
    pub(super) async fn rested(mut self) -> hyper::Result<Self> {
        poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(ready!(self.sender.poll_ready(cx)))
        })
        .await?;
        Ok(self)
    }
}

fn ended(end: hyper::Result<()>) {
    if let Err(error) = end {
        tracing::debug!(error = &error as &dyn Error, "a connection to the upstream broke");
    }
}
