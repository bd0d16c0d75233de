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

/// A request's body. Dropped before its end, it is read on in a task of its own.
#[derive(Debug)]
pub(super) struct Lingering {
    body: Option<Incoming>,
}

/// The request, with a body that lingers where that helps: in HTTP/2 a stream ends without its connection, and whoever waits for
/// `100 Continue` sends nothing.
pub(super) fn linger(request: Request<Incoming>) -> Request<EitherBody> {
    let lingers = request.version() < Version::HTTP_2 && !request.headers().contains_key(EXPECT);
    request.map(|body| match lingers {
        true => EitherBody::Lingering(Lingering { body: Some(body) }),
        false => EitherBody::Plain(body),
    })
}

/// A request's body.
#[derive(Debug)]
pub(super) enum EitherBody {
    Lingering(Lingering),
    Plain(Incoming),
}

impl EitherBody {
    fn inner(&mut self) -> Option<&mut Incoming> {
        match self {
            Self::Lingering(lingering) => lingering.body.as_mut(),
            Self::Plain(body) => Some(body),
        }
    }

    fn look(&self) -> Option<&Incoming> {
        match self {
            Self::Lingering(lingering) => lingering.body.as_ref(),
            Self::Plain(body) => Some(body),
        }
    }
}

impl Body for EitherBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.get_mut().inner().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.look().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.look().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
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
