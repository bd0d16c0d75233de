//! Connections to the one upstream, kept between calls. A request that a kept connection turns out not to have taken goes out
//! again on another; one that may have arrived is never sent twice.
//!
//! It knows no time-outs but those of a connection, and nothing of what is sent.

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::uri::Scheme;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;
use tower::ServiceExt;

use super::ProxyError;
use super::stream::UploadBody;
use crate::body::BoxError;

/// How long a connection is kept without a call.
const IDLE: Duration = Duration::from_secs(30);

/// The most connections that are kept without a call.
const MAX_IDLE: usize = 4096;

type Sender = http1::SendRequest<UploadBody>;

/// The connections to one upstream.
pub(super) struct Pool {
    connector: Connector,
    upstream: Uri,
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
    sender: Sender,
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
}

impl Pool {
    /// An empty pool.
    ///
    /// # Errors
    /// [`ProxyError::Tls`]: the system's certificates cannot be used.
    pub(super) fn new(upstream: Uri, connect_timeout: Duration) -> Result<Arc<Self>, ProxyError> {
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
        Ok(Arc::new(Self { connector, upstream, idle: Mutex::default(), freed: Notify::new() }))
    }

    /// Sends a request in origin form, with its host, and waits for the answer's head. Whoever gives this up closes the
    /// connection. The lease, if there is one, goes with the answer's body. The request is taken from where it lies, because
    /// a future that holds it is copied with it.
    pub(super) async fn send(
        self: &Arc<Self>,
        request: &mut Option<Request<UploadBody>>,
    ) -> Result<(Response<Incoming>, Option<Lease>), SendError> {
        loop {
            let (mut sender, origin) = match self.take() {
                Some(sender) => (sender, Origin::Kept),
                // Boxed, because it is large and rare.
                None => Box::pin(self.take_or_connect()).await?,
            };
            let sent =
                sender.try_send_request(request.take().expect("a request is sent once, or given back"));
            match sent.await {
                Ok(response) if sender.is_ready() => {
                    self.keep(sender);
                    return Ok((response, None));
                }
                Ok(response) => {
                    return Ok((response, Some(Lease { sender: Some(sender), pool: Arc::clone(self) })));
                }
                Err(mut error) => match error.take_message() {
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

    /// A connection that is ready, if there is one.
    fn take(&self) -> Option<Sender> {
        let mut idle = self.idle();
        while let Some(Kept { sender, since }) = idle.kept.pop() {
            // What was ready and is not any more has closed.
            if sender.is_ready() && since.elapsed() < IDLE {
                return Some(sender);
            }
        }
        None
    }

    /// Keeps a connection that is ready.
    fn keep(&self, sender: Sender) {
        let since = Instant::now();
        let mut idle = self.idle();
        if idle.kept.len() < MAX_IDLE {
            idle.kept.push(Kept { sender, since });
            if idle.waiting > 0 {
                self.freed.notify_one();
            }
        }
    }

    /// A new connection, or one that becomes idle while it is made.
    async fn take_or_connect(self: &Arc<Self>) -> Result<(Sender, Origin), SendError> {
        let _waiting = Waiting::begin(self);
        let mut connecting = Box::pin(Arc::clone(self).connect());
        loop {
            tokio::select! {
                biased;
                connected = &mut connecting => return Ok((connected?, Origin::New)),
                () = self.freed.notified() => {}
            }
            if let Some(sender) = self.take() {
                let pool = Arc::clone(self);
                tokio::spawn(async move {
                    if let Ok(sender) = connecting.await {
                        pool.keep(sender);
                    }
                });
                return Ok((sender, Origin::Kept));
            }
        }
    }

    async fn connect(self: Arc<Self>) -> Result<Sender, SendError> {
        self.sweep();
        let upstream = self.upstream.clone();
        match &self.connector {
            Connector::Plain(http) => {
                let stream = http.clone().oneshot(upstream).await;
                open(stream.map_err(|error| SendError::Connect(error.into()))?).await
            }
            Connector::Tls(https) => {
                open(https.clone().oneshot(upstream).await.map_err(SendError::Connect)?).await
            }
        }
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
                let old: Vec<Kept> = pool.idle().kept.extract_if(.., |kept| is_old(kept)).collect();
                drop(old);
            }
        });
    }
}

fn is_old(kept: &Kept) -> bool {
    kept.since.elapsed() >= IDLE || !kept.sender.is_ready()
}

async fn open<S>(stream: S) -> Result<Sender, SendError>
where
    S: Read + Write + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(stream).await.map_err(SendError::Send)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = &error as &dyn Error, "a connection to the upstream broke");
        }
    });
    sender.ready().await.map_err(SendError::Send)?;
    Ok(sender)
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
    sender: Option<Sender>,
    pool: Arc<Pool>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut sender) = self.sender.take() else { return };
        if sender.is_ready() {
            self.pool.keep(sender);
        } else if let (false, Ok(runtime)) = (sender.is_closed(), Handle::try_current()) {
            // The end of the answer was seen before hyper came to rest, or the request is still on its way.
            let pool = Arc::clone(&self.pool);
            runtime.spawn(async move {
                if sender.ready().await.is_ok() {
                    pool.keep(sender);
                }
            });
        }
    }
}
