//! [`Caller`]: where a request came from, in the words in which an upstream is told. Worked out once a connection.

use std::net::SocketAddr;

use http::HeaderValue;

use super::ClientAddr;

/// Somebody's address, and how it is written.
#[derive(Debug)]
pub(crate) struct Caller {
    /// The address.
    pub(crate) client: ClientAddr,
    /// As in `X-Forwarded-For`.
    pub(super) address: HeaderValue,
    /// As in `Forwarded` (RFC 7239), with the semicolon that follows.
    pub(super) element: String,
}

impl Caller {
    /// Whoever calls from here.
    pub(crate) fn new(address: SocketAddr) -> Self {
        let ip = address.ip().to_canonical();
        let text = ip.to_string();
        let (open, close) = if ip.is_ipv6() { ("\"[", "]\"") } else { ("", "") };
        let element = format!("for={open}{text}{close};");
        let address_value =
            HeaderValue::try_from(text).expect("an address has letters, digits, dots and colons");
        Self { client: ClientAddr(address), address: address_value, element }
    }
}
