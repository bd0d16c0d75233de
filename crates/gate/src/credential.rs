//! Finding the credential in a request's headers, and taking it out: nothing behind the gate ever sees one (C19).

use farthing_protocol::{CredentialBuf, ParseError};
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};

/// The other header that a credential may travel in.
pub(crate) const PAYMENT_AUTHORIZATION: HeaderName = HeaderName::from_static("payment-authorization");
/// The header of a receipt.
pub(crate) const PAYMENT_RECEIPT: HeaderName = HeaderName::from_static("payment-receipt");
/// The header with a client's preferences.
pub(crate) const ACCEPT_PAYMENT: HeaderName = HeaderName::from_static("accept-payment");

/// What a request carries.
#[derive(Debug)]
pub(crate) enum Found {
    /// No credential.
    None,
    /// One, decoded.
    One(CredentialBuf),
    /// One that cannot be decoded.
    Unreadable(ParseError),
    /// Several (C15).
    Several,
}

/// Takes every credential out of `headers`. Other schemes of `Authorization` stay.
pub(crate) fn take(headers: &mut HeaderMap) -> Found {
    let mut credentials = Vec::new();
    if headers.contains_key(AUTHORIZATION) {
        let (payments, others): (Vec<_>, Vec<_>) =
            headers.get_all(AUTHORIZATION).iter().cloned().partition(is_payment);
        if !payments.is_empty() {
            headers.remove(AUTHORIZATION);
            put_back(headers, &AUTHORIZATION, others);
            credentials.extend(payments);
        }
    }
    if headers.contains_key(PAYMENT_AUTHORIZATION) {
        credentials.extend(headers.get_all(PAYMENT_AUTHORIZATION).iter().cloned());
        headers.remove(PAYMENT_AUTHORIZATION);
    }
    match credentials.as_slice() {
        [] => Found::None,
        // base64url has no comma: two values that somebody merged into one line.
        [one] if one.as_bytes().contains(&b',') => Found::Several,
        [one] => match one.to_str() {
            Ok(text) => CredentialBuf::decode(text).map_or_else(Found::Unreadable, Found::One),
            Err(_) => Found::Unreadable(ParseError::BadBase64 { what: "credential" }),
        },
        _ => Found::Several,
    }
}

/// Takes out of a request what is between the client and the gate.
pub(crate) fn scrub_request(headers: &mut HeaderMap) {
    let internal: Vec<HeaderName> = headers.keys().filter(|name| is_payment_header(name)).cloned().collect();
    for name in internal {
        headers.remove(name);
    }
    if headers.get_all(AUTHORIZATION).iter().any(is_payment) {
        let others: Vec<_> =
            headers.get_all(AUTHORIZATION).iter().filter(|value| !is_payment(value)).cloned().collect();
        headers.remove(AUTHORIZATION);
        put_back(headers, &AUTHORIZATION, others);
    }
}

/// Takes out of a response what only the gate may say: receipts and challenges of the Payment scheme.
pub(crate) fn scrub_response(headers: &mut HeaderMap) {
    let internal: Vec<HeaderName> = headers.keys().filter(|name| is_payment_header(name)).cloned().collect();
    for name in internal {
        headers.remove(name);
    }
    if headers.get_all(WWW_AUTHENTICATE).iter().any(names_payment) {
        let others: Vec<_> =
            headers.get_all(WWW_AUTHENTICATE).iter().filter(|value| !names_payment(value)).cloned().collect();
        headers.remove(WWW_AUTHENTICATE);
        put_back(headers, &WWW_AUTHENTICATE, others);
    }
}

fn put_back(headers: &mut HeaderMap, name: &HeaderName, values: Vec<HeaderValue>) {
    for value in values {
        headers.append(name.clone(), value);
    }
}

/// `Payment-*` and `Accept-Payment`.
fn is_payment_header(name: &HeaderName) -> bool {
    *name == ACCEPT_PAYMENT || name.as_str().starts_with("payment-")
}

/// Whether an `Authorization` value uses the scheme `Payment`, in any case.
fn is_payment(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes().trim_ascii_start();
    let end = bytes.iter().position(|b| matches!(b, b' ' | b'\t' | b',')).unwrap_or(bytes.len());
    bytes[..end].eq_ignore_ascii_case(b"payment")
}

/// Whether a `WWW-Authenticate` value may hold a challenge of the scheme `Payment` somewhere: where a challenge may start,
/// at the beginning or after a comma.
fn names_payment(value: &HeaderValue) -> bool {
    value.as_bytes().split(|b| *b == b',').any(|part| {
        let part = part.trim_ascii_start();
        let end = part.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(part.len());
        part[..end].eq_ignore_ascii_case(b"payment")
    })
}

#[cfg(test)]
mod tests;
