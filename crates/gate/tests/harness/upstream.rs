//! An upstream on a socket of its own. Its answer depends on the first segment below `/paid`, for as many calls as are
//! scripted; after that it answers well.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: HeaderMap,
    pub body: String,
}

#[derive(Clone)]
pub struct Upstream {
    pub address: SocketAddr,
    pub calls: Arc<AtomicUsize>,
    pub connections: Arc<AtomicUsize>,
    /// How many of the next calls misbehave.
    pub bad_calls: Arc<AtomicUsize>,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    /// Lets the rest of a `gated` body go.
    pub go_on: Arc<tokio::sync::Notify>,
}

impl Upstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Self {
            address: listener.local_addr().unwrap(),
            calls: Arc::default(),
            connections: Arc::default(),
            bad_calls: Arc::default(),
            seen: Arc::default(),
            go_on: Arc::default(),
        };
        let served = upstream.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                served.connections.fetch_add(1, Ordering::SeqCst);
                let served = served.clone();
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(move |request| served.clone().answer(request));
                    let connection = hyper::server::conn::http1::Builder::new();
                    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        upstream
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().cloned().unwrap()
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, std::io::Error> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        self.seen.lock().unwrap().push(Seen {
            method: parts.method.to_string(),
            target: parts.uri.to_string(),
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        });
        let bad =
            self.bad_calls.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        let below = parts.uri.path().trim_start_matches('/');
        let what = below.split_once('/').map_or("", |(_, what)| what).to_owned();
        if what == "held" {
            self.go_on.notified().await;
        }
        if what == "slow" {
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        if bad {
            return misbehave(&what).await;
        }
        let builder = Response::builder()
            .header("payment-receipt", "forged")
            .header("www-authenticate", "Payment id=\"forged\"")
            .header("www-authenticate", "Basic realm=\"up\"")
            .header("cache-control", "public, max-age=60")
            .header("connection", "x-hop")
            .header("x-hop", "1")
            .header("alt-svc", "h3=\":443\"")
            .header("x-kept", "yes");
        if what == "stream" {
            let parts = stream::iter(0..20).map(|n| Ok(Frame::data(Bytes::from(format!("part {n}\n")))));
            return Ok(builder.body(StreamBody::new(parts).boxed_unsync()).unwrap());
        }
        if what == "big" {
            return Ok(builder.body(full(&"b".repeat(BIG))).unwrap());
        }
        if what == "gated" {
            return Ok(builder.body(self.gated()).unwrap());
        }
        if what == "events" {
            let events = stream::iter([Ok(Frame::data(Bytes::from_static(b"data: 1\n\n")))]);
            let builder = builder.header("content-type", "text/event-stream; charset=utf-8");
            return Ok(builder
                .body(StreamBody::new(events.chain(stream::pending())).boxed_unsync())
                .unwrap());
        }
        Ok(builder.body(full("content")).unwrap())
    }

    /// A first part, and the rest when the test says so.
    fn gated(&self) -> Body {
        let go_on = Arc::clone(&self.go_on);
        let rest = stream::once(async move {
            go_on.notified().await;
            Ok(Frame::data(Bytes::from_static(b"second half")))
        });
        let first = stream::iter([Ok(Frame::data(Bytes::from_static(b"first half ")))]);
        StreamBody::new(first.chain(rest)).boxed_unsync()
    }
}

/// Longer than what is kept, and than the buffers of a socket.
pub const BIG: usize = 8 << 20;

fn full(text: &str) -> Body {
    Full::new(Bytes::from(text.to_owned())).map_err(|never: Infallible| match never {}).boxed_unsync()
}

async fn misbehave(what: &str) -> Result<Response<Body>, std::io::Error> {
    let broken = || std::io::Error::other("the script says so");
    let first = || stream::iter([Ok(Frame::data(Bytes::from_static(b"first half ")))]);
    let status = |code: u16| {
        let builder = Response::builder().status(code).header("cache-control", "public, max-age=60");
        Ok(builder
            .header("payment-receipt", "forged")
            .header("location", "/there")
            .body(full("sorry"))
            .unwrap())
    };
    match what {
        "500" => status(500),
        "404" => status(404),
        "302" => status(302),
        "303" => status(303),
        "402" => status(402),
        "reset" => Err(broken()),
        "silent" => {
            tokio::time::sleep(Duration::from_secs(2)).await;
            status(200)
        }
        "half" => {
            // A moment, so that the head and the first half are on their way before it breaks.
            let breaks = stream::once(async move {
                tokio::time::sleep(Duration::from_millis(30)).await;
                Err(broken())
            });
            Ok(Response::new(StreamBody::new(first().chain(breaks)).boxed_unsync()))
        }
        "short" => {
            let breaks = stream::once(async move {
                tokio::time::sleep(Duration::from_millis(30)).await;
                Err(broken())
            });
            let body = StreamBody::new(first().chain(breaks)).boxed_unsync();
            Ok(Response::builder().header("content-length", "1000").body(body).unwrap())
        }
        "stalls" => {
            let stall = stream::pending();
            Ok(Response::new(StreamBody::new(first().chain(stall)).boxed_unsync()))
        }
        _ => status(503),
    }
}
