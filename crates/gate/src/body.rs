//! [`GateBody`]: a request's body on its way through the gate: streamed, or read before because its digest had to be checked.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use farthing_protocol::digest::Sha256Hasher;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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

/// How bodies are read that payments are bound to ([`crate::BindBody::Yes`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoundBodyLimits {
    /// The longest body, in bytes.
    pub max_bytes: usize,
    /// The longest pause within a body, in milliseconds.
    pub idle_timeout_ms: u64,
    /// The longest time that a whole body may take, in milliseconds.
    pub timeout_ms: u64,
    /// What all bodies that are kept at once may have together, in bytes: those that were read for a payment, until they are
    /// forwarded. A body that is only digested, for a challenge, is not kept.
    pub budget_bytes: usize,
}

impl Default for BoundBodyLimits {
    fn default() -> Self {
        Self { max_bytes: 1 << 20, idle_timeout_ms: 30_000, timeout_ms: 30_000, budget_bytes: 64 << 20 }
    }
}

/// Reads bodies within limits that all requests share.
#[derive(Debug)]
pub(crate) struct BodyReader {
    limits: BoundBodyLimits,
    budget: Arc<Semaphore>,
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// It is larger than we read.
    TooLarge,
    /// The client stopped sending.
    Broken,
    /// The client took too long.
    TimedOut,
    /// Too much is being kept for other requests.
    Busy,
}

impl ReadError {
    /// The stable code of what went wrong, as the answer says it.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "body_too_large",
            Self::Broken => "body_broken",
            Self::TimedOut => "body_timeout",
            Self::Busy => "gate_busy",
        }
    }
}

impl BodyReader {
    /// A reader with these limits and a budget of its own.
    pub(crate) fn new(limits: BoundBodyLimits) -> Self {
        let budget = Arc::new(Semaphore::new(limits.budget_bytes.min(Semaphore::MAX_PERMITS)));
        Self { limits, budget }
    }

    /// The longest body, in bytes.
    pub(crate) const fn max_bytes(&self) -> usize {
        self.limits.max_bytes
    }

    /// Reads a whole body and keeps it. Trailers are dropped: a digest covers the content only.
    pub(crate) async fn read<B>(&self, body: B) -> Result<Bytes, ReadError>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let mut kept = Kept { bytes: Vec::new(), permit: None };
        self.each(body, |data| kept.push(data, &self.budget)).await?;
        Ok(Bytes::from_owner(kept))
    }

    /// The `digest` of a whole body, as challenges carry it (core, section 5.1.4). Keeps nothing: an unpaid request is to
    /// cost us as little as it can (C22).
    pub(crate) async fn digest<B>(&self, body: B) -> Result<String, ReadError>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let mut hasher = Sha256Hasher::default();
        self.each(body, |data| {
            hasher.update(data);
            Ok(())
        })
        .await?;
        Ok(hasher.finish().to_header_value())
    }

    /// Hands each part of a body over, within the limits.
    async fn each<B>(
        &self,
        mut body: B,
        mut take: impl FnMut(&[u8]) -> Result<(), ReadError>,
    ) -> Result<(), ReadError>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let mut left = self.limits.max_bytes;
        if !usize::try_from(body.size_hint().lower()).is_ok_and(|bytes| bytes <= left) {
            return Err(ReadError::TooLarge);
        }
        let idle = Duration::from_millis(self.limits.idle_timeout_ms);
        let parts = async {
            loop {
                let frame = tokio::time::timeout(idle, body.frame()).await;
                let Some(frame) = frame.map_err(|_| ReadError::TimedOut)? else { return Ok(()) };
                let Ok(data) = frame.map_err(|_| ReadError::Broken)?.into_data() else { continue };
                left = left.checked_sub(data.len()).ok_or(ReadError::TooLarge)?;
                take(&data)?;
            }
        };
        let whole = Duration::from_millis(self.limits.timeout_ms);
        tokio::time::timeout(whole, parts).await.unwrap_or(Err(ReadError::TimedOut))
    }
}

/// A body that was read, and its share of the budget: given back with the last of its [`Bytes`].
struct Kept {
    bytes: Vec<u8>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Kept {
    fn push(&mut self, data: &[u8], budget: &Arc<Semaphore>) -> Result<(), ReadError> {
        let bytes = u32::try_from(data.len()).map_err(|_| ReadError::TooLarge)?;
        let more = Arc::clone(budget).try_acquire_many_owned(bytes).map_err(|_| ReadError::Busy)?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests;
