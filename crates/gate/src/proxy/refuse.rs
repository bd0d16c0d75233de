//! What is refused whatever it costs, before anything is paid for: what could not be forwarded, and shapes of requests that
//! servers read differently (request smuggling). It decides by the head alone.

use http::header::{CONTENT_LENGTH, HOST, HeaderMap, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Method, Request, StatusCode, Version};

use crate::answer::{Answer, plain};

pub(super) fn refusal<B>(request: &Request<B>, max_body_bytes: u64) -> Option<Answer> {
    let headers = request.headers();
    if request.method() == Method::CONNECT || request.method() == Method::TRACE {
        let detail = "CONNECT and TRACE are not forwarded.";
        return Some(plain(StatusCode::METHOD_NOT_ALLOWED, "method_not_forwarded", detail));
    }
    // Other upgrades, such as h2c, may be ignored (RFC 9110, section 7.8); a WebSocket cannot work without.
    let websocket = |value: &HeaderValue| {
        value.as_bytes().to_ascii_lowercase().windows(9).any(|window| window == b"websocket")
    };
    if headers.contains_key(UPGRADE) && headers.get_all(UPGRADE).iter().any(websocket) {
        let detail = "WebSockets are not forwarded.";
        return Some(plain(StatusCode::NOT_IMPLEMENTED, "upgrade_not_forwarded", detail));
    }
    if let Some(answer) = wrong_target(request) {
        return Some(answer);
    }
    if !is_plainly_framed(headers) {
        let detail = "Send a body in chunks, or with its length; it is not taken in another coding.";
        return Some(plain(StatusCode::NOT_IMPLEMENTED, "transfer_coding", detail));
    }
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    announced.is_some_and(|bytes| bytes > max_body_bytes).then(|| too_large(max_body_bytes))
}

/// RFC 9112, section 3.2, and RFC 9113, section 8.3.1: one host, that is one.
fn wrong_target<B>(request: &Request<B>) -> Option<Answer> {
    let bad = |code: &'static str, detail: &str| Some(plain(StatusCode::BAD_REQUEST, code, detail));
    let uri = request.uri();
    if uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS) {
        return bad("bad_target", "The request's target is of another scheme than http and https.");
    }
    // What a path in HTTP/2 begins with (RFC 9113, section 8.3.1); in absolute form an empty one is `/`.
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    if request.version() == Version::HTTP_2 && !path.starts_with('/') {
        return bad("bad_target", "The path has to begin with `/`.");
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return bad("several_hosts", "Send one Host header.");
    }
    let named = uri.authority();
    if named.is_none_or(is_host) && host.is_none_or(|host| is_host_text(host.as_bytes())) {
        return match (named, host, request.version()) {
            // In HTTP/2 two names are two readings; in HTTP/1.1 the target's goes before, by the book.
            (Some(named), Some(host), Version::HTTP_2)
                if !named.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes()) =>
            {
                bad("several_hosts", "The target and the Host header name different hosts.")
            }
            (None, None, version) if version >= Version::HTTP_11 => {
                bad("host_missing", "Send a Host header.")
            }
            _ => None,
        };
    }
    bad("bad_host", "The host is a name or an address, with a port or without, and nothing else.")
}

fn is_host(authority: &Authority) -> bool {
    is_host_text(authority.as_str().as_bytes())
}

/// A host and a port have no user, path, list, space or control character in them.
pub(crate) fn is_host_text(text: &[u8]) -> bool {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(b);
    !text.is_empty() && text.iter().all(plain)
}

/// Chunks and nothing else, or a length.
fn is_plainly_framed(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(one), None) => one.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

fn too_large(max_body_bytes: u64) -> Answer {
    let detail = format!("A request's body may have at most {max_body_bytes} bytes.");
    plain(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", &detail)
}
