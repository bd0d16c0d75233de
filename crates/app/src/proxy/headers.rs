//! Headers on their way through the proxy: what belongs to one connection stays there, what is the proxy's own to say is said by
//! the proxy alone.

use farthing_protocol::CredentialHeader;
use http::header::{
    ALT_SVC, CONNECTION, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

/// In an answer: why the proxy did not pay.
pub const FARTHING_REFUSED: HeaderName = HeaderName::from_static("farthing-refused");
/// In an answer: the payment that it was bought with, or that was tried.
pub const FARTHING_PAYMENT: HeaderName = HeaderName::from_static("farthing-payment");

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// In which x402 carries its payments.
const X402: [HeaderName; 2] =
    [HeaderName::from_static("x-payment"), HeaderName::from_static("payment-signature")];

/// RFC 9110, section 7.6.1, and what is said to the proxy itself.
const OF_ONE_CONNECTION: [HeaderName; 9] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// A program's request on its way to the server.
pub fn to_server(headers: &mut HeaderMap) {
    let takes_trailers = headers.get(TE).is_some_and(|value| value == "trailers");
    strip(headers);
    if takes_trailers {
        // The one word of `TE` that HTTP/2 carries end to end; gRPC asks for it.
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    // The client writes the host from the URL, and the program was told to go on already.
    headers.remove(HOST);
    headers.remove(EXPECT);
    join_cookies(headers);
}

/// A server's answer on its way to the program.
pub fn to_program(headers: &mut HeaderMap) {
    strip(headers);
    // Another protocol would lead around the proxy.
    headers.remove(ALT_SVC);
    headers.remove(FARTHING_REFUSED);
    headers.remove(FARTHING_PAYMENT);
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&OF_ONE_CONNECTION) {
        headers.remove(name);
    }
}

/// HTTP/2 may split what is one line everywhere else (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let parts: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if parts.len() < 2 {
        return;
    }
    if let Ok(mut joined) = HeaderValue::from_bytes(&parts.join(&b"; "[..])) {
        joined.set_sensitive(true);
        headers.insert(COOKIE, joined);
    }
}

/// Whether the program pays by itself: with a credential of the Payment scheme, or of x402.
pub fn has_credential(headers: &HeaderMap) -> bool {
    let is_payment = |value: &HeaderValue| {
        value.as_bytes().get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"Payment "))
    };
    headers.get_all(CredentialHeader::Authorization.name()).iter().any(is_payment)
        || headers.contains_key(CredentialHeader::PaymentAuthorization.name())
        || X402.iter().any(|name| headers.contains_key(name))
}

/// The protocol that the program wants to change to, if it does.
pub fn wants_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let connection = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let asks =
        connection.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    headers.get(UPGRADE).filter(|_| asks).cloned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http::HeaderMap;

    use super::{has_credential, to_program, to_server, wants_upgrade};

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn what_belongs_to_one_connection_stays_there() {
        let mut sent = headers(&[
            ("host", "a"),
            ("connection", "close, x-mine"),
            ("x-mine", "1"),
            ("proxy-authorization", "Basic c2VjcmV0"),
            ("te", "gzip"),
            ("expect", "100-continue"),
            ("authorization", "Bearer kept"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
        ]);
        to_server(&mut sent);
        assert_eq!(sent, headers(&[("authorization", "Bearer kept"), ("cookie", "a=1; b=2")]));
        let mut grpc = headers(&[("te", "trailers")]);
        to_server(&mut grpc);
        assert_eq!(grpc, headers(&[("te", "trailers")]));
        let mut answer = headers(&[
            ("alt-svc", "h3=\":443\""),
            ("farthing-payment", "spoofed"),
            ("farthing-refused", "spoofed"),
            ("keep-alive", "timeout=5"),
            ("payment-receipt", "kept"),
        ]);
        to_program(&mut answer);
        assert_eq!(answer, headers(&[("payment-receipt", "kept")]));
    }

    #[test]
    fn a_programs_own_payment_is_seen() {
        let cases: [(&'static str, &str, bool); 6] = [
            ("authorization", "Payment abc", true),
            ("authorization", "payment abc", true),
            ("payment-authorization", "Payment abc", true),
            ("x-payment", "abc", true),
            ("authorization", "Bearer Payment ", false),
            ("accept-payment", "tempo/charge", false),
        ];
        for (name, value, expected) in cases {
            assert_eq!(has_credential(&headers(&[(name, value)])), expected, "{name}: {value}");
        }
    }

    #[test]
    fn an_upgrade_needs_both_headers() {
        assert!(
            wants_upgrade(&headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]))
                .is_some()
        );
        assert!(wants_upgrade(&headers(&[("upgrade", "websocket")])).is_none());
        assert!(wants_upgrade(&headers(&[("connection", "upgrade")])).is_none());
    }
}
