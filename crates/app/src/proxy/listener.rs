//! The listener: takes connections of programs, never more than it was told, until it is told to stop; what is going on then may
//! finish.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::answer::{Body, Problem};
use super::forward::Origin;
use super::{Proxy, connect, forward};

/// How long a program may take to send a request's head, and how long a connection may have nothing to do.
const HEAD_TIMEOUT: Duration = Duration::from_secs(90);
/// How long what is going on may take to finish once the proxy stops.
const GRACE: Duration = Duration::from_secs(30);
/// The most requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;
/// How long to wait when no connection can be taken: the process has too many files open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A program's connection, for as long as anything of it is alive.
#[derive(Debug, Clone)]
pub struct Connection {
    _permit: Arc<OwnedSemaphorePermit>,
    _alive: mpsc::Sender<Infallible>,
    stopping: watch::Receiver<bool>,
}

impl Connection {
    /// Does `work`, unless the proxy stops: bytes that nobody here understands have no good place to end.
    pub async fn until_stopped(&self, work: impl Future<Output = ()>) {
        let mut stopping = self.stopping.clone();
        tokio::select! {
            () = work => {}
            () = told(&mut stopping) => {}
        }
    }
}

/// Returns once the proxy stops.
async fn told(stopping: &mut watch::Receiver<bool>) {
    // The sender goes away at the end too.
    let _ = stopping.wait_for(|stopping| *stopping).await.is_ok();
}

/// Serves until `stop`. Gives what is going on [`GRACE`] to finish.
///
/// # Errors
/// When the listener breaks.
pub async fn run(
    listener: TcpListener,
    proxy: Arc<Proxy>,
    max_connections: usize,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let permits = Arc::new(Semaphore::new(max_connections));
    let (alive, mut all_gone) = mpsc::channel::<Infallible>(1);
    let (tell, stopping) = watch::channel(false);
    let accepting = accept(&listener, &proxy, &permits, &alive, &stopping);
    tokio::select! {
        never = accepting => match never {},
        () = stop => {}
    }
    drop(listener);
    drop(alive);
    // Nobody may be left to hear it.
    let _ = tell.send(true);
    let _ = tokio::time::timeout(GRACE, all_gone.recv()).await;
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    proxy: &Arc<Proxy>,
    permits: &Arc<Semaphore>,
    alive: &mpsc::Sender<Infallible>,
    stopping: &watch::Receiver<bool>,
) -> Infallible {
    loop {
        let permit = match Arc::clone(permits).acquire_owned().await {
            Ok(permit) => permit,
            // It is never closed.
            Err(_) => std::future::pending().await,
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Small answers are not to wait for more of them.
        let _ = stream.set_nodelay(true);
        let connection =
            Connection { _permit: Arc::new(permit), _alive: alive.clone(), stopping: stopping.clone() };
        tokio::spawn(serve_plain(Arc::clone(proxy), connection, stream));
    }
}

/// A program's connection to the proxy itself: HTTP/1.1.
async fn serve_plain<S>(proxy: Arc<Proxy>, connection: Connection, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut stopping = connection.stopping.clone();
    let service = service_fn(move |request| {
        let (proxy, connection) = (Arc::clone(&proxy), connection.clone());
        async move { Ok::<_, Infallible>(dispatch(proxy, connection, request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut serving = std::pin::pin!(serving);
    // A program that breaks its connection off has nothing more to hear.
    let _ = tokio::select! {
        served = &mut serving => served,
        () = told(&mut stopping) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
}

async fn dispatch(proxy: Arc<Proxy>, connection: Connection, request: Request<Incoming>) -> Response<Body> {
    if proxy.token.as_ref().is_some_and(|token| !token.is_in(request.headers())) {
        return Problem::new(
            StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            "proxy_token",
            "this proxy spends money and wants its token: http://farthing:TOKEN@HOST:PORT",
        )
        .answer();
    }
    if request.method() == Method::CONNECT {
        return connect::connect(proxy, connection, request).await;
    }
    forward::absolute(&proxy, &connection, request).await
}

/// A program's connection to an origin, opened by the proxy: HTTP/1.1 or HTTP/2, as the program likes.
pub async fn serve_tls<S>(proxy: Arc<Proxy>, connection: Connection, origin: Origin, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut stopping = connection.stopping.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (proxy, connection, origin) = (Arc::clone(&proxy), connection.clone(), origin.clone());
        async move {
            let response = if request.method() == Method::CONNECT {
                let why = "a connection to one origin does not lead to others";
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, "connect_inside", why).answer()
            } else {
                forward::opened(&proxy, &connection, &origin, request).await
            };
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(Some(HEAD_TIMEOUT));
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    // As above.
    let _ = tokio::select! {
        served = &mut serving => served,
        () = told(&mut stopping) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
}
