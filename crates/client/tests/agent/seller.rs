//! A scripted seller: a small HTTP/1.1 server that records what it receives and answers what a closure says.

use std::sync::{Arc, Mutex};

use farthing_protocol::{Challenge, EncodedJson, Intent, MethodId, UnixMs};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::payer::NOW;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The credential, whatever header it came in.
    pub fn credential(&self) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(_, value)| value.starts_with("Payment "));
        let first = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "C15: two credentials");
        first
    }
}

/// What to answer.
pub enum Reply {
    Http {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// These bytes, then the connection is closed.
    Raw(String),
    /// Close the connection without a word.
    Close,
    /// Never answer.
    Hang,
}

pub fn reply(status: u16, headers: &[(&'static str, &str)], body: &str) -> Reply {
    let headers = headers.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
    Reply::Http { status, headers, body: body.to_owned() }
}

/// Told the request and how many came before it.
type Script = dyn Fn(&Seen, usize) -> Reply + Send + Sync;

pub struct Seller {
    pub port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    server: JoinHandle<()>,
}

impl Drop for Seller {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Seller {
    pub async fn start(script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (script, log): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&seen));
        let server = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&script), Arc::clone(&log)));
            }
        });
        Self { port, seen, server }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The credentials that arrived, in order.
    pub fn credentials(&self) -> Vec<String> {
        self.seen().iter().filter_map(|seen| seen.credential().map(str::to_owned)).collect()
    }
}

async fn serve(mut socket: TcpStream, script: Arc<Script>, log: Arc<Mutex<Vec<Seen>>>) {
    let Some(seen) = read_request(&mut socket).await else { return };
    let nth = {
        let mut log = log.lock().unwrap();
        log.push(seen.clone());
        log.len() - 1
    };
    match script(&seen, nth) {
        Reply::Close => {}
        Reply::Raw(text) => {
            let _ = socket.write_all(text.as_bytes()).await;
            let _ = socket.shutdown().await;
        }
        Reply::Hang => std::future::pending().await,
        Reply::Http { status, headers, body } => {
            let mut head =
                format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
            for (name, value) in headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            let _ = socket.write_all(format!("{head}\r\n{body}").as_bytes()).await;
            let _ = socket.shutdown().await;
        }
    }
}

async fn read_request(socket: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        let mut chunk = [0; 4096];
        match socket.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        let mut chunk = [0; 4096];
        match socket.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => body.extend_from_slice(&chunk[..n]),
        }
    }
    Some(Seen { method, path, headers, body })
}

/// An offer of 0.01 TestUSD, to be changed.
pub fn offer(id: &str) -> Challenge {
    challenge(id, &terms())
}

/// What a test offer's request says.
pub fn terms() -> Value {
    json!({ "amount": "10000", "asset": "TestUSD", "recipient": "0xseller", "mode": "pull", "network": "test:1" })
}

pub fn challenge(id: &str, terms: &Value) -> Challenge {
    Challenge {
        id: id.to_owned(),
        realm: "127.0.0.1".to_owned(),
        method: MethodId::new("test").unwrap(),
        intent: Intent::charge(),
        request: EncodedJson::encode(terms).unwrap(),
        description: None,
        expires: Some(UnixMs::from_ms(NOW + 300_000).to_string()),
        digest: None,
        opaque: None,
        header: farthing_protocol::CredentialHeader::Authorization,
    }
}

/// A 402 with these offers.
pub fn ask(offers: &[Challenge]) -> Reply {
    let headers = offers.iter().map(|offer| ("WWW-Authenticate", offer.to_header_value().unwrap())).collect();
    Reply::Http { status: 402, headers, body: String::new() }
}

/// A 402 with a problem.
pub fn problem(status: u16, detail: &str) -> Reply {
    let body = json!({ "type": "https://paymentauth.org/problems/verification-failed", "detail": detail });
    reply(status, &[("Content-Type", "application/problem+json")], &body.to_string())
}

pub fn receipt() -> String {
    let receipt = json!({
        "status": "success", "method": "test", "timestamp": "2026-01-29T12:00:00.000Z", "reference": "0xfeed"
    });
    farthing_protocol::encoding::base64url_encode(receipt.to_string().as_bytes())
}

/// The paid answer.
pub fn served() -> Reply {
    reply(200, &[("Payment-Receipt", &receipt()), ("Cache-Control", "private")], "the goods")
}

/// Asks 0.01 for everything, and serves whoever pays.
pub fn shop(seen: &Seen, nth: usize) -> Reply {
    if seen.credential().is_some() { served() } else { ask(&[offer(&format!("c{nth}"))]) }
}
