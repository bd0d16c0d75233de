//! Bare hyper: as little as a server on hyper can do. Every request is answered with the same answer.

use std::convert::Infallible;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use crate::Failure;

pub(super) async fn serve(answer: &Path) -> Result<(), Failure> {
    let (status, headers, body) = read(&std::fs::read(answer)?)?;
    let listener = super::listen().await?;
    super::ready(listener.local_addr()?);
    let accept = async {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (headers, body) = (headers.clone(), body.clone());
            let service = service_fn(move |_| {
                let mut response = Response::new(Full::new(body.clone()));
                *response.status_mut() = status;
                *response.headers_mut() = headers.clone();
                async move { Ok::<_, Infallible>(response) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    };
    tokio::select! {
        ended = accept => ended,
        () = super::parent_leaves() => Ok(()),
    }
}

/// The answer in this text, without what hyper writes itself.
fn read(text: &[u8]) -> Result<(StatusCode, HeaderMap, Bytes), Failure> {
    let at =
        text.windows(4).position(|four| four == b"\r\n\r\n").ok_or("an answer without an end of its head")?;
    let head = std::str::from_utf8(&text[..at])?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).ok_or("an answer without a status")?;
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if !["date", "content-length"].contains(&name.to_ascii_lowercase().as_str()) {
            headers.append(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
        }
    }
    Ok((status.parse()?, headers, Bytes::copy_from_slice(&text[at + 4..])))
}
