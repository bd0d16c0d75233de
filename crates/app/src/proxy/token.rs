//! [`ProxyToken`]: what a program says to be served by a proxy that others could reach. It spends money, so it is never shown.

use std::fmt;

use http::HeaderMap;
use http::header::PROXY_AUTHORIZATION;
use rand::Rng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The user name beside the token; any is taken.
pub const USER: &str = "farthing";

/// The password of `Proxy-Authorization: Basic`.
#[derive(Clone)]
pub struct ProxyToken(Zeroizing<String>);

impl fmt::Debug for ProxyToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyToken(redacted)")
    }
}

impl ProxyToken {
    /// The fewest characters of a token.
    pub const MIN_CHARS: usize = 16;

    /// A random one.
    pub fn random() -> Self {
        let mut bytes = Zeroizing::new([0_u8; 16]);
        rand::rng().fill(bytes.as_mut());
        Self(Zeroizing::new(hex::encode(bytes.as_ref())))
    }

    /// One of a person's choosing: letters, digits, `-`, `_`, `.` and `~`, so that it can stand in a URL as it is.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
        let good = text.len() >= Self::MIN_CHARS && text.len() <= 256 && text.bytes().all(plain);
        good.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The token. Secret.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether a request has it.
    pub fn is_in(&self, headers: &HeaderMap) -> bool {
        let said = headers.get(PROXY_AUTHORIZATION).and_then(|value| value.to_str().ok());
        let encoded = said.and_then(|value| value.split_once(' '));
        let Some((scheme, encoded)) = encoded else { return false };
        if !scheme.eq_ignore_ascii_case("basic") {
            return false;
        }
        let Ok(decoded) = base64_simd::STANDARD.decode_to_vec(encoded.trim().as_bytes()) else {
            return false;
        };
        let decoded = Zeroizing::new(decoded);
        let password = decoded.iter().position(|byte| *byte == b':').map(|colon| &decoded[colon + 1..]);
        password.is_some_and(|password| bool::from(password.ct_eq(self.0.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http::HeaderMap;

    use super::ProxyToken;

    #[test]
    fn only_the_token_is_the_token() {
        let token = ProxyToken::parse("0123456789abcdef").unwrap();
        let basic = |text: &str| format!("Basic {}", base64_simd::STANDARD.encode_to_string(text));
        let cases = [
            (basic("farthing:0123456789abcdef"), true),
            (basic("anybody:0123456789abcdef"), true),
            (basic(":0123456789abcdef"), true),
            (basic("farthing:0123456789abcdeF"), false),
            (basic("farthing:"), false),
            (basic("0123456789abcdef"), false),
            ("Bearer 0123456789abcdef".to_owned(), false),
            ("Basic".to_owned(), false),
            ("Basic !!!".to_owned(), false),
        ];
        for (value, good) in cases {
            let mut headers = HeaderMap::new();
            headers.insert("proxy-authorization", value.parse().unwrap());
            assert_eq!(token.is_in(&headers), good, "{value}");
        }
        assert!(!token.is_in(&HeaderMap::new()));
        assert_eq!(format!("{token:?}"), "ProxyToken(redacted)");
    }

    #[test]
    fn a_token_is_long_and_fits_into_a_url() {
        for (text, good) in [("0123456789abcdef", true), ("short", false), ("0123456789abcde/", false)] {
            assert_eq!(ProxyToken::parse(text).is_some(), good, "{text}");
        }
        assert!(ProxyToken::parse(ProxyToken::random().reveal()).is_some());
        assert_ne!(ProxyToken::random().reveal(), ProxyToken::random().reveal());
    }
}
