//! [`DeliveryBody`]: the body of an answer on its way out. It passes everything through, copies what is to be kept, and
//! notices how it ends.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::delivery::{Delivering, End};
use crate::kept::{AnswerCopy, announced};
use crate::observe::{Ending, Undelivered};
use crate::pace::Pace;
use crate::proxy::UploadWatch;

/// The body of an answer that was kept.
pub type KeptBody = DeliveryBody<Full<Bytes>, Infallible>;

/// What the head of an answer says about its body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    status: StatusCode,
    /// Nothing follows the head, whatever the body holds.
    alone: bool,
    /// The announced length.
    length: Option<u64>,
}

impl Head {
    pub(crate) fn of<B>(method: &Method, response: &Response<B>) -> Self {
        let status = response.status();
        let alone =
            *method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        Self { status, alone, length: announced(response.headers()) }
    }

    pub(crate) const fn is_alone(&self) -> bool {
        self.alone
    }

    /// Whether a body that ends after so many bytes is the one that was announced.
    pub(crate) fn is_whole(&self, bytes: u64) -> bool {
        self.alone || self.length.is_none_or(|length| bytes >= length)
    }
}

/// What a paid call bought, on its way.
pub(crate) struct Passing {
    delivering: Delivering,
    head: Head,
    copy: AnswerCopy,
    /// Bytes that were handed over.
    passed: u64,
    handed: Handed,
    /// What became of the request's body, where a proxy has sent it.
    upload: Option<UploadWatch>,
    pace: Pace,
}

/// Whether the answer's head was given to whoever writes it to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handed {
    Yes,
    No,
}

impl Passing {
    pub(crate) fn new(delivering: Delivering, head: Head, copy: AnswerCopy) -> Self {
        Self {
            delivering,
            head,
            copy,
            passed: 0,
            handed: Handed::Yes,
            upload: None,
            pace: Pace::begin(Instant::now()),
        }
    }

    /// Whoever breaks its own request off makes the answer break.
    pub(crate) fn uploaded(mut self, upload: Option<UploadWatch>) -> Self {
        self.upload = upload;
        self
    }

    fn end(self, end: impl FnOnce(AnswerCopy, Head) -> End) -> Option<JoinHandle<()>> {
        let Self { mut delivering, copy, head, .. } = self;
        delivering.end(end(copy, head))
    }

    fn whole(self) {
        let keeps = self.delivering.keeps();
        drop(self.end(|copy, head| {
            let answer = if keeps { copy.finish() } else { None };
            End::Whole(head.status, answer)
        }));
    }

    /// The reader has a part.
    fn passed(&mut self, data: &Bytes) {
        self.passed += data.len() as u64;
        self.pace.has(Instant::now());
    }

    /// The answer broke: by the service, unless its reader can have done it.
    fn broke(self) -> Option<JoinHandle<()>> {
        let by_reader = self.upload.as_ref().is_some_and(UploadWatch::has_failed);
        if by_reader || self.pace.has_stalled() {
            return self.left_unkept();
        }
        self.end(|_, _| End::Failed(Undelivered::BodyBroke))
    }

    /// The reader has left, and there is no copy.
    fn left_unkept(self) -> Option<JoinHandle<()>> {
        self.end(|_, head| End::LeftUnkept(head.status))
    }

    /// The reader has left, and this is all there is of the answer.
    fn left(self) {
        drop(self.end(|copy, head| {
            let status = head.status;
            copy.finish().map_or(End::LeftUnkept(status), End::LeftKept)
        }));
    }
}

/// The body of an answer behind the gate. It passes everything through and notices how it ends.
pub struct DeliveryBody<B, E> {
    /// What was read before the answer was let out.
    before: VecDeque<Frame<Bytes>>,
    /// None once somebody else reads on.
    inner: Option<B>,
    state: State<B, E>,
    /// Told when the body ends, after it has been recorded.
    ending: Option<Box<Ending>>,
}

enum State<B, E> {
    /// Nothing is left to record.
    Done,
    /// What a paid call bought, and what becomes of it when nobody reads on.
    Open(Box<Passing>, fn(Rest<B>, Passing)),
    /// It broke: recorded first, then said.
    Broken { recording: JoinHandle<()>, error: Option<E> },
}

/// What nobody has read.
struct Rest<B> {
    before: VecDeque<Frame<Bytes>>,
    inner: B,
}

impl<B, E> fmt::Debug for DeliveryBody<B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryBody").finish_non_exhaustive()
    }
}

impl<B, E> DeliveryBody<B, E> {
    /// A body that nobody paid for.
    pub(crate) const fn free(inner: B) -> Self {
        Self { before: VecDeque::new(), inner: Some(inner), state: State::Done, ending: None }
    }

    /// The same, and somebody is told when it ends.
    pub(crate) fn watched(mut self, ending: Box<Ending>) -> Self {
        self.ending = Some(ending);
        self
    }

    /// The answer is still on its way to whoever writes it.
    pub(crate) fn withheld(mut self) -> Self {
        self.hand(Handed::No);
        self
    }

    /// The answer is given to whoever writes it.
    pub(crate) fn handed(mut self) -> Self {
        self.hand(Handed::Yes);
        self
    }

    fn hand(&mut self, handed: Handed) {
        if let State::Open(passing, _) = &mut self.state {
            passing.handed = handed;
        }
    }
}

impl<B> DeliveryBody<B, B::Error>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Send,
{
    /// A body that was paid for. `before` was read of it already.
    pub(crate) fn paid(inner: B, before: Vec<Frame<Bytes>>, passing: Passing) -> Self {
        let state = State::Open(Box::new(passing), dropped::<B>);
        Self { before: before.into(), inner: Some(inner), state, ending: None }
    }
}

impl<B, E> Body for DeliveryBody<B, E>
where
    B: Body<Data = Bytes, Error = E> + Unpin,
    E: Unpin,
{
    type Data = Bytes;
    type Error = E;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        let this = self.get_mut();
        if let State::Broken { recording, error } = &mut this.state {
            // However recording went, the client learns that the body broke.
            let _ = ready!(Pin::new(recording).poll(cx));
            let error = error.take();
            this.state = State::Done;
            return Poll::Ready(error.map(Err));
        }
        if let State::Open(passing, _) = &mut this.state {
            passing.pace.asks(Instant::now());
        }
        if let Some(frame) = this.before.pop_front() {
            if let (State::Open(passing, _), Some(data)) = (&mut this.state, frame.data_ref()) {
                passing.passed(data);
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        match ready!(Pin::new(inner).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let (State::Open(passing, _), Some(data)) = (&mut this.state, frame.data_ref()) {
                    passing.passed(data);
                    passing.copy.push(data);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                if let Some(ending) = &mut this.ending {
                    ending.broke();
                }
                let State::Open(passing, _) = std::mem::replace(&mut this.state, State::Done) else {
                    return Poll::Ready(Some(Err(error)));
                };
                let Some(recording) = passing.broke() else { return Poll::Ready(Some(Err(error))) };
                this.state = State::Broken { recording, error: Some(error) };
                Pin::new(this).poll_frame(cx)
            }
            None => {
                if let State::Open(passing, _) = std::mem::replace(&mut this.state, State::Done) {
                    match passing.head.is_whole(passing.passed) {
                        true => passing.whole(),
                        false => drop(passing.broke()),
                    }
                }
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        !matches!(self.state, State::Broken { .. })
            && self.before.is_empty()
            && self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let before: u64 = self.before.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum();
        let rest = self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        if before == 0 {
            return rest;
        }
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(before));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(before));
        }
        hint
    }
}

impl<B, E> Drop for DeliveryBody<B, E> {
    fn drop(&mut self) {
        // hyper drops a body of known length when its last byte is written, and any body when the client has gone.
        let state = std::mem::replace(&mut self.state, State::Done);
        if let (State::Open(passing, dropped), Some(inner)) = (state, self.inner.take()) {
            dropped(Rest { before: std::mem::take(&mut self.before), inner }, *passing);
        }
    }
}

/// Nobody reads on: the answer was handed over as a whole, or is read to its end to be kept.
fn dropped<B>(rest: Rest<B>, mut passing: Passing)
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Send,
{
    let announced = passing.head.length.is_some_and(|length| passing.passed >= length);
    let ended = rest.before.is_empty() && (rest.inner.is_end_stream() || announced);
    if passing.handed == Handed::Yes && (passing.head.alone || ended) {
        return passing.whole();
    }
    if passing.head.alone || ended || passing.copy.is_kept() || !passing.copy.fits() {
        return passing.left();
    }
    // What was read before is in the copy already.
    passing.passed +=
        rest.before.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum::<u64>();
    let runtime = passing.delivering.runtime();
    let Some(runtime) = runtime else { return };
    runtime.spawn(read_on(rest.inner, passing));
}

/// Reads an answer to its end that its payer has left, as long as it can be kept.
async fn read_on<B>(mut inner: B, mut passing: Passing)
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Send,
{
    let patience = Duration::from_millis(passing.copy.options().finish_ms);
    let end = tokio::time::timeout(patience, async {
        loop {
            match inner.frame().await {
                Some(Ok(frame)) => {
                    let Some(data) = frame.data_ref() else { continue };
                    passing.passed += data.len() as u64;
                    passing.copy.push(data);
                    if !passing.copy.fits() {
                        return ReadOn::TooLarge;
                    }
                }
                Some(Err(_)) => return ReadOn::Broke,
                None if passing.head.is_whole(passing.passed) => return ReadOn::Whole,
                None => return ReadOn::Broke,
            }
        }
    });
    match end.await {
        Ok(ReadOn::Whole | ReadOn::TooLarge) => passing.left(),
        // Perhaps because it was left: a client that ends its connection ends its request, and that may end the answer.
        Ok(ReadOn::Broke) | Err(_) => drop(passing.left_unkept()),
    }
}

/// What came of reading on.
enum ReadOn {
    Whole,
    TooLarge,
    Broke,
}

/// The body of an answer: the gate's own, the service's, or one that the service gave before.
#[derive(Debug)]
pub enum GateResponseBody<B: Body> {
    /// A challenge or a refusal.
    Gate(Full<Bytes>),
    /// What the service answered.
    Service(DeliveryBody<B, B::Error>),
    /// What the service answered before, to the same payment.
    Kept(KeptBody),
}

impl<B: Body> GateResponseBody<B> {
    /// Somebody is told when a body ends; a body of the gate's own is there at once.
    pub(crate) fn watched(self, ending: Box<Ending>) -> Self {
        match self {
            Self::Gate(body) => Self::Gate(body),
            Self::Service(body) => Self::Service(body.watched(ending)),
            Self::Kept(body) => Self::Kept(body.watched(ending)),
        }
    }

    /// The answer is still on its way to whoever writes it.
    pub(crate) fn withheld(self) -> Self {
        match self {
            Self::Service(body) => Self::Service(body.withheld()),
            other => other,
        }
    }

    /// The answer is given to whoever writes it.
    pub(crate) fn handed(self) -> Self {
        match self {
            Self::Service(body) => Self::Service(body.handed()),
            other => other,
        }
    }
}

impl<B> Body for GateResponseBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.get_mut() {
            Self::Gate(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Service(body) => Pin::new(body).poll_frame(cx),
            Self::Kept(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Gate(body) => body.is_end_stream(),
            Self::Service(body) => body.is_end_stream(),
            Self::Kept(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Gate(body) => body.size_hint(),
            Self::Service(body) => body.size_hint(),
            Self::Kept(body) => body.size_hint(),
        }
    }
}
