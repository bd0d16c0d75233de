//! Connections to the one upstream, kept between calls. A request that a kept connection turns out not to have taken goes out
//! again on another; one that may have arrived is never sent twice.
//!
//! It knows nothing of what is sent. What a connection is, and who drives it, is in [`super::link`].

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::Scheme;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;
use tower::ServiceExt;

use super::ProxyError;
use super::link::{Driver, Link};
use super::stream::UploadBody;
use crate::body::BoxError;
use crate::joined::Joined;

/// How long a connection is kept without a call.
const IDLE: Duration = Duration::from_secs(30);

/// The most connections that are kept without a call.
const MAX_IDLE: usize = 4096;

/// The connections to one upstream.
pub(super) struct Pool {
    connector: Connector,
    upstream: Uri,
    /// How long an answer's head is waited for.
    patience: Duration,
    idle: Mutex<Idle>,
    /// Told when a connection becomes idle while somebody waits for one.
    freed: Notify,
}

enum Connector {
    Plain(HttpConnector),
    Tls(HttpsConnector<HttpConnector>),
}

#[derive(Default)]
struct Idle {
    /// The one that was used last is at the end, and used next: those that are not needed grow old.
    kept: Vec<Kept>,
    /// Calls that wait for a connection.
    waiting: usize,
    /// Whether a task closes what has grown old.
    swept: bool,
}

struct Kept {
    link: Link,
    since: Instant,
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// It has served a call, and can have died since.
    Kept,
    /// It was made for this call.
    New,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    /// There is no connection.
    #[error("no connection")]
    Connect(#[source] BoxError),
    /// The connection broke before the answer's head.
    #[error("no answer")]
    Send(#[source] hyper::Error),
    /// There was no connection, or no head, in time.
    #[error("no answer in time")]
    TimedOut,
}

impl Pool {
    /// An empty pool.
    ///
    /// # Errors
    /// [`ProxyError::Tls`]: the system's certificates cannot be used.
    pub(super) fn new(
        upstream: Uri,
        connect_timeout: Duration,
        patience: Duration,
    ) -> Result<Arc<Self>, ProxyError> {
        let mut http = HttpConnector::new();
        http.set_connect_timeout(Some(connect_timeout));
        http.set_nodelay(true);
        http.enforce_http(false);
        let connector = if upstream.scheme() == Some(&Scheme::HTTP) {
            Connector::Plain(http)
        } else {
            // Named, because another crate in the program may bring another provider.
            let provider = rustls::crypto::aws_lc_rs::default_provider();
            let https = HttpsConnectorBuilder::new()
                .with_provider_and_platform_verifier(provider)
                .map_err(ProxyError::Tls)?
                .https_only()
                .enable_http1()
                .wrap_connector(http);
            Connector::Tls(https)
        };
        Ok(Arc::new(Self { connector, upstream, patience, idle: Mutex::default(), freed: Notify::new() }))
    }

    /// Sends a request in origin form, with its host, and waits for the answer's head as long as `goes_on` says that the request
    /// is still on its way. Whoever gives this up closes the connection. The lease, if there is one, goes with the answer's body.
    /// The request is taken from where it lies, because a future that holds it is copied with it.
    pub(super) async fn send(
        self: &Arc<Self>,
        request: &mut Option<Request<UploadBody>>,
        driver: Driver,
        mut goes_on: impl FnMut() -> bool,
    ) -> Result<(Response<Incoming>, Option<Lease>), SendError> {
        loop {
            let (mut link, origin) = match self.take(driver) {
                Some(link) => (link, Origin::Kept),
                // Boxed, because it is large and rare.
                None => {
                    let connected =
                        Box::pin(tokio::time::timeout(self.patience, self.take_or_connect(driver)));
                    connected.await.map_err(|_| SendError::TimedOut)??
                }
            };
            let sent = link.send(request.take().expect("a request is sent once, or given back"));
            let mut sent = pin!(sent);
            let answered = poll_fn(|cx| {
                link.drive(cx);
                match sent.as_mut().poll(cx) {
                    Poll::Ready(answered) => Poll::Ready(Some(answered)),
                    Poll::Pending if link.has_waited(cx, self.patience, &mut goes_on) => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                }
            });
            match answered.await {
                None => return Err(SendError::TimedOut),
                Some(Ok(response)) if link.is_ready() => {
                    self.keep(link);
                    return Ok((response, None));
                }
                Some(Ok(response)) => {
                    return Ok((response, Some(Lease { link: Some(link), pool: Arc::clone(self) })));
                }
                Some(Err(mut error)) => match error.take_message() {
                    // hyper gives back what it has not begun to write.
                    Some(unsent) if origin == Origin::Kept => *request = Some(unsent),
                    _ => return Err(SendError::Send(error.into_error())),
                },
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that is ready, if there is one; one that a task drives only for a request that needs it.
    fn take(&self, driver: Driver) -> Option<Link> {
        let mut idle = self.idle();
        while let Some(Kept { link, since }) = idle.kept.pop() {
            // What was ready and is not any more has closed.
            if link.is_ready() && since.elapsed() < IDLE {
                drop(idle);
                return Some(link.driven_by(driver));
            }
        }
        None
    }

    /// Keeps a connection that is ready.
    fn keep(&self, link: Link) {
        let since = Instant::now();
        let mut idle = self.idle();
        if idle.kept.len() < MAX_IDLE {
            idle.kept.push(Kept { link, since });
            if idle.waiting > 0 {
                self.freed.notify_one();
            }
        }
    }

    /// A new connection, or one that becomes idle while it is made.
    async fn take_or_connect(self: &Arc<Self>, driver: Driver) -> Result<(Link, Origin), SendError> {
        let _waiting = Waiting::begin(self);
        let mut connecting = Box::pin(Arc::clone(self).connect());
        loop {
            tokio::select! {
                biased;
                connected = &mut connecting => return Ok((connected?.driven_by(driver), Origin::New)),
                () = self.freed.notified() => {}
            }
            if let Some(link) = self.take(driver) {
                let pool = Arc::clone(self);
                tokio::spawn(async move {
                    if let Ok(link) = connecting.await {
                        pool.keep(link);
                    }
                });
                return Ok((link, Origin::Kept));
            }
        }
    }

    async fn connect(self: Arc<Self>) -> Result<Link, SendError> {
        self.sweep();
        let upstream = self.upstream.clone();
        match &self.connector {
            Connector::Plain(http) => {
                let stream = http.clone().oneshot(upstream).await;
                let stream = stream.map_err(|error| SendError::Connect(error.into()))?.into_inner();
                Link::open(TokioIo::new(Joined::new(stream))).await
            }
            Connector::Tls(https) => {
                Link::open(https.clone().oneshot(upstream).await.map_err(SendError::Connect)?).await
            }
        }
        .map_err(SendError::Send)
    }

    /// Closes what has grown old, as long as the pool is there.
    fn sweep(self: &Arc<Self>) {
        if std::mem::replace(&mut self.idle().swept, true) {
            return;
        }
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(IDLE).await;
                let Some(pool) = pool.upgrade() else { return };
                pool.close_old(Instant::now());
            }
        });
    }

    /// Closes what has grown old by now, and what has closed.
    fn close_old(&self, now: Instant) {
        let is_old = |kept: &mut Kept| now.duration_since(kept.since) >= IDLE || !kept.link.is_ready();
        let old: Vec<Kept> = self.idle().kept.extract_if(.., is_old).collect();
        drop(old);
    }
}

/// A call that waits for a connection.
struct Waiting<'a>(&'a Pool);

impl<'a> Waiting<'a> {
    fn begin(pool: &'a Pool) -> Self {
        pool.idle().waiting += 1;
        Self(pool)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.idle().waiting -= 1;
    }
}

/// A connection whose answer is still being read. Dropped, it goes back to its pool as soon as hyper is ready for the next
/// call; a connection with an unread answer never is, and closes.
pub(super) struct Lease {
    link: Option<Link>,
    pool: Arc<Pool>,
}

impl Lease {
    /// Goes on with what the connection has to do.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(link) = &mut self.link {
            link.drive(cx);
        }
    }

    /// The answer was read: goes on where the connection has not come to rest.
    pub(super) fn rest(&mut self, cx: &mut Context<'_>) {
        if let Some(link) = self.link.as_mut().filter(|link| !link.is_ready()) {
            link.drive(cx);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(link) = self.link.take() else { return };
        if link.is_ready() {
            self.pool.keep(link);
        } else if let (false, Ok(runtime)) = (link.is_closed(), Handle::try_current()) {
            // The end of the answer was seen before hyper came to rest, or the request is still on its way.
            let pool = Arc::clone(&self.pool);
            runtime.spawn(async move {
                if let Ok(link) = link.rested().await {
                    pool.keep(link);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests;
