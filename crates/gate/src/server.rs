//! A gate and a service behind a listener: connections with limits and time-outs, `/healthz`, graceful shutdown.
//!
//! A connection is closed when the client makes it wait: for a first request, for the next one, or for an answer to be read.
//! As long as a request waits for us, or an answer gets on, it is left alone.
//!
//! It speaks HTTP/1.1 and HTTP/2 in the clear. TLS stands in front of it (C18).

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farthing_protocol::ports::ClaimId;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower_service::Service;

use crate::answer::method_not_allowed;
use crate::delivery::{DeliveryBody, GateResponseBody};
use crate::gate::Gate;
use crate::layer::GateService;
use crate::proxy::{ClientAddr, Proxy, ProxyBody};

mod activity;
mod peers;

use activity::{Activity, InProgress, Limits, WatchedIo};
use peers::Peers;

/// How connections are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerOptions {
    /// Connections at once; more wait to be accepted.
    pub max_connections: usize,
    /// Connections at once from one address, or one IPv6 network of 64 bits; one more is closed at once. 0 for any number.
    /// Loopback and private addresses are not counted: the TLS terminator in front of the gate has one of them. One with a
    /// public address needs a higher number here.
    pub max_connections_per_ip: usize,
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
    /// How long calls may take to end once the server is told to stop, in milliseconds.
    pub shutdown_ms: u64,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_ip: 1_000,
            header_timeout_ms: 15_000,
            idle_timeout_ms: 60_000,
            stall_timeout_ms: 60_000,
            max_header_bytes: 128 * 1024,
            max_headers: 100,
            shutdown_ms: 30_000,
        }
    }
}

/// The path that says whether the server works.
pub const HEALTH_PATH: &str = "/healthz";

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
    let front = Front { gated: GateService::new(gate.clone(), proxy.clone()), gate: gate.clone(), proxy };
    let connections = Connections::new(front, &options);
    let peers = Arc::new(Peers::new(options.max_connections_per_ip));
    let places = Arc::new(Semaphore::new(options.max_connections));
    tokio::pin!(stop);
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place.map_err(std::io::Error::other)?,
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
        let Some(peer) = peers.enter(address.ip()) else {
            tracing::debug!(%address, "an address has too many connections");
            continue;
        };
        let connection = connections.serve(stream, address);
        tokio::spawn(async move {
            connection.await;
            drop((place, peer));
        });
    }
    drop(listener);
    let patience = Duration::from_millis(options.shutdown_ms);
    if tokio::time::timeout(patience, connections.graceful.shutdown()).await.is_err() {
        tracing::warn!("some calls did not end in time; what was paid for them is kept as credit");
    }
    if tokio::time::timeout(patience, gate.idle()).await.is_err() {
        tracing::warn!("some deliveries were not recorded in time; they are released at the next start");
    }
    Ok(())
}

/// How every connection is served.
struct Connections {
    front: Front,
    builder: auto::Builder<TokioExecutor>,
    limits: Limits,
    graceful: GracefulShutdown,
}

impl Connections {
    fn new(front: Front, options: &ServerOptions) -> Self {
        let limits = Limits {
            first_ms: options.header_timeout_ms,
            idle_ms: options.idle_timeout_ms,
            stall_ms: options.stall_timeout_ms,
        };
        Self { front, builder: connection_builder(options), limits, graceful: GracefulShutdown::new() }
    }

    /// Serves one connection until it ends or keeps us waiting for too long.
    fn serve(&self, stream: TcpStream, address: SocketAddr) -> impl Future<Output = ()> + Send + use<> {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection has no TCP_NODELAY");
        }
        let (front, limits) = (self.front.clone(), self.limits);
        let activity = Arc::new(Activity::default());
        let io = TokioIo::new(WatchedIo::new(stream, Arc::clone(&activity)));
        let watched = Arc::clone(&activity);
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            let in_progress = InProgress::begin(&watched);
            request.extensions_mut().insert(ClientAddr(address));
            let front = front.clone();
            async move {
                let response = front.answer(request).await;
                Ok::<_, Infallible>(response.map(|body| in_progress.answered(body)))
            }
        });
        let connection = self.builder.serve_connection(io, service).into_owned();
        let connection = self.graceful.watch(connection);
        async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                },
                // Dropped, a connection is closed, and what it was serving is told so.
                why = activity.overdue(limits) => tracing::debug!(%address, %why, "a connection is closed"),
            }
        }
    }
}

fn connection_builder(options: &ServerOptions) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(options.header_timeout_ms))
        .max_buf_size(options.max_header_bytes.max(8192))
        .max_headers(options.max_headers);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(options.max_header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(256)
        .keep_alive_interval(Some(Duration::from_secs(30)));
    builder
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

/// What every connection is served by.
#[derive(Clone)]
struct Front {
    gated: GateService<Proxy>,
    gate: Gate,
    proxy: Proxy,
}

type FrontBody = GateResponseBody<ProxyBody>;

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Front")
    }
}

impl Front {
    async fn answer(mut self, request: Request<Incoming>) -> Response<FrontBody> {
        if request.uri().path() == HEALTH_PATH {
            return self.health(request.method()).await.map(GateResponseBody::Gate);
        }
        // Before anything is paid for.
        if let Some(refused) = self.proxy.refuses(&request) {
            return refused.map(|body| GateResponseBody::Service(DeliveryBody::free(body)));
        }
        match self.gated.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Whether the store answers, and which rails are configured.
    async fn health(&self, method: &Method) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            return method_not_allowed(&[Method::GET, Method::HEAD]);
        }
        let probe = ClaimId("healthz".to_owned());
        let store_is_well = match self.gate.inner().store.get(&probe).await {
            Ok(_) => true,
            Err(error) => {
                tracing::error!(%error, "the store does not answer");
                false
            }
        };
        let word = if store_is_well { "ok" } else { "failing" };
        let rails: Vec<&str> = self.gate.rails().collect();
        let body = serde_json::json!({ "status": word, "store": word, "rails": rails });
        let mut response = Response::new(Full::from(body.to_string()));
        if !store_is_well {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
