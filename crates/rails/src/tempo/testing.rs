//! A node that says what a test wants.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "tests")]

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::TempoRpc;

/// A client of a node that answers each method with `answer(method)`: `{"result": …}` or `{"error": …}`.
pub(super) async fn node(answer: impl Fn(&str) -> Value + Send + Sync + 'static) -> TempoRpc {
    node_of(move |method, _| answer(method)).await
}

/// The same with `answer(method, params)`.
pub(super) async fn node_of(answer: impl Fn(&str, &Value) -> Value + Send + Sync + 'static) -> TempoRpc {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = Vec::new();
            let request = loop {
                let mut chunk = [0_u8; 4096];
                let read = stream.read(&mut chunk).await.unwrap();
                bytes.extend_from_slice(&chunk[..read]);
                let body = bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| &bytes[at + 4..]);
                if let Some(request) = body.and_then(|body| serde_json::from_slice::<Value>(body).ok()) {
                    break request;
                }
            };
            let body = answer(request["method"].as_str().unwrap(), &request["params"]).to_string();
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).await.ok();
        }
    });
    TempoRpc::new(&url).unwrap()
}

pub(super) fn result(value: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "result": value})
}

pub(super) fn error(code: i64, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": message}})
}
