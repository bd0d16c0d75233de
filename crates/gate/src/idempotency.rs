//! The `Idempotency-Key` header of a paid request (C23): read here, and passed on to the service as it came.

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The header.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer was given before.
pub(crate) const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Names a challenge whose payment is kept as a credit, because its call had been paid before.
pub(crate) const PAYMENT_CREDIT: HeaderName = HeaderName::from_static("payment-credit");

/// The longest key, in bytes.
pub(crate) const MAX_KEY_BYTES: usize = 255;

/// The header is there more than once, is empty, too long, or has other characters than visible ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadKey;

/// The key of a request, where it has one.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<String>, BadKey> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter().map(HeaderValue::as_bytes);
    let Some(value) = values.next() else { return Ok(None) };
    let fits = (1..=MAX_KEY_BYTES).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
    match std::str::from_utf8(value) {
        Ok(text) if fits && values.next().is_none() => Ok(Some(text.to_owned())),
        _ => Err(BadKey),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_key_is_one_value_of_visible_ascii() {
        let long = "k".repeat(255);
        for (values, expected) in [
            (vec![], Ok(None)),
            (vec!["k"], Ok(Some("k"))),
            (vec!["\"8e03978e-40d5\""], Ok(Some("\"8e03978e-40d5\""))),
            (vec![long.as_str()], Ok(Some(long.as_str()))),
            (vec![""], Err(BadKey)),
            (vec!["a b"], Err(BadKey)),
            (vec!["k\u{e9}"], Err(BadKey)),
            (vec!["a", "a"], Err(BadKey)),
            (vec![&*"k".repeat(256)], Err(BadKey)),
        ] {
            let mut headers = HeaderMap::new();
            for value in &values {
                headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            assert_eq!(key(&headers), expected.map(|key| key.map(str::to_owned)), "{values:?}");
        }
    }
}
