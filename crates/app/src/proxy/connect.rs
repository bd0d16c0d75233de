//! `CONNECT`: an origin that the policy names is opened with a certificate of the proxy's own; any other is a tunnel of bytes, or
//! refused. What is opened and turns out not to be TLS becomes a tunnel too.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use url::{Host, Url};

use super::answer::{Body, Problem, empty};
use super::forward::Origin;
use super::guard::ReachError;
use super::listener::{Connection, serve_tls};
use super::relay::{Begun, relay};
use super::{Others, Proxy};

/// How long a program may take for its part of the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);
/// The first byte of a TLS connection: a handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

/// Where a program wants to go.
struct Target {
    host: Host<String>,
    port: u16,
    url: Url,
}

impl Target {
    /// From `host:port`.
    fn read(request: &Request<Incoming>) -> Result<Self, Problem> {
        let bad = || {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "bad_connect",
                "CONNECT names a host and a port: host.example:443",
            )
        };
        let authority = request.uri().authority().ok_or_else(bad)?;
        let port = authority.port_u16().ok_or_else(bad)?;
        if authority.as_str().contains('@') {
            return Err(bad());
        }
        let url = Url::parse(&format!("https://{authority}/")).map_err(|_| bad())?;
        let host = url.host().ok_or_else(bad)?.to_owned();
        Ok(Self { host, port, url })
    }
}

/// Answers a `CONNECT`.
pub async fn connect(
    proxy: Arc<Proxy>,
    connection: Connection,
    request: Request<Incoming>,
) -> Response<Body> {
    match open(proxy, connection, request).await {
        Ok(response) => response,
        Err(problem) => problem.answer(),
    }
}

async fn open(
    proxy: Arc<Proxy>,
    connection: Connection,
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    let target = Target::read(&request)?;
    let refusal = (proxy.judge)(&target.url).err();
    match (refusal, proxy.others) {
        (None, _) => intercept(proxy, connection, target, request).await,
        (Some(_), Others::Pass) => {
            let server =
                proxy.guard.connect(&target.host, target.port).await.map_err(|error| unreached(&error))?;
            tokio::spawn(async move {
                let _held = connection.clone();
                if let Ok(program) = hyper::upgrade::on(request).await {
                    connection.until_stopped(relay(TokioIo::new(program), server)).await;
                }
            });
            Ok(Response::new(empty()))
        }
        (Some(refusal), Others::Refuse) => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "origin_refused",
            format!("{}; --strict lets nothing else through", refusal.why),
        )),
    }
}

/// A server that is not reached, as an answer.
pub fn unreached(error: &ReachError) -> Problem {
    let status = match error {
        ReachError::Forbidden { .. } => StatusCode::FORBIDDEN,
        ReachError::Loop { .. } => StatusCode::LOOP_DETECTED,
        _ => StatusCode::BAD_GATEWAY,
    };
    Problem::new(status, error.code(), error.to_string())
}

async fn intercept(
    proxy: Arc<Proxy>,
    connection: Connection,
    target: Target,
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    proxy.guard.resolve(&target.host, target.port).await.map_err(|error| unreached(&error))?;
    let config = {
        let (proxy, host) = (Arc::clone(&proxy), target.host.clone());
        tokio::task::spawn_blocking(move || proxy.leaves.config(&host)).await
    };
    let failed = |why: String| Problem::new(StatusCode::BAD_GATEWAY, "proxy_ca_unissued", why);
    let config =
        config.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))?;
    tokio::spawn(async move {
        let Ok(program) = hyper::upgrade::on(request).await else { return };
        opened(proxy, connection, target, TlsAcceptor::from(config), program).await;
    });
    Ok(Response::new(empty()))
}

/// The program may speak now.
async fn opened(
    proxy: Arc<Proxy>,
    connection: Connection,
    target: Target,
    acceptor: TlsAcceptor,
    program: Upgraded,
) {
    let begun = Begun::read(TokioIo::new(program));
    let Ok(Ok(program)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, begun).await else { return };
    match (program.first(), proxy.others) {
        (Some(TLS_HANDSHAKE), _) => {}
        (Some(_), Others::Pass) => {
            let server: Result<TcpStream, ReachError> = proxy.guard.connect(&target.host, target.port).await;
            if let Ok(server) = server {
                connection.until_stopped(relay(program, server)).await;
            }
            return;
        }
        _ => return,
    }
    let host = target.host.to_string();
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(program)).await {
        Ok(Ok(stream)) => {
            let origin = Origin::of(&target.url);
            serve_tls(proxy, connection, origin, stream).await;
        }
        Ok(Err(error)) => {
            // A program that only ends the connection may have had no use for it.
            let why = error.to_string();
            if why.contains("alert") || why.contains("UnknownCA") || why.contains("BadCertificate") {
                proxy.report.mistrusted(&host, &why);
            }
        }
        Err(_) => {}
    }
}
