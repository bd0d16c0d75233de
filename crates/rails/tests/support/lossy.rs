//! A proxy in front of a node that passes requests on and can lose the answers, as a network does.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the proxy does to requests for a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Passes the request on and closes the connection instead of answering.
    LoseAnswer,
    /// Closes the connection without passing the request on.
    LoseRequest,
    /// Answers that the node does not know the method.
    Unknown,
    /// Passes the request on and answers that it took too long.
    Lie,
    /// Passes the request on and answers with HTTP 408, without JSON.
    TimeOut,
}

#[derive(Clone)]
pub struct Lossy {
    pub url: String,
    faults: Arc<Mutex<BTreeSet<(Fault, &'static str)>>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Lossy {
    pub async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let it = Self { url, faults: Arc::default(), seen: Arc::default() };
        let (server, upstream) = (it.clone(), upstream.to_owned());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (server, upstream) = (server.clone(), upstream.clone());
                tokio::spawn(async move { server.serve(stream, &upstream).await });
            }
        });
        it
    }

    pub fn inject(&self, fault: Fault, method: &'static str) {
        self.faults.lock().unwrap().insert((fault, method));
    }

    pub fn heal(&self) {
        self.faults.lock().unwrap().clear();
    }

    /// How often a method was asked for.
    pub fn count(&self, method: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| *seen == method).count()
    }

    async fn serve(&self, mut stream: TcpStream, upstream: &str) {
        let Some(body) = read_body(&mut stream).await else { return };
        let request: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let method = request["method"].as_str().unwrap().to_owned();
        self.seen.lock().unwrap().push(method.clone());
        let has = |fault| self.faults.lock().unwrap().iter().any(|(f, m)| *f == fault && *m == method);
        if has(Fault::LoseRequest) {
            return;
        }
        let answer = if has(Fault::Unknown) {
            br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}"#.to_vec()
        } else {
            let sent = reqwest::Client::new()
                .post(upstream)
                .header("content-type", "application/json")
                .body(body)
                .send()
                .await;
            sent.unwrap().bytes().await.unwrap().to_vec()
        };
        if has(Fault::LoseAnswer) {
            return;
        }
        let answer = if has(Fault::Lie) {
            br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"context deadline exceeded"}}"#
                .to_vec()
        } else {
            answer
        };
        if has(Fault::TimeOut) {
            let head = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(head.as_bytes()).await.ok();
            return;
        }
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            answer.len()
        );
        stream.write_all(head.as_bytes()).await.ok();
        stream.write_all(&answer).await.ok();
    }
}

async fn read_body(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunk = [0_u8; 16 * 1024];
    loop {
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        let Some(end) = text.find("\r\n\r\n") else { continue };
        let length: usize = text[..end]
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .and_then(|length| length.trim().parse().ok())
            .unwrap_or(0);
        if bytes.len() >= end + 4 + length {
            return Some(bytes.split_off(end + 4));
        }
    }
}
