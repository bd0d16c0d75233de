//! What `farthing request` sends: the method, the headers and the body that the arguments ask for.

use std::io::Read;
use std::path::Path;

use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method};

use super::args::Args;
use crate::error::CliError;

/// The largest body that is sent, in bytes: it is kept in memory, because a 402 makes it travel twice.
const MAX_BODY: u64 = 64 << 20;

/// The request that the arguments describe.
pub fn build(args: &Args) -> Result<reqwest::Request, CliError> {
    let (body, kind) = body(args)?;
    let method = args.method.clone().unwrap_or(match (&body, args.head) {
        (_, true) => Method::HEAD,
        (Some(_), false) => Method::POST,
        (None, false) => Method::GET,
    });
    let mut request = reqwest::Request::new(method, args.url.clone());
    *request.headers_mut() = headers(args, kind);
    *request.body_mut() = body.map(reqwest::Body::from);
    Ok(request)
}

fn headers(args: &Args, kind: Option<&'static str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("farthing/", env!("CARGO_PKG_VERSION"))));
    headers.insert(
        ACCEPT,
        HeaderValue::from_static(if args.json.is_some() { "application/json" } else { "*/*" }),
    );
    if let Some(kind) = kind {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    // What the user says replaces what we would say; said twice, it is sent twice.
    for (name, _) in &args.headers {
        headers.remove(name);
    }
    for (name, value) in &args.headers {
        headers.append(name, value.clone());
    }
    headers
}

/// The body and its type.
type Content = (Option<Vec<u8>>, Option<&'static str>);

fn body(args: &Args) -> Result<Content, CliError> {
    if let Some(data) = &args.json {
        return Ok((Some(bytes(data)?), Some("application/json")));
    }
    let form = Some("application/x-www-form-urlencoded");
    if let Some(data) = &args.data_binary {
        return Ok((Some(bytes(data)?), form));
    }
    if args.data.is_empty() {
        return Ok((None, None));
    }
    let mut joined = Vec::new();
    for (index, data) in args.data.iter().enumerate() {
        if index > 0 {
            joined.push(b'&');
        }
        let mut part = bytes(data)?;
        if data.starts_with('@') {
            part.retain(|byte| !matches!(byte, b'\r' | b'\n'));
        }
        joined.extend(part);
    }
    Ok((Some(joined), form))
}

/// The text, the file after `@`, or standard input for `@-`.
fn bytes(data: &str) -> Result<Vec<u8>, CliError> {
    match data.strip_prefix('@') {
        None => Ok(data.as_bytes().to_vec()),
        Some("-") => read(std::io::stdin().lock(), Path::new("standard input")),
        Some(path) => {
            let path = Path::new(path);
            let file = std::fs::File::open(path).map_err(|error| CliError::file("read", path, &error))?;
            read(file, path)
        }
    }
}

fn read(source: impl Read, path: &Path) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    source
        .take(MAX_BODY + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| CliError::file("read", path, &error))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BODY {
        return Err(CliError::usage("body_too_large", format!("{} has more than 64 MiB", path.display()))
            .help("a body that is paid for is kept in memory and may have at most 64 MiB"));
    }
    Ok(bytes)
}
