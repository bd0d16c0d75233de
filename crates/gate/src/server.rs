//! A gate and a service behind a listener: connections with limits and time-outs, TLS, `/healthz`, graceful shutdown, and an
//! exchange of everything that serves without a pause ([`Switch`]).
//!
//! A connection is closed when the client makes it wait: for a handshake, for a first request, for the next one, or for an
//! answer to be read. As long as a request waits for us, or an answer gets on, it is left alone.
//!
//! It speaks HTTP/1.1 and HTTP/2, over TLS with [`Front::tls`], else in the clear; then TLS stands in front of it (C18).

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::address::PrivateAddresses;
use crate::gate::Gate;
use crate::observe::{Lasting, Present};
use crate::proxy::{Caller, ClientAddr, Proxy};

mod activity;
mod front;
mod linger;
mod peers;
mod places;
mod plain;
mod tls;

use activity::{Activity, InProgress, Limits, WatchedBody, WatchedIo};
pub use front::{Front, HEALTH_PATH, Switch};
use front::{FrontBody, FrontFuture};
use peers::Peers;
use places::Places;
use plain::{Ended, Plain};
pub use tls::{Tls, TlsError};

/// How connections are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerOptions {
    /// Connections at once; more wait to be accepted.
    pub max_connections: usize,
    /// Connections at once from one address, or one IPv6 network of 64 bits; one more is closed at once. 0 for any number.
    pub max_connections_per_ip: usize,
    /// Whether loopback and private addresses are counted. A TLS terminator in front of the gate has one of them; one with a
    /// public address needs a higher number above.
    pub private: PrivateAddresses,
    /// The longest wait for a TLS handshake to end, in milliseconds, whatever bytes come.
    pub handshake_timeout_ms: u64,
    /// The longest wait for a request's head, in milliseconds: from the beginning of the connection, whatever bytes come,
    /// and in HTTP/1.1 from the end of the request before it.
    pub header_timeout_ms: u64,
    /// How long a connection is kept without a request, in milliseconds. In HTTP/1.1 `header_timeout_ms` may end it before.
    pub idle_timeout_ms: u64,
    /// How long a client may go without reading more of an answer that is there, in milliseconds.
    pub stall_timeout_ms: u64,
    /// The longest head of a request, in bytes. A credential of 64 KiB has to fit. At least 8192.
    pub max_header_bytes: usize,
    /// Headers of a request.
    pub max_headers: usize,
    /// Requests at once on one connection of HTTP/2.
    pub max_streams: u32,
    /// How long calls may take to end once the server is told to stop, in milliseconds.
    pub shutdown_ms: u64,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_ip: 1_000,
            private: PrivateAddresses::Uncounted,
            handshake_timeout_ms: 10_000,
            header_timeout_ms: 15_000,
            idle_timeout_ms: 60_000,
            stall_timeout_ms: 60_000,
            max_header_bytes: 128 * 1024,
            max_headers: 100,
            max_streams: 256,
            shutdown_ms: 30_000,
        }
    }
}

/// Serves until `stop` is ready, then lets the calls end that have begun. Returns when nothing is left to record.
///
/// # Errors
/// [`std::io::Error`] when the listener breaks for good.
pub async fn serve(
    listener: TcpListener,
    gate: Gate,
    proxy: Proxy,
    options: ServerOptions,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    serve_switch(listener, Switch::new(Front::new(gate, proxy, options)), stop).await
}

/// The same, with what is behind `switch` at any time.
///
/// # Errors
/// As [`serve`].
pub async fn serve_switch(
    listener: TcpListener,
    switch: Switch,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let (peers, places) = (Arc::new(Peers::default()), Arc::new(Places::default()));
    let graceful = GracefulShutdown::new();
    // Dropped, it ends handshakes: nothing was asked for yet.
    let (open, closing) = watch::channel(());
    let mut changes = switch.changes();
    tokio::pin!(stop);
    loop {
        let most = switch.now().options.max_connections;
        let place = tokio::select! {
            place = places.take(most) => place,
            _ = changes.changed() => continue,
            () = &mut stop => break,
        };
        let (stream, address) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) if is_fleeting(&error) => {
                    // Out of file descriptors, or a connection that was gone at once: the listener itself is well.
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
                Err(error) => return Err(error),
            },
            () = &mut stop => break,
        };
        let front = switch.now();
        let most = front.options.max_connections_per_ip;
        let Some(peer) = peers.enter(address.ip(), most, front.options.private) else {
            tracing::debug!(%address, "an address has too many connections");
            continue;
        };
        let present = Present::begin(&front.gate.inner().observer, Lasting::Connection);
        let connection = Connection { front, switch: switch.clone(), address };
        let (watcher, closing) = (graceful.watcher(), closing.clone());
        tokio::spawn(async move {
            connection.serve(stream, watcher, closing).await;
            drop((place, peer, present));
        });
    }
    drop((listener, open));
    let front = switch.now();
    let patience = Duration::from_millis(front.options.shutdown_ms);
    if tokio::time::timeout(patience, graceful.shutdown()).await.is_err() {
        tracing::warn!("some calls did not end in time; what was paid for them is kept as credit");
    }
    if tokio::time::timeout(patience, front.gate.idle()).await.is_err() {
        tracing::warn!("some deliveries were not recorded in time; they are released at the next start");
    }
    Ok(())
}

/// One connection: it begins with what served when it came, and each of its requests is answered by what serves then.
struct Connection {
    front: Arc<Front>,
    switch: Switch,
    address: SocketAddr,
}

impl Connection {
    async fn serve(self, stream: TcpStream, watcher: Watcher, mut closing: watch::Receiver<()>) {
        let address = self.address;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection has no TCP_NODELAY");
        }
        let Some(tls) = self.front.tls.clone() else {
            return self.speak(stream, watcher, closing).await;
        };
        let patience = Duration::from_millis(self.front.options.handshake_timeout_ms);
        let greeted = tokio::select! {
            greeted = tokio::time::timeout(patience, tls.greet(stream)) => greeted,
            // The server stops, and nothing was asked for yet.
            _ = closing.changed() => return,
        };
        match greeted {
            Ok(Ok(stream)) => self.speak(stream, watcher, closing).await,
            Ok(Err(error)) => tracing::debug!(%address, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(%address, "a TLS handshake took too long"),
        }
    }

    /// Speaks HTTP until the connection ends or keeps us waiting for too long.
    async fn speak<S>(self, stream: S, watcher: Watcher, mut closing: watch::Receiver<()>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { front, switch, address } = self;
        let limits = Limits {
            head_ms: front.options.header_timeout_ms,
            idle_ms: front.options.idle_timeout_ms,
            stall_ms: front.options.stall_timeout_ms,
        };
        // What served first is let go when it is exchanged, however long the connection stays.
        drop(front);
        let activity = Arc::new(Activity::default());
        let mut overdue = pin!(activity.overdue(limits));
        let mut io = WatchedIo::new(stream, Arc::clone(&activity));
        let client = ClientAddr(address);
        let plain = Plain { io: &mut io, activity: &activity, switch: &switch, client };
        let ended = tokio::select! {
            biased;
            ended = plain.serve(&mut closing) => ended,
            why = &mut overdue => return tracing::debug!(%address, %why, "a connection is closed"),
        };
        match ended {
            Ok(Ended::Other(bytes)) => io.put_back(bytes),
            Ok(Ended::Closed) => return,
            Err(error) => return tracing::debug!(%error, "a connection ended early"),
        }
        let (watched, caller) = (Arc::clone(&activity), Arc::new(Caller::new(address)));
        let builder = switch.now().builder.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| Answering {
            in_progress: Some(InProgress::begin(&watched, request.version())),
            answer: switch.now().answer(request, &caller),
        });
        let connection = watcher.watch(builder.serve_connection(TokioIo::new(io), service));
        tokio::select! {
            ended = connection => if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            },
            // Dropped, a connection is closed, and what it was serving is told so.
            why = &mut overdue => tracing::debug!(%address, %why, "a connection is closed"),
        }
    }
}

/// The answer to one request, which is in progress until its body has ended.
struct Answering {
    answer: FrontFuture,
    in_progress: Option<InProgress>,
}

impl Future for Answering {
    type Output = Result<Response<WatchedBody<FrontBody>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = match ready!(Pin::new(&mut self.answer).poll(cx)) {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let in_progress = self.in_progress.take().expect("a future is not polled again once it is ready");
        Poll::Ready(Ok(response.map(|body| in_progress.answered(body))))
    }
}

/// Whether the listener itself is well after this error.
fn is_fleeting(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, OutOfMemory, WouldBlock};
    // EMFILE and ENFILE have no kind of their own.
    let out_of_files = matches!(error.raw_os_error(), Some(23 | 24));
    out_of_files
        || matches!(
            error.kind(),
            ConnectionAborted | ConnectionReset | Interrupted | OutOfMemory | WouldBlock
        )
}
