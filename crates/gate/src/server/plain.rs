//! Requests that bring no payment and ask for what has a price, answered before an HTTP server sees the connection: they are most of
//! what a gateway gets, anybody sends any number of them, and to answer one takes no more than its head.
//!
//! It is not a server. It answers what leaves no question: a GET of HTTP/1.1 that came whole and alone, without a body, and without
//! a word about connections or payments. The first request that is anything else goes to hyper unread, and the connection with it
//! for good. Heads are read by hyper's parser, decided about by the same gate, and answered in the bytes that hyper would write.

use std::borrow::Borrow;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use farthing_protocol::UnixMs;
use futures_util::FutureExt;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use httpdate::HttpDate;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use super::Switch;
use super::activity::{Activity, InProgress, WatchedIo};
use crate::answer::{Answer, NO_STORE, Offered, PROBLEM_JSON};
use crate::credential::is_payment_name;
use crate::proxy::ClientAddr;

/// The longest head that is read here, in bytes. Clients that do not pay send less.
const MOST_BYTES: usize = 4_096;
/// Headers of it.
const MOST_HEADERS: usize = 32;

/// How it ended.
pub(super) enum Ended {
    /// With the connection.
    Closed,
    /// With these bytes, which are for somebody else.
    Other(Bytes),
}

/// A connection on which nothing but such requests has come.
pub(super) struct Plain<'a, S> {
    pub(super) io: &'a mut WatchedIo<S>,
    pub(super) activity: &'a Arc<Activity>,
    pub(super) switch: &'a Switch,
    pub(super) client: ClientAddr,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Plain<'_, S> {
    /// Answers requests until one comes that is not for here, or the client leaves, or the server stops: until `closing` changes.
    pub(super) async fn serve(self, closing: &mut watch::Receiver<()>) -> io::Result<Ended> {
        let Self { io, activity, switch, client } = self;
        // Asked for once: who waits for it is in a list that all connections share.
        let mut closing = pin!(closing.changed());
        let (mut unread, mut answered) = (BytesMut::with_capacity(MOST_BYTES), Answered::default());
        loop {
            unread.clear();
            let read = tokio::select! {
                biased;
                // What has come is answered, also while the server stops.
                read = io.read_buf(&mut unread) => read?,
                _ = &mut closing => 0,
            };
            if read == 0 {
                io.shutdown().await?;
                return Ok(Ended::Closed);
            }
            let Some(head) = Head::read(&unread) else { return Ok(Ended::Other(unread.freeze())) };
            let (front, then) = (switch.now(), head.then);
            let Some(answer) = front.unpaid(head, client) else { return Ok(Ended::Other(unread.freeze())) };
            let at = answer.as_ref().map_or_else(|_| front.gate.inner().clock.now(), |offered| offered.at);
            answered.write(answer, then, at);
            // What served is let go when it is exchanged, however long this waits.
            drop(front);
            let _taken = InProgress::answering(activity);
            io.write_all(&answered.bytes).await?;
            io.flush().await?;
            if then == Then::Close {
                io.shutdown().await?;
                return Ok(Ended::Closed);
            }
        }
    }
}

/// What a client wants to become of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Keep,
    Close,
}

/// What is taken from the head of a GET.
#[derive(Debug)]
pub(super) struct Head<'a> {
    /// Without the query.
    pub(super) path: &'a str,
    pub(super) host: &'a [u8],
    /// How many headers there are.
    pub(super) lines: usize,
    /// Of them, those that traces and limits are about.
    pub(super) kept: HeaderMap,
    then: Then,
}

/// What a header means here, whatever its value.
#[derive(Clone, Copy)]
enum Means {
    Nothing,
    Host,
    Connection,
    Kept,
    /// Something that is not for here.
    More,
}

impl Means {
    /// By its name, in any case.
    fn of(name: &str) -> Self {
        const MORE: [&str; 9] = [
            "authorization",
            "content-length",
            "expect",
            "http2-settings",
            "keep-alive",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
        ];
        const PROXY: &str = "proxy-";
        let is = |other: &&str| name.eq_ignore_ascii_case(other);
        let is_proxys = || name.get(..PROXY.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(PROXY));
        match name.len() {
            4 if is(&"host") => Self::Host,
            10 if is(&"connection") => Self::Connection,
            9 if is(&"forwarded") => Self::Kept,
            11 if is(&"traceparent") => Self::Kept,
            15 if is(&"x-forwarded-for") => Self::Kept,
            _ if MORE.iter().any(is) || is_proxys() || is_payment_name(name) => Self::More,
            _ => Self::Nothing,
        }
    }
}

impl<'a> Head<'a> {
    /// The head that these bytes are, with nothing behind it. None for another method than GET, or if it says anything of a body
    /// or of payments, or more of the connection than whether to keep it, or has no host or several, or cannot be read.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut lines = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut head = httparse::Request::new(&mut lines);
        let is_whole = matches!(head.parse(bytes), Ok(httparse::Status::Complete(end)) if end == bytes.len());
        let is_plain = is_whole && head.method == Some("GET") && head.version == Some(1);
        let target =
            head.path.filter(|path| is_plain && path.starts_with('/') && path.bytes().all(is_usual))?;
        let (mut host, mut kept, mut then) = (None, HeaderMap::new(), Then::Keep);
        for line in head.headers.iter() {
            match Means::of(line.name) {
                Means::Nothing => {}
                Means::Host if host.is_none() => host = Some(line.value),
                Means::Connection if line.value.eq_ignore_ascii_case(b"keep-alive") => {}
                Means::Connection if line.value.eq_ignore_ascii_case(b"close") => then = Then::Close,
                Means::Kept => {
                    let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
                    kept.append(name, HeaderValue::from_bytes(line.value).ok()?);
                }
                Means::Host | Means::Connection | Means::More => return None,
            }
        }
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        Some(Self { path, host: host?, lines: head.headers.len(), kept, then })
    }
}

/// Whether every server reads this byte of a target alike (RFC 3986, appendix A, without `#`).
const fn is_usual(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'$'..=b'/' | b':' | b';' | b'=' | b'?' | b'@' | b'_' | b'~')
}

/// An answer as it goes over the wire, and what is written again and again.
#[derive(Default)]
struct Answered {
    bytes: Vec<u8>,
    /// What was written of the time last, and in which second.
    date: (u64, String),
}

impl Answered {
    /// Writes an answer as hyper does.
    fn write(&mut self, answer: Result<Offered, Box<Answer>>, then: Then, at: UnixMs) {
        self.bytes.clear();
        match answer {
            Ok(Offered { challenges, json, .. }) => {
                self.status(StatusCode::PAYMENT_REQUIRED);
                self.line(CONTENT_TYPE, PROBLEM_JSON.as_bytes());
                self.line(CACHE_CONTROL, NO_STORE.as_bytes());
                for challenge in &challenges {
                    self.line(WWW_AUTHENTICATE, challenge.as_bytes());
                }
                self.end(json.as_bytes(), then, at);
            }
            Err(answer) => {
                let (parts, mut body) = answer.into_parts();
                // A body of ours is there, or empty.
                let body = body.frame().now_or_never().flatten().and_then(Result::ok);
                let body = body.and_then(|frame| frame.into_data().ok()).unwrap_or_default();
                self.status(parts.status);
                for (name, value) in &parts.headers {
                    self.line(name, value.as_bytes());
                }
                self.end(&body, then, at);
            }
        }
    }

    fn status(&mut self, status: StatusCode) {
        let reason = status.canonical_reason().unwrap_or("<none>");
        for part in ["HTTP/1.1 ", status.as_str(), " ", reason, "\r\n"] {
            self.bytes.extend_from_slice(part.as_bytes());
        }
    }

    fn line(&mut self, name: impl Borrow<HeaderName>, value: &[u8]) {
        for part in [name.borrow().as_str().as_bytes(), b": ", value, b"\r\n"] {
            self.bytes.extend_from_slice(part);
        }
    }

    fn end(&mut self, body: &[u8], then: Then, at: UnixMs) {
        if then == Then::Close {
            self.line(CONNECTION, b"close");
        }
        self.line(CONTENT_LENGTH, itoa::Buffer::new().format(body.len()).as_bytes());
        let second = at.as_ms() / 1_000;
        if self.date.0 != second || self.date.1.is_empty() {
            self.date = (second, date(second));
        }
        for part in [b"date: ", self.date.1.as_bytes(), b"\r\n\r\n", body] {
            self.bytes.extend_from_slice(part);
        }
    }
}

/// A second since 1970 as `Date` has it (RFC 9110, section 5.6.7), which has years of four digits.
fn date(second: u64) -> String {
    const LAST: u64 = 253_402_300_799;
    HttpDate::from(UNIX_EPOCH + Duration::from_secs(second.min(LAST))).to_string()
}

#[cfg(test)]
mod tests;
