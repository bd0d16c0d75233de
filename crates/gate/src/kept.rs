//! Answers of the service that are kept: copied while they pass, within limits, and served again from what the store has.

use std::sync::Arc;

use bytes::Bytes;
use farthing_protocol::flow::gate::mark;
use farthing_protocol::ports::StoredAnswer;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{Response, StatusCode};
use http_body_util::Full;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How answers of paid calls are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerOptions {
    /// The longest answer that is kept, in bytes of its body.
    pub max_bytes: usize,
    /// What all copies that are being made may have together, in bytes. An answer beyond that is not kept.
    pub budget_bytes: usize,
    /// How often a call is delivered again whose payer left before the end of an answer that is not kept.
    pub redeliveries: u32,
    /// How long an answer that nobody reads any more is read on, to be kept, in milliseconds.
    pub finish_ms: u64,
    /// How long the body of an answer is waited for before it is settled and let out, where a route settles after the
    /// service, in milliseconds. A body that is not whole by then is settled as a stream.
    pub hold_ms: u64,
}

impl Default for AnswerOptions {
    fn default() -> Self {
        Self {
            max_bytes: 256 << 10,
            budget_bytes: 64 << 20,
            redeliveries: 2,
            finish_ms: 30_000,
            hold_ms: 1_000,
        }
    }
}

/// What all copies share.
#[derive(Debug)]
pub(crate) struct Copies {
    pub(crate) options: AnswerOptions,
    budget: Arc<Semaphore>,
    /// The same again, for answers that go out once more: whoever asks for those takes no room from those that are made.
    lent: Arc<Semaphore>,
}

/// A kept answer's body on its way out once more, and its share of the room.
struct Lent(Vec<u8>, #[expect(dead_code, reason = "held")] OwnedSemaphorePermit);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Copies {
    pub(crate) fn new(options: AnswerOptions) -> Self {
        let bytes = options.budget_bytes.min(Semaphore::MAX_PERMITS);
        Self { options, budget: Arc::new(Semaphore::new(bytes)), lent: Arc::new(Semaphore::new(bytes)) }
    }

    /// A kept answer as a response; none while too many others are on their way out.
    pub(crate) fn lend(&self, mut answer: StoredAnswer) -> Option<Response<Full<Bytes>>> {
        // One that is larger than all the room, because there was more of it once, takes all of it.
        let bytes = answer.body.len().min(self.options.budget_bytes);
        let permit = Arc::clone(&self.lent).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()?;
        let response = head_of(&answer);
        let body = Bytes::from_owner(Lent(std::mem::take(&mut answer.body), permit));
        Some(response.map(|()| Full::new(body)))
    }

    /// A copy of an answer with this head, of which nothing has passed. `target` says which request it answers.
    pub(crate) fn begin<B>(self: &Arc<Self>, response: &Response<B>, target: [u8; 32]) -> AnswerCopy {
        let fits = announced(response.headers())
            .is_none_or(|bytes| usize::try_from(bytes).is_ok_and(|bytes| bytes <= self.options.max_bytes));
        AnswerCopy {
            all: Arc::clone(self),
            status: response.status(),
            headers: response.headers().clone(),
            target,
            body: Vec::new(),
            permit: None,
            fits,
            kept: None,
        }
    }
}

/// The announced length of a body.
pub(crate) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A copy of what has passed of an answer.
#[derive(Debug)]
pub(crate) struct AnswerCopy {
    all: Arc<Copies>,
    status: StatusCode,
    headers: HeaderMap,
    target: [u8; 32],
    body: Vec<u8>,
    permit: Option<OwnedSemaphorePermit>,
    fits: bool,
    /// The whole answer, where it was kept before.
    kept: Option<Box<StoredAnswer>>,
}

impl AnswerCopy {
    /// A copy of what the store has.
    pub(crate) fn of(all: &Arc<Copies>, answer: &StoredAnswer, target: [u8; 32]) -> Self {
        let response = respond(answer);
        let mut copy = Copies::begin(all, &response, target);
        // No limit that has changed since makes it go.
        let mut answer = answer.clone();
        mark(&mut answer, &target);
        copy.kept = Some(Box::new(answer));
        copy
    }

    /// Whether the whole answer is there, whatever passes.
    pub(crate) const fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// Whether everything that has passed is in it.
    pub(crate) const fn fits(&self) -> bool {
        self.fits
    }

    pub(crate) fn options(&self) -> AnswerOptions {
        self.all.options
    }

    pub(crate) fn push(&mut self, data: &[u8]) {
        if !self.fits || self.kept.is_some() {
            return;
        }
        let fits = self.body.len().saturating_add(data.len()) <= self.all.options.max_bytes;
        let more = u32::try_from(data.len()).ok().filter(|_| fits);
        let more = more.and_then(|bytes| Arc::clone(&self.all.budget).try_acquire_many_owned(bytes).ok());
        match (more, &mut self.permit) {
            (None, _) => {
                self.fits = false;
                self.body = Vec::new();
                self.permit = None;
                return;
            }
            (Some(more), Some(permit)) => permit.merge(more),
            (Some(more), permit) => *permit = Some(more),
        }
        self.body.extend_from_slice(data);
    }

    /// The whole answer as the store keeps it; none when it was too large.
    pub(crate) fn finish(mut self) -> Option<Box<StoredAnswer>> {
        let kept = self.kept.take();
        kept.or_else(|| {
            let body = std::mem::take(&mut self.body);
            self.fits.then(|| self.stored(body))
        })
    }

    /// The same, and the copy stays.
    pub(crate) fn snapshot(&self) -> Option<Box<StoredAnswer>> {
        let kept = self.kept.clone();
        kept.or_else(|| self.fits.then(|| self.stored(self.body.clone())))
    }

    fn stored(&self, body: Vec<u8>) -> Box<StoredAnswer> {
        let hop = [CONNECTION, TRANSFER_ENCODING];
        let headers = self.headers.iter().filter(|(name, _)| !hop.contains(name));
        let mut answer = StoredAnswer {
            status: self.status.as_u16(),
            headers: headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect(),
            body,
        };
        mark(&mut answer, &self.target);
        Box::new(answer)
    }
}

/// A kept answer as a response. A header that HTTP does not take is left out.
pub(crate) fn respond(answer: &StoredAnswer) -> Response<Full<Bytes>> {
    head_of(answer).map(|()| Full::new(Bytes::copy_from_slice(&answer.body)))
}

fn head_of(answer: &StoredAnswer) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    for (name, value) in &answer.headers {
        let name = HeaderName::try_from(name.as_str());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            response.headers_mut().append(name, value);
        }
    }
    // The length of what is there; that of an answer to HEAD is about another one.
    if announced(response.headers()).is_some_and(|bytes| bytes != answer.body.len() as u64)
        && !answer.body.is_empty()
    {
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    response
}
