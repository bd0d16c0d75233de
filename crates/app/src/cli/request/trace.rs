//! `-v`: what is sent and received, on standard error. Sits inside the paying client and sees every sending; what authorises
//! money is left out (C19).

use async_trait::async_trait;
use http::header::{
    AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION, SET_COOKIE,
};
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next, Result};

use crate::output::{Output, one_line, paint, style};

/// Writes each exchange down.
#[derive(Debug, Clone, Copy)]
pub struct Trace {
    /// Where to.
    pub output: Output,
}

#[async_trait]
impl Middleware for Trace {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut http::Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let url = request.url();
        let path =
            url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        self.say(style::TITLE, '>', &format!("{} {path}", request.method()));
        self.say(style::DIM, '>', &format!("host: {}", url.authority()));
        self.headers('>', request.headers());
        let result = next.run(request, extensions).await;
        match &result {
            Ok(response) => {
                self.say(style::TITLE, '<', &format!("{:?} {}", response.version(), response.status()));
                self.headers('<', response.headers());
            }
            Err(_) => self.say(style::BAD, '<', "no answer"),
        }
        result
    }
}

impl Trace {
    fn headers(self, direction: char, headers: &HeaderMap) {
        for (name, value) in headers {
            self.say(style::DIM, direction, &format!("{name}: {}", shown(name, value)));
        }
        self.output.note(direction);
    }

    fn say(self, how: anstyle::Style, direction: char, text: &str) {
        self.output.note(format_args!("{direction} {}", paint(how, one_line(text))));
    }
}

/// The value, or what kind of secret it is.
fn shown(name: &HeaderName, value: &HeaderValue) -> String {
    let secret = value.is_sensitive()
        || [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, SET_COOKIE].contains(name)
        || name == "payment-authorization";
    if !secret {
        return one_line(&String::from_utf8_lossy(value.as_bytes()));
    }
    let bytes = value.as_bytes();
    match bytes.split(|byte| *byte == b' ').next() {
        Some(scheme) if *name == AUTHORIZATION && scheme.len() < bytes.len() => {
            format!(
                "{} [{} bytes not shown]",
                String::from_utf8_lossy(scheme),
                bytes.len() - scheme.len() - 1
            )
        }
        _ => format!("[{} bytes not shown]", bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http::header::{ACCEPT, AUTHORIZATION, COOKIE, HeaderName, HeaderValue};

    use super::shown;

    #[test]
    fn a_sellers_header_cannot_command_the_terminal() {
        let cases: [(&[u8], &str); 3] = [
            (b"a\tb", "a b"),
            // HTTP lets these two through: raw C1, which is not UTF-8, and C1 and bidi that are.
            (b"a\x9b31m", "a\u{fffd}31m"),
            ("a\u{9b}b\u{202e}c".as_bytes(), "a\u{fffd}b\u{fffd}c"),
        ];
        for (value, expected) in cases {
            assert_eq!(shown(&ACCEPT, &HeaderValue::from_bytes(value).unwrap()), expected);
        }
    }

    #[test]
    fn what_authorises_is_never_shown() {
        let payment = HeaderName::from_static("payment-authorization");
        let cases = [
            (ACCEPT, "text/csv", "text/csv"),
            (AUTHORIZATION, "Payment c2VjcmV0", "Payment [8 bytes not shown]"),
            (AUTHORIZATION, "c2VjcmV0", "[8 bytes not shown]"),
            (payment, "Payment c2VjcmV0", "[16 bytes not shown]"),
            (COOKIE, "a=c2VjcmV0", "[10 bytes not shown]"),
        ];
        for (name, value, expected) in cases {
            assert_eq!(shown(&name, &HeaderValue::from_static(value)), expected, "C19: {name}");
        }
    }
}
