//! [`GateBody`]: a request's body on its way through the gate: streamed, or read before because its digest had to be checked.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request's body behind the gate.
#[derive(Debug)]
pub enum GateBody<B> {
    /// As it arrives.
    Stream(B),
    /// Read, because the payment is bound to it.
    Read(Full<Bytes>),
}

impl<B> Body for GateBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Stream(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Read(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Stream(body) => body.is_end_stream(),
            Self::Read(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Stream(body) => body.size_hint(),
            Self::Read(body) => body.size_hint(),
        }
    }
}

/// Why a body was not read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// It is larger than we read.
    TooLarge,
    /// The client stopped sending.
    Broken,
}

/// Reads a whole body of at most `max` bytes. Trailers are dropped: a digest covers the content only.
pub(crate) async fn read<B>(mut body: B, max: usize) -> Result<Bytes, ReadError>
where
    B: Body<Data = Bytes> + Unpin,
{
    let fits = |bytes: u64| usize::try_from(bytes).is_ok_and(|bytes| bytes <= max);
    if !fits(body.size_hint().lower()) {
        return Err(ReadError::TooLarge);
    }
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| ReadError::Broken)?.into_data() else { continue };
        if read.len() + data.len() > max {
            return Err(ReadError::TooLarge);
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}
