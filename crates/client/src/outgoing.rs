//! [`Outgoing`]: the caller's request, in a form that can be sent again. It never holds a credential: that is added to one
//! sending at a time.

use bytes::Bytes;
use farthing_protocol::flow::payer::Repeat;
use farthing_protocol::{CredentialHeader, digest::Sha256Digest};
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use reqwest::{Body, Request};
use sha2::{Digest, Sha256};
use url::Url;

use crate::AgentError;
use crate::site::Site;

/// `Accept-Payment` (core, section 7.5).
const ACCEPT_PAYMENT: HeaderName = HeaderName::from_static("accept-payment");
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request to send, once or several times.
pub(crate) struct Outgoing {
    /// Everything but the body.
    head: Request,
    site: Site,
    body: OutgoingBody,
    /// Whether `Accept-Payment` is the caller's own, to be left alone.
    callers_accept: bool,
}

enum OutgoingBody {
    Empty,
    Bytes(Bytes),
    /// Can be sent once.
    Stream(Body),
    /// Was a stream, and was sent.
    Gone,
}

impl Outgoing {
    pub(crate) fn new(mut request: Request) -> Result<Self, AgentError> {
        let site = Site::of(request.url())?;
        let body = match request.body_mut().take() {
            None => OutgoingBody::Empty,
            Some(body) => match body.as_bytes() {
                Some([]) => OutgoingBody::Empty,
                Some(bytes) => OutgoingBody::Bytes(Bytes::copy_from_slice(bytes)),
                None => OutgoingBody::Stream(body),
            },
        };
        let callers_accept = request.headers().contains_key(ACCEPT_PAYMENT);
        Ok(Self { head: request, site, body, callers_accept })
    }

    pub(crate) fn method(&self) -> &Method {
        self.head.method()
    }

    pub(crate) fn url(&self) -> &Url {
        self.head.url()
    }

    pub(crate) const fn site(&self) -> &Site {
        &self.site
    }

    /// Origin and path: the query may hold secrets.
    pub(crate) fn resource(&self) -> String {
        format!("{}{}", self.site, self.url().path())
    }

    /// Whether the request may be carried out twice without harm (RFC 9110, section 9.2.2).
    pub(crate) fn repeat(&self) -> Repeat {
        if self.method().is_idempotent() || self.head.headers().contains_key(IDEMPOTENCY_KEY) {
            Repeat::Harmless
        } else {
            Repeat::Harmful
        }
    }

    /// Whether the client may add an `Idempotency-Key`: the request has none, and carrying it out twice could do harm.
    pub(crate) fn wants_key(&self) -> bool {
        self.repeat() == Repeat::Harmful
    }

    /// SHA-256 over method, URL, the caller's own `Idempotency-Key` and the body: the same for a call that is made again. None
    /// for a body that is a stream.
    pub(crate) fn name(&self) -> Option<String> {
        let body: &[u8] = match &self.body {
            OutgoingBody::Empty => &[],
            OutgoingBody::Bytes(bytes) => bytes,
            OutgoingBody::Stream(_) | OutgoingBody::Gone => return None,
        };
        let mut url = self.url().clone();
        url.set_fragment(None);
        let key = self.head.headers().get(IDEMPOTENCY_KEY).map_or(&[] as &[u8], HeaderValue::as_bytes);
        let mut hash = Sha256::new();
        for part in [self.method().as_str().as_bytes(), url.as_str().as_bytes(), key, body] {
            // With its length, so that no two lists of parts read alike.
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        Some(hex::encode(hash.finalize()))
    }

    /// The caller's own `Idempotency-Key`.
    pub(crate) fn key(&self) -> Option<String> {
        let key = self.head.headers().get(IDEMPOTENCY_KEY)?.to_str().ok()?;
        Some(key.to_owned())
    }

    pub(crate) const fn can_be_sent_again(&self) -> bool {
        !matches!(self.body, OutgoingBody::Gone)
    }

    /// Whether a `digest` parameter names the body that will be sent (C9).
    pub(crate) fn digest_is(&self, value: &str) -> bool {
        match &self.body {
            OutgoingBody::Empty => Sha256Digest::of(&[]).matches(value),
            OutgoingBody::Bytes(bytes) => Sha256Digest::of(bytes).matches(value),
            OutgoingBody::Stream(_) | OutgoingBody::Gone => false,
        }
    }

    /// Whether the caller uses the header that a credential would travel in, or sends a credential of their own: there is
    /// exactly one in a request (C15).
    pub(crate) fn occupies(&self, header: CredentialHeader) -> bool {
        let is_credential = |value: &HeaderValue| {
            value.as_bytes().get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"Payment "))
        };
        let headers = self.head.headers();
        headers.contains_key(header.name())
            || [CredentialHeader::Authorization, CredentialHeader::PaymentAuthorization]
                .into_iter()
                .any(|header| headers.get_all(header.name()).iter().any(is_credential))
    }

    /// Advertises what can be paid with, or nothing; the caller's own word stays.
    pub(crate) fn advertise(&mut self, accept: Option<HeaderValue>) {
        if self.callers_accept {
            return;
        }
        match accept {
            Some(value) => self.head.headers_mut().insert(ACCEPT_PAYMENT, value),
            None => self.head.headers_mut().remove(ACCEPT_PAYMENT),
        };
    }

    /// The next sending, without a credential; a streaming body goes with the first one.
    pub(crate) fn next(&mut self) -> Request {
        let mut request = self.head.try_clone().expect("a head has no body, which alone could forbid it");
        *request.body_mut() = match &self.body {
            OutgoingBody::Empty | OutgoingBody::Gone => None,
            OutgoingBody::Bytes(bytes) => Some(bytes.clone().into()),
            OutgoingBody::Stream(_) => match std::mem::replace(&mut self.body, OutgoingBody::Gone) {
                OutgoingBody::Stream(body) => Some(body),
                _ => None,
            },
        };
        request
    }

    /// Turns to where an unpaid redirect points, with curl's rules. False when it cannot be followed.
    pub(crate) fn redirect(&mut self, status: StatusCode, location: &str) -> bool {
        let Ok(mut url) = self.url().join(location) else { return false };
        // What a redirect names is not the caller's secret to send.
        if url.set_username("").is_err() || url.set_password(None).is_err() {
            return false;
        }
        let Ok(site) = Site::of(&url) else { return false };
        let becomes_get = match status {
            StatusCode::SEE_OTHER => *self.method() != Method::HEAD,
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => *self.method() == Method::POST,
            _ => false,
        };
        if becomes_get {
            *self.head.method_mut() = Method::GET;
            self.body = OutgoingBody::Empty;
            for name in [
                header::CONTENT_TYPE,
                header::CONTENT_LENGTH,
                header::CONTENT_ENCODING,
                header::CONTENT_LANGUAGE,
                header::CONTENT_LOCATION,
                header::TRANSFER_ENCODING,
            ] {
                self.head.headers_mut().remove(name);
            }
        } else if !self.can_be_sent_again() {
            return false;
        }
        if site != self.site {
            for name in [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION] {
                self.head.headers_mut().remove(name);
            }
            self.head.headers_mut().remove(CredentialHeader::PaymentAuthorization.name());
            self.head.headers_mut().remove(header::HOST);
        }
        *self.head.url_mut() = url;
        self.site = site;
        true
    }
}
