//! What stands behind: a small answer for everything, `/stream/N` for N bytes, and any body is read to its end.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use crate::Failure;

const SMALL: &[u8] = br#"{"city":"Lisbon","temperature":21.5,"wind":{"from":"NW","speed":14},"next":["cloudy","sunny","sunny","rain"],"issued":"2026-11-21T09:00:00Z","source":"a station near the river"}"#;
const PIECE: &[u8] = &[0x5a; 64 * 1024];

pub(super) async fn serve() -> Result<(), Failure> {
    let listener = super::listen().await?;
    super::ready(listener.local_addr()?);
    let accept = async {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    };
    tokio::select! {
        ended = accept => ended,
        () = super::parent_leaves() => Ok(()),
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Either<Full<Bytes>, Pieces>>, Infallible> {
    let asked = request.uri().path().strip_prefix("/stream/").and_then(|bytes| bytes.parse().ok());
    let mut body = request.into_body();
    while let Some(Ok(frame)) = body.frame().await {
        drop(frame);
    }
    let body = asked.map_or_else(
        || Either::Left(Full::new(Bytes::from_static(SMALL))),
        |left| Either::Right(Pieces { left }),
    );
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// A long body, made as it is read.
struct Pieces {
    left: u64,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(PIECE.len());
        self.left -= u64::try_from(length).unwrap_or(self.left);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&PIECE[..length])))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
