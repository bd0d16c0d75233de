#![allow(clippy::unwrap_used, reason = "tests")]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::time::Instant;

use super::{Driver, IDLE, Link, MAX_IDLE, Pool};
use crate::proxy::stream::UploadBody;

fn pool() -> Arc<Pool> {
    let patience = Duration::from_secs(60);
    Pool::new("http://127.0.0.1:9".parse().unwrap(), patience, patience).unwrap()
}

/// An upstream on the other end of a connection: it answers everything, and counts itself out when it ends.
fn upstream(stream: DuplexStream, ended: &Arc<AtomicUsize>) {
    let ended = Arc::clone(ended);
    let service =
        service_fn(|_| async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("here")))) });
    tokio::spawn(async move {
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        ended.fetch_add(1, Ordering::SeqCst);
    });
}

async fn link(ended: &Arc<AtomicUsize>) -> Link {
    let (ours, theirs) = tokio::io::duplex(4096);
    upstream(theirs, ended);
    Link::open(TokioIo::new(ours)).await.unwrap()
}

async fn call(pool: &Arc<Pool>, driver: Driver) -> Bytes {
    let mut request = Some(Request::new(UploadBody::empty()));
    let (response, lease) = pool.send(&mut request, driver, || false).await.unwrap();
    let mut body = crate::proxy::ProxyBody::upstream(response.into_body(), Duration::from_secs(60), lease);
    body.frame().await.unwrap().unwrap().into_data().unwrap()
}

async fn reaches(ended: &AtomicUsize, count: usize) {
    while ended.load(Ordering::SeqCst) < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn no_more_connections_are_kept_than_are_allowed() {
    let (pool, ended) = (pool(), Arc::default());
    for _ in 0..MAX_IDLE + 3 {
        pool.keep(link(&ended).await);
    }
    assert_eq!(pool.idle().kept.len(), MAX_IDLE);
    reaches(&ended, 3).await;
}

#[tokio::test]
async fn what_has_grown_old_is_closed() {
    let (pool, ended) = (pool(), Arc::default());
    pool.keep(link(&ended).await);
    let first = Instant::now();
    pool.close_old(first + IDLE / 2);
    assert_eq!(pool.idle().kept.len(), 1, "it is not old yet");
    pool.close_old(first + IDLE);
    assert_eq!(pool.idle().kept.len(), 0);
    reaches(&ended, 1).await;
    assert!(pool.take(Driver::Waiter).is_none());
}

/// Whoever drives it, a connection serves the next call too, and only one at a time.
#[tokio::test]
async fn a_connection_is_used_again() {
    for driver in [Driver::Waiter, Driver::Task] {
        let (pool, ended) = (pool(), Arc::default());
        pool.keep(link(&ended).await);
        for _ in 0..3 {
            assert_eq!(call(&pool, driver).await, "here");
            while pool.idle().kept.is_empty() {
                tokio::task::yield_now().await;
            }
            assert_eq!(pool.idle().kept.len(), 1, "{driver:?}");
        }
        assert_eq!(ended.load(Ordering::SeqCst), 0);
    }
}

/// Nobody looks at a link at rest: that it was closed is seen when it is used, and the call goes out on another.
#[tokio::test]
async fn a_closed_connection_loses_no_call() {
    for driver in [Driver::Waiter, Driver::Task] {
        let (pool, ended) = (pool(), Arc::default());
        pool.keep(link(&ended).await);
        let (ours, theirs) = tokio::io::duplex(4096);
        pool.keep(Link::open(TokioIo::new(ours)).await.unwrap());
        drop(theirs);
        assert_eq!(call(&pool, driver).await, "here", "{driver:?}");
    }
}

/// A body goes on when nobody reads the answer: an upstream may read all of it before it goes on with what it says.
#[tokio::test]
async fn an_upload_does_not_wait_for_the_answers_reader() {
    const BYTES: usize = 1 << 20;
    let (pool, read) = (pool(), Arc::new(AtomicUsize::new(0)));
    let (ours, theirs) = tokio::io::duplex(4096);
    let count = Arc::clone(&read);
    let service = service_fn(move |request: Request<Incoming>| {
        let count = Arc::clone(&count);
        tokio::spawn(async move {
            let mut body = request.into_body();
            while let Some(Ok(frame)) = body.frame().await {
                count.fetch_add(frame.data_ref().map_or(0, Bytes::len), Ordering::SeqCst);
            }
        });
        // More than the connection holds.
        async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(vec![0; BYTES])))) }
    });
    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(theirs), service));
    pool.keep(Link::open(TokioIo::new(ours)).await.unwrap());
    let body = Full::new(Bytes::from(vec![0; BYTES])).map_err(|never| match never {}).boxed_unsync();
    let body = UploadBody::new(body, u64::MAX, Duration::from_secs(60), Arc::default());
    let mut request = Some(Request::new(body));
    let (_unread, _lease) = pool.send(&mut request, Driver::Task, || true).await.unwrap();
    let all = reaches(&read, BYTES);
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("the upload goes on");
}
