//! One request of a program: to the server it is for, paid where the policy allows it, and the answer back as it arrives.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use farthing_client::{AgentError, Payment};
use futures_util::StreamExt;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use url::Url;

use super::answer::{self, Body, BoxError, Problem, unreached};
use super::headers::{self, FARTHING_PAYMENT, has_credential, wants_upgrade};
use super::listener::Connection;
use super::report::Call;
use super::seen::Seen;
use super::{Others, Proxy, connect, upgrade};

/// The longest pause of a program within a body that is kept.
const BODY_PAUSE: Duration = Duration::from_secs(60);
/// How much of a body is read for nobody, in bytes, so that the program comes to see the answer.
const MAX_FORGOTTEN_BYTES: usize = 64 << 20;

/// Where an opened connection leads.
#[derive(Debug, Clone)]
pub struct Origin {
    base: Url,
}

impl Origin {
    /// Of a URL.
    pub fn of(url: &Url) -> Self {
        Self { base: url.clone() }
    }

    /// The URL of a request on this connection, which has to be for this origin: the policy was asked about it alone.
    fn url(&self, request: &Request<Incoming>) -> Result<Url, Problem> {
        let said = request.uri().authority().map(http::uri::Authority::as_str);
        let host = request.headers().get(HOST).and_then(|value| value.to_str().ok());
        for name in said.into_iter().chain(host) {
            let other = Url::parse(&format!("{}://{name}/", self.base.scheme()));
            if other.ok().is_none_or(|other| other.origin() != self.base.origin()) {
                return Err(Problem::new(
                    StatusCode::MISDIRECTED_REQUEST,
                    "wrong_host",
                    "the request is for another host than its connection",
                ));
            }
        }
        let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        path.starts_with('/')
            .then(|| Url::parse(&format!("{}{path}", self.base.origin().ascii_serialization())).ok())
            .flatten()
            .ok_or_else(|| bad_target("the request's target is not a path"))
    }
}

fn bad_target(why: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_target", why)
}

/// Serves a request on an opened connection to `origin`.
pub async fn opened(
    proxy: &Arc<Proxy>,
    connection: &Connection,
    origin: &Origin,
    request: Request<Incoming>,
) -> Response<Body> {
    let served = match origin.url(&request) {
        Ok(url) => paid(proxy, connection, url, request).await,
        Err(problem) => Err(problem),
    };
    served.unwrap_or_else(|problem| problem.answer())
}

/// Serves a request in the form that plain proxies take: a whole URL.
pub async fn absolute(
    proxy: &Arc<Proxy>,
    connection: &Connection,
    request: Request<Incoming>,
) -> Response<Body> {
    whole(proxy, connection, request).await.unwrap_or_else(|problem| problem.answer())
}

async fn whole(
    proxy: &Arc<Proxy>,
    connection: &Connection,
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    if request.uri().scheme().is_none() {
        return Err(bad_target(
            "this is a forward proxy, not a site: name it in HTTPS_PROXY and HTTP_PROXY, as `farthing proxy env` prints",
        ));
    }
    let url = Url::parse(&request.uri().to_string())
        .map_err(|_| bad_target("the request's target is not a URL"))?;
    let web =
        matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    let (Some(host), Some(port), true) = (url.host(), url.port_or_known_default(), web) else {
        return Err(bad_target("the request's target is not an HTTP URL without a user"));
    };
    proxy.guard.resolve(&host.to_owned(), port).await.map_err(|error| connect::unreached(&error))?;
    match ((proxy.judge)(&url), proxy.others) {
        (Ok(()), _) => paid(proxy, connection, url, request).await,
        (Err(_), Others::Pass) => unpaid(proxy, connection, url, request).await,
        (Err(refusal), Others::Refuse) => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "origin_refused",
            format!("{}; --strict lets nothing else through", refusal.why),
        )),
    }
}

/// A request to an origin that may be paid.
async fn paid(
    proxy: &Arc<Proxy>,
    connection: &Connection,
    url: Url,
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    // Whoever pays by themselves is not helped, and a connection that changes its protocol is not paid.
    if has_credential(request.headers()) || wants_upgrade(request.headers()).is_some() {
        return unpaid(proxy, connection, url, request).await;
    }
    let call = Call::of(request.method(), &url);
    let (head, body) = request.into_parts();
    let (content, memory) = read(proxy, &head.headers, body).await?;
    let once = matches!(content, Content::Streamed(_));
    let request = outgoing(&head, url, content);
    let seen = Seen::default();
    let held = Held { _connection: connection.clone(), _memory: memory };
    let task = tokio::spawn(pay(Arc::clone(proxy), call, request, seen.clone(), held));
    let mut work = Work { task, seen };
    match (&mut work.task).await {
        // A server may ask for a payment and break off before it has read a long body; its answer is then lost.
        Ok(Err(AgentError::Network { why })) if once => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_long",
            format!(
                "the body is longer than the {} bytes that can be paid for, so it was sent once and unpaid, and the server \
                 broke off: {why}; start the proxy with a larger --max-body-bytes",
                proxy.max_body_bytes
            ),
        )),
        Ok(Err(error)) => Ok(answer::after_failure(&error, work.seen.take_answer().map(hand_on))),
        Ok(Ok(response)) => Ok(response),
        Err(error) => Err(Problem::new(
            StatusCode::FAILED_DEPENDENCY,
            "proxy_failed",
            format!(
                "the proxy could not finish the call ({error}); see farthing payments before it is made again"
            ),
        )),
    }
}

/// A call in a task of its own. A program that leaves ends it, until a credential was sent: then it is carried to its end, so that
/// the journal says what became of it.
struct Work {
    task: JoinHandle<Result<Response<Body>, AgentError>>,
    seen: Seen,
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.seen.credential_left() {
            self.task.abort();
        }
    }
}

/// What a call keeps until its answer begins: the process does not end before that.
struct Held {
    _connection: Connection,
    _memory: Option<OwnedSemaphorePermit>,
}

async fn pay(
    proxy: Arc<Proxy>,
    call: Call,
    request: reqwest::Request,
    seen: Seen,
    _held: Held,
) -> Result<Response<Body>, AgentError> {
    match proxy.upstream.pay(request, seen.clone()).await {
        Ok((response, payment)) => {
            // A 402 of another scheme, whose body the agent was not given.
            let response = if payment.is_none() { seen.take_answer().unwrap_or(response) } else { response };
            let mut answer = hand_on(response);
            if let Some(payment) = payment {
                proxy.report.paid(&call, answer.status().as_u16(), &payment);
                name(&mut answer, &payment);
            }
            Ok(answer)
        }
        Err(error) => {
            if !matches!(error, AgentError::Network { .. } | AgentError::Usage { .. }) {
                proxy.report.failed(&call, &error);
            }
            Err(error)
        }
    }
}

fn name(answer: &mut Response<Body>, payment: &Payment) {
    if let Ok(value) = HeaderValue::from_str(payment.id.as_str()) {
        answer.headers_mut().insert(FARTHING_PAYMENT, value);
    }
}

/// A request that is not paid, whatever the server says.
async fn unpaid(
    proxy: &Arc<Proxy>,
    connection: &Connection,
    url: Url,
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    if let Some(protocol) = wants_upgrade(request.headers()) {
        return upgrade::upgrade(proxy, connection, url, protocol, request).await;
    }
    let (head, body) = request.into_parts();
    let content = if body.is_end_stream() { Content::None } else { Content::streamed(None, body) };
    let response = proxy.upstream.send(outgoing(&head, url, content)).await;
    response.map(hand_on).map_err(|error| unreached(&error.why))
}

/// A server's answer as the program gets it: its body as it arrives.
pub fn hand_on(response: reqwest::Response) -> Response<Body> {
    let (mut head, body) = Response::<reqwest::Body>::from(response).into_parts();
    headers::to_program(&mut head.headers);
    let mut answer = Response::new(body.map_err(Into::into).boxed_unsync());
    *answer.status_mut() = head.status;
    *answer.headers_mut() = head.headers;
    answer
}

/// What a request carries.
enum Content {
    None,
    /// Can be sent again.
    Kept(Bytes),
    /// Can be sent once.
    Streamed(reqwest::Body),
}

impl Content {
    /// What was read of a body, and the rest as it comes.
    fn streamed(begun: Option<Bytes>, rest: Incoming) -> Self {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(carry(rest, sender));
        let rest = futures_util::stream::unfold(receiver, |mut receiver| async move {
            Some((receiver.recv().await?, receiver))
        });
        let begun = futures_util::stream::iter(begun.map(Ok));
        Self::Streamed(reqwest::Body::wrap_stream(begun.chain(rest)))
    }
}

/// Hands a body on as fast as it is taken. A server may answer before it has read everything; many programs see that answer only
/// when they could send the rest, which is then read and forgotten, as far as [`MAX_FORGOTTEN_BYTES`].
async fn carry(mut body: Incoming, to: mpsc::Sender<Result<Bytes, BoxError>>) {
    let mut forgotten = 0;
    while forgotten <= MAX_FORGOTTEN_BYTES {
        let frame = match tokio::time::timeout(BODY_PAUSE, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                // Nobody may be left to tell.
                let _ = to.send(Err(error.into())).await;
                return;
            }
            Ok(None) => return,
            Err(_) => {
                let _ = to.send(Err("the rest of the request's body did not come".into())).await;
                return;
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        let length = data.len();
        if to.send(Ok(data)).await.is_err() {
            forgotten += length;
        }
    }
}

/// The request as it is sent. The length that the program said stays where the body is streamed.
fn outgoing(head: &http::request::Parts, url: Url, content: Content) -> reqwest::Request {
    let mut request = reqwest::Request::new(head.method.clone(), url);
    *request.headers_mut() = head.headers.clone();
    headers::to_server(request.headers_mut());
    match content {
        Content::None => {
            // `Content-Length: 0` of a POST stays.
            let zero = request.headers().get(CONTENT_LENGTH).is_some_and(|length| length == "0");
            if !zero || head.method == Method::GET {
                request.headers_mut().remove(CONTENT_LENGTH);
            }
        }
        Content::Kept(bytes) => {
            request.headers_mut().remove(CONTENT_LENGTH);
            *request.body_mut() = Some(bytes.into());
        }
        Content::Streamed(body) => *request.body_mut() = Some(body),
    }
    request
}

/// Reads a body to be sent twice, as far as the limit goes; a longer one, and one of a conversation (gRPC), is sent once.
async fn read(
    proxy: &Proxy,
    headers: &http::HeaderMap,
    mut body: Incoming,
) -> Result<(Content, Option<OwnedSemaphorePermit>), Problem> {
    if body.is_end_stream() {
        return Ok((Content::None, None));
    }
    let limit = proxy.max_body_bytes;
    let length = body.size_hint().exact();
    let is_grpc =
        headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if is_grpc || length.is_some_and(|length| length > limit as u64) {
        return Ok((Content::streamed(None, body), None));
    }
    let wanted = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(limit).min(limit);
    let kibibytes = u32::try_from(wanted.div_ceil(1024)).unwrap_or(u32::MAX);
    let memory = Arc::clone(&proxy.body_memory).acquire_many_owned(kibibytes).await.ok();
    let mut kept = BytesMut::with_capacity(length.map_or(0, |_| wanted));
    loop {
        let frame = tokio::time::timeout(BODY_PAUSE, body.frame()).await.map_err(|_| {
            Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "body_too_slow",
                "the rest of the request's body did not come",
            )
        })?;
        let Some(frame) = frame else { return Ok((Content::Kept(kept.freeze()), memory)) };
        let frame = frame.map_err(|_| {
            Problem::new(StatusCode::BAD_REQUEST, "body_cut_off", "the request's body was cut off")
        })?;
        // Trailers of a request mean nothing to what is bought.
        let Ok(data) = frame.into_data() else { continue };
        kept.extend_from_slice(&data);
        if kept.len() > limit {
            return Ok((Content::streamed(Some(kept.freeze()), body), None));
        }
    }
}
