#![allow(clippy::unwrap_used, reason = "tests")]

use farthing_protocol::digest::Sha256Digest;
use futures_util::{StreamExt, stream};
use http_body_util::StreamBody;

use super::*;

type Part = Result<Frame<Bytes>, BoxError>;

fn part(text: &'static str) -> Part {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

/// A body of these parts, after which nothing more comes.
fn hanging(parts: Vec<Part>) -> impl Body<Data = Bytes, Error = BoxError> + Unpin {
    StreamBody::new(stream::iter(parts).chain(stream::pending()))
}

fn whole(parts: Vec<Part>) -> impl Body<Data = Bytes, Error = BoxError> + Unpin {
    StreamBody::new(stream::iter(parts))
}

fn reader(idle_timeout_ms: u64, timeout_ms: u64, budget_bytes: usize) -> BodyReader {
    BodyReader::new(BoundBodyLimits { max_bytes: 8, idle_timeout_ms, timeout_ms, budget_bytes })
}

/// C9: read or only digested, a body is the same.
#[tokio::test]
async fn bodies_are_read_whole_or_not_at_all() {
    let reader = reader(10_000, 10_000, 100);
    let trailers = || Ok(Frame::trailers(http::HeaderMap::new()));
    for (parts, expected) in [
        (vec![], Ok("")),
        (vec![part("abc")], Ok("abc")),
        (vec![part("abc"), part(""), part("defgh"), trailers()], Ok("abcdefgh")),
        (vec![part("abc"), part("defghi")], Err(ReadError::TooLarge)),
        (vec![part("abc"), Err("gone".into())], Err(ReadError::Broken)),
    ] {
        // Errors cannot be cloned; the parts are made twice.
        let again = parts.iter().map(|part| match part {
            Ok(frame) => Ok(frame
                .data_ref()
                .map_or_else(|| Frame::trailers(http::HeaderMap::new()), |data| Frame::data(data.clone()))),
            Err(_) => Err("gone".into()),
        });
        let again = whole(again.collect());
        assert_eq!(reader.read(whole(parts)).await, expected.map(Bytes::from_static_str));
        let digest = expected.map(|text| Sha256Digest::of(text.as_bytes()).to_header_value());
        assert_eq!(reader.digest(again).await, digest);
    }
    assert_eq!(reader.read(Full::new(Bytes::from_static(b"announced"))).await, Err(ReadError::TooLarge));
}

trait FromText {
    fn from_static_str(text: &'static str) -> Bytes;
}

impl FromText for Bytes {
    fn from_static_str(text: &'static str) -> Bytes {
        Self::from_static(text.as_bytes())
    }
}

/// A body that stops coming is given up after the pause, one that drips after the whole time.
#[tokio::test]
async fn bodies_that_take_too_long_are_given_up() {
    let idle = reader(30, 100_000, 100);
    assert_eq!(idle.read(hanging(vec![part("abc")])).await, Err(ReadError::TimedOut));
    assert_eq!(idle.digest(hanging(vec![])).await, Err(ReadError::TimedOut));
    let drip = || {
        let drops = stream::repeat(()).then(|()| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            part("")
        });
        StreamBody::new(Box::pin(drops))
    };
    let overall = reader(100_000, 60, 100);
    assert_eq!(overall.read(drip()).await, Err(ReadError::TimedOut));
    assert_eq!(overall.digest(drip()).await, Err(ReadError::TimedOut));
}

/// What is kept counts against the budget until it is dropped; what is only digested does not.
#[tokio::test]
async fn kept_bodies_share_a_budget() {
    let reader = reader(10_000, 10_000, 10);
    let body = || whole(vec![part("abcd"), part("ef")]);
    let first = reader.read(body()).await.unwrap();
    let clone = first.clone();
    assert_eq!(reader.read(body()).await, Err(ReadError::Busy));
    assert!(reader.digest(body()).await.is_ok());
    drop(first);
    assert_eq!(reader.read(body()).await, Err(ReadError::Busy), "a part of it is still there");
    drop(clone);
    assert_eq!(reader.budget.available_permits(), 10);
    assert_eq!(reader.read(body()).await.unwrap(), "abcdef");
    assert_eq!(reader.budget.available_permits(), 10);
}
