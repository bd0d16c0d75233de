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

/// Whether a header may hold a credential or say how somebody likes to pay: one look at the names, where most have neither.
pub(crate) fn speak_of_payment(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| *name == AUTHORIZATION || is_payment_header(name))
}

/// Takes every credential out of `headers`. Other schemes of `Authorization` stay, also those that somebody merged with a
/// credential into one value: `Bearer x, Payment y` pays with `y`, and the service gets `Bearer x`.
pub(crate) fn take(headers: &mut HeaderMap) -> Found {
    let mut credentials = take_from_authorization(headers);
    for value in headers.get_all(PAYMENT_AUTHORIZATION) {
        match split(value) {
            Some(parts) => credentials.extend(parts.payments),
            // Not of our scheme, in a header that is ours alone.
            None => credentials.push(Taken::One(value.as_bytes().to_vec())),
        }
    }
    headers.remove(PAYMENT_AUTHORIZATION);
    match credentials.as_slice() {
        [] => Found::None,
        [Taken::One(one)] => match std::str::from_utf8(one) {
            Ok(text) => CredentialBuf::decode(text).map_or_else(Found::Unreadable, Found::One),
            Err(_) => Found::Unreadable(ParseError::BadBase64 { what: "credential" }),
        },
        _ => Found::Several,
    }
}

/// Takes out of a request what is between the client and the gate.
pub(crate) fn scrub_request(headers: &mut HeaderMap) {
    if !speak_of_payment(headers) {
        return;
    }
    let internal: Vec<HeaderName> = headers.keys().filter(|name| is_payment_header(name)).cloned().collect();
    for name in internal {
        headers.remove(name);
    }
    take_from_authorization(headers);
}

fn take_from_authorization(headers: &mut HeaderMap) -> Vec<Taken> {
    let mut taken = Vec::new();
    // Almost no value holds a credential beside another: most are left as they are.
    if !headers.get_all(AUTHORIZATION).iter().any(|value| split(value).is_some()) {
        return taken;
    }
    let values: Vec<HeaderValue> = headers.get_all(AUTHORIZATION).iter().cloned().collect();
    headers.remove(AUTHORIZATION);
    for value in values {
        match split(&value) {
            None => drop(headers.append(AUTHORIZATION, value)),
            Some(parts) => {
                taken.extend(parts.payments);
                if let Some(others) = parts.others {
                    headers.append(AUTHORIZATION, others);
                }
            }
        }
    }
    taken
}

/// Something of the scheme `Payment`.
#[derive(Debug)]
enum Taken {
    /// What may be a credential.
    One(Vec<u8>),
    /// What a credential may have been before a comma came into it: it is neither read nor passed on.
    Pieces,
}

/// A value of `Authorization` that holds something of the scheme `Payment`.
#[derive(Debug)]
struct Parts {
    payments: Vec<Taken>,
    /// What is of other schemes.
    others: Option<HeaderValue>,
}

/// Takes a value apart; none when nothing of it is of the scheme `Payment`.
fn split(value: &HeaderValue) -> Option<Parts> {
    let bytes = value.as_bytes();
    if !bytes.contains(&b',') {
        let one = bytes.trim_ascii();
        return is_payment(one).then(|| Parts { payments: vec![Taken::One(one.to_vec())], others: None });
    }
    let (mut payments, mut others) = (Vec::new(), Vec::new());
    let mut after_payment = false;
    for element in list_elements(bytes).filter(|element| !element.is_empty()) {
        if is_payment(element) {
            payments.push(Taken::One(element.to_vec()));
            after_payment = true;
        } else if after_payment && !begins_credentials(element) {
            payments.push(Taken::Pieces);
        } else {
            others.push(element);
            after_payment = false;
        }
    }
    if payments.is_empty() {
        return None;
    }
    // `Pieces` beside their credential count as two, so that it is refused.
    let others = HeaderValue::from_bytes(&others.join(&b", "[..])).ok().filter(|value| !value.is_empty());
    let others = others.map(|mut others| {
        others.set_sensitive(value.is_sensitive());
        others
    });
    Some(Parts { payments, others })
}

/// The trimmed elements of a list (RFC 9110, section 5.6.1): a comma in a quoted string separates nothing. A quote that is never
/// closed hides nothing: then every comma separates.
fn list_elements(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let balanced = !Quotes::default().after(bytes);
    let mut quotes = Quotes::default();
    bytes
        .split(move |byte| {
            let inside = quotes.step(*byte);
            *byte == b',' && !(balanced && inside)
        })
        .map(<[u8]>::trim_ascii)
}

/// Whether a place in a header's value is within a quoted string.
#[derive(Debug, Default)]
struct Quotes {
    inside: bool,
    escaped: bool,
}

impl Quotes {
    /// Goes past `byte`, and says whether what follows is inside.
    const fn step(&mut self, byte: u8) -> bool {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.inside => self.escaped = true,
            b'"' => self.inside = !self.inside,
            _ => {}
        }
        self.inside
    }

    fn after(mut self, bytes: &[u8]) -> bool {
        bytes.iter().fold(false, |_, byte| self.step(*byte))
    }
}

/// Takes out of a response what only the gate may say: receipts and challenges of the Payment scheme.
pub(crate) fn scrub_response(headers: &mut HeaderMap) {
    if !headers.keys().any(|name| *name == WWW_AUTHENTICATE || is_payment_header(name)) {
        return;
    }
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

fn is_payment_header(name: &HeaderName) -> bool {
    is_payment_name(name.as_str())
}

/// `Payment-*` and `Accept-Payment`, in any case.
pub(crate) fn is_payment_name(name: &str) -> bool {
    const BEGIN: &str = "payment-";
    let begin = name.get(..BEGIN.len());
    begin.is_some_and(|begin| begin.eq_ignore_ascii_case(BEGIN))
        || name.eq_ignore_ascii_case("accept-payment")
}

/// Whether a trimmed list element uses the scheme `Payment`, in any case.
fn is_payment(element: &[u8]) -> bool {
    scheme(element).0.eq_ignore_ascii_case(b"payment")
}

/// Whether a trimmed list element begins credentials of a scheme, and is no further parameter of those before it.
fn begins_credentials(element: &[u8]) -> bool {
    let (scheme, rest) = scheme(element);
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    scheme.iter().all(token) && !rest.is_empty() && !rest.starts_with(b"=")
}

/// An element's first word, and what follows it.
fn scheme(element: &[u8]) -> (&[u8], &[u8]) {
    let end = element.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(element.len());
    let (scheme, rest) = element.split_at(end);
    (scheme, rest.trim_ascii_start())
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
