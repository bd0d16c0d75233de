//! Load over HTTP/1.1: connections that are kept open, one request at a time on each.

pub(crate) mod closed;
mod connection;
pub(crate) mod open;
pub(crate) mod paid;

use std::net::SocketAddr;

pub(crate) use connection::Connection;

use crate::Failure;

/// A request without a body.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: api.example.com\r\nAccept: */*\r\n\r\n").into_bytes()
}

/// The bytes of one whole answer.
pub(crate) async fn whole_answer(address: SocketAddr, request: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut connection = Connection::open(address).await?;
    connection.exchange(request).await?;
    Ok(connection.answer().to_vec())
}
