//! [`Lingering`]: a request's body that is read on, within bounds, after it was answered without having been wanted.
//!
//! A connection that is closed on somebody who still sends is reset, and the answer is lost with it: whoever uploads a file and is
//! asked to pay would learn of a broken connection instead of a price. It keeps nothing of what it reads.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http::{Request, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::runtime::Handle;

/// The most that is read for nothing, in bytes: what a gateway takes of a body that it wants, unless it is told otherwise.
const MOST_BYTES: usize = 16 << 20;
/// For how long.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request's body. Dropped before its end, it is read on in a task of its own where that helps.
#[derive(Debug)]
pub(super) struct Lingering {
    /// Gone when it is dropped.
    body: Option<Incoming>,
    reads_on: bool,
}

/// The request, with a body that lingers where that helps: in HTTP/2 a stream ends without its connection, and whoever waits for
/// `100 Continue` sends nothing.
pub(super) fn linger(request: Request<Incoming>) -> Request<Lingering> {
    let reads_on = request.version() < Version::HTTP_2 && !request.headers().contains_key(EXPECT);
    request.map(|body| Lingering { body: Some(body), reads_on })
}

impl Body for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| self.reads_on && !body.is_end_stream()) else {
            return;
        };
        // Announced longer than is read anyway: closed at once.
        if body.size_hint().lower() > MOST_BYTES as u64 {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(tokio::time::timeout(PATIENCE, read_on(body)));
        }
    }
}

async fn read_on(mut body: Incoming) {
    let mut bytes = 0_usize;
    while let Some(Ok(frame)) = body.frame().await {
        bytes = bytes.saturating_add(frame.data_ref().map_or(0, Bytes::len));
        if bytes > MOST_BYTES {
            return;
        }
    }
}
