//! [`Seen`]: what one call's sendings looked like from inside the paying client: whether a credential has left, and the last
//! answer of the kind that the agent keeps to itself. A program is shown that answer when nothing was bought.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use reqwest::{Request, Response, ResponseBuilderExt};
use reqwest_middleware::{Middleware, Next, Result};

use super::headers::has_credential;

/// The longest body that is kept in memory to be shown later, in bytes.
const MAX_KEPT_BYTES: usize = 64 * 1024;
/// The longest wait for such a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What was seen of one call. In the extensions of its request.
#[derive(Clone, Default)]
pub struct Seen(Arc<Inner>);

#[derive(Default)]
struct Inner {
    credential_left: AtomicBool,
    answer: Mutex<Option<Response>>,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen").field("credential_left", &self.credential_left()).finish_non_exhaustive()
    }
}

impl Seen {
    /// Whether a credential was sent: from then on the call is carried to its end, whoever still waits.
    pub fn credential_left(&self) -> bool {
        self.0.credential_left.load(Ordering::SeqCst)
    }

    /// The last answer that asked for a payment or did not take one.
    pub fn take_answer(&self) -> Option<Response> {
        self.0.answer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn keep(&self, answer: Option<Response>) {
        *self.0.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }
}

/// The layer inside the paying client that sees every sending.
#[derive(Debug, Clone, Copy)]
pub struct Watch;

#[async_trait]
impl Middleware for Watch {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut http::Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let pays = has_credential(request.headers());
        let seen = extensions.get::<Seen>().cloned();
        if let Some(seen) = &seen
            && pays
        {
            seen.0.credential_left.store(true, Ordering::SeqCst);
            seen.keep(None);
        }
        let response = next.run(request, extensions).await?;
        let Some(seen) = seen else { return Ok(response) };
        match (response.status().as_u16(), pays) {
            (402, false) => {
                let (kept, given) = asked(response).await;
                seen.keep(Some(kept));
                Ok(given)
            }
            (402 | 403 | 409 | 503, true) => {
                let (kept, given) = refused(response).await;
                seen.keep(kept);
                Ok(given)
            }
            _ => {
                seen.keep(None);
                Ok(response)
            }
        }
    }
}

/// A 402 twice: the agent reads its head only, so that a long body need not be read to be shown.
async fn asked(response: Response) -> (Response, Response) {
    let length = response.content_length();
    if length.is_some_and(|length| length <= MAX_KEPT_BYTES as u64) {
        let shell = shell(&response);
        let body = read(response).await.unwrap_or_default();
        return (with_body(&shell, body.clone()), with_body(&shell, body));
    }
    let given = with_body(&shell(&response), Bytes::new());
    (response, given)
}

/// A refusal twice. The agent reads the problem in it, so that only one which is short can be shown too.
async fn refused(response: Response) -> (Option<Response>, Response) {
    let shell = shell(&response);
    match read(response).await {
        Some(body) => (Some(with_body(&shell, body.clone())), with_body(&shell, body)),
        None => (None, with_body(&shell, Bytes::new())),
    }
}

/// The whole body, where it is short and comes in time.
async fn read(mut response: Response) -> Option<Bytes> {
    let reading = async {
        let mut body = BytesMut::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            if body.len() + chunk.len() > MAX_KEPT_BYTES {
                return None;
            }
            body.extend_from_slice(&chunk);
        }
        Some(body.freeze())
    };
    tokio::time::timeout(BODY_TIMEOUT, reading).await.unwrap_or_default()
}

fn shell(response: &Response) -> http::response::Parts {
    let (mut parts, ()) = http::Response::builder()
        .status(response.status())
        .version(response.version())
        .url(response.url().clone())
        .body(())
        .expect("every part was taken from a response")
        .into_parts();
    parts.headers = response.headers().clone();
    parts
}

fn with_body(shell: &http::response::Parts, body: Bytes) -> Response {
    http::Response::from_parts(shell.clone(), body).into()
}
